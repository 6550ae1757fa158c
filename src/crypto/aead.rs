//! Authenticated encryption: AES-256-GCM (NIST SP 800-38D) with random 96-bit nonces.
//!
//! A random nonce is safe for 2^32 seals under one key. Every DEK seals once, and a KEK-derived key seals one DEK per credential
//! version, far below that.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::domain::entropy::Entropy;
use crate::domain::secret::Secret;

/// Why a sealed value is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AeadError {
    /// The ciphertext is not of this key and these associated data, or was changed.
    #[error("sealed value does not open")]
    DoesNotOpen,
    /// The first octet names a format that this version does not know.
    #[error("sealed value has the unknown format {0}")]
    UnknownFormat(u8),
}

/// The first octet of every envelope.
const FORMAT_V1: u8 = 1;

/// `0x01 || nonce || AES-256-GCM(key, nonce, plaintext, aad)`. `key` has 32 bytes; any other length is a defect and does not seal.
pub fn seal<K, P>(key: &Secret<K>, plaintext: &Secret<P>, aad: &[u8], entropy: &Entropy) -> Result<Vec<u8>, AeadError> {
    let key = parse(key)?;
    let nonce: [u8; NONCE_LEN] = entropy.bytes();
    // Room for the tag: a growing buffer would leave a copy of the plaintext behind.
    let mut body = Vec::with_capacity(plaintext.len() + AES_256_GCM.tag_len());
    plaintext.expose(|bytes| body.extend_from_slice(bytes));
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut body)
        .map_err(|_| AeadError::DoesNotOpen)?;
    let mut envelope = Vec::with_capacity(1 + NONCE_LEN + body.len());
    envelope.push(FORMAT_V1);
    envelope.extend_from_slice(&nonce);
    envelope.append(&mut body);
    Ok(envelope)
}

/// Opens what [`seal`] made with the same key and associated data.
pub fn open<K, P>(key: &Secret<K>, envelope: &[u8], aad: &[u8]) -> Result<Secret<P>, AeadError> {
    let key = parse(key)?;
    let (format, rest) = envelope.split_first().ok_or(AeadError::DoesNotOpen)?;
    let (nonce, body) = rest.split_at_checked(NONCE_LEN).ok_or(AeadError::DoesNotOpen)?;
    if *format != FORMAT_V1 {
        return Err(AeadError::UnknownFormat(*format));
    }
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| AeadError::DoesNotOpen)?;
    let mut body = zeroize::Zeroizing::new(body.to_vec());
    let plain = key.open_in_place(nonce, Aad::from(aad), &mut body).map_err(|_| AeadError::DoesNotOpen)?;
    Ok(Secret::from_bytes(plain.to_vec()))
}

fn parse<K>(key: &Secret<K>) -> Result<LessSafeKey, AeadError> {
    key.expose(|bytes| UnboundKey::new(&AES_256_GCM, bytes)).map(LessSafeKey::new).map_err(|_| AeadError::DoesNotOpen)
}

#[cfg(test)]
mod tests {
    use super::{AeadError, open, seal};
    use crate::crypto::random;
    use crate::domain::secret::{Dek, Password, Secret};

    #[test]
    fn vl_02_a_million_seals_have_a_million_nonces() {
        let (entropy, key) = (random::system(), Secret::<Dek>::from_bytes(vec![7; 32]));
        let plain = Secret::<Password>::from_text("p".into());
        let mut nonces = std::collections::HashSet::with_capacity(1_000_000);
        for _ in 0..1_000_000 {
            let envelope = seal(&key, &plain, b"", &entropy).unwrap();
            assert!(nonces.insert(<[u8; 12]>::try_from(&envelope[1..13]).unwrap()));
        }
    }

    #[test]
    fn vl_14_the_first_octet_is_the_version_and_an_unknown_one_is_named() {
        let (entropy, key) = (random::system(), Secret::<Dek>::from_bytes(vec![7; 32]));
        let mut envelope = seal(&key, &Secret::<Password>::from_text("p".into()), b"aad", &entropy).unwrap();
        assert_eq!(envelope[0], 1);
        for unknown in [0, 2, 255] {
            envelope[0] = unknown;
            assert_eq!(open::<_, Password>(&key, &envelope, b"aad").unwrap_err(), AeadError::UnknownFormat(unknown));
        }
    }

    #[test]
    fn a_sealed_value_opens_only_whole_with_its_key_and_data() {
        let entropy = random::system();
        let key = Secret::<Dek>::from_bytes(vec![7; 32]);
        let other = Secret::<Dek>::from_bytes(vec![8; 32]);
        let envelope = seal(&key, &Secret::<Password>::from_text("p".into()), b"aad", &entropy).unwrap();
        let opened: Secret<Password> = open(&key, &envelope, b"aad").unwrap();
        assert!(opened.expose(|bytes| bytes == b"p"));
        assert!(open::<_, Password>(&other, &envelope, b"aad").is_err());
        assert!(open::<_, Password>(&key, &envelope, b"AAD").is_err());
        for at in 0..envelope.len() {
            let mut broken = envelope.clone();
            broken[at] ^= 1;
            assert!(open::<_, Password>(&key, &broken, b"aad").is_err(), "octet {at}");
            assert!(open::<_, Password>(&key, &envelope[..at], b"aad").is_err(), "cut at {at}");
        }
    }
}
