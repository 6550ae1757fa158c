//! Budgets: a command that scopes and bounds permit is refused for a while when too little is left.

use crate::domain::budget::{Budgeted, Budgets, Span, Used};
use crate::policy::Denial;
use crate::policy::charge::Account;

/// The rule's code.
pub const RULE: &str = "budget";

/// The refusal of a command that needs more of `what` than its budget of `limit` in a `span` has left.
pub fn exhausted(asked: &str, what: Budgeted, span: Span, limit: u64) -> Denial {
    let budget = format!("{}={limit}/{}", what.as_str(), span.as_str());
    let text = format!("the grant's budget {budget} is used up, try again in the next {}", span.as_str());
    Denial::rule(RULE, asked, &text).about(budget)
}

/// The refusal of a session that would be one more than the grant lets be at a time.
pub fn no_seat(asked: &str, most: u32) -> Denial {
    let budget = format!("sessions={most}");
    Denial::rule(RULE, asked, &format!("the grant's budget {budget} is used up")).about(budget)
}

/// How the limit that a denial names stands now.
pub fn account(object: &str, used: &Used) -> Option<Account> {
    match Limit::read(object)? {
        Limit::Counted(what, span, limit) => Some(Account { what, span, limit, used: used.of(what, span), needs: 1 }),
        Limit::Sessions(_) => None,
    }
}

/// A limit that refused, as its denial names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// So many in a span.
    Counted(Budgeted, Span, u64),
    /// So many sessions at a time.
    Sessions(u64),
}

impl Limit {
    pub(super) fn read(text: &str) -> Option<Self> {
        let (name, value) = text.split_once('=')?;
        if name == "sessions" {
            return value.parse().ok().map(Self::Sessions);
        }
        let (number, span) = value.split_once('/')?;
        let what = Budgeted::ALL.into_iter().find(|what| what.as_str() == name)?;
        let span = Span::ALL.into_iter().find(|known| known.as_str() == span)?;
        Some(Self::Counted(what, span, number.parse().ok()?))
    }

    /// Whether `budgets` hold more than this limit did.
    pub(super) fn is_lifted(self, budgets: &Budgets) -> bool {
        match self {
            Self::Sessions(most) => budgets.sessions.is_none_or(|now| u64::from(now) > most),
            Self::Counted(what, span, most) => {
                let now = budgets.of(what).limits().find(|(known, _)| *known == span);
                now.is_none_or(|(_, now)| now > most)
            }
        }
    }

    /// Twice as much, and again until it is `least`, in the words of `--budget`.
    pub(super) fn raised(self, least: u64) -> String {
        let raised = |most: u64| {
            let mut raised = most.saturating_mul(2).max(1);
            while raised < least {
                raised = raised.saturating_mul(2);
            }
            raised
        };
        match self {
            Self::Sessions(most) => format!("sessions={}", raised(most)),
            Self::Counted(what, span, most) => format!("{}={}/{}", what.as_str(), raised(most), span.as_str()),
        }
    }
}
