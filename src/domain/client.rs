//! A client: a registered tool.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::client_auth::{ClientAuth, RequiredBinding};
use crate::domain::clock::Timestamp;
use crate::domain::id::{ClientId, ClientSecretId, MailboxId};

/// A registered tool.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its id, which is also its OAuth `client_id`.
    pub id: ClientId,
    /// What people call it: 1 to 100 characters, unique.
    pub name: String,
    /// Whether it may get tokens and keep sessions.
    pub status: Status,
    /// The mailbox meant when a token request names none.
    pub default_mailbox: Option<MailboxId>,
    /// The algorithm its access tokens are signed with.
    pub token_alg: TokenAlg,
    /// How it proves who it is.
    pub auth: ClientAuth,
    /// What its tokens must be bound to.
    pub required_binding: RequiredBinding,
    /// Tokens issued up to here are refused.
    pub tokens_valid_after: Timestamp,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// Whether a registered thing is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// In force.
    Active,
    /// Switched off; may be switched on again.
    Disabled,
    /// Gone for good; kept because audit events name it.
    Removed,
}

impl Status {
    /// The word in SQL and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Removed => "removed",
        }
    }

    /// Reads the word; `None` for any other.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Disabled, Self::Removed].into_iter().find(|status| status.as_str() == text)
    }
}

/// The signature algorithm of a client's access tokens (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub enum TokenAlg {
    /// Ed25519: the default.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// ECDSA on P-256, for libraries that know no EdDSA.
    #[serde(rename = "ES256")]
    Es256,
}

impl TokenAlg {
    /// The JOSE name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
        }
    }

    /// Reads the JOSE name; `None` for any other.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::EdDsa, Self::Es256].into_iter().find(|alg| alg.as_str() == text)
    }
}

/// One of a client's secrets: everything but the secret itself, of which only a keyed hash is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientSecretRecord {
    /// Its id.
    pub id: ClientSecretId,
    /// Whose it is.
    pub client_id: ClientId,
    /// HMAC-SHA-256 of the secret under a key derived from the KEK (CA-04).
    pub digest: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working; `None`: not planned.
    pub expires_at: Option<Timestamp>,
}
