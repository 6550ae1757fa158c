//! Text forms of bytes, and of secrets: prefix, random bits, checksum.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::crypto::hash::sha256;
use crate::domain::entropy::Entropy;
use crate::domain::secret::Secret;

/// base64url without padding (RFC 4648 section 5).
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads base64url without padding; strict: no white space, no padding, no stray bits (JWT-07).
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// base64 with padding (RFC 4648 section 4), as SASL uses it.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads base64 with padding; strict.
pub fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads hexadecimal in either case.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    // The parser of numbers would take a sign.
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

/// The prefix of client secrets.
pub const CLIENT_SECRET: &str = "mws_";
/// The prefix of operator tokens.
pub const OPERATOR_TOKEN: &str = "mwo_";
/// The prefix of handles.
pub const HANDLE: &str = "mwh_";
/// The prefix of what tools show to `mailwarden agent`.
pub const AGENT_PASSWORD: &str = "mwa_";

/// Random octets of a secret for machines: 43 characters.
const LONG: usize = 32;
/// Random octets of a secret that must fit into any password box: 32 characters.
const SHORT: usize = 24;

/// Makes `prefix || base64url(256 random bits) || checksum`: unreserved characters only (RFC 3986 section 2.3), so that client
/// libraries which form-encode the Basic header and those which do not agree. The checksum lets secret scanners tell it from noise.
pub fn generate<Kind>(prefix: &str, entropy: &Entropy) -> Secret<Kind> {
    let random = zeroize::Zeroizing::new(entropy.bytes::<LONG>());
    put_together(prefix, &*random)
}

/// The same with 192 random bits: 42 characters, which every mail program keeps whole.
pub fn generate_short<Kind>(prefix: &str, entropy: &Entropy) -> Secret<Kind> {
    let random = zeroize::Zeroizing::new(entropy.bytes::<SHORT>());
    put_together(prefix, &*random)
}

fn put_together<Kind>(prefix: &str, random: &[u8]) -> Secret<Kind> {
    let body = zeroize::Zeroizing::new(base64url(random));
    let mut text = String::with_capacity(prefix.len() + body.len() + CHECKSUM);
    text.push_str(prefix);
    text.push_str(&body);
    let sum = checksum(&text);
    text.push_str(&sum);
    Secret::from_text(text)
}

/// Whether `text` has the form that [`generate`] makes for `prefix`, checksum included. Says nothing about validity.
pub fn is_well_formed(prefix: &str, text: &str) -> bool {
    has_form(prefix, LONG, text)
}

/// The same for [`generate_short`].
pub fn is_well_formed_short(prefix: &str, text: &str) -> bool {
    has_form(prefix, SHORT, text)
}

fn has_form(prefix: &str, random: usize, text: &str) -> bool {
    let body = prefix.len() + (random * 4).div_ceil(3);
    text.len() == body + CHECKSUM
        && text.starts_with(prefix)
        && text.split_at_checked(body).is_some_and(|(body, sum)| checksum(body) == sum)
}

/// Characters of the checksum.
const CHECKSUM: usize = 6;

/// The first 32 bits of SHA-256 in base64url: 6 characters.
fn checksum(text: &str) -> String {
    base64url(sha256(text.as_bytes()).get(..4).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{
        CLIENT_SECRET, HANDLE, from_base64url, from_hex, generate, generate_short, is_well_formed, is_well_formed_short,
    };
    use crate::crypto::random;
    use crate::domain::secret::{ClientSecret, Secret};

    #[test]
    fn a_generated_secret_is_well_formed_and_a_mistyped_one_is_not() {
        let secret: Secret<ClientSecret> = generate(CLIENT_SECRET, &random::system());
        secret.expose_text(|text| {
            assert!(is_well_formed(CLIENT_SECRET, text));
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)));
            assert!(!is_well_formed(CLIENT_SECRET, &text.replace(char::is_numeric, "x").replace('a', "b")));
        });
    }

    #[test]
    fn a_handle_fits_any_password_box() {
        for _ in 0..100 {
            let handle: Secret<ClientSecret> = generate_short(HANDLE, &random::system());
            handle.expose_text(|text| {
                assert!(text.starts_with("mwh_") && text.len() == 42, "{text}");
                // No quotes, blanks, backslash or percent sign, and nothing that a form or a URL would escape.
                assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
                assert!(is_well_formed_short(HANDLE, text) && !is_well_formed(HANDLE, text));
                let (head, last) = text.split_at(41);
                let other = if last == "A" { "B" } else { "A" };
                assert!(!is_well_formed_short(HANDLE, &format!("{head}{other}")), "the checksum counts");
                assert!(!is_well_formed_short(HANDLE, &text.replacen("mwh_", "mws_", 1)), "so does the prefix");
            });
        }
    }

    #[test]
    fn hexadecimal_is_digits_only() {
        assert_eq!(from_hex("00fFa0"), Some(vec![0, 0xff, 0xa0]));
        for wrong in ["0", "+c", "-1", "0x", " 1", "g0", "é"] {
            assert_eq!(from_hex(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn base64url_is_strict() {
        for wrong in ["YQ==", "YR", "Y Q", "YQ\n", "Y+", "Y"] {
            assert_eq!(from_base64url(wrong), None, "{wrong:?}");
        }
    }
}
