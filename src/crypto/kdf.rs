//! Key derivation.

use ring::hkdf;

use crate::domain::secret::Secret;

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-SHA-256(salt = none, ikm, info), 32 bytes (RFC 5869). `ikm` must be uniformly random, such as a KEK.
pub fn derive<From, To>(ikm: &Secret<From>, info: &[u8]) -> Secret<To> {
    let mut out = vec![0; 32];
    ikm.expose(|bytes| {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(bytes);
        let info = [info];
        // Expanding 32 bytes from SHA-256 cannot fail: the limit is 255 x 32.
        if let Ok(okm) = prk.expand(&info, Length(32))
            && okm.fill(&mut out).is_ok()
        {
            return;
        }
        std::process::abort();
    });
    Secret::from_bytes(out)
}
