//! Who is let in at the agent's doors, and how the gateway behind them is opened.

use std::sync::Arc;

use crate::agent::password::LocalPassword;
use crate::agent::tokens::{NotOpened, Tokens};
use crate::domain::address::MailAddress;
use crate::domain::mailbox::Endpoint;
use crate::domain::secret::{Password, Secret};
use crate::domain::session::Protocol;
use crate::protocol::sasl::Attempt;
use crate::upstream::dial::Dialer;
use crate::upstream::wire::Wire;
use crate::upstream::{imap, pop3, smtp};

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
    /// The gateway's POP3.
    pub pop3: Endpoint,
}

/// A connection to the gateway that is logged in.
pub(in crate::agent) struct Gateway {
    pub(in crate::agent) wire: Wire,
    /// What it can do, where the tool is told (IMAP).
    pub(in crate::agent) capabilities: Vec<String>,
}

impl Doors {
    /// The mailbox that a tool with this user name and password may open.
    pub(in crate::agent) fn admit(&self, attempt: &Attempt) -> Option<&MailAddress> {
        let is_known = attempt.token.expose(|shown| self.password.is(shown));
        let user = attempt.user.as_deref().filter(|_| is_known)?;
        self.mailboxes.iter().find(|mailbox| mailbox.as_str().eq_ignore_ascii_case(user))
    }

    /// The gateway, logged in.
    pub(in crate::agent) async fn open(&self, protocol: Protocol, mailbox: &MailAddress) -> Result<Gateway, NotOpened> {
        let gateway = match protocol {
            Protocol::Imap => &self.imap,
            Protocol::Smtp => &self.smtp,
            Protocol::Pop3 => &self.pop3,
        };
        let way = (self.dialer.clone(), gateway.clone(), mailbox.clone());
        let login = move |token: Arc<Secret<Password>>| {
            let (dialer, gateway, user) = way.clone();
            async move {
                match protocol {
                    Protocol::Imap => imap::login(&dialer, &gateway, user.as_str(), &token)
                        .await
                        .map(|open| Gateway { wire: open.wire, capabilities: open.capabilities }),
                    Protocol::Smtp => smtp::login(&dialer, &gateway, user.as_str(), &token)
                        .await
                        .map(|open| Gateway { wire: open.wire, capabilities: Vec::new() }),
                    Protocol::Pop3 => pop3::login(&dialer, &gateway, user.as_str(), &token)
                        .await
                        .map(|wire| Gateway { wire, capabilities: Vec::new() }),
                }
            }
        };
        self.tokens.log_in(mailbox, login).await
    }
}
