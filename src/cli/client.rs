//! `client`: a secret is printed once, by the command that makes it.

use clap::Subcommand;
use reqwest::Method;
use serde_json::json;

use crate::cli::client_auth::AuthArgs;
use crate::cli::manage::{Call, segment};

#[derive(Debug, Subcommand)]
pub(super) enum Client {
    /// Register a tool; prints its secret once, where it has one
    Add {
        name: String,
        /// EdDSA, or ES256 for libraries that know no EdDSA
        #[arg(long, default_value = "EdDSA")]
        token_alg: String,
        /// The mailbox meant when a token request names none
        #[arg(long)]
        default_mailbox: Option<String>,
        #[command(flatten)]
        auth: Box<AuthArgs>,
    },
    /// All clients
    List,
    /// One client, and how its secrets are used
    Show {
        client: String,
        /// Seconds without use after which a secret counts as safe to retire
        #[arg(long, default_value_t = 86_400)]
        quiet_for: u32,
    },
    /// Make a further secret; the older one works on for a while
    RotateSecret {
        client: String,
        /// Seconds that the older secret still works; 7776000 (90 days) at most
        #[arg(long, default_value_t = 604_800)]
        overlap: u32,
    },
    /// End all secrets but the newest
    RetireSecrets { client: String },
    /// Remove it
    Remove { client: String },
}

impl Client {
    /// The call that it stands for.
    pub(super) fn call(self) -> anyhow::Result<Call> {
        Ok(match self {
            Self::Add { name, token_alg, default_mailbox, auth } => {
                let binding = auth.binding();
                let body = json!({ "name": name, "token_alg": token_alg, "default_mailbox": default_mailbox,
                    "auth": auth.method()?, "required_binding": binding });
                (Method::POST, "/clients".to_owned(), Some(body))
            }
            Self::List => (Method::GET, "/clients".to_owned(), None),
            Self::Show { client, quiet_for } => {
                (Method::GET, format!("/clients/{}?quiet_for_secs={quiet_for}", segment(&client)), None)
            }
            Self::RotateSecret { client, overlap } => {
                let body = json!({ "overlap_secs": overlap });
                (Method::POST, format!("/clients/{}/rotate-secret", segment(&client)), Some(body))
            }
            Self::RetireSecrets { client } => {
                (Method::POST, format!("/clients/{}/retire-secrets", segment(&client)), None)
            }
            Self::Remove { client } => (Method::DELETE, format!("/clients/{}", segment(&client)), None),
        })
    }
}
