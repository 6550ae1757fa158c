//! Verifying an export with nothing but the public key: no database, no server, none of our secrets (AU-08).

use std::io::{self, BufRead, Read};

use crate::audit::checkpoint::Checkpoint;
use crate::audit::export::Line;
use crate::audit::record::Record;
use crate::crypto::encoding::hex;

/// Longest line that is read. Our own are far shorter.
const MAX_LINE: u64 = 1024 * 1024;

/// The export is not, or not all of, what the holder of the key wrote.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The file cannot be read.
    #[error("the export cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// A line is neither a record nor a checkpoint.
    #[error("line {line} is neither a record nor a checkpoint; first bad record is {first_bad_seq}")]
    NotALine {
        /// The line, from 1.
        line: u64,
        /// The record that should stand there.
        first_bad_seq: i64,
    },
    /// A record was changed, removed, put in, or moved.
    #[error("the chain is broken: first bad record is {first_bad_seq}")]
    Broken {
        /// The first record that is missing or wrong.
        first_bad_seq: i64,
    },
    /// A checkpoint is not signed with this key.
    #[error(
        "the checkpoint at record {seq} is not signed with this key: all was replaced, or this is another \
        installation's key; first bad record is {first_bad_seq}"
    )]
    WrongKey {
        /// The checkpoint's place.
        seq: i64,
        /// The first record that no good checkpoint covers.
        first_bad_seq: i64,
    },
    /// A checkpoint is good, but what stands before it is not what it covers.
    #[error(
        "the records before the checkpoint at {seq} were rewritten: first bad record is {first_bad_seq} or after it"
    )]
    Rewritten {
        /// The checkpoint's place.
        seq: i64,
        /// The first record that no good checkpoint covers.
        first_bad_seq: i64,
    },
    /// The end is missing: an export ends with a checkpoint.
    #[error("the export's end is missing: record {first_bad_seq} is not covered by a checkpoint or is not there")]
    CutOff {
        /// The first record that is missing or that no checkpoint covers.
        first_bad_seq: i64,
    },
}

impl ExportError {
    /// The first record that is missing, wrong or not vouched for.
    pub fn first_bad_seq(&self) -> Option<i64> {
        match self {
            Self::Unreadable(_) => None,
            Self::NotALine { first_bad_seq, .. }
            | Self::Broken { first_bad_seq }
            | Self::WrongKey { first_bad_seq, .. }
            | Self::Rewritten { first_bad_seq, .. }
            | Self::CutOff { first_bad_seq } => Some(*first_bad_seq),
        }
    }
}

/// The export is whole as far as its last checkpoint, which is its end.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct VerifiedExport {
    /// How many records it holds.
    pub events: i64,
    /// How many good checkpoints it holds.
    pub checkpoints: u64,
    /// When the last one was signed (RFC 3339).
    pub signed_at: String,
    /// The hash of the last record, in hexadecimal.
    pub head: String,
}

/// Reads an export from its first line to its last. `expect_seq` is a place that the log is known to have reached: an older copy,
/// which is whole in itself, is then found to be cut off.
pub fn verify(
    mut export: impl BufRead,
    public_key: &[u8],
    expect_seq: Option<i64>,
) -> Result<VerifiedExport, ExportError> {
    let mut walk = Walk { public_key, seq: 0, hash: vec![0; 32], covered: 0, checkpoints: 0, signed_at: String::new() };
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        if export.by_ref().take(MAX_LINE).read_until(b'\n', &mut text)? == 0 {
            break;
        }
        match serde_json::from_slice(&text) {
            Ok(Line::Event(record)) => walk.event(&record)?,
            Ok(Line::Checkpoint(checkpoint)) => walk.checkpoint(checkpoint)?,
            Err(_) => return Err(ExportError::NotALine { line, first_bad_seq: walk.seq + 1 }),
        }
    }
    if walk.seq == 0 || walk.covered < walk.seq {
        return Err(ExportError::CutOff { first_bad_seq: walk.covered + 1 });
    }
    if expect_seq.is_some_and(|expected| walk.seq < expected) {
        return Err(ExportError::CutOff { first_bad_seq: walk.seq + 1 });
    }
    Ok(VerifiedExport {
        events: walk.seq,
        checkpoints: walk.checkpoints,
        signed_at: walk.signed_at,
        head: hex(&walk.hash),
    })
}

struct Walk<'a> {
    public_key: &'a [u8],
    seq: i64,
    hash: Vec<u8>,
    covered: i64,
    checkpoints: u64,
    signed_at: String,
}

impl Walk<'_> {
    fn event(&mut self, record: &Record) -> Result<(), ExportError> {
        let computed = record.computed_hash(&self.hash);
        if record.seq != self.seq + 1 || record.hash != hex(&computed) {
            return Err(ExportError::Broken { first_bad_seq: self.seq + 1 });
        }
        self.seq = record.seq;
        self.hash = computed.to_vec();
        Ok(())
    }

    fn checkpoint(&mut self, checkpoint: Checkpoint) -> Result<(), ExportError> {
        let (seq, first_bad_seq) = (checkpoint.seq, self.covered + 1);
        if !checkpoint.is_signed_by(self.public_key) {
            return Err(ExportError::WrongKey { seq, first_bad_seq });
        }
        if seq > self.seq {
            return Err(ExportError::Broken { first_bad_seq: self.seq + 1 });
        }
        if seq != self.seq || checkpoint.hash != hex(&self.hash) {
            return Err(ExportError::Rewritten { seq, first_bad_seq });
        }
        self.covered = seq;
        self.checkpoints += 1;
        self.signed_at = checkpoint.at;
        Ok(())
    }
}
