//! The log as JSON lines, for another machine: every record is one line, and each checkpoint follows the record that it covers last.
//!
//! A line is `{"type":"event",...}` with the members of [`Record`], or `{"type":"checkpoint",...}` with those of [`Checkpoint`]. Control
//! characters and those that turn the reading direction are escaped, so that no line can look like two or like another (AU-04).

use serde::{Deserialize, Serialize};

use crate::audit::checkpoint::Checkpoint;
use crate::audit::record::{Record, is_unsafe};
use crate::audit::{Audit, AuditError, Filter};
use crate::store::sql;

/// One line of an export.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(in crate::audit) enum Line {
    /// A record.
    Event(Record),
    /// A signed head.
    Checkpoint(Checkpoint),
}

impl Line {
    pub(in crate::audit) fn to_text(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        // Such a character can only stand inside a string, where JSON takes an escape for it.
        let mut text = String::with_capacity(json.len() + 1);
        for c in json.chars() {
            if is_unsafe(c) {
                text.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
            } else {
                text.push(c);
            }
        }
        text.push('\n');
        text
    }
}

/// A piece of an export.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Whole lines.
    pub lines: String,
    /// The last record in it: where the next piece goes on.
    pub last_seq: i64,
}

impl Audit {
    /// The next piece of an export, or `None` at the end. Before the first one the head is signed, so that all of it is covered.
    pub async fn export(&self, after_seq: i64) -> Result<Option<Piece>, AuditError> {
        if after_seq == 0
            && let Err(error) = self.checkpoint().await
        {
            // A broken log must be exportable too: it is evidence.
            tracing::error!(%error, "the audit log's head could not be signed before the export");
        }
        let events = self.list(Filter { after_seq, limit: 500, ..Filter::default() }).await?;
        let Some(last_seq) = events.last().map(|event| event.seq) else { return Ok(None) };
        let range = [after_seq.into(), last_seq.into()];
        let rows = self.store.rows(sql::CHECKPOINT_LIST, &range).await?;
        let checkpoints = rows.iter().map(Checkpoint::from_row).collect::<Result<Vec<_>, _>>()?;
        let mut checkpoints = checkpoints.into_iter().peekable();
        let mut lines = String::new();
        for event in events {
            let seq = event.seq;
            lines.push_str(&Line::Event(event).to_text());
            while let Some(checkpoint) = checkpoints.next_if(|checkpoint| checkpoint.seq <= seq) {
                lines.push_str(&Line::Checkpoint(checkpoint).to_text());
            }
        }
        Ok(Some(Piece { lines, last_seq }))
    }
}
