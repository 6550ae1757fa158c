//! Nonces for proofs of possession (RFC 9449 sections 8 and 9): a proof that carries one was made after we said it, so that nobody can
//! make proofs ahead. They are keyed digests of the time, alike for all and kept nowhere, and every node knows those of the others.

use crate::crypto::encoding::{base64url, from_base64url};
use crate::domain::clock::Timestamp;
use crate::oauth::TokenService;

const PURPOSE: &str = "dpop-nonce";
/// How long one nonce is given out; it is taken for as long again.
const WINDOW_SECS: i64 = 150;
/// How far ahead the clock of the node that gave it may be.
const AHEAD_SECS: i64 = 10;

impl TokenService {
    /// The nonce that proofs made from now on are to carry.
    pub fn dpop_nonce(&self) -> String {
        base64url(&self.0.registry.vault().digest(PURPOSE, &window(self.0.clock.now())))
    }

    /// Whether a node of this installation gave `nonce` out within the last five minutes.
    pub(super) fn is_fresh_nonce(&self, nonce: &str, now: Timestamp) -> bool {
        let vault = self.0.registry.vault();
        from_base64url(nonce).is_some_and(|digest| {
            [-WINDOW_SECS, 0, AHEAD_SECS]
                .into_iter()
                .any(|secs| vault.digest_matches(PURPOSE, &window(now.plus_secs(secs)), &digest))
        })
    }
}

fn window(at: Timestamp) -> String {
    at.as_secs().div_euclid(WINDOW_SECS).to_string()
}
