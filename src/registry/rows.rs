//! Policy rows: each carries a MAC over its table's name and all other columns, so that a row edited by hand is refused (VL-12).

use crate::crypto::hash::{Mac, framed};
use crate::domain::client::{Client, ClientSecretRecord, Status, TokenAlg};
use crate::domain::client_auth::RequiredBinding;
use crate::domain::clock::Timestamp;
use crate::domain::grant::{Grant, SessionTtl};
use crate::domain::handle::Handle;
use crate::domain::mailbox::{Health, Mailbox};
use crate::domain::operator::{Operator, Role};
use crate::domain::session::Protocol;
use crate::domain::signing_key::SigningKey;
use crate::registry::revocations::RevokedToken;
use crate::store::sql::{self, Statement};
use crate::store::value::{Row, Value};

/// The row is not as we wrote it.
#[derive(Debug)]
pub(in crate::registry) struct Tampered;

/// A noun that is kept as one row.
pub(in crate::registry) trait Stored: Sized {
    const TABLE: &'static str;
    /// The kinds of all columns before the MAC.
    const KINDS: &'static str;
    const ADD: Statement;
    const SET: Statement;
    fn to_values(&self) -> Vec<Value>;
    fn from_values(values: Fields) -> Option<Self>;
}

/// All columns with the MAC behind them.
pub(in crate::registry) fn write<T: Stored>(noun: &T, mac: &Mac) -> Vec<Value> {
    let mut values = noun.to_values();
    let tag = mac.sign(&message(T::TABLE, &values));
    values.push(tag.as_slice().into());
    values
}

/// Reads a row whose MAC is right; gives the noun and the MAC.
pub(in crate::registry) fn read<T: Stored>(row: &Row, mac: &Mac) -> Result<(T, Vec<u8>), Tampered> {
    read_at(row, 0, mac)
}

/// The same where the columns begin at `from`.
pub(in crate::registry) fn read_at<T: Stored>(row: &Row, from: usize, mac: &Mac) -> Result<(T, Vec<u8>), Tampered> {
    let values = row.values(from, T::KINDS).map_err(|_| Tampered)?;
    let tag = row.blob(from + T::KINDS.len()).map_err(|_| Tampered)?;
    if !mac.verify(&message(T::TABLE, &values), &tag) {
        return Err(Tampered);
    }
    T::from_values(Fields(values.into_iter())).map(|noun| (noun, tag)).ok_or(Tampered)
}

/// All columns as one message, framed so that it has one reading.
pub(in crate::registry) fn message(table: &str, values: &[Value]) -> Vec<u8> {
    let fields: Vec<Vec<u8>> = values
        .iter()
        .map(|value| match value {
            Value::Int(None) | Value::Text(None) | Value::Blob(None) => vec![0],
            Value::Int(Some(number)) => [&[1][..], &number.to_be_bytes()].concat(),
            Value::Text(Some(text)) => [&[2][..], text.as_bytes()].concat(),
            Value::Blob(Some(bytes)) => [&[3][..], bytes].concat(),
        })
        .collect();
    let mut parts: Vec<&[u8]> = vec![b"row/1", table.as_bytes()];
    parts.extend(fields.iter().map(Vec::as_slice));
    framed(&parts)
}

/// The columns of a row, taken one after the other.
pub(in crate::registry) struct Fields(std::vec::IntoIter<Value>);

impl Fields {
    fn opt_int(&mut self) -> Option<Option<i64>> {
        match self.0.next() {
            Some(Value::Int(value)) => Some(value),
            _ => None,
        }
    }
    fn int(&mut self) -> Option<i64> {
        self.opt_int()?
    }
    pub(in crate::registry) fn time(&mut self) -> Option<Timestamp> {
        self.int().map(Timestamp)
    }
    pub(in crate::registry) fn opt_time(&mut self) -> Option<Option<Timestamp>> {
        Some(self.opt_int()?.map(Timestamp))
    }
    pub(in crate::registry) fn opt_text(&mut self) -> Option<Option<String>> {
        match self.0.next() {
            Some(Value::Text(value)) => Some(value),
            _ => None,
        }
    }
    pub(in crate::registry) fn text(&mut self) -> Option<String> {
        self.opt_text()?
    }
    pub(in crate::registry) fn parsed<T: std::str::FromStr>(&mut self) -> Option<T> {
        self.text()?.parse().ok()
    }
    fn bytes(&mut self) -> Option<Vec<u8>> {
        match self.0.next() {
            Some(Value::Blob(bytes)) => bytes,
            _ => None,
        }
    }
    fn digest(&mut self) -> Option<[u8; 32]> {
        self.bytes()?.try_into().ok()
    }
}

