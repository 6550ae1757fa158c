//! The keys that sign tokens, parsed once and kept as the registry has them: what an operator changes at one node every node follows.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio::sync::Mutex;

use crate::crypto::encoding::base64url;
use crate::crypto::sign::{self, Signer};
use crate::domain::client::TokenAlg;
use crate::domain::clock::Clock;
use crate::domain::session::EndReason;
use crate::domain::signing_key::{KeyState, SigningKey};
use crate::oauth::TokenService;
use crate::registry::{Registry, RegistryError};

/// How often a node looks for changes.
const POLL: Duration = Duration::from_millis(500);

/// The keys that sign tokens; cheap to clone. Which of them sign, verify and are shown is read off the clock at each use.
#[derive(Clone, Debug)]
pub struct Keyset(Arc<Live>);

#[derive(Debug)]
struct Live {
    clock: Clock,
    held: RwLock<Arc<[Held]>>,
    /// The policy epoch that `held` is of.
    seen: Mutex<Option<i64>>,
}

/// A key that is not revoked.
#[derive(Clone, Debug)]
struct Held {
    key: SigningKey,
    signer: Arc<Signer>,
}

impl TokenService {
    /// Takes over at once what was changed about the keys.
    pub async fn refresh_keys(&self) -> Result<(), RegistryError> {
        self.0.keyset.refresh(&self.0.registry).await
    }

    /// Takes over what any node changes about the keys. Runs until it is dropped.
    pub async fn watch_keys(&self) {
        let mut tick = tokio::time::interval(POLL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Err(error) = self.refresh_keys().await {
                tracing::warn!(%error, "the signing keys could not be looked at");
            }
        }
    }
}

impl Keyset {
    /// Opens the stored keys; the first start makes one per algorithm.
    pub async fn load_or_create(registry: &Registry) -> Result<Self, RegistryError> {
        registry.ensure_signing_keys().await?;
        let keyset = Self::of(registry.clock().clone(), Vec::new());
        keyset.refresh(registry).await?;
        Ok(keyset)
    }

    fn of(clock: Clock, held: Vec<Held>) -> Self {
        Self(Arc::new(Live { clock, held: RwLock::new(held.into()), seen: Mutex::new(None) }))
    }

    /// Reads the keys anew when a policy changed since the last time. When a key was revoked, all sessions of this node end: any of them
    /// may have been opened with a token that somebody else signed with it.
    pub async fn refresh(&self, registry: &Registry) -> Result<(), RegistryError> {
        let mut seen = self.0.seen.lock().await;
        let epoch = registry.policy_epoch().await?;
        if *seen == Some(epoch) {
            return Ok(());
        }
        let was = self.held();
        let (mut held, mut is_revoked) = (Vec::new(), false);
        for key in registry.list_signing_keys().await? {
            let known = was.iter().find(|known| known.key.kid == key.kid);
            if key.revoked_at.is_some() {
                is_revoked |= known.is_some();
                continue;
            }
            let signer = match known.filter(|known| known.key.sealed == key.sealed) {
                Some(known) => Arc::clone(&known.signer),
                // A key that does not open keeps no other from being used, or revoked.
                None => match registry.open_signing_key(&key) {
                    Ok(signer) => Arc::new(signer),
                    Err(error) => {
                        tracing::error!(%error, kid = %key.kid, "a signing key does not open");
                        continue;
                    }
                },
            };
            held.push(Held { key, signer });
        }
        *self.0.held.write().unwrap_or_else(PoisonError::into_inner) = held.into();
        if is_revoked {
            registry.sessions().end_where(|_| true, EndReason::Revoked);
        }
        *seen = Some(epoch);
        Ok(())
    }

