//! Gateway sessions: one connection of a tool, from accept to end.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::address::MailAddress;
use crate::domain::clock::Timestamp;
use crate::domain::id::{ClientId, GrantId, MailboxId, SessionId};

/// A mail protocol that the gateway speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// IMAP4rev1 (RFC 3501).
    Imap,
    /// Message submission (RFC 6409).
    Smtp,
    /// POP3 (RFC 1939).
    Pop3,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Imap, Self::Smtp, Self::Pop3];

    /// The word in logs, JSON and audit events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Smtp => "smtp",
            Self::Pop3 => "pop3",
        }
    }

    /// Reads the word; `None` for any other.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.as_str() == text)
    }
}

/// What is known of a running session.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// Its id.
    pub id: SessionId,
    /// The tool.
    pub client_id: ClientId,
    /// The mailbox it works in.
    pub mailbox_id: MailboxId,
    /// That mailbox's address.
    pub mailbox: MailAddress,
    /// The grant it stands on.
    pub grant_id: GrantId,
    /// The protocol spoken.
    pub protocol: Protocol,
    /// Where it comes from.
    pub source: IpAddr,
    /// When it was authenticated.
    pub started_at: Timestamp,
    /// When it ends at the latest.
    pub ends_at: Timestamp,
}

/// Why a session was told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// An operator ended this session.
    Killed,
    /// Tokens of its client or mailbox were revoked, or its grant no longer stands.
    Revoked,
    /// A freeze of the level `cut` reaches it.
    Frozen,
    /// It reached its grant's `session_ttl`, or the grant expired.
    Expired,
    /// Its node could not read for too long whether it may go on.
    Unproven,
    /// The service is stopping.
    Shutdown,
}

impl EndReason {
    /// The word in logs and audit events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Revoked => "revoked",
            Self::Frozen => "frozen",
            Self::Expired => "expired",
            Self::Unproven => "unproven",
            Self::Shutdown => "shutdown",
        }
    }
}