pub(in crate::registry) fn millis(at: Option<Timestamp>) -> Value {
    Value::Int(at.map(|at| at.0))
}

impl Stored for RevokedToken {
    const TABLE: &'static str = "revoked_tokens";
    const KINDS: &'static str = "ttii";
    const ADD: Statement = sql::REVOKED_TOKEN_ADD;
    // Nothing about a revocation is ever changed.
    const SET: Statement = sql::REVOKED_TOKEN_ADD;

    fn to_values(&self) -> Vec<Value> {
        vec![
            self.token_id.as_str().into(),
            self.client_id.as_str().into(),
            self.expires_at.0.into(),
            self.revoked_at.0.into(),
        ]
    }

    fn from_values(mut values: Fields) -> Option<Self> {
        Some(Self {
            token_id: values.text()?,
            client_id: values.parsed()?,
            expires_at: values.time()?,
            revoked_at: values.time()?,
        })
    }
}

impl Stored for Operator {
    const TABLE: &'static str = "operators";
    const KINDS: &'static str = "ttttbii";
    const ADD: Statement = sql::OPERATOR_ADD;
    const SET: Statement = sql::OPERATOR_SET;

    fn to_values(&self) -> Vec<Value> {
        vec![
            self.id.as_str().into(),
            self.name.as_str().into(),
            self.role.as_str().into(),
            self.status.as_str().into(),
            self.token_digest.as_slice().into(),
            millis(self.expires_at),
            self.created_at.0.into(),
        ]
    }

    fn from_values(mut values: Fields) -> Option<Self> {
        Some(Self {
            id: values.parsed()?,
            name: values.text()?,
            role: Role::parse(&values.text()?)?,
            status: Status::parse(&values.text()?)?,
            token_digest: values.digest()?,
            expires_at: values.opt_time()?,
            created_at: values.time()?,
        })
    }
}

impl Stored for Handle {
    const TABLE: &'static str = "handles";
    const KINDS: &'static str = "bttttttii";
    const ADD: Statement = sql::HANDLE_ADD;
    const SET: Statement = sql::HANDLE_SET;

    fn to_values(&self) -> Vec<Value> {
        let networks = self.networks.as_ref().map(|list| serde_json::to_string(list).unwrap_or_default());
        vec![
            self.digest.as_slice().into(),
            self.client_id.as_str().into(),
            self.mailbox_id.as_str().into(),
            self.grant_id.as_str().into(),
            self.protocol.as_str().into(),
            self.scopes.to_string().as_str().into(),
            Value::Text(networks),
            self.issued_at.0.into(),
            self.expires_at.0.into(),
        ]
    }

    fn from_values(mut values: Fields) -> Option<Self> {
        Some(Self {
            digest: values.digest()?,
            client_id: values.parsed()?,
            mailbox_id: values.parsed()?,
            grant_id: values.parsed()?,
            protocol: Protocol::parse(&values.text()?)?,
            scopes: values.parsed()?,
            networks: values.opt_text()?.map(|text| serde_json::from_str(&text)).transpose().ok()?,
            issued_at: values.time()?,
            expires_at: values.time()?,
        })
    }
}

impl Stored for Mailbox {
    const TABLE: &'static str = "mailboxes";
    const KINDS: &'static str = "tttttii";
    const ADD: Statement = sql::MAILBOX_ADD;
    const SET: Statement = sql::MAILBOX_SET;

    fn to_values(&self) -> Vec<Value> {
        vec![
            self.id.as_str().into(),
            self.address.as_str().into(),
            self.status.as_str().into(),
            self.health.as_str().into(),
            serde_json::to_string(&self.upstream).unwrap_or_default().as_str().into(),
            self.tokens_valid_after.0.into(),
            self.created_at.0.into(),
        ]
    }

    fn from_values(mut values: Fields) -> Option<Self> {
        Some(Self {
            id: values.parsed()?,
            address: values.parsed()?,
            status: Status::parse(&values.text()?)?,
            health: Health::parse(&values.text()?)?,
            upstream: serde_json::from_str(&values.text()?).ok()?,
            tokens_valid_after: values.time()?,
            created_at: values.time()?,
        })
    }
}

