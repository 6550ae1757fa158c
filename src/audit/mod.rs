//! The audit log: a hash chain whose head carries our MAC. An event is durable before anybody acts on it.

pub mod record;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::audit::record::Record;
use crate::crypto::encoding::hex;
use crate::crypto::hash::{Mac, framed};
use crate::domain::clock::Clock;
use crate::domain::event::{AuditEvent, EventCode};
use crate::domain::fault::{Classify, Fault};
use crate::domain::id::{ClientId, MailboxId, VerdictId};
use crate::domain::secret::{MacKey, Secret};
use crate::store::value::Value;
use crate::store::{Store, StoreError, Tx, sql};

/// The audit log cannot be written or is not what we wrote.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuditError {
    /// The store failed.
    #[error("audit store: {0}")]
    Store(Arc<StoreError>),
    /// The head of the chain is missing or does not carry our MAC.
    #[error("audit head is missing or was changed")]
    BadHead,
    /// The chain is broken from this record on.
    #[error("audit chain is broken: first bad record is {first_bad_seq}")]
    Broken {
        /// The first sequence number that is missing or wrong.
        first_bad_seq: i64,
    },
    /// The writer has ended.
    #[error("audit writer has stopped")]
    Stopped,
}

impl From<StoreError> for AuditError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl Classify for AuditError {
    fn fault(&self) -> Fault {
        match self {
            Self::Store(_) | Self::BadHead | Self::Broken { .. } | Self::Stopped => Fault::Unavailable,
        }
    }
}

/// Which records to list. The default is all, from the first.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only records after this one.
    pub after_seq: i64,
    /// How many at most; 0 means 100, and nobody gets more than 1,000.
    pub limit: u32,
    /// Only this code.
    pub code: Option<EventCode>,
    /// Only this client.
    pub client: Option<ClientId>,
    /// Only this mailbox.
    pub mailbox: Option<MailboxId>,
    /// Only this verdict.
    pub verdict: Option<VerdictId>,
}

/// The whole chain is as we wrote it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Verification {
    /// How many records it holds.
    pub events: i64,
    /// The hash of the last record, in hexadecimal.
    pub head_hex: String,
}

/// A handle to the audit log; cheap to clone.
#[derive(Clone, Debug)]
pub struct Audit {
    store: Store,
    mac: Arc<Mac>,
    queue: mpsc::Sender<writer::Waiting>,
}

impl Audit {
    /// Checks the head and starts the writer task, which ends with the last handle.
    pub async fn start(store: Store, clock: Clock, mac_key: &Secret<MacKey>) -> Result<Self, AuditError> {
        let mac = Arc::new(Mac::new(mac_key));
        let head = store.row(sql::HEAD_GET, &[]).await?.ok_or(AuditError::BadHead)?;
        Head::read(&head, &mac)?;
        let (queue, waiting) = mpsc::channel(1024);
        tokio::spawn(writer::run(store.clone(), clock, Arc::clone(&mac), waiting));
        Ok(Self { store, mac, queue })
    }

    /// Writes the head of an empty chain, once per installation.
    pub async fn create_head(tx: &mut Tx, mac_key: &Secret<MacKey>) -> Result<(), StoreError> {
        let head = Head { seq: 0, hash: vec![0; 32] };
        tx.execute(sql::HEAD_ADD, &head.to_values(&Mac::new(mac_key))).await.map(drop)
    }

    /// Records `event`; comes back with its sequence number once it is durable.
    pub async fn record(&self, event: AuditEvent) -> Result<i64, AuditError> {
        let (done, answer) = oneshot::channel();
        self.queue.send(writer::Waiting { event, done }).await.map_err(|_| AuditError::Stopped)?;
        answer.await.map_err(|_| AuditError::Stopped)?
    }

    /// Lists records in their order.
    pub async fn list(&self, filter: Filter) -> Result<Vec<Record>, AuditError> {
        let limit = if filter.limit == 0 { 100 } else { filter.limit.min(1000) };
        let rows = self
            .store
            .rows(
                sql::EVENT_LIST,
                &[
                    filter.after_seq.into(),
                    filter.code.map(EventCode::as_str).into(),
                    filter.client.as_ref().map(ClientId::as_str).into(),
                    filter.mailbox.as_ref().map(MailboxId::as_str).into(),
                    filter.verdict.as_ref().map(VerdictId::as_str).into(),
                    i64::from(limit).into(),
                ],
            )
            .await?;
        rows.iter().map(|row| Record::from_row(row).map_err(AuditError::from)).collect()
    }

    /// The record that tells of a verdict.
    pub async fn find_verdict(&self, verdict: &VerdictId) -> Result<Option<Record>, AuditError> {
        let filter = Filter { verdict: Some(verdict.clone()), limit: 1, ..Filter::default() };
        Ok(self.list(filter).await?.into_iter().next())
    }

    /// Walks the whole chain. Names the first record that is missing, changed or out of place.
    pub async fn verify(&self) -> Result<Verification, AuditError> {
        let head = self.store.row(sql::HEAD_GET, &[]).await?.ok_or(AuditError::BadHead)?;
        let head = Head::read(&head, &self.mac)?;
        let (mut seq, mut hash) = (0, vec![0; 32]);
        while seq < head.seq {
            let page = self.list(Filter { after_seq: seq, limit: 1000, ..Filter::default() }).await?;
            if page.is_empty() {
                return Err(AuditError::Broken { first_bad_seq: seq + 1 });
            }
            for record in &page {
                // Records newer than the head that was read belong to the next verification.
                if seq == head.seq {
                    break;
                }
                let computed = record.computed_hash(&hash);
                if record.seq != seq + 1 || record.hash != hex(&computed) {
                    return Err(AuditError::Broken { first_bad_seq: seq + 1 });
                }
                seq = record.seq;
                hash = computed.to_vec();
            }
        }
        if hash == head.hash {
            Ok(Verification { events: seq, head_hex: hex(&hash) })
        } else {
            Err(AuditError::Broken { first_bad_seq: seq })
        }
    }
}

/// The last record's place and hash, under our MAC: without it a cut-off tail would go unseen.
pub(in crate::audit) struct Head {
    seq: i64,
    hash: Vec<u8>,
}

impl Head {
    fn framed(&self) -> Vec<u8> {
        framed(&[b"audit_head", &self.seq.to_be_bytes(), &self.hash])
    }

    fn read(row: &crate::store::value::Row, mac: &Mac) -> Result<Self, AuditError> {
        let head = Self { seq: row.int(0)?, hash: row.blob(1)? };
        if mac.verify(&head.framed(), &row.blob(2)?) { Ok(head) } else { Err(AuditError::BadHead) }
    }

    fn to_values(&self, mac: &Mac) -> Vec<Value> {
        vec![self.seq.into(), self.hash.as_slice().into(), mac.sign(&self.framed()).as_slice().into()]
    }
}
