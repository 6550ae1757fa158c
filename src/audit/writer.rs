//! The one task that writes the chain: all events that wait go into one transaction (group commit).

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::audit::record::Record;
use crate::audit::{AuditError, Head};
use crate::crypto::hash::Mac;
use crate::domain::clock::Clock;
use crate::domain::event::AuditEvent;
use crate::store::sql::Statement;
use crate::store::{Store, sql};

/// An event whose sender waits for it to be durable.
#[derive(Debug)]
pub(in crate::audit) struct Waiting {
    pub(in crate::audit) event: AuditEvent,
    pub(in crate::audit) done: oneshot::Sender<Result<i64, AuditError>>,
}

const BATCH: usize = 256;

pub(in crate::audit) async fn run(
    store: Store,
    clock: Clock,
    mac: Arc<Mac>,
    mut queue: mpsc::Receiver<Waiting>,
    written: watch::Sender<i64>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        // Requests that are ready to run put their events in as well: one more in this transaction is one less to wait for the next.
        tokio::task::yield_now().await;
        while batch.len() < BATCH
            && let Ok(waiting) = queue.try_recv()
        {
            batch.push(waiting);
        }
        let outcome = append(&store, &clock, &mac, &batch).await;
        if let Err(error) = &outcome {
            tracing::error!(%error, events = batch.len(), "audit events could not be written");
        }
        let first = outcome.as_ref().ok().copied().unwrap_or_default();
        if outcome.is_ok() {
            written.send_replace(first + i64::try_from(batch.len()).unwrap_or_default() - 1);
        }
        for (seq, waiting) in (first..).zip(batch.drain(..)) {
            // A sender that went away has nobody to tell; its event stays recorded.
            let _ = waiting.done.send(outcome.clone().map(|_| seq));
        }
    }
}

/// Appends the batch; gives the sequence number of its first record.
async fn append(store: &Store, clock: &Clock, mac: &Mac, batch: &[Waiting]) -> Result<i64, AuditError> {
    let mut tx = store.begin().await?;
    // Locks the head, so that nodes take turns.
    let row = tx.row(sql::HEAD_LOCK, &[]).await?.ok_or(AuditError::BadHead)?;
    let mut head = Head::read(&row, mac)?;
    let (first, now) = (head.seq + 1, clock.now());
    let mut rest = batch;
    while let Some((statement, rows)) = insert_for(rest.len()) {
        let (together, later) = rest.split_at(rows);
        let mut values = Vec::with_capacity(rows * COLUMNS);
        for waiting in together {
            let record = Record::unchained(&waiting.event, head.seq + 1, now);
            head = Head { seq: record.seq, hash: record.chain(&head.hash, &mut values).to_vec() };
        }
        tx.execute_owned(statement, values).await?;
        rest = later;
    }
    tx.commit_with(sql::HEAD_SET, &head.to_values(mac)).await?;
    Ok(first)
}

/// The columns of a record.
const COLUMNS: usize = 14;

/// The statement that takes the most of so many records, and how many it takes. Each way to the database costs more than a row does.
fn insert_for(records: usize) -> Option<(Statement, usize)> {
    Some(match records {
        0 => return None,
        1 => (sql::EVENT_ADD, 1),
        2 => (sql::EVENT_ADD_2, 2),
        3 => (sql::EVENT_ADD_3, 3),
        4 => (sql::EVENT_ADD_4, 4),
        5 => (sql::EVENT_ADD_5, 5),
        6 => (sql::EVENT_ADD_6, 6),
        7 => (sql::EVENT_ADD_7, 7),
        _ => (sql::EVENT_ADD_8, 8),
    })
}
