//! Tokens whose signature was found good, so that it is not computed again for each use. Never a decision: time, key, grant, revocation
//! and binding are judged anew each time (JWT-14).

use std::fmt;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::sync::Cache;

use crate::crypto::hash::sha256;
use crate::domain::clock::Timestamp;
use crate::domain::token::LATE_SECS;
use crate::oauth::TokenRejected;
use crate::oauth::keyset::Keyset;
use crate::oauth::verify::Signed;

/// Most tokens remembered; past that the least used are forgotten.
const CAPACITY: u64 = 20_000;

/// What was verified, by the SHA-256 of the whole token: another octet anywhere is another token.
pub(super) struct Verified(Cache<[u8; 32], Entry>);

#[derive(Clone)]
struct Entry {
    signed: Signed,
    lives: Duration,
}

/// Forgets an entry when its token is over.
struct AtItsEnd;

impl Expiry<[u8; 32], Entry> for AtItsEnd {
    fn expire_after_create(&self, _: &[u8; 32], entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.lives)
    }
}

impl Default for Verified {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(CAPACITY).expire_after(AtItsEnd).build())
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").finish_non_exhaustive()
    }
}

impl Verified {
    /// What `token` says: remembered, if its key still counts, or else as `verify` finds.
    pub(super) fn get_or(
        &self,
        token: &str,
        keyset: &Keyset,
        now: Timestamp,
        verify: impl FnOnce() -> Result<Signed, TokenRejected>,
    ) -> Result<Signed, TokenRejected> {
        let digest = sha256(token.as_bytes());
        if let Some(entry) = self.0.get(&digest) {
            if keyset.knows(&entry.signed.kid) {
                return Ok(entry.signed);
            }
            self.0.invalidate(&digest);
        }
        let signed = verify()?;
        let left = signed.claims.expires_at.as_secs() + LATE_SECS - now.as_secs();
        if let Some(secs) = u64::try_from(left).ok().filter(|secs| *secs > 0) {
            self.0.insert(digest, Entry { signed: signed.clone(), lives: Duration::from_secs(secs) });
        }
        Ok(signed)
    }
}
