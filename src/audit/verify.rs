//! Verifying the log where it lies: chain, head and checkpoints.

use crate::audit::checkpoint::Checkpoint;
use crate::audit::{Audit, AuditError, Filter, Head};
use crate::crypto::encoding::hex;
use crate::store::sql;

/// The whole chain is as we wrote it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Verification {
    /// How many records it holds.
    pub events: i64,
    /// The hash of the last record, in hexadecimal.
    pub head_hex: String,
    /// How many checkpoints it holds; all are good.
    pub checkpoints: usize,
    /// The last record that a checkpoint covers.
    pub covered: i64,
}

impl Audit {
    /// Walks the whole chain. Names the first record that is missing, changed or out of place.
    pub async fn verify(&self) -> Result<Verification, AuditError> {
        let row = self.store.row(sql::HEAD_GET, &[]).await?;
        let head = row.map(|row| Head::read(&row, &self.mac)).transpose();
        let until = match &head {
            Ok(Some(head)) => head.seq,
            Ok(None) | Err(AuditError::BadHead) => i64::MAX,
            Err(error) => return Err(error.clone()),
        };
        let mut walk = Verification { events: 0, head_hex: hex(&[0; 32]), checkpoints: 0, covered: 0 };
        let mut hash = vec![0; 32];
        'chain: loop {
            let filter = Filter { after_seq: walk.events, limit: 1000, ..Filter::default() };
            let page = self.list(filter).await?;
            let Some(last) = page.last() else { break };
            let mut checkpoints = self.checkpoints(walk.events, last.seq.min(until)).await?.into_iter().peekable();
            for record in &page {
                // Records newer than the head that was read belong to the next verification.
                if walk.events == until {
                    break 'chain;
                }
                let computed = record.computed_hash(&hash);
                if record.seq != walk.events + 1 || record.hash != hex(&computed) {
                    return Err(AuditError::Broken { first_bad_seq: walk.events + 1 });
                }
                walk.events = record.seq;
                walk.head_hex.clone_from(&record.hash);
                hash = computed.to_vec();
                while let Some(checkpoint) = checkpoints.next_if(|checkpoint| checkpoint.seq <= record.seq) {
                    let ours = self.public_key().is_none_or(|key| checkpoint.is_signed_by(key));
                    if !ours || checkpoint.seq != record.seq || checkpoint.hash != record.hash {
                        return Err(AuditError::BadCheckpoint { first_bad_seq: checkpoint.seq });
                    }
                    walk.checkpoints += 1;
                    walk.covered = checkpoint.seq;
                }
            }
        }
        let beyond = self.store.row(sql::CHECKPOINT_LAST, &[]).await?.map_or(Ok(0), |row| row.int(0))?;
        match head {
            Err(AuditError::BadHead) | Ok(None) if beyond > walk.events => {
                Err(AuditError::Broken { first_bad_seq: walk.events + 1 })
            }
            Err(AuditError::BadHead) | Ok(None) => Err(AuditError::HeadChanged { first_bad_seq: walk.covered + 1 }),
            Err(error) => Err(error),
            Ok(Some(head)) if walk.events < head.seq => Err(AuditError::Broken { first_bad_seq: walk.events + 1 }),
            Ok(Some(head)) if hash != head.hash => Err(AuditError::Broken { first_bad_seq: walk.events }),
            // An older head is ours too. A checkpoint beyond it tells of records that are gone, unless it was made just now.
            Ok(Some(head)) if beyond > head.seq && !self.has_moved(&head).await? => {
                Err(AuditError::Broken { first_bad_seq: head.seq + 1 })
            }
            Ok(Some(_)) => Ok(walk),
        }
    }

    async fn has_moved(&self, seen: &Head) -> Result<bool, AuditError> {
        let row = self.store.row(sql::HEAD_GET, &[]).await?.ok_or(AuditError::BadHead)?;
        Ok(Head::read(&row, &self.mac)?.seq > seen.seq)
    }

    async fn checkpoints(&self, after: i64, until: i64) -> Result<Vec<Checkpoint>, AuditError> {
        let rows = self.store.rows(sql::CHECKPOINT_LIST, &[after.into(), until.into()]).await?;
        rows.iter().map(|row| Checkpoint::from_row(row).map_err(AuditError::from)).collect()
    }
}
