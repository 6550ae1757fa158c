//! One record of the chain: its fields, its hash and its text form.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::crypto::encoding::{from_hex, hex};
use crate::crypto::hash::{framed, sha256};
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
    /// The record of `event` at place `seq` after a record with the hash `previous`.
    pub(in crate::audit) fn chained(event: &AuditEvent, seq: i64, at: Timestamp, previous: &[u8]) -> Self {
        let detail = event.detail.iter().map(|(name, value)| ((*name).to_owned(), one_line(value))).collect();
        let mut record = Self {
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
        };
        record.hash = hex(&record.computed_hash(previous));
        record
    }

    /// SHA-256(framed(previous hash, each field as text; an absent field and an empty one differ)).
    pub fn computed_hash(&self, previous: &[u8]) -> [u8; 32] {
        let (seq, at, detail) = (self.seq.to_string(), self.at.0.to_string(), self.detail_json());
        let optional: Vec<String> = self
            .optional()
            .into_iter()
            .map(|field| field.map_or_else(|| "-".to_owned(), |text| format!("+{text}")))
            .collect();
        let mut fields: Vec<&[u8]> = vec![
            b"audit/1",
            previous,
            seq.as_bytes(),
            at.as_bytes(),
            self.code.as_bytes(),
            self.actor.as_bytes(),
            self.outcome.as_bytes(),
        ];
        fields.extend(optional.iter().map(String::as_bytes));
        fields.push(detail.as_bytes());
        sha256(&framed(&fields))
    }

    /// The stored hash as bytes.
    pub(in crate::audit) fn hash_bytes(&self) -> Vec<u8> {
        from_hex(&self.hash).unwrap_or_default()
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

    pub(in crate::audit) fn to_values(&self) -> Vec<Value> {
        let mut values: Vec<Value> = vec![
            self.seq.into(),
            self.at.0.into(),
            self.code.as_str().into(),
            self.actor.as_str().into(),
            self.outcome.as_str().into(),
        ];
        values.extend(self.optional().map(Value::from));
        values.push(self.detail_json().as_str().into());
        values.push(self.hash_bytes().as_slice().into());
        values
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
