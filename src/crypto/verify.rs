//! Verifying what others sign (RFC 7518 section 3, RFC 8037): Ed25519, ECDSA on P-256, RSA in both paddings.

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};

/// The base point of P-256 (SEC 2, section 2.4.2), as `0x04 || x || y`.
const P256_BASE_POINT: [u8; 65] = [
    0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03,
    0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe,
    0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce,
    0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
];

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
    /// A key of this algorithm that stands for no key: the base point of its curve, or an odd number. Verifying with it takes the time
    /// that verifying takes, and proves nothing.
    pub fn of_nobody(alg: ClientAlg) -> Self {
        match alg {
            ClientAlg::EdDsa => Self::Ed25519([&[0x58][..], &[0x66; 31]].concat()),
            ClientAlg::Es256 => Self::P256(P256_BASE_POINT.to_vec()),
            ClientAlg::Ps256 | ClientAlg::Rs256 => Self::Rsa { n: vec![0xff; 256], e: vec![1, 0, 1] },
        }
    }

    /// Whether it is of the algorithm's kind.
    pub fn fits(&self, alg: ClientAlg) -> bool {
        match self {
            Self::Ed25519(_) => alg == ClientAlg::EdDsa,
            Self::P256(_) => alg == ClientAlg::Es256,
            Self::Rsa { .. } => matches!(alg, ClientAlg::Ps256 | ClientAlg::Rs256),
        }
    }

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

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

    use super::{ClientAlg, P256_BASE_POINT, PublicKey};

    #[test]
    fn nobodys_keys_fit_their_algorithm() {
        for (alg, fitting) in [
            (ClientAlg::EdDsa, &[ClientAlg::EdDsa][..]),
            (ClientAlg::Es256, &[ClientAlg::Es256]),
            (ClientAlg::Ps256, &[ClientAlg::Ps256, ClientAlg::Rs256]),
            (ClientAlg::Rs256, &[ClientAlg::Ps256, ClientAlg::Rs256]),
        ] {
            let key = PublicKey::of_nobody(alg);
            let found: Vec<_> = ClientAlg::ALL.into_iter().filter(|other| key.fits(*other)).collect();
            assert!(found.len() == fitting.len() && found.iter().all(|alg| fitting.contains(alg)), "{found:?}");
        }
    }

    #[test]
    fn the_base_point_is_one() {
        let (random, mut one) = (SystemRandom::new(), [0; 32]);
        one[31] = 1;
        let alg = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::from_private_key_and_public_key(alg, &one, &P256_BASE_POINT, &random).unwrap();
        let signature = pair.sign(&random, b"message").unwrap();
        assert!(PublicKey::of_nobody(ClientAlg::Es256).verify(ClientAlg::Es256, b"message", signature.as_ref()));
    }
}
