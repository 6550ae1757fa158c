//! `client`: a secret is printed once, by the command that makes it.

use clap::Subcommand;
use reqwest::Method;
use serde_json::json;

use crate::cli::manage::{Call, segment};

#[derive(Debug, Subcommand)]
pub(super) enum Client {
    /// Register a tool; prints its secret once
    Add {
        name: String,
        /// EdDSA, or ES256 for libraries that know no EdDSA
        #[arg(long, default_value = "EdDSA")]
        token_alg: String,
        /// The mailbox meant when a token request names none
        #[arg(long)]
        default_mailbox: Option<String>,
        /// What its tokens must be bound to: none, dpop or mtls
        #[arg(long, default_value = "none")]
        required_binding: String,
    },
    /// All clients
    List,
    /// One client
    Show { client: String },
    /// Make a further secret; the older one works on for a while
    RotateSecret {
        client: String,
        /// Seconds that the older secret still works
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
    pub(super) fn call(self) -> Call {
        match self {
            Self::Add { name, token_alg, default_mailbox, required_binding } => {
                let body = json!({ "name": name, "token_alg": token_alg, "default_mailbox": default_mailbox,
                    "required_binding": required_binding });
                (Method::POST, "/clients".to_owned(), Some(body))
            }
            Self::List => (Method::GET, "/clients".to_owned(), None),
            Self::Show { client } => (Method::GET, format!("/clients/{}", segment(&client)), None),
            Self::RotateSecret { client, overlap } => {
                let body = json!({ "overlap_secs": overlap });
                (Method::POST, format!("/clients/{}/rotate-secret", segment(&client)), Some(body))
            }
            Self::RetireSecrets { client } => {
                (Method::POST, format!("/clients/{}/retire-secrets", segment(&client)), None)
            }
            Self::Remove { client } => (Method::DELETE, format!("/clients/{}", segment(&client)), None),
        }
    }
}
