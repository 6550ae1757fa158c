//! What goes into statements and comes out of rows: three kinds of value, each of which may be absent.

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;

use crate::store::StoreError;

/// A parameter or column. Absent values keep their kind, because PostgreSQL types its NULLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// INTEGER, BIGINT.
    Int(Option<i64>),
    /// TEXT.
    Text(Option<String>),
    /// BLOB, BYTEA.
    Blob(Option<Vec<u8>>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

impl From<Option<&str>> for Value {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(str::to_owned))
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Blob(Some(value.to_vec()))
    }
}

/// One row, of either engine.
#[derive(Debug)]
pub struct Row(pub(in crate::store) Inner);

pub(in crate::store) enum Inner {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Row(..)")
    }
}

macro_rules! get {
    ($row:expr, $at:expr) => {
        match &$row.0 {
            Inner::Sqlite(row) => row.try_get($at),
            Inner::Postgres(row) => row.try_get($at),
        }
        .map_err(StoreError::from)
    };
}

impl Row {
    /// The integer in column `at`, if any.
    pub fn opt_int(&self, at: usize) -> Result<Option<i64>, StoreError> {
        get!(self, at)
    }

    /// The integer in column `at`.
    pub fn int(&self, at: usize) -> Result<i64, StoreError> {
        get!(self, at)
    }

    /// The text in column `at`, if any.
    pub fn opt_text(&self, at: usize) -> Result<Option<String>, StoreError> {
        get!(self, at)
    }

    /// The text in column `at`.
    pub fn text(&self, at: usize) -> Result<String, StoreError> {
        get!(self, at)
    }

    /// The bytes in column `at`.
    pub fn blob(&self, at: usize) -> Result<Vec<u8>, StoreError> {
        get!(self, at)
    }

    /// The columns from `from` on; `kinds` has one of `i` (integer), `t` (text) and `b` (bytes) for each.
    pub fn values(&self, from: usize, kinds: &str) -> Result<Vec<Value>, StoreError> {
        (from..)
            .zip(kinds.bytes())
            .map(|(at, kind)| match kind {
                b'i' => self.opt_int(at).map(Value::Int),
                b't' => self.opt_text(at).map(Value::Text),
                _ => get!(self, at).map(Value::Blob),
            })
            .collect()
    }
}
