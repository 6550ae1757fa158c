//! An operator: a person or automation that manages Mailwarden.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::client::Status;
use crate::domain::clock::Timestamp;
use crate::domain::id::OperatorId;

/// A person or automation that manages Mailwarden.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    /// Its id.
    pub id: OperatorId,
    /// What people call it: 1 to 100 characters, unique.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whether it may act.
    pub status: Status,
    /// HMAC-SHA-256 of its token under a key derived from the KEK.
    pub token_digest: [u8; 32],
    /// When the token stops working; `None`: not planned.
    pub expires_at: Option<Timestamp>,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Registers mailboxes, clients, grants and operators; sees everything but secrets.
    Admin,
    /// Rotates, revokes, ends sessions; reads the audit log; grants nothing.
    Security,
    /// Reads.
    Auditor,
}

impl Role {
    /// The word in SQL and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Security => "security",
            Self::Auditor => "auditor",
        }
    }

    /// Reads the word; `None` for any other.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Admin, Self::Security, Self::Auditor].into_iter().find(|role| role.as_str() == text)
    }
}
