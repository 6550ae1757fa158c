//! What the registry refuses, and why.

use crate::audit::AuditError;
use crate::domain::fault::{Classify, Fault};
use crate::domain::id::FreezeId;
use crate::store::StoreError;
use crate::vault::VaultError;

/// The registry did not do it.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(&'static str),
    /// The secret or operator token is not valid.
    #[error("authentication failed")]
    Unauthenticated,
    /// No active, intact grant covers it.
    #[error("not permitted")]
    Denied,
    /// A freeze stops it.
    #[error("access is frozen for now (freeze {0})")]
    Frozen(FreezeId),
    /// No such object.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// It contradicts what is there.
    #[error("{0}")]
    Conflict(&'static str),
    /// It is no longer what the caller saw.
    #[error("it was changed since it was read")]
    Stale,
    /// The upstream did not let us in, so nothing was stored.
    #[error("login at the upstream failed: {0}")]
    LoginFailed(String),
    /// The audit log failed.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A defect of ours.
    #[error("{0}")]
    Internal(&'static str),
}

impl Classify for RegistryError {
    fn fault(&self) -> Fault {
        match self {
            Self::Invalid(_) => Fault::Invalid,
            Self::Unauthenticated => Fault::Unauthenticated,
            Self::Denied => Fault::Denied,
            Self::Frozen(_) => Fault::Unavailable,
            Self::NotFound(_) => Fault::NotFound,
            Self::Conflict(_) | Self::Stale => Fault::Conflict,
            Self::LoginFailed(_) => Fault::Upstream,
            Self::Audit(error) => error.fault(),
            Self::Vault(error) => error.fault(),
            Self::Store(error) => error.fault(),
            Self::Internal(_) => Fault::Internal,
        }
    }

    fn public(&self) -> String {
        match self {
            Self::Invalid(_)
            | Self::Frozen(_)
            | Self::NotFound(_)
            | Self::Conflict(_)
            | Self::Stale
            | Self::LoginFailed(_) => self.to_string(),
            Self::Store(StoreError::Conflict) => StoreError::Conflict.to_string(),
            Self::Unauthenticated
            | Self::Denied
            | Self::Audit(_)
            | Self::Vault(_)
            | Self::Store(_)
            | Self::Internal(_) => self.fault().public().to_owned(),
        }
    }
}
