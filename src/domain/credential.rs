//! A credential: one version of what logs in upstream.

use crate::domain::clock::Timestamp;
use crate::domain::id::{CredentialId, KekId, MailboxId};

/// A credential at rest: sealed under its own DEK, which is wrapped under the KEK.
#[derive(Clone, Debug)]
pub struct SealedCredential {
    /// Its id.
    pub id: CredentialId,
    /// Whose it is.
    pub mailbox_id: MailboxId,
    /// 1, 2, 3, ... per mailbox.
    pub version: i64,
    /// Where it stands in its life.
    pub state: CredentialState,
    /// The KEK that wraps its DEK.
    pub kek_id: KekId,
    /// Envelope: format version, nonce and ciphertext of the DEK.
    pub wrapped_dek: Vec<u8>,
    /// Envelope: format version, nonce and ciphertext of the credential.
    pub sealed: Vec<u8>,
    /// When it was stored.
    pub created_at: Timestamp,
}

/// Where a credential version stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialState {
    /// Logs in.
    Current,
    /// Was current before.
    Previous,
}

impl CredentialState {
    /// The word in SQL and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Previous => "previous",
        }
    }

    /// Reads the word; `None` for any other.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Current, Self::Previous].into_iter().find(|state| state.as_str() == text)
    }
}
