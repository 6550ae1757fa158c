//! `session` and `revoke`: what runs, and how it is ended.

use clap::{Args, Subcommand};
use reqwest::Method;

use crate::cli::freeze::Reached;
use crate::cli::manage::{Call, segment};

#[derive(Debug, Subcommand)]
pub(super) enum Session {
    /// Running sessions of all nodes
    List,
    /// End one, or all of a client, of a mailbox or by a protocol, at once, on every node
    Kill {
        /// Id of a session
        #[arg(required_unless_present = "Reached", conflicts_with = "Reached")]
        id: Option<String>,
        #[command(flatten)]
        reached: Option<Reached>,
    },
}

impl Session {
    /// The call that it stands for.
    pub(super) fn call(self) -> Call {
        match self {
            Self::List => (Method::GET, "/sessions".to_owned(), None),
            Self::Kill { id: Some(id), .. } => (Method::DELETE, format!("/sessions/{}", segment(&id)), None),
            Self::Kill { id: None, reached } => {
                let mut query = form_urlencoded::Serializer::new(String::new());
                if let Some(Reached { client, mailbox, protocol, all }) = reached {
                    for (name, value) in [("client", client), ("mailbox", mailbox), ("protocol", protocol)] {
                        if let Some(value) = value {
                            query.append_pair(name, &value);
                        }
                    }
                    if all {
                        query.append_pair("all", "true");
                    }
                }
                (Method::DELETE, format!("/sessions?{}", query.finish()), None)
            }
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
    #[arg(long, value_name = "JTI")]
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
