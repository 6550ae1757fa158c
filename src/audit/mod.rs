//! The audit log: a hash chain whose head carries our MAC, signed from time to time. An event is durable before anybody acts on it.

pub mod checkpoint;
mod export;
pub mod offline;
pub mod record;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

pub use export::Piece;
pub use verify::Verification;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::audit::checkpoint::Checkpointer;
use crate::audit::record::Record;
use crate::crypto::hash::{Mac, framed};
use crate::crypto::sign::Signer;
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
    /// The head is missing or does not carry our MAC, so nobody vouches for what stands after the last checkpoint.
    #[error("audit head is missing or was changed: first bad record is {first_bad_seq} or after it")]
    HeadChanged {
        /// The first record that neither head nor checkpoint vouches for.
        first_bad_seq: i64,
    },
    /// A checkpoint does not carry our signature, or is not of the record at its place.
    #[error("audit checkpoint at record {first_bad_seq} is not ours: first bad record is {first_bad_seq}")]
    BadCheckpoint {
        /// The checkpoint's place.
        first_bad_seq: i64,
    },
    /// A checkpoint cannot be signed.
    #[error("audit checkpoint could not be signed")]
    NotSigned,
    /// The writer has ended.
    #[error("audit writer has stopped")]
    Stopped,
}

impl AuditError {
    /// The first record that is missing, wrong or not vouched for, when verification found one.
    pub fn first_bad_seq(&self) -> Option<i64> {
        match self {
            Self::Broken { first_bad_seq }
            | Self::HeadChanged { first_bad_seq }
            | Self::BadCheckpoint { first_bad_seq } => Some(*first_bad_seq),
            Self::Store(_) | Self::BadHead | Self::NotSigned | Self::Stopped => None,
        }
    }
}

impl From<StoreError> for AuditError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl Classify for AuditError {
    fn fault(&self) -> Fault {
        match self {
            Self::Store(_) | Self::BadHead | Self::NotSigned | Self::Stopped => Fault::Unavailable,
            Self::Broken { .. } | Self::HeadChanged { .. } | Self::BadCheckpoint { .. } => Fault::Conflict,
        }
    }

