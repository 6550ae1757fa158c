//! Who is let in at the agent's doors, and how the gateway behind them is opened.

use std::sync::Arc;

use crate::agent::password::LocalPassword;
use crate::agent::tokens::{NotOpened, Tokens};
use crate::domain::address::MailAddress;
use crate::domain::mailbox::Endpoint;
use crate::domain::secret::{Password, Secret};
use crate::protocol::sasl::Attempt;
use crate::upstream::dial::Dialer;
use crate::upstream::wire::Wire;
use crate::upstream::{imap, smtp};

/// What all doors share.
#[derive(Debug)]
pub struct Doors {
    /// What tools must show.
    pub password: LocalPassword,
    /// The mailboxes that are served; the user name says which.
    pub mailboxes: Vec<MailAddress>,
    /// What the gateway is shown.
    pub tokens: Tokens,
    /// Reaches the gateway.
    pub dialer: Dialer,
    /// The gateway's IMAP.
    pub imap: Endpoint,
    /// The gateway's submission.
    pub smtp: Endpoint,
}

impl Doors {
    /// The mailbox that a tool with this user name and password may open.
    pub(in crate::agent) fn admit(&self, attempt: &Attempt) -> Option<&MailAddress> {
        let is_known = attempt.token.expose(|shown| self.password.is(shown));
        let user = attempt.user.as_deref().filter(|_| is_known)?;
        self.mailboxes.iter().find(|mailbox| mailbox.as_str().eq_ignore_ascii_case(user))
    }

    /// A connection to the gateway's IMAP, logged in, and what it can do.
    pub(in crate::agent) async fn imap(&self, mailbox: &MailAddress) -> Result<(Wire, Vec<String>), NotOpened> {
        let way = (self.dialer.clone(), self.imap.clone(), mailbox.clone());
        let login = move |token: Arc<Secret<Password>>| {
            let (dialer, gateway, user) = way.clone();
            async move { imap::login(&dialer, &gateway, user.as_str(), &token).await }
        };
        self.tokens.log_in(mailbox, login).await.map(|gateway| (gateway.wire, gateway.capabilities))
    }

    /// A connection to the gateway's submission, logged in.
    pub(in crate::agent) async fn smtp(&self, mailbox: &MailAddress) -> Result<Wire, NotOpened> {
        let way = (self.dialer.clone(), self.smtp.clone(), mailbox.clone());
        let login = move |token: Arc<Secret<Password>>| {
            let (dialer, gateway, user) = way.clone();
            async move { smtp::login(&dialer, &gateway, user.as_str(), &token).await }
        };
        self.tokens.log_in(mailbox, login).await.map(|gateway| gateway.wire)
    }
}
