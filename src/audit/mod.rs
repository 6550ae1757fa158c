//! The audit log: a hash chain, durable before the effect it speaks of.
//!
//! Events that wait at the same time are written in one transaction (group commit), so that durability costs one flush for all of
//! them. `hash(n) = SHA-256(framed(hash(n-1), n, body(n)))`; the head carries a MAC, so that a cut tail is seen.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::crypto::encoding::hex;
use crate::crypto::hash::{Mac, framed, sha256};
use crate::domain::clock::Clock;
use crate::domain::event::AuditEvent;
use crate::domain::fault::{Classify, Fault};
use crate::domain::id::VerdictId;
use crate::store::audit::{HeadRow, NewEvent};
use crate::store::{Store, StoreError};

/// Most events in one transaction.
const MAX_GROUP: usize = 256;
/// Most events that may wait; further ones make their callers wait.
const QUEUE: usize = 4096;

/// The audit log; cheap to clone.
#[derive(Clone, Debug)]
pub struct Audit {
    queue: mpsc::Sender<Waiting>,
    store: Store,
    mac: std::sync::Arc<Mac>,
    clock: Clock,
}

type Answer = oneshot::Sender<Result<i64, AuditError>>;
type Waiting = (NewEvent, Answer);

/// Why an event was not recorded, or the log does not verify.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// It could not be made durable: the operation it stands for must not go on.
    #[error("audit event could not be written")]
    NotWritten,
    /// The log cannot be read.
    #[error("audit log cannot be read: {0}")]
    Store(#[from] StoreError),
    /// The chain is broken: from this event on nothing is proven.
    #[error("audit chain is broken at event {seq}: {reason}")]
    Broken {
        /// The first bad event.
        seq: i64,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Classify for AuditError {
    fn fault(&self) -> Fault {
        match self {
            Self::NotWritten | Self::Store(_) => Fault::Unavailable,
            Self::Broken { .. } => Fault::Conflict,
        }
    }

    fn public(&self) -> String {
        match self {
            Self::Broken { .. } => self.to_string(),
            _ => self.fault().public().to_owned(),
        }
    }
}

/// A recorded event.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// Its number.
    pub seq: i64,
    /// What happened, when, to whom.
    #[serde(flatten)]
    pub event: Body,
    /// The chain's hash up to here, in hexadecimal.
    pub hash: String,
}

/// An event in its stored form.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Body {
    /// When, RFC 3339.
    pub at: String,
    /// What.
    pub code: String,
    /// Who.
    pub actor: String,
    /// How it ended.
    pub outcome: String,
    /// The client concerned.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_id: Option<String>,
    /// The mailbox concerned.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mailbox_id: Option<String>,
    /// The grant concerned.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub grant_id: Option<String>,
    /// The session it happened in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub session_id: Option<String>,
    /// The HTTP request it happened in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<String>,
    /// The verdict it tells of.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub verdict_id: Option<String>,
    /// Where the request came from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<IpAddr>,
    /// Further facts.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty", default)]
    pub detail: std::collections::BTreeMap<String, String>,
}

/// What a whole chain amounts to.
#[derive(Clone, Debug, Serialize)]
pub struct Verification {
    /// How many events there are.
    pub events: i64,
    /// The last event's hash, in hexadecimal. Kept elsewhere, it proves later that nothing before it was changed.
    pub head: String,
}

impl Audit {
    /// Starts the writer.
    pub async fn start(store: &Store, mac: Mac, clock: Clock) -> Result<Self, AuditError> {
        let mac = std::sync::Arc::new(mac);
        let origin = sha256(b"mailwarden audit chain 1").to_vec();
        store.start_chain(&origin, &head_mac(&mac, 0, &origin)).await?;
        let (queue, waiting) = mpsc::channel(QUEUE);
        #[expect(clippy::disallowed_methods, reason = "the writer lives as long as any handle: it ends when the queue closes")]
        tokio::spawn(write(store.clone(), std::sync::Arc::clone(&mac), waiting));
        Ok(Self { queue, store: store.clone(), mac, clock })
    }

    /// Records an event. When this returns it is durable; when it fails, what it stands for must not be done (AU-01).
    pub async fn record(&self, event: AuditEvent) -> Result<i64, AuditError> {
        let body = Body {
            at: self.clock.now().to_rfc3339(),
            code: event.code.as_str().to_owned(),
            actor: event.actor.as_text().to_owned(),
            outcome: event.outcome.as_str().to_owned(),
            client_id: event.client_id.as_ref().map(ToString::to_string),
            mailbox_id: event.mailbox_id.as_ref().map(ToString::to_string),
            grant_id: event.grant_id.as_ref().map(ToString::to_string),
            session_id: event.session_id.as_ref().map(ToString::to_string),
            request_id: event.request_id.as_ref().map(ToString::to_string),
            verdict_id: event.verdict_id.as_ref().map(ToString::to_string),
            source: event.source,
            detail: event.detail.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        };
        let row = NewEvent {
            code: event.code.as_str(),
            client_id: body.client_id.clone(),
            mailbox_id: body.mailbox_id.clone(),
            verdict_id: body.verdict_id.clone(),
            body: serde_json::to_string(&body).map_err(|_| AuditError::NotWritten)?,
        };
        let (answer, answered) = oneshot::channel();
        self.queue.send((row, answer)).await.map_err(|_| AuditError::NotWritten)?;
        answered.await.map_err(|_| AuditError::NotWritten)?
    }