    fn public(&self) -> String {
        if self.first_bad_seq().is_some() { self.to_string() } else { self.fault().public().to_owned() }
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

/// A handle to the audit log; cheap to clone.
#[derive(Clone, Debug)]
pub struct Audit {
    store: Store,
    clock: Clock,
    mac: Arc<Mac>,
    queue: mpsc::Sender<writer::Waiting>,
    written: watch::Receiver<i64>,
    checkpointer: Option<Checkpointer>,
}

impl Audit {
    /// Checks the head and starts the writer task, which ends with the last handle.
    pub async fn start(store: Store, clock: Clock, mac_key: &Secret<MacKey>) -> Result<Self, AuditError> {
        let mac = Arc::new(Mac::new(mac_key));
        let head = store.row(sql::HEAD_GET, &[]).await?.ok_or(AuditError::BadHead)?;
        Head::read(&head, &mac)?;
        let (queue, waiting) = mpsc::channel(1024);
        let (progress, written) = watch::channel(0);
        let chain = writer::Chain::new(store.clone(), clock.clone(), Arc::clone(&mac));
        tokio::spawn(writer::run(chain, waiting, progress));
        Ok(Self { store, clock, mac, queue, written, checkpointer: None })
    }

    /// Has the head signed from now on: every 1,000 records, every minute in which there were any, and on [`Audit::checkpoint`].
    #[must_use]
    pub fn with_checkpoints(self, signer: Signer) -> Self {
        let audit = self.with_signer(signer);
        if let Some(checkpointer) = audit.checkpointer.clone() {
            tokio::spawn(checkpointer.run(audit.written.clone()));
        }
        audit
    }

    pub(in crate::audit) fn with_signer(mut self, signer: Signer) -> Self {
        let (store, clock, mac) = (self.store.clone(), self.clock.clone(), Arc::clone(&self.mac));
        self.checkpointer = Some(Checkpointer { store, clock, mac, signer: Arc::new(signer) });
        self
    }

    /// Signs the present head.
    pub async fn checkpoint(&self) -> Result<(), AuditError> {
        match &self.checkpointer {
            Some(checkpointer) => checkpointer.sign_head().await.map(drop),
            None => Ok(()),
        }
    }

    /// The public half of the checkpoint key: 32 octets (Ed25519).
    pub fn public_key(&self) -> Option<&[u8]> {
        self.checkpointer.as_ref().map(|checkpointer| checkpointer.signer.public_key())
    }

    /// Writes the head of an empty chain, once per installation.
    pub async fn create_head(tx: &mut Tx, mac_key: &Secret<MacKey>) -> Result<(), StoreError> {
        let head = Head { seq: 0, hash: vec![0; 32] };
        tx.execute(sql::HEAD_ADD, &head.to_values(&Mac::new(mac_key))).await.map(drop)
    }

    /// Records `event`; comes back with its sequence number once it is durable.
    pub async fn record(&self, event: AuditEvent) -> Result<i64, AuditError> {
        self.begin(event).await?.durable().await
    }

    /// Hands `event` to the writer. What it tells of may be prepared meanwhile, and must not take effect before it is durable.
    pub async fn begin(&self, event: AuditEvent) -> Result<Recording, AuditError> {
        let (done, answer) = oneshot::channel();
        self.queue.send(writer::Waiting { event, done }).await.map_err(|_| AuditError::Stopped)?;
        Ok(Recording(answer))
    }

    /// Lists records in their order.
    pub async fn list(&self, filter: Filter) -> Result<Vec<Record>, AuditError> {
        let limit = if filter.limit == 0 { 100 } else { filter.limit.min(1000) };
        let statement = match &filter {
            Filter { verdict: Some(_), .. } => sql::EVENT_LIST_OF_VERDICT,
            Filter { mailbox: Some(_), .. } => sql::EVENT_LIST_OF_MAILBOX,
            Filter { client: Some(_), .. } => sql::EVENT_LIST_OF_CLIENT,
            _ => sql::EVENT_LIST,
        };
        let args = [
            filter.after_seq.into(),
            filter.code.map(EventCode::as_str).into(),
            filter.client.as_ref().map(ClientId::as_str).into(),
            filter.mailbox.as_ref().map(MailboxId::as_str).into(),
            filter.verdict.as_ref().map(VerdictId::as_str).into(),
            i64::from(limit).into(),
        ];
        let rows = self.store.rows(statement, &args).await?;
        rows.iter().map(|row| Record::from_row(row).map_err(AuditError::from)).collect()
    }

    /// Records of mail that was read, added or sent whose details hold `word`, `most` of them. `%` and `_` in it stand for more.
    pub async fn mentions(
        &self,
        after_seq: i64,
        mailbox: Option<&str>,
        word: &str,
        most: u32,
    ) -> Result<Vec<Record>, AuditError> {
        let pattern = format!("%{word}%");
        let args = [after_seq.into(), mailbox.into(), pattern.as_str().into(), i64::from(most).into()];
        let rows = self.store.rows(sql::EVENT_MENTIONS, &args).await?;
        rows.iter().map(|row| Record::from_row(row).map_err(AuditError::from)).collect()
    }

    /// The numbers of such records, `most` of them: those with a word that begins with `start`.
    pub async fn mentioned(
        &self,
        after_seq: i64,
        mailbox: Option<&str>,
        start: &str,
        most: u32,
    ) -> Result<Vec<i64>, AuditError> {
        // Words stand behind spaces, the first one behind the quote that begins the list.
        let (later, first) = (format!("% {start}%"), format!("%\"{start}%"));
        let args =
            [after_seq.into(), mailbox.into(), later.as_str().into(), first.as_str().into(), i64::from(most).into()];
        let rows = self.store.rows(sql::EVENT_MENTIONED, &args).await?;
        rows.iter().map(|row| row.int(0).map_err(AuditError::from)).collect()
    }

    /// The record with this number.
    pub async fn find(&self, seq: i64) -> Result<Option<Record>, AuditError> {
        let filter = Filter { after_seq: seq - 1, limit: 1, ..Filter::default() };
        Ok(self.list(filter).await?.into_iter().find(|record| record.seq == seq))
    }

    /// The record that tells of a verdict.
    pub async fn find_verdict(&self, verdict: &VerdictId) -> Result<Option<Record>, AuditError> {
        let filter = Filter { verdict: Some(verdict.clone()), limit: 1, ..Filter::default() };
        Ok(self.list(filter).await?.into_iter().next())
    }
}

/// An event on its way to the disk.
#[derive(Debug)]
#[must_use = "nothing may take effect before its event is durable"]
pub struct Recording(oneshot::Receiver<Result<i64, AuditError>>);

impl Recording {
    /// Comes back with the event's sequence number once it is durable.
    pub async fn durable(self) -> Result<i64, AuditError> {
        self.0.await.map_err(|_| AuditError::Stopped)?
    }
}

/// The last record's place and hash, under our MAC: without it a cut-off tail would go unseen.
pub(in crate::audit) struct Head {
    pub(in crate::audit) seq: i64,
    pub(in crate::audit) hash: Vec<u8>,
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
