//! Budgets: a command that scopes and bounds permit is refused for a while when too little is left.

use crate::domain::budget::{Budgeted, Span};
use crate::policy::Denial;

/// The rule's code.
pub const RULE: &str = "budget";

/// The refusal of a command that needs more of `what` than its budget of `limit` in a `span` has left.
pub fn exhausted(asked: &str, what: Budgeted, span: Span, limit: u64) -> Denial {
    let (what, span) = (what.as_str(), span.as_str());
    Denial::rule(
        RULE,
        asked,
        &format!("the grant's budget {what}={limit}/{span} is used up, try again in the next {span}"),
    )
}
