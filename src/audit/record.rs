//! One record of the chain: its fields, its hash and its text form.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::crypto::encoding::hex;
use crate::crypto::hash::{Framed, sha256};
use crate::domain::clock::Timestamp;
use crate::domain::event::AuditEvent;
use crate::store::StoreError;
use crate::store::value::{Row, Value};

/// A record as it is listed and exported: one JSON object, one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AuditEvent)]
pub struct Record {
    /// Its place in the chain: 1, 2, 3, ... without a gap.
    pub seq: i64,
    /// When it was recorded (RFC 3339).
    #[serde(serialize_with = "as_rfc3339", deserialize_with = "from_rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What happened.
    pub code: String,
    /// Who did it.
    pub actor: String,
    /// How it ended.
    pub outcome: String,
    /// The client concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The mailbox concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mailbox_id: Option<String>,
    /// The grant concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_id: Option<String>,
    /// The session it happened in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The HTTP request it happened in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The verdict it tells of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict_id: Option<String>,
    /// Where the request came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Further facts.
    pub detail: BTreeMap<String, String>,
    /// SHA-256 over the previous record's hash and all fields above, in hexadecimal.
    pub hash: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn as_rfc3339<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.to_rfc3339())
}

/// Takes only the form that [`Timestamp::to_rfc3339`] gives: another spelling of the same moment is a change.
fn from_rfc3339<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    Timestamp::parse_rfc3339(&text)
        .filter(|at| at.to_rfc3339() == text)
        .ok_or_else(|| serde::de::Error::custom("not a time of ours"))
}

impl Record {
    /// The record of `event` at place `seq`; its hash is still to come.
    pub(in crate::audit) fn unchained(event: &AuditEvent, seq: i64, at: Timestamp) -> Self {
        let detail = event.detail.iter().map(|(name, value)| ((*name).to_owned(), one_line(value))).collect();
        Self {
            seq,
            at,
            code: event.code.as_str().to_owned(),
            actor: event.actor.as_text().to_owned(),
            outcome: event.outcome.as_str().to_owned(),
            client_id: event.client_id.as_ref().map(ToString::to_string),
            mailbox_id: event.mailbox_id.as_ref().map(ToString::to_string),
            grant_id: event.grant_id.as_ref().map(ToString::to_string),
            session_id: event.session_id.as_ref().map(ToString::to_string),
            request_id: event.request_id.as_ref().map(ToString::to_string),
            verdict_id: event.verdict_id.as_ref().map(ToString::to_string),
            source: event.source.map(|source| source.to_string()),
            detail,
            hash: String::new(),
        }
    }

    /// Chains the record to the one with the hash `previous`; appends its columns to `values` and gives its hash.
    pub(in crate::audit) fn chain(self, previous: &[u8], values: &mut Vec<Value>) -> [u8; 32] {
        let detail = self.detail_json();
        let hash = self.hash_with(previous, &detail);
        values.extend([self.seq.into(), self.at.0.into(), self.code.into(), self.actor.into(), self.outcome.into()]);
        values.extend([self.client_id, self.mailbox_id, self.grant_id, self.session_id].map(Value::from));
        values.extend([self.request_id, self.verdict_id, self.source].map(Value::from));
        values.extend([detail.into(), Value::from(&hash[..])]);
        hash
    }

    /// SHA-256 over the framed previous hash and each field as text; an absent field and an empty one differ.
    pub fn computed_hash(&self, previous: &[u8]) -> [u8; 32] {
        self.hash_with(previous, &self.detail_json())
    }

    fn hash_with(&self, previous: &[u8], detail: &str) -> [u8; 32] {
        let (seq, at) = (self.seq.to_string(), self.at.0.to_string());
        let mut text = Framed::with_capacity(512);
        for field in [&b"audit/1"[..], previous, seq.as_bytes(), at.as_bytes()] {
            text.field(&[field]);
        }
        for field in [&self.code, &self.actor, &self.outcome] {
            text.field(&[field.as_bytes()]);
        }
        for field in self.optional() {
            match field {
                Some(field) => text.field(&[b"+", field.as_bytes()]),
                None => text.field(&[b"-"]),
            }
        }
        text.field(&[detail.as_bytes()]);
        sha256(text.bytes())
    }

    fn optional(&self) -> [Option<&str>; 7] {
        [
            self.client_id.as_deref(),
            self.mailbox_id.as_deref(),
            self.grant_id.as_deref(),
            self.session_id.as_deref(),
            self.request_id.as_deref(),
            self.verdict_id.as_deref(),
            self.source.as_deref(),
        ]
    }

    fn detail_json(&self) -> String {
        serde_json::to_string(&self.detail).unwrap_or_default()
    }

    /// Reads a row. Detail that is not ours reads as empty, and so breaks the hash.
    pub fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            seq: row.int(0)?,
            at: Timestamp(row.int(1)?),
            code: row.text(2)?,
            actor: row.text(3)?,
            outcome: row.text(4)?,
            client_id: row.opt_text(5)?,
            mailbox_id: row.opt_text(6)?,
            grant_id: row.opt_text(7)?,
            session_id: row.opt_text(8)?,
            request_id: row.opt_text(9)?,
            verdict_id: row.opt_text(10)?,
            source: row.opt_text(11)?,
            detail: serde_json::from_str(&row.text(12)?).unwrap_or_default(),
            hash: hex(&row.blob(13)?),
        })
    }
}

/// Whether a character could break a line or turn the reading direction.
pub(in crate::audit) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{61c}')
}

/// Escapes the unsafe ones (AU-04).
fn one_line(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if is_unsafe(c) {
            out.extend(c.escape_unicode())
        } else {
            out.push(c)
        }
        out
    })
}
