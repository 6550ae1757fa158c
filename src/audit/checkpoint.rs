//! Checkpoints: from time to time the head of the chain is signed, so that a stranger who has the public key, and neither our keys nor
//! our database, can tell whether an exported log is the one that we wrote.
//!
//! The signed text is these six lines in UTF-8, each ended by one LF, with nothing before, between or after them:
//!
//! ```text
//! mailwarden audit checkpoint v1
//! seq: 1234
//! hash: <64 lower-case hexadecimal digits>
//! at: 2026-11-24T08:00:00.000Z
//! kid: <16 lower-case hexadecimal digits>
//! end
//! ```
//!
//! `seq` is the place of the last record that the checkpoint covers, `hash` that record's hash, `at` the time of signing in UTC with
//! milliseconds, and `kid` the first 8 octets of the SHA-256 of the public key. The signature is Ed25519 (RFC 8032) over that text.
//! No value can hold a line end, so no two checkpoints have the same text.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::audit::{AuditError, Head};
use crate::crypto::encoding::{base64url, from_base64url, from_hex, hex};
use crate::crypto::hash::Mac;
use crate::crypto::sign::{self, Signer, key_name};
use crate::domain::client::TokenAlg;
use crate::domain::clock::{Clock, Timestamp};
use crate::store::value::Row;
use crate::store::{Store, StoreError, sql};

/// So many records after the last checkpoint the next one is made, without waiting for its time.
const EVERY_EVENTS: i64 = 1000;
/// As long as there are new records, one is made this often.
const EVERY: Duration = Duration::from_secs(60);

/// One signed head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The last record that it covers.
    pub seq: i64,
    /// That record's hash, in hexadecimal.
    pub hash: String,
    /// When it was signed (RFC 3339).
    pub at: String,
    /// The name of the key.
    pub kid: String,
    /// Ed25519 over [the text](self), in base64url.
    pub signature: String,
}

impl Checkpoint {
    fn signed(seq: i64, hash: &[u8], at: Timestamp, signer: &Signer) -> Result<Self, AuditError> {
        let kid = key_name(signer.public_key());
        let mut checkpoint = Self { seq, hash: hex(hash), at: at.to_rfc3339(), kid, signature: String::new() };
        let signature = signer.sign(checkpoint.text().as_bytes()).map_err(|_| AuditError::NotSigned)?;
        checkpoint.signature = base64url(&signature);
        Ok(checkpoint)
    }

    /// The text that is signed.
    pub fn text(&self) -> String {
        let Self { seq, hash, at, kid, .. } = self;
        format!("mailwarden audit checkpoint v1\nseq: {seq}\nhash: {hash}\nat: {at}\nkid: {kid}\nend\n")
    }

    /// Whether the holder of `public_key` signed it.
    pub fn is_signed_by(&self, public_key: &[u8]) -> bool {
        let is_plain = [&self.hash, &self.at, &self.kid].into_iter().all(|text| !text.contains(char::is_control));
        is_plain
            && from_base64url(&self.signature)
                .is_some_and(|signature| sign::verify(TokenAlg::EdDsa, public_key, self.text().as_bytes(), &signature))
    }

    pub(in crate::audit) fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            seq: row.int(0)?,
            hash: hex(&row.blob(1)?),
            at: Timestamp(row.int(2)?).to_rfc3339(),
            kid: row.text(3)?,
            signature: base64url(&row.blob(4)?),
        })
    }
}

/// Signs heads. It holds no handle to the log, so that the log can end.
#[derive(Clone, Debug)]
pub(in crate::audit) struct Checkpointer {
    pub(in crate::audit) store: Store,
    pub(in crate::audit) clock: Clock,
    pub(in crate::audit) mac: Arc<Mac>,
    pub(in crate::audit) signer: Arc<Signer>,
}

impl Checkpointer {
    /// Signs the present head, unless it is signed already; gives the last covered place.
    pub(in crate::audit) async fn sign_head(&self) -> Result<i64, AuditError> {
        let row = self.store.row(sql::HEAD_GET, &[]).await?.ok_or(AuditError::BadHead)?;
        let head = Head::read(&row, &self.mac)?;
        let last = self.store.row(sql::CHECKPOINT_LAST, &[]).await?.map_or(Ok(0), |row| row.int(0))?;
        if head.seq <= last {
            return Ok(last);
        }
        let at = self.clock.now();
        let checkpoint = Checkpoint::signed(head.seq, &head.hash, at, &self.signer)?;
        let signature = from_base64url(&checkpoint.signature).unwrap_or_default();
        let hash = from_hex(&checkpoint.hash).unwrap_or_default();
        let row = [
            checkpoint.seq.into(),
            hash.as_slice().into(),
            at.0.into(),
            checkpoint.kid.as_str().into(),
            signature.as_slice().into(),
        ];
        let mut tx = self.store.begin().await?;
        tx.execute(sql::CHECKPOINT_ADD, &row).await?;
        tx.commit().await?;
        Ok(head.seq)
    }

    /// Signs at once, then whenever enough records or enough time have come together. Ends with the writer.
    pub(in crate::audit) async fn run(self, mut written: watch::Receiver<i64>) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut covered = 0;
        loop {
            tokio::select! {
                _ = tick.tick() => (),
                enough = written.wait_for(|seq| *seq >= covered + EVERY_EVENTS) => if enough.is_err() { return },
            }
            match self.sign_head().await {
                Ok(seq) => covered = seq,
                Err(error) => {
                    tracing::error!(%error, "the audit log's head could not be signed");
                    // Try again when the time has come, not with each record.
                    covered = *written.borrow();
                }
            }
        }
    }
}
