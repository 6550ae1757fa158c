//! The one task that writes the chain: all events that wait go into one transaction (group commit).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::audit::record::Record;
use crate::audit::{AuditError, Head};
use crate::crypto::hash::Mac;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::event::AuditEvent;
use crate::store::sql::Statement;
use crate::store::value::Value;
use crate::store::{Store, sql};

/// An event whose sender waits for it to be durable.
#[derive(Debug)]
pub(in crate::audit) struct Waiting {
    pub(in crate::audit) event: AuditEvent,
    pub(in crate::audit) done: oneshot::Sender<Result<i64, AuditError>>,
}

const BATCH: usize = 256;

/// How long a batch waits at most for as many events as the last one had: what a transaction costs, its way to the disk above all, hardly
/// depends on how many are in it. Who goes on recording alone waits once, after the last batch of several.
const GATHERING: Duration = Duration::from_millis(1);

pub(in crate::audit) async fn run(mut chain: Chain, mut queue: mpsc::Receiver<Waiting>, written: watch::Sender<i64>) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut last = 0;
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        gather(&mut batch, &mut queue, last).await;
        last = batch.len();
        let outcome = chain.append(&batch).await;
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

/// Puts in what others have to say: one more in this transaction is one less to wait for the next.
async fn gather(batch: &mut Vec<Waiting>, queue: &mut mpsc::Receiver<Waiting>, expected: usize) {
    // Requests that are ready to run.
    tokio::task::yield_now().await;
    while batch.len() < BATCH
        && let Ok(waiting) = queue.try_recv()
    {
        batch.push(waiting);
    }
    let expected_come =
        async { while batch.len() < expected && queue.recv_many(batch, BATCH - batch.len()).await > 0 {} };
    // In time or not, what has come is in.
    let _ = tokio::time::timeout(GATHERING, expected_come).await;
}

/// The chain's end.
pub(in crate::audit) struct Chain {
    store: Store,
    clock: Clock,
    mac: Arc<Mac>,
    /// The head as this node wrote it last.
    known: Option<Head>,
}

impl Chain {
    pub(in crate::audit) fn new(store: Store, clock: Clock, mac: Arc<Mac>) -> Self {
        Self { store, clock, mac, known: None }
    }

    /// Appends the batch; gives the sequence number of its first record.
    async fn append(&mut self, batch: &[Waiting]) -> Result<i64, AuditError> {
        let new = match self.append_to_known(batch).await? {
            Some(head) => head,
            None => self.append_locked(batch).await?,
        };
        let last = self.known.insert(new).seq;
        Ok(last + 1 - i64::try_from(batch.len()).unwrap_or_default())
    }

    /// Appends a small batch if the head is still what it was when this node last wrote it, which saves the way there to see. `None`:
    /// another node has written since, or somebody has changed the head.
    async fn append_to_known(&mut self, batch: &[Waiting]) -> Result<Option<Head>, AuditError> {
        let Some(append) = sql::Append::of(batch.len()) else { return Ok(None) };
        // Unknown until the database says what became of it.
        let Some(old) = self.known.take() else { return Ok(None) };
        let (new, mut values) = old.chained(batch, self.clock.now());
        values.extend(new.to_values(&self.mac));
        values.extend(old.to_values(&self.mac));
        Ok(self.store.append(append, values).await?.then_some(new))
    }

    async fn append_locked(&mut self, batch: &[Waiting]) -> Result<Head, AuditError> {
        let mut tx = self.store.begin().await?;
        // Locks the head, so that nodes take turns.
        let row = tx.row(sql::HEAD_LOCK, &[]).await?.ok_or(AuditError::BadHead)?;
        let (mut head, now) = (Head::read(&row, &self.mac)?, self.clock.now());
        let mut rest = batch;
        while let Some((statement, rows)) = insert_for(rest.len()) {
            let (together, later) = rest.split_at(rows);
            let (new, values) = head.chained(together, now);
            tx.execute_owned(statement, values).await?;
            (head, rest) = (new, later);
        }
        tx.commit_with(sql::HEAD_SET, &head.to_values(&self.mac)).await?;
        Ok(head)
    }
}

impl Head {
    /// The head after these events, and the columns of their records.
    fn chained(&self, events: &[Waiting], now: Timestamp) -> (Self, Vec<Value>) {
        // With room for two heads.
        let mut values = Vec::with_capacity(events.len() * COLUMNS + 6);
        let mut head = Self { seq: self.seq, hash: self.hash.clone() };
        for waiting in events {
            let record = Record::unchained(&waiting.event, head.seq + 1, now);
            head = Self { seq: record.seq, hash: record.chain(&head.hash, &mut values).to_vec() };
        }
        (head, values)
    }
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

#[cfg(test)]
mod tests {
    use tokio::sync::{mpsc, oneshot};
    use tokio::time::{Duration, Instant};

    use super::{BATCH, GATHERING, Waiting, gather};
    use crate::domain::event::{Actor, AuditEvent, EventCode, Outcome};

    fn waiting() -> Waiting {
        let event = AuditEvent::new(EventCode::TokenIssued, Actor::System, Outcome::Success);
        Waiting { event, done: oneshot::channel().0 }
    }

    /// How many a batch of one becomes when `others` come after `later`, and how long it waited for them.
    async fn gathered(expected: usize, others: usize, later: Duration) -> (usize, Duration) {
        let (sender, mut queue) = mpsc::channel(2 * BATCH);
        tokio::spawn(async move {
            tokio::time::sleep(later).await;
            for _ in 0..others {
                sender.send(waiting()).await.unwrap();
            }
            std::future::pending::<()>().await;
        });
        let (mut batch, began) = (vec![waiting()], Instant::now());
        gather(&mut batch, &mut queue, expected).await;
        (batch.len(), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_for_as_many_as_the_last_one_had_and_no_longer_than_a_moment() {
        let at_once = Duration::ZERO;
        assert_eq!(gathered(1, 0, at_once).await, (1, at_once), "who records alone waits for nobody");
        assert_eq!(gathered(3, 2, at_once).await, (3, at_once), "all are there");
        assert_eq!(gathered(1, 2, at_once).await, (3, at_once), "more than there were are welcome");
        let (count, waited) = gathered(3, 1, at_once).await;
        assert_eq!(count, 2, "one of two came, and is not lost");
        assert!(waited >= GATHERING && waited < 3 * GATHERING, "it waited {waited:?}");
        let (count, waited) = gathered(3, 2, Duration::from_secs(1)).await;
        assert_eq!(count, 1, "they are late");
        assert!(waited >= GATHERING && waited < 3 * GATHERING, "it waited {waited:?}");
        assert_eq!(gathered(BATCH, 2 * BATCH, at_once).await, (BATCH, at_once), "a batch has an end");
    }
}
