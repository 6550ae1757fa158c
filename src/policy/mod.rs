//! Pure decisions: may this command be done under these rights? One table per protocol.

pub mod budget;
pub mod charge;
mod freeze;
pub mod imap;
pub mod pop3;
pub mod remedy;
pub mod smtp;

use crate::domain::address::MailAddress;
use crate::domain::bounds::Bounds;
use crate::domain::scope::{Scope, ScopeSet};
use crate::domain::session::Protocol;
use crate::policy::charge::Charge;

pub use crate::policy::freeze::{frozen_out, while_frozen};

/// What a session may do: token and grant taken together.
#[derive(Clone, Debug)]
pub struct Rights {
    /// The scopes that both give.
    pub scopes: ScopeSet,
    /// The grant's limits.
    pub bounds: Bounds,
    /// The mailbox's own address.
    pub mailbox: MailAddress,
}

/// Leave to do one thing. Only this module makes one, and only for what it has decided; the relay takes nothing else.
#[derive(Debug)]
pub struct Permit<T>(T);

impl<T> Permit<T> {
    /// What is permitted.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// What is permitted, to be done now.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// A refusal, with all that is needed to explain it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The rule that refused: a stable code.
    pub rule: &'static str,
    /// The scope that would have allowed it, if one would.
    pub needs: Option<Scope>,
    /// What was asked, without content.
    pub asked: String,
    /// The folder or address that it was asked for, where the rule is about one.
    pub object: Option<String>,
    /// Words for the tool.
    pub text: String,
}

impl Denial {
    /// The rule of what a freeze refuses.
    pub const FROZEN: &'static str = "freeze";

    /// The rule of what cannot be judged: the node has not heard for too long what is allowed. It is no verdict, and not recorded.
    pub const UNPROVEN: &'static str = "unproven";

    /// Whatever is asked while the node does not know what is allowed.
    pub fn unproven() -> Self {
        Self::rule(Self::UNPROVEN, "", "access cannot be checked at the moment")
    }

    fn scope(asked: &str, needs: Scope) -> Self {
        Self {
            rule: "scope",
            needs: Some(needs),
            asked: asked.to_owned(),
            object: None,
            text: format!("{asked} needs the scope {needs}"),
        }
    }

    fn never(asked: &str, why: &str) -> Self {
        Self::rule("never", asked, &format!("{asked} is never permitted: {why}"))
    }

    fn rule(rule: &'static str, asked: &str, text: &str) -> Self {
        Self { rule, needs: None, asked: asked.to_owned(), object: None, text: text.to_owned() }
    }

    fn about(mut self, object: impl Into<String>) -> Self {
        self.object = Some(object.into());
        self
    }

    /// More octets than are taken at once.
    pub fn size(asked: &str, text: &str) -> Self {
        Self::rule("size", asked, text)
    }

    /// More recipients than one message may have.
    pub fn recipient_count(text: &str) -> Self {
        Self::rule("recipient-count", "RCPT TO", text)
    }

    /// A mailbox without an upstream for the protocol.
    pub fn no_upstream(asked: &str) -> Self {
        Self::rule("upstream", asked, "this mailbox has no upstream for this protocol")
    }

    /// No connection to the mailbox's upstream became free in time.
    pub fn connections(asked: &str) -> Self {
        Self::rule("connections", asked, "too many connections to this mailbox, try again later")
    }

    /// A header that two readers could read differently.
    pub fn header(text: &str) -> Self {
        Self::rule("header", "DATA", text)
    }
}

/// The protocol that `command` belongs to, in the forms that [`explain`] takes.
pub fn protocol_of(command: &str) -> Protocol {
    if smtp::is_command(command) {
        Protocol::Smtp
    } else if pop3::is_command(command) {
        Protocol::Pop3
    } else {
        Protocol::Imap
    }
}

/// What `command` would get under these rights, and what it counts on of its grant's budgets then: an IMAP command without its tag
/// (`APPEND INBOX {310}` with the announcement of its message), a POP3 command, `MAIL FROM:<address>`, `RCPT TO:<address>` or `DATA`.
/// `costly_search` is the gateway's setting.
pub fn explain(rights: &Rights, costly_search: bool, command: &str) -> Result<Charge, Denial> {
    let mail = smtp::explain(rights, command).or_else(|| pop3::explain(rights, command));
    mail.unwrap_or_else(|| imap::explain(rights, costly_search, command))
}