    fn held(&self) -> Arc<[Held]> {
        Arc::clone(&self.0.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Signs `claims` (JSON) as an access token with the active key of `alg`.
    pub fn sign(&self, alg: TokenAlg, claims: &str) -> Option<String> {
        let (held, now) = (self.held(), self.0.clock.now());
        let signs = |held: &&Held| held.key.alg == alg && held.key.state(now) == Some(KeyState::Active);
        let Held { key, signer } = held.iter().rev().find(signs)?;
        let header = serde_json::to_string(&Header { alg: alg.as_str(), typ: "at+jwt", kid: &key.kid }).ok()?;
        let signed = format!("{}.{}", base64url(header.as_bytes()), base64url(claims.as_bytes()));
        let signature = signer.sign(signed.as_bytes()).ok()?;
        Some(format!("{signed}.{}", base64url(&signature)))
    }

    /// Whether signatures of the key `kid` count now.
    pub fn knows(&self, kid: &str) -> bool {
        let now = self.0.clock.now();
        self.held().iter().any(|held| held.key.kid == kid && held.key.state(now).is_some())
    }

    /// Whether the signature is that of the key `kid`, under exactly that key's algorithm (JWT-02). A key that only begins to sign counts:
    /// the clock of the node that signed may be ahead.
    pub fn verify(&self, kid: &str, alg: &str, signed: &str, signature: &[u8]) -> bool {
        let now = self.0.clock.now();
        self.held().iter().find(|held| held.key.kid == kid && held.key.state(now).is_some()).is_some_and(|held| {
            let signer = &held.signer;
            signer.alg().as_str() == alg
                && sign::verify(signer.alg(), signer.public_key(), signed.as_bytes(), signature)
        })
    }

    /// The public halves (RFC 7517, RFC 8037) of all keys that sign, will sign, or have signed what may still be valid.
    pub fn jwks(&self) -> serde_json::Value {
        let (held, now) = (self.held(), self.0.clock.now());
        let shown = held.iter().filter(|held| held.key.state(now).is_some());
        json!({ "keys": shown.map(|held| jwk(&held.key.kid, &held.signer)).collect::<Vec<_>>() })
    }
}

/// The header of an access token (RFC 9068 section 2.1).
#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    kid: &'a str,
}

fn jwk(kid: &str, signer: &Signer) -> serde_json::Value {
    let public = signer.public_key();
    match signer.alg() {
        TokenAlg::EdDsa => {
            json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": kid, "x": base64url(public) })
        }
        TokenAlg::Es256 => {
            // 0x04 || x || y
            let (x, y) = (public.get(1..33).unwrap_or_default(), public.get(33..).unwrap_or_default());
            json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid, "x": base64url(x), "y": base64url(y) })
        }
    }
}

#[cfg(test)]
impl Keyset {
    pub(super) fn for_tests() -> Self {
        use crate::domain::clock::Timestamp;
        let key = |alg, kid: &str| {
            let pkcs8 = sign::generate(alg).unwrap();
            let key = SigningKey {
                kid: kid.to_owned(),
                alg,
                kek_id: "kek_00000000000a".parse().unwrap(),
                wrapped_dek: Vec::new(),
                sealed: Vec::new(),
                created_at: Timestamp(0),
                active_from: Timestamp(0),
                retires_at: None,
                revoked_at: None,
            };
            Held { key, signer: Arc::new(Signer::from_pkcs8(alg, &pkcs8).unwrap()) }
        };
        let clock = Clock::manual(Timestamp(1));
        Self::of(clock, vec![key(TokenAlg::EdDsa, "ed"), key(TokenAlg::Es256, "es")])
    }

    fn signer(&self, kid: &str) -> Option<Arc<Signer>> {
        self.held().iter().find(|held| held.key.kid == kid).map(|held| Arc::clone(&held.signer))
    }

    /// One that does not have the key `kid`.
    pub(super) fn without(kid: &str) -> Self {
        let held = Self::for_tests().held();
        let left = held.iter().filter(|held| held.key.kid != kid);
        let left = left.map(|held| Held { key: held.key.clone(), signer: Arc::clone(&held.signer) });
        Self::of(Clock::manual(crate::domain::clock::Timestamp(1)), left.collect())
    }

    pub(super) fn public_key(&self, kid: &str) -> Option<Vec<u8>> {
        self.signer(kid).map(|signer| signer.public_key().to_vec())
    }

    pub(super) fn sign_raw(&self, kid: &str, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", base64url(header.as_bytes()), base64url(payload.as_bytes()));
        format!("{signed}.{}", base64url(&self.signer(kid).unwrap().sign(signed.as_bytes()).unwrap()))
    }
}
