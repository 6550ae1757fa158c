//! A grant: a standing permission, client x mailbox x scopes x bounds.

use serde::{Deserialize, Serialize};

use crate::domain::bounds::Bounds;
use crate::domain::client::Status;
use crate::domain::clock::Timestamp;
use crate::domain::id::{ClientId, GrantId, MailboxId};
use crate::domain::scope::ScopeSet;

/// A standing permission, made by an operator. At most one active grant per client and mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// Who may.
    pub client_id: ClientId,
    /// Where.
    pub mailbox_id: MailboxId,
    /// What.
    pub scopes: ScopeSet,
    /// Within which limits.
    pub bounds: Bounds,
    /// Whether it is in force.
    pub status: Status,
    /// Life of an access token in seconds: 1 to 3,600.
    pub token_ttl_secs: u32,
    /// How long a session may last.
    pub session_ttl: SessionTtl,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Grant {
    /// Default life of an access token (TOK-13).
    pub const DEFAULT_TOKEN_TTL_SECS: u32 = 300;
    /// Longest life of an access token (TOK-13).
    pub const MAX_TOKEN_TTL_SECS: u32 = 3600;

    /// Whether it is in force at `now`.
    pub fn stands(&self, now: Timestamp) -> bool {
        self.status == Status::Active && self.expires_at.is_none_or(|end| now < end)
    }
}

/// How long a session may outlive its start (design section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionTtl {
    /// Ends with the token that opened it.
    Token,
    /// So many seconds: 1 to 86,400.
    Secs(u32),
}

impl SessionTtl {
    /// One hour.
    pub const DEFAULT: Self = Self::Secs(3600);
    /// One day.
    pub const MAX_SECS: u32 = 86_400;

    /// The form in SQL: 0 means `token`.
    pub fn to_secs(self) -> i64 {
        match self {
            Self::Token => 0,
            Self::Secs(secs) => i64::from(secs),
        }
    }

    /// Reads the form in SQL; `None` when out of range.
    pub fn from_secs(secs: i64) -> Option<Self> {
        match u32::try_from(secs).ok()? {
            0 => Some(Self::Token),
            secs if secs <= Self::MAX_SECS => Some(Self::Secs(secs)),
            _ => None,
        }
    }

    /// When a session started at `now` with a token good until `token_end` ends.
    pub fn end(self, now: Timestamp, token_end: Timestamp) -> Timestamp {
        match self {
            Self::Token => token_end,
            Self::Secs(secs) => now.plus_secs(i64::from(secs)),
        }
    }
}
