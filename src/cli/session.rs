//! `session` and `revoke`: what runs, and how it is ended.

use clap::{Args, Subcommand};
use reqwest::Method;

use crate::cli::manage::{Call, segment};

#[derive(Debug, Subcommand)]
pub(super) enum Session {
    /// Running sessions of all nodes
    List,
    /// End one, at once
    Kill { id: String },
}

impl Session {
    /// The call that it stands for.
    pub(super) fn call(self) -> Call {
        match self {
            Self::List => (Method::GET, "/sessions".to_owned(), None),
            Self::Kill { id } => (Method::DELETE, format!("/sessions/{}", segment(&id)), None),
        }
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
}

impl Revoke {
    /// The call that it stands for.
    pub(super) fn call(self) -> Call {
        let path = match (self.client, self.mailbox) {
            (Some(client), _) => format!("/clients/{}/revoke", segment(&client)),
            (None, mailbox) => format!("/mailboxes/{}/revoke", segment(&mailbox.unwrap_or_default())),
        };
        (Method::POST, path, None)
    }
}
