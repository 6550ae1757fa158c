//! How much the audit log says of whom mail went to.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What records of sent mail tell of each recipient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RecipientDetail {
    /// The address.
    Full,
    /// What stands behind the `@`.
    Domain,
    /// A keyed digest: the same recipient can be recognised, and nobody reads who it is.
    #[default]
    Digest,
    /// Nothing but how many there were.
    None,
}

impl RecipientDetail {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Full, Self::Domain, Self::Digest, Self::None];

    /// The word in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Domain => "domain",
            Self::Digest => "digest",
            Self::None => "none",
        }
    }

    /// Reads the word; `None` for any other.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == text)
    }
}
