//! The keys that sign tokens, parsed once.

use std::sync::Arc;

use serde_json::json;

use crate::crypto::encoding::base64url;
use crate::crypto::sign::{self, Signer};
use crate::domain::client::TokenAlg;
use crate::registry::Registry;
use crate::registry::RegistryError;

/// The keys that sign tokens; cheap to clone.
#[derive(Clone, Debug)]
pub struct Keyset(Arc<[(String, Signer)]>);

impl Keyset {
    /// Opens the stored keys; the first start makes one per algorithm.
    pub async fn load_or_create(registry: &Registry) -> Result<Self, RegistryError> {
        let stored = registry.signing_keys().await?;
        let mut keys = Vec::with_capacity(stored.len());
        for (kid, alg, key) in stored {
            let signer =
                Signer::from_pkcs8(alg, &key).map_err(|_| RegistryError::Internal("a signing key is not usable"))?;
            keys.push((kid, signer));
        }
        Ok(Self(keys.into()))
    }

    /// Signs `claims` (JSON) as an access token with the newest key of `alg`.
    pub fn sign(&self, alg: TokenAlg, claims: &str) -> Option<String> {
        let (kid, signer) = self.0.iter().rev().find(|(_, signer)| signer.alg() == alg)?;
        let header = json!({ "alg": alg.as_str(), "typ": "at+jwt", "kid": kid }).to_string();
        let signed = format!("{}.{}", base64url(header.as_bytes()), base64url(claims.as_bytes()));
        let signature = signer.sign(signed.as_bytes()).ok()?;
        Some(format!("{signed}.{}", base64url(&signature)))
    }

    /// Whether signatures of the key `kid` count now.
    pub fn knows(&self, kid: &str) -> bool {
        self.0.iter().any(|(known, _)| known == kid)
    }

    /// Whether the signature is that of the key `kid`, under exactly that key's algorithm (JWT-02).
    pub fn verify(&self, kid: &str, alg: &str, signed: &str, signature: &[u8]) -> bool {
        self.0.iter().find(|(known, _)| known == kid).is_some_and(|(_, signer)| {
            signer.alg().as_str() == alg
                && sign::verify(signer.alg(), signer.public_key(), signed.as_bytes(), signature)
        })
    }

    /// The public halves (RFC 7517, RFC 8037).
    pub fn jwks(&self) -> serde_json::Value {
        let keys: Vec<_> = self.0.iter().map(|(kid, signer)| jwk(kid, signer)).collect();
        json!({ "keys": keys })
    }
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
        let key = |alg, kid: &str| {
            let pkcs8 = sign::generate(alg).unwrap();
            (kid.to_owned(), Signer::from_pkcs8(alg, &pkcs8).unwrap())
        };
        Self(vec![key(TokenAlg::EdDsa, "ed"), key(TokenAlg::Es256, "es")].into())
    }

    /// One that does not have the key `kid`.
    pub(super) fn without(kid: &str) -> Self {
        let keys = Self::for_tests().0;
        let pkcs8 = |alg| Signer::from_pkcs8(alg, &sign::generate(alg).unwrap()).unwrap();
        let left = keys.iter().filter(|(known, _)| known != kid);
        Self(left.map(|(known, signer)| (known.clone(), pkcs8(signer.alg()))).collect())
    }

    pub(super) fn public_key(&self, kid: &str) -> Option<Vec<u8>> {
        self.0.iter().find(|(known, _)| known == kid).map(|(_, signer)| signer.public_key().to_vec())
    }

    pub(super) fn sign_raw(&self, kid: &str, header: &str, payload: &str) -> String {
        let (_, signer) = self.0.iter().find(|(known, _)| known == kid).unwrap();
        let signed = format!("{}.{}", base64url(header.as_bytes()), base64url(payload.as_bytes()));
        format!("{signed}.{}", base64url(&signer.sign(signed.as_bytes()).unwrap()))
    }
}
