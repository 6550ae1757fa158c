//! The audit log's rows.

use crate::store::{Store, StoreError, on};

const START: &str = "INSERT INTO audit_head (id, seq, hash, mac) VALUES (1, 0, $1, $2) ON CONFLICT (id) DO NOTHING";
// An update that changes nothing: takes the lock on the head on both engines, so that one writer at a time extends the chain.
const LOCK: &str = "UPDATE audit_head SET seq = seq WHERE id = 1 RETURNING seq, hash, mac";
const HEAD: &str = "SELECT seq, hash, mac FROM audit_head WHERE id = 1";
const APPEND: &str =
    "INSERT INTO audit_events (seq, code, client_id, mailbox_id, verdict_id, body, hash) VALUES ($1, $2, $3, $4, $5, $6, $7)";
const ADVANCE: &str = "UPDATE audit_head SET seq = $1, hash = $2, mac = $3 WHERE id = 1";
const PAGE: &str = "SELECT seq, body, hash FROM audit_events WHERE seq > $1 ORDER BY seq LIMIT $2";
const TAIL: &str = "SELECT seq, body, hash FROM audit_events ORDER BY seq DESC LIMIT $1";
const VERDICT: &str = "SELECT seq, body, hash FROM audit_events WHERE verdict_id = $1 LIMIT 1";

/// Every statement of this file.
pub(super) const STATEMENTS: [&str; 8] = [START, LOCK, HEAD, APPEND, ADVANCE, PAGE, TAIL, VERDICT];

/// Where the chain ends.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct HeadRow {
    /// The last event's number; 0 when there is none.
    pub seq: i64,
    /// The last event's hash.
    pub hash: Vec<u8>,
    /// Over both.
    pub mac: Vec<u8>,
}

/// An event as stored.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct EventRow {
    /// Its number: 1, 2, 3, ...
    pub seq: i64,
    /// The event as JSON.
    pub body: String,
    /// The chain's hash up to here.
    pub hash: Vec<u8>,
}

/// An event to be appended.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// Code.
    pub code: &'static str,
    /// The client concerned.
    pub client_id: Option<String>,
    /// The mailbox concerned.
    pub mailbox_id: Option<String>,
    /// The verdict it tells of.
    pub verdict_id: Option<String>,
    /// The event as JSON.
    pub body: String,
}

impl Store {
    /// Makes the head of an empty chain, unless there is a chain.
    pub async fn start_chain(&self, hash: &[u8], mac: &[u8]) -> Result<(), StoreError> {
        on!(self, pool => sqlx::query(START).bind(hash).bind(mac).execute(pool).await?);
        Ok(())
    }

    /// Appends events in one transaction. `link` makes, from the head and the events, the hashes and the new head.
    pub async fn append(
        &self,
        link: impl FnOnce(&HeadRow) -> Option<(Vec<(i64, NewEvent, Vec<u8>)>, HeadRow)>,
    ) -> Result<i64, StoreError> {
        on!(self, pool => {
            let mut tx = pool.begin().await?;
            let head: HeadRow = sqlx::query_as(LOCK).fetch_one(&mut *tx).await?;
            let (events, next) = link(&head).ok_or(StoreError::Missing)?;
            for (seq, event, hash) in &events {
                sqlx::query(APPEND)
                    .bind(*seq).bind(event.code).bind(&event.client_id).bind(&event.mailbox_id).bind(&event.verdict_id)
                    .bind(&event.body).bind(hash)
                    .execute(&mut *tx).await?;
            }
            sqlx::query(ADVANCE).bind(next.seq).bind(&next.hash).bind(&next.mac).execute(&mut *tx).await?;
            tx.commit().await?;
            Ok(head.seq + 1)
        })
    }

    /// Where the chain ends.
    pub async fn head(&self) -> Result<HeadRow, StoreError> {
        Ok(on!(self, pool => sqlx::query_as(HEAD).fetch_one(pool).await?))
    }

    /// Up to `limit` events after `after`, oldest first.
    pub async fn page(&self, after: i64, limit: i64) -> Result<Vec<EventRow>, StoreError> {
        Ok(on!(self, pool => sqlx::query_as(PAGE).bind(after).bind(limit).fetch_all(pool).await?))
    }

    /// The newest `limit` events, newest first.
    pub async fn tail(&self, limit: i64) -> Result<Vec<EventRow>, StoreError> {
        Ok(on!(self, pool => sqlx::query_as(TAIL).bind(limit).fetch_all(pool).await?))
    }

    /// The event that tells of a verdict.
    pub async fn verdict(&self, id: &str) -> Result<Option<EventRow>, StoreError> {
        Ok(on!(self, pool => sqlx::query_as(VERDICT).bind(id).fetch_optional(pool).await?))
    }
}
