//! What a session does to mail, recorded as IMAP's is: what was read waits for a record of many, a second at most; what is removed is
//! durably recorded first.

use tokio::time::sleep_until;

use crate::domain::event::{AuditEvent, EventCode, Outcome};
use crate::gateway::pop3::maildrop::Maildrop;
use crate::gateway::pop3::session::{Desk, next_line};
use crate::gateway::pop3::{End, refusal_reply};

impl Desk {
    /// The next line of the tool. What was read is recorded meanwhile, when its time comes.
    pub(super) async fn line(&mut self) -> Result<Vec<u8>, End> {
        if let Some(due) = self.reads.due() {
            tokio::select! {
                line = next_line(&mut self.client) => return line,
                () = sleep_until(due) => self.record_reads().await?,
            }
        }
        next_line(&mut self.client).await
    }

    /// Comes back when what was read is durably recorded.
    pub(super) async fn record_reads(&mut self) -> Result<(), End> {
        let Some(event) = self.reads.event(&self.gatekeeper, &self.session) else { return Ok(()) };
        self.gatekeeper.record(event).await.map_err(|refusal| End::Say(refusal_reply(&refusal)))
    }

    /// The record that the messages with these UIDs are removed.
    pub(super) fn removed(&self, maildrop: &Maildrop, uids: &str, outcome: Outcome) -> AuditEvent {
        self.gatekeeper
            .session_event(&self.session.info, EventCode::MessagesChanged, outcome)
            .detail("command", "DELE")
            .detail("folder", "INBOX")
            .detail("uidvalidity", maildrop.validity.to_string())
            .list("uids", &[uids.to_owned()])
    }
}
