//! JWS compact form (RFC 7515), framed strictly: three canonical base64url segments, a size bound, no repeated member names.

use crate::crypto::encoding::from_base64url;
use crate::oauth::jose::json::{self, Members};

/// Longest token read, in octets (JWT-07).
pub const MAX_LENGTH: usize = 8192;

/// A JWS taken apart; its signature is not checked yet.
#[derive(Debug)]
pub struct Unverified<'a> {
    /// What the signature covers.
    pub signed: &'a str,
    /// The protected header.
    pub header: Members,
    /// The payload's octets.
    pub payload: Vec<u8>,
    /// The signature.
    pub signature: Vec<u8>,
}

/// Takes a token apart; `None` when its form is wrong.
pub fn split(token: &str) -> Option<Unverified<'_>> {
    if token.len() > MAX_LENGTH {
        return None;
    }
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, payload) = signed.split_once('.')?;
    if header.is_empty() || payload.is_empty() || signature.is_empty() || payload.contains('.') {
        return None;
    }
    Some(Unverified {
        signed,
        header: json::object(&from_base64url(header)?)?,
        payload: from_base64url(payload)?,
        signature: from_base64url(signature)?,
    })
}
