//! `key`: the keys that sign access tokens.

use clap::Subcommand;
use reqwest::Method;
use serde_json::json;

use crate::cli::manage::{Call, segment};

#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// All keys in use or revoked not long ago, without the keys
    List,
    /// Make a new key; it signs in 10 minutes, when every copy of the key set holds it, and nobody notices
    Rotate {
        /// EdDSA or ES256
        #[arg(long, default_value = "EdDSA", value_parser = ["EdDSA", "ES256"])]
        alg: String,
        /// Sign with it at once: other verifiers refuse its tokens until they have read the key set anew
        #[arg(long)]
        now: bool,
        /// Revoke the key that signs now as well
        #[arg(long, requires = "now")]
        revoke: bool,
    },
    /// Revoke a key at once: its tokens are void, and all running sessions end
    Revoke {
        /// Its kid, as `key list` shows it; it may begin with a hyphen
        #[arg(allow_hyphen_values = true)]
        kid: String,
    },
}

impl Key {
    /// The call that it stands for.
    pub(super) fn call(self) -> Call {
        match self {
            Self::List => (Method::GET, "/keys".to_owned(), None),
            Self::Rotate { alg, now, revoke } => {
                let body = json!({ "alg": alg, "now": now, "revoke": revoke });
                (Method::POST, "/keys/rotate".to_owned(), Some(body))
            }
            Self::Revoke { kid } => (Method::POST, format!("/keys/{}/revoke", segment(&kid)), None),
        }
    }
}