    /// The newest `limit` events, oldest of them first; or those after `after`.
    pub async fn list(&self, after: Option<i64>, limit: i64) -> Result<Vec<Record>, AuditError> {
        let rows = match after {
            Some(after) => self.store.page(after, limit).await?,
            None => {
                let mut rows = self.store.tail(limit).await?;
                rows.reverse();
                rows
            }
        };
        rows.iter().map(|row| record(row.seq, &row.body, &row.hash)).collect()
    }

    /// The event that tells of a verdict.
    pub async fn find_verdict(&self, id: &VerdictId) -> Result<Option<Record>, AuditError> {
        let row = self.store.verdict(id.as_str()).await?;
        row.map(|row| record(row.seq, &row.body, &row.hash)).transpose()
    }

    /// Walks the whole chain. Names the first event that was changed, removed, put in or moved; a cut tail shows at the head.
    pub async fn verify(&self) -> Result<Verification, AuditError> {
        let head = self.store.head().await?;
        if !self.mac.verify(&framed(&[b"audit head", &head.seq.to_be_bytes(), &head.hash]), &head.mac) {
            return Err(AuditError::Broken { seq: head.seq, reason: "the head was not written by this installation" });
        }
        let mut hash = sha256(b"mailwarden audit chain 1").to_vec();
        let mut seq = 0;
        while seq < head.seq {
            let page = self.store.page(seq, 1000).await?;
            if page.is_empty() {
                return Err(AuditError::Broken { seq: seq + 1, reason: "missing" });
            }
            for row in page.iter().take_while(|row| row.seq <= head.seq) {
                if row.seq != seq + 1 {
                    return Err(AuditError::Broken { seq: seq + 1, reason: "missing" });
                }
                seq = row.seq;
                hash = link(&hash, seq, &row.body);
                if hash != row.hash {
                    return Err(AuditError::Broken { seq, reason: "changed" });
                }
            }
        }
        if hash != head.hash {
            return Err(AuditError::Broken { seq, reason: "does not lead to the head" });
        }
        if !self.store.page(self.store.head().await?.seq, 1).await?.is_empty() {
            return Err(AuditError::Broken { seq: head.seq + 1, reason: "put in after the head" });
        }
        Ok(Verification { events: head.seq, head: hex(&head.hash) })
    }
}

fn link(previous: &[u8], seq: i64, body: &str) -> Vec<u8> {
    sha256(&framed(&[previous, &seq.to_be_bytes(), body.as_bytes()])).to_vec()
}

fn head_mac(mac: &Mac, seq: i64, hash: &[u8]) -> Vec<u8> {
    mac.sign(&framed(&[b"audit head", &seq.to_be_bytes(), hash])).to_vec()
}

fn record(seq: i64, body: &str, hash: &[u8]) -> Result<Record, AuditError> {
    let event = serde_json::from_str(body).map_err(|_| AuditError::Broken { seq, reason: "unreadable" })?;
    Ok(Record { seq, event, hash: hex(hash) })
}

/// The writer: takes all that waits, writes it in one transaction, tells everybody.
async fn write(store: Store, mac: std::sync::Arc<Mac>, mut waiting: mpsc::Receiver<Waiting>) {
    let mut group = Vec::with_capacity(MAX_GROUP);
    while waiting.recv_many(&mut group, MAX_GROUP).await > 0 {
        let (events, answers): (Vec<NewEvent>, Vec<Answer>) = group.drain(..).unzip();
        let written = store.append(|head| Some(chain(&mac, head, events))).await;
        match written {
            Ok(first) => {
                for (seq, answer) in (first..).zip(answers) {
                    // The caller may have gone; its event stands all the same.
                    let _ = answer.send(Ok(seq));
                }
            }
            Err(error) => {
                tracing::error!(%error, "audit events could not be written");
                for answer in answers {
                    let _ = answer.send(Err(AuditError::NotWritten));
                }
            }
        }
    }
}

fn chain(mac: &Mac, head: &HeadRow, events: Vec<NewEvent>) -> (Vec<(i64, NewEvent, Vec<u8>)>, HeadRow) {
    let (mut seq, mut hash) = (head.seq, head.hash.clone());
    let mut linked = Vec::with_capacity(events.len());
    for event in events {
        seq += 1;
        hash = link(&hash, seq, &event.body);
        linked.push((seq, event, hash.clone()));
    }
    let mac = head_mac(mac, seq, &hash);
    (linked, HeadRow { seq, hash, mac })
}
