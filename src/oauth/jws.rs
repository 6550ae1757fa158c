//! JWS compact form (RFC 7515), framed strictly: three canonical base64url segments, a size bound, no repeated member names.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::crypto::encoding::from_base64url;

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
        header: members(&from_base64url(header)?)?,
        payload: from_base64url(payload)?,
        signature: from_base64url(signature)?,
    })
}

/// Reads a JSON object; `None` when a member name is repeated or anything follows.
pub fn members(json: &[u8]) -> Option<Members> {
    serde_json::from_slice(json).ok()
}

/// A JSON object whose names are distinct.
#[derive(Debug)]
pub struct Members(BTreeMap<String, Value>);

impl Members {
    /// A string member.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// A NumericDate member: a whole number of seconds, not text, not null, not out of range (JWT-03).
    pub fn date(&self, name: &str) -> Option<i64> {
        self.0.get(name)?.as_i64().filter(|secs| (0..=253_402_300_799).contains(secs))
    }

    /// Whether it is there at all.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Distinct;
        impl<'de> Visitor<'de> for Distinct {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with distinct member names")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if members.insert(name, value).is_some() {
                        return Err(de::Error::custom("repeated member name"));
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Distinct)
    }
}
