//! Digests, keyed and unkeyed.

use ring::{digest, hmac};

use crate::domain::secret::{MacKey, Secret};

/// SHA-256 (FIPS 180-4).
pub fn sha256(data: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, data).as_ref());
    out
}

/// A parsed HMAC-SHA-256 key (RFC 2104).
pub struct Mac(hmac::Key);

impl Mac {
    /// Parses a key.
    pub fn new(key: &Secret<MacKey>) -> Self {
        Self(key.expose(|bytes| hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }

    /// HMAC-SHA-256(key, data).
    pub fn sign(&self, data: &[u8]) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(hmac::sign(&self.0, data).as_ref());
        out
    }

    /// Whether `tag` is HMAC-SHA-256(key, data), in constant time.
    pub fn verify(&self, data: &[u8], tag: &[u8]) -> bool {
        hmac::verify(&self.0, data, tag).is_ok()
    }
}

impl std::fmt::Debug for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mac(..)")
    }
}

/// Whether both are the same octets; how long it takes does not tell where they differ.
pub fn equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

/// Joins fields so that no two lists of fields give the same bytes: each is preceded by its length as 8 big-endian octets.
pub fn framed(fields: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(fields.iter().map(|field| field.len() + 8).sum());
    for field in fields {
        out.extend_from_slice(&(field.len() as u64).to_be_bytes());
        out.extend_from_slice(field);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{equal, framed};

    #[test]
    fn equal_octets_are_equal() {
        assert!(equal(b"", b"") && equal(b"ab", b"ab"));
        for other in [&b"a"[..], b"abc", b"bb", b"aa", b""] {
            assert!(!equal(b"ab", other), "{other:?}");
        }
    }

    #[test]
    fn framing_tells_neighbours_apart() {
        assert_ne!(framed(&[b"ab", b"c"]), framed(&[b"a", b"bc"]));
        assert_ne!(framed(&[b""]), framed(&[]));
    }
}
