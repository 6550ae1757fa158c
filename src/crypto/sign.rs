//! Signatures: Ed25519 (RFC 8032) and ECDSA on P-256 with SHA-256 (FIPS 186-5), keys in PKCS#8 form.

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    UnparsedPublicKey,
};

use crate::crypto::encoding::base64url;
use crate::crypto::hash::sha256;
use crate::domain::client::TokenAlg;
use crate::domain::secret::{PrivateKey, Secret};

/// The key cannot be made, read or used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("signing key is not usable")]
pub struct BadKey;

/// A parsed private key. Parsing costs more than signing, so keep it.
#[derive(Debug)]
pub enum Signer {
    /// Ed25519.
    EdDsa(Box<Ed25519KeyPair>),
    /// ECDSA on P-256.
    Es256(Box<EcdsaKeyPair>, SystemRandom),
}

/// A new private key in PKCS#8 form.
pub fn generate(alg: TokenAlg) -> Result<Secret<PrivateKey>, BadKey> {
    let random = SystemRandom::new();
    let document = match alg {
        TokenAlg::EdDsa => Ed25519KeyPair::generate_pkcs8(&random),
        TokenAlg::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random),
    };
    document.map(|pkcs8| Secret::from_bytes(pkcs8.as_ref().to_vec())).map_err(|_| BadKey)
}

impl Signer {
    /// Parses a private key.
    pub fn from_pkcs8(alg: TokenAlg, key: &Secret<PrivateKey>) -> Result<Self, BadKey> {
        key.expose(|pkcs8| match alg {
            TokenAlg::EdDsa => {
                Ed25519KeyPair::from_pkcs8(pkcs8).map(|pair| Self::EdDsa(Box::new(pair))).map_err(|_| BadKey)
            }
            TokenAlg::Es256 => {
                let random = SystemRandom::new();
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &random)
                    .map(|pair| Self::Es256(Box::new(pair), random))
                    .map_err(|_| BadKey)
            }
        })
    }

    /// The algorithm.
    pub fn alg(&self) -> TokenAlg {
        match self {
            Self::EdDsa(_) => TokenAlg::EdDsa,
            Self::Es256(..) => TokenAlg::Es256,
        }
    }

    /// The public key: 32 bytes (Ed25519) or the 65 bytes `0x04 || x || y` (P-256).
    pub fn public_key(&self) -> &[u8] {
        match self {
            Self::EdDsa(pair) => pair.public_key().as_ref(),
            Self::Es256(pair, _) => pair.public_key().as_ref(),
        }
    }

    /// The signature of `message`: 64 bytes in both algorithms (RFC 7518 section 3.4, RFC 8037 section 3.1).
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, BadKey> {
        match self {
            Self::EdDsa(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Self::Es256(pair, random) => {
                pair.sign(random, message).map(|signature| signature.as_ref().to_vec()).map_err(|_| BadKey)
            }
        }
    }
}

/// A short public name for a public key, for every token carries it: the first 32 bits of its SHA-256 in base64url.
pub fn key_name(public_key: &[u8]) -> String {
    base64url(sha256(public_key).get(..4).unwrap_or_default())
}

/// Whether `signature` is that of `message` under the public key.
pub fn verify(alg: TokenAlg, public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    match alg {
        TokenAlg::EdDsa => UnparsedPublicKey::new(&ED25519, public_key).verify(message, signature).is_ok(),
        TokenAlg::Es256 => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public_key).verify(message, signature).is_ok()
        }
    }
}
