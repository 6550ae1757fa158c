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
