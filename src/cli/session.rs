//! `session` and `revoke`: what runs, and how it is ended.

use clap::{Args, Subcommand};
use reqwest::Method;

use crate::cli::manage::{Call, segment};

#[derive(Debug, Subcommand)]
pub(super) enum Session {
    /// Running sessions of all nodes
    List,
    /// End one, or all of a client, of a mailbox or by a protocol, at once, on every node
    Kill(Chosen),
}

/// One session, or all that have in common what is named.
#[derive(Debug, Args)]
#[group(id = "chosen", required = true, multiple = true)]
pub(super) struct Chosen {
    /// Id of a session
    #[arg(conflicts_with_all = ["client", "mailbox", "protocol", "all"])]
    id: Option<String>,
    /// Client: id or name
    #[arg(long)]
    client: Option<String>,
    /// Mailbox: id or address
    #[arg(long)]
    mailbox: Option<String>,
    /// imap, smtp or pop3
    #[arg(long)]
    protocol: Option<String>,
    /// Every session
    #[arg(long, conflicts_with_all = ["client", "mailbox", "protocol"])]
    all: bool,
}

impl Session {
    /// The call that it stands for.
    pub(super) fn call(self) -> Call {
        match self {
            Self::List => (Method::GET, "/sessions".to_owned(), None),
            Self::Kill(chosen) => (Method::DELETE, chosen.path(), None),
        }
    }
}

impl Chosen {
    fn path(&self) -> String {
        if let Some(id) = &self.id {
            return format!("/sessions/{}", segment(id));
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [("client", &self.client), ("mailbox", &self.mailbox), ("protocol", &self.protocol)] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        if self.all {
            query.append_pair("all", "true");
        }
        format!("/sessions?{}", query.finish())
    }
}

#[derive(Debug, Args)]
#[group(id = "whose", required = true, multiple = false)]
pub(super) struct Revoke {
    /// Client: id or name
    #[arg(long)]
    client: Option<String>,
    /// Mailbox: id or address
    #[arg(long)]
    mailbox: Option<String>,
    /// One access token: its jti
    #[arg(long, value_name = "JTI", allow_hyphen_values = true)]
    token: Option<String>,
}

impl Revoke {
    /// The call that it stands for.
    pub(super) fn call(self) -> Call {
        match (self.client, self.mailbox, self.token) {
            (Some(client), ..) => (Method::POST, format!("/clients/{}/revoke", segment(&client)), None),
            (_, Some(mailbox), _) => (Method::POST, format!("/mailboxes/{}/revoke", segment(&mailbox)), None),
            (.., token) => (Method::DELETE, format!("/tokens/{}", segment(&token.unwrap_or_default())), None),
        }
    }
}
