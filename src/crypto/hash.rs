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
    let mut out = Framed::with_capacity(fields.iter().map(|field| field.len() + 8).sum());
    for field in fields {
        out.field(&[field]);
    }
    out.0
}

/// [`framed`], field by field.
#[derive(Debug)]
pub struct Framed(Vec<u8>);

impl Framed {
    /// No field yet, and room for so many octets.
    pub fn with_capacity(octets: usize) -> Self {
        Self(Vec::with_capacity(octets))
    }

    /// Adds one field, which may come in parts.
    pub fn field(&mut self, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.0.extend_from_slice(&(length as u64).to_be_bytes());
        for part in parts {
            self.0.extend_from_slice(part);
        }
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Framed, equal, framed};

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
        let mut out = Framed::with_capacity(0);
        out.field(&[b"a", b"b"]);
        out.field(&[b"c"]);
        assert_eq!(out.bytes(), framed(&[b"ab", b"c"]));
    }
}
