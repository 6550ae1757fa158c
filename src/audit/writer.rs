//! The one task that writes the chain: all events that wait go into one transaction (group commit).

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::audit::record::Record;
use crate::audit::{AuditError, Head};
use crate::crypto::hash::Mac;
use crate::domain::clock::Clock;
use crate::domain::event::AuditEvent;
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
    let first = head.seq + 1;
    for waiting in batch {
        let record = Record::chained(&waiting.event, head.seq + 1, clock.now(), &head.hash);
        tx.execute(sql::EVENT_ADD, &record.to_values()).await?;
        head = Head { seq: record.seq, hash: record.hash_bytes() };
    }
    tx.execute(sql::HEAD_SET, &head.to_values(mac)).await?;
    tx.commit().await?;
    Ok(first)
}
