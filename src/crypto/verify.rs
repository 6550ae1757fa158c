//! Verifying what others sign (RFC 7518 section 3, RFC 8037): Ed25519, ECDSA on P-256, RSA in both paddings.

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};

/// A signature algorithm that clients may use; the names are JOSE's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAlg {
    /// Ed25519.
    EdDsa,
    /// ECDSA on P-256 with SHA-256; the signature is `r || s`.
    Es256,
    /// RSA-PSS with SHA-256, keys of 2,048 to 8,192 bits.
    Ps256,
    /// RSA PKCS #1 v1.5 with SHA-256: only for clients that are registered for it.
    Rs256,
}

impl ClientAlg {
    /// All algorithms.
    pub const ALL: [Self; 4] = [Self::EdDsa, Self::Es256, Self::Ps256, Self::Rs256];

    /// The JOSE name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Ps256 => "PS256",
            Self::Rs256 => "RS256",
        }
    }

    /// Reads the exact JOSE name; `None` for any other, `none` and `HS256` among them. `Ed25519` is what newer libraries call EdDSA on
    /// that curve, the only one we know (RFC 9864).
    pub fn parse(text: &str) -> Option<Self> {
        if text == "Ed25519" {
            return Some(Self::EdDsa);
        }
        Self::ALL.into_iter().find(|alg| alg.as_str() == text)
    }
}

/// A public key of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// The 32 bytes of an Ed25519 key.
    Ed25519(Vec<u8>),
    /// The 65 bytes `0x04 || x || y` of a point on P-256.
    P256(Vec<u8>),
    /// Modulus and exponent, big-endian without leading zeros.
    Rsa {
        /// The modulus.
        n: Vec<u8>,
        /// The public exponent.
        e: Vec<u8>,
    },
}

impl PublicKey {
    /// Whether `signature` is that of `message` under this key and exactly this algorithm. A key of another kind verifies nothing.
    pub fn verify(&self, alg: ClientAlg, message: &[u8], signature: &[u8]) -> bool {
        match (self, alg) {
            (Self::Ed25519(key), ClientAlg::EdDsa) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
            (Self::P256(key), ClientAlg::Es256) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(message, signature)
            }
            (Self::Rsa { n, e }, ClientAlg::Ps256) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PSS_2048_8192_SHA256, message, signature)
            }
            (Self::Rsa { n, e }, ClientAlg::Rs256) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            _ => return false,
        }
        .is_ok()
    }
}