impl Stored for Client {
    const TABLE: &'static str = "clients";
    const KINDS: &'static str = "tttttttii";
    const ADD: Statement = sql::CLIENT_ADD;
    const SET: Statement = sql::CLIENT_SET;

    fn to_values(&self) -> Vec<Value> {
        vec![
            self.id.as_str().into(),
            self.name.as_str().into(),
            self.status.as_str().into(),
            self.default_mailbox.as_ref().map(crate::domain::id::MailboxId::as_str).into(),
            self.token_alg.as_str().into(),
            serde_json::to_string(&self.auth).unwrap_or_default().as_str().into(),
            self.required_binding.as_str().into(),
            self.tokens_valid_after.0.into(),
            self.created_at.0.into(),
        ]
    }

    fn from_values(mut values: Fields) -> Option<Self> {
        Some(Self {
            id: values.parsed()?,
            name: values.text()?,
            status: Status::parse(&values.text()?)?,
            default_mailbox: values.opt_text()?.map(|text| text.parse()).transpose().ok()?,
            token_alg: TokenAlg::parse(&values.text()?)?,
            auth: serde_json::from_str(&values.text()?).ok()?,
            required_binding: RequiredBinding::parse(&values.text()?)?,
            tokens_valid_after: values.time()?,
            created_at: values.time()?,
        })
    }
}

impl Stored for ClientSecretRecord {
    const TABLE: &'static str = "client_secrets";
    const KINDS: &'static str = "ttbii";
    const ADD: Statement = sql::SECRET_ADD;
    const SET: Statement = sql::SECRET_SET;

    fn to_values(&self) -> Vec<Value> {
        vec![
            self.id.as_str().into(),
            self.client_id.as_str().into(),
            self.digest.as_slice().into(),
            self.created_at.0.into(),
            millis(self.expires_at),
        ]
    }

    fn from_values(mut values: Fields) -> Option<Self> {
        Some(Self {
            id: values.parsed()?,
            client_id: values.parsed()?,
            digest: values.digest()?,
            created_at: values.time()?,
            expires_at: values.opt_time()?,
        })
    }
}

impl Stored for Grant {
    const TABLE: &'static str = "grants";
    const KINDS: &'static str = "ttttttiiii";
    const ADD: Statement = sql::GRANT_ADD;
    const SET: Statement = sql::GRANT_SET;

    fn to_values(&self) -> Vec<Value> {
        vec![
            self.id.as_str().into(),
            self.client_id.as_str().into(),
            self.mailbox_id.as_str().into(),
            self.scopes.to_string().as_str().into(),
            serde_json::to_string(&self.bounds).unwrap_or_default().as_str().into(),
            self.status.as_str().into(),
            i64::from(self.token_ttl_secs).into(),
            self.session_ttl.to_secs().into(),
            millis(self.expires_at),
            self.created_at.0.into(),
        ]
    }

    fn from_values(mut values: Fields) -> Option<Self> {
        Some(Self {
            id: values.parsed()?,
            client_id: values.parsed()?,
            mailbox_id: values.parsed()?,
            scopes: values.parsed()?,
            bounds: serde_json::from_str(&values.text()?).ok()?,
            status: Status::parse(&values.text()?)?,
            token_ttl_secs: u32::try_from(values.int()?).ok()?,
            session_ttl: SessionTtl::from_secs(values.int()?)?,
            expires_at: values.opt_time()?,
            created_at: values.time()?,
        })
    }
}

impl Stored for SigningKey {
    const TABLE: &'static str = "signing_keys";
    const KINDS: &'static str = "tttbbiiii";
    const ADD: Statement = sql::KEY_ADD;
    const SET: Statement = sql::KEY_SET;

    fn to_values(&self) -> Vec<Value> {
        vec![
            self.kid.as_str().into(),
            self.alg.as_str().into(),
            self.kek_id.as_str().into(),
            self.wrapped_dek.as_slice().into(),
            self.sealed.as_slice().into(),
            self.created_at.0.into(),
            self.active_from.0.into(),
            millis(self.retires_at),
            millis(self.revoked_at),
        ]
    }

    fn from_values(mut values: Fields) -> Option<Self> {
        Some(Self {
            kid: values.text()?,
            alg: TokenAlg::parse(&values.text()?)?,
            kek_id: values.parsed()?,
            wrapped_dek: values.bytes()?,
            sealed: values.bytes()?,
            created_at: values.time()?,
            active_from: values.time()?,
            retires_at: values.opt_time()?,
            revoked_at: values.opt_time()?,
        })
    }
}
