//! A key that signs access tokens, and what it is at a given moment. Nothing moves a key from state to state: the state is read off its
//! timestamps, so that every node sees the change at the same time and no job can be late.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::client::TokenAlg;
use crate::domain::clock::Timestamp;
use crate::domain::grant::Grant;
use crate::domain::id::KekId;
use crate::domain::token::LATE_SECS;

/// How long others may keep the key set, in seconds (`Cache-Control: max-age` of the JWKS).
pub const JWKS_MAX_AGE_SECS: i64 = 300;

/// How long a new key stands in the key set before it signs: by then every copy of the set is new, even one made from a copy (JWT-09).
pub const PUBLISH_AHEAD_SECS: i64 = 2 * JWKS_MAX_AGE_SECS;

/// How long a key verifies after it signed its last: the longest life of a token, the leeway on its end, and as much again for a token
/// that was dated ahead.
pub const RETIRED_SECS: i64 = Grant::MAX_TOKEN_TTL_SECS as i64 + 2 * LATE_SECS;

/// A signing key as it is stored: the private half is sealed.
#[derive(Clone, Debug)]
pub struct SigningKey {
    /// Its name in token headers and in the key set.
    pub kid: String,
    /// The algorithm it signs with.
    pub alg: TokenAlg,
    /// The key encryption key that it is wrapped under.
    pub kek_id: KekId,
    /// The wrapped data encryption key; empty once the key is revoked.
    pub wrapped_dek: Vec<u8>,
    /// The sealed private key; empty once the key is revoked.
    pub sealed: Vec<u8>,
    /// When it was made and published.
    pub created_at: Timestamp,
    /// When it begins to sign.
    pub active_from: Timestamp,
    /// When it signs no more; `None`: not planned.
    pub retires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// What a signing key is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// In the key set, and signs nothing yet.
    Published,
    /// Signs.
    Active,
    /// Signs no more, and verifies until the last of its tokens has ended.
    Retired,
    /// Verifies nothing, and is not in the key set.
    Revoked,
}

impl SigningKey {
    /// What it is at `now`; `None` when its time is over and nothing needs it any more.
    pub fn state(&self, now: Timestamp) -> Option<KeyState> {
        let is_over = |end: Timestamp| now >= end.plus_secs(RETIRED_SECS);
        if let Some(at) = self.revoked_at {
            return (!is_over(at)).then_some(KeyState::Revoked);
        }
        match self.retires_at {
            Some(end) if is_over(end) => None,
            Some(end) if now >= end => Some(KeyState::Retired),
            _ if now < self.active_from => Some(KeyState::Published),
            _ => Some(KeyState::Active),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{JWKS_MAX_AGE_SECS, KeyState, PUBLISH_AHEAD_SECS, RETIRED_SECS, SigningKey};
    use crate::domain::client::TokenAlg;
    use crate::domain::clock::Timestamp;

    #[test]
    fn jwt_09_a_state_is_read_off_the_times() {
        let mut key = SigningKey {
            kid: "k".into(),
            alg: TokenAlg::EdDsa,
            kek_id: "kek_00000000000a".parse().unwrap(),
            wrapped_dek: Vec::new(),
            sealed: Vec::new(),
            created_at: Timestamp::from_secs(0),
            active_from: Timestamp::from_secs(PUBLISH_AHEAD_SECS),
            retires_at: None,
            revoked_at: None,
        };
        let at = |key: &SigningKey, secs| key.state(Timestamp::from_secs(secs));
        const { assert!(PUBLISH_AHEAD_SECS >= 2 * JWKS_MAX_AGE_SECS) };
        assert_eq!(at(&key, PUBLISH_AHEAD_SECS - 1), Some(KeyState::Published));
        assert_eq!(at(&key, PUBLISH_AHEAD_SECS), Some(KeyState::Active));
        assert_eq!(at(&key, 1_000_000), Some(KeyState::Active), "it signs until another takes over");
        key.retires_at = Some(Timestamp::from_secs(1000));
        assert_eq!(at(&key, 999), Some(KeyState::Active));
        assert_eq!(at(&key, 1000), Some(KeyState::Retired));
        assert_eq!(at(&key, 1000 + 3600 + 5), Some(KeyState::Retired), "the last exp and its leeway");
        assert_eq!(at(&key, 1000 + RETIRED_SECS), None);
        key.revoked_at = Some(Timestamp::from_secs(500));
        assert_eq!(at(&key, 999), Some(KeyState::Revoked));
        assert_eq!(at(&key, 1001), Some(KeyState::Revoked));
        assert_eq!(at(&key, 500 + RETIRED_SECS), None);
    }
}
