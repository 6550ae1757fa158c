//! What a session does to mail, recorded. A change is begun while the upstream works and durable before the tool hears that it is
//! done; what is read waits for a record of many, a second at most.

use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::fetch::{MacroOrMessageDataItemNames, MessageDataItemName};
use imap_codec::imap_types::mailbox::Mailbox;
use imap_codec::imap_types::sequence::{SeqOrUid, Sequence, SequenceSet};

use crate::domain::event::{AuditEvent, EventCode, MAX_LIST, Outcome};
use crate::gateway::imap::End;
use crate::gateway::imap::session::Desk;
use crate::protocol::imap::command::{mailbox_name, name};
use crate::protocol::imap::content;
use crate::protocol::imap::veil::Hidden;

impl Desk {
    /// Begins the record of a command that changes something, and takes note of others. Gives the record, which may be several events.
    pub(super) async fn note(&mut self, body: &CommandBody<'_>) -> Result<Vec<AuditEvent>, End> {
        if matches!(body, CommandBody::Search { .. } | CommandBody::Sort { .. } | CommandBody::Thread { .. }) {
            self.reads.searched();
        }
        let events = self.events_of(body);
        for event in &events {
            self.begin(event.clone()).await?;
        }
        Ok(events)
    }

    /// The upstream refused what was recorded.
    pub(super) async fn failed(&mut self, events: Vec<AuditEvent>) -> Result<(), End> {
        for event in events {
            self.begin(AuditEvent { outcome: Outcome::Failure, ..event }).await?;
        }
        Ok(())
    }

    pub(super) async fn begin(&mut self, event: AuditEvent) -> Result<(), End> {
        let recording = self.gatekeeper.begin(event).await?;
        self.pending.push(recording);
        Ok(())
    }

    fn events_of(&self, body: &CommandBody<'_>) -> Vec<AuditEvent> {
        let event = |code| {
            let event = self.gatekeeper.session_event(&self.session.info, code, Outcome::Success);
            event.detail("command", name(body))
        };
        let here = |event: AuditEvent| self.reads.with_validity(event.detail("folder", self.reads.folder()));
        let on = |event: AuditEvent, set: &SequenceSet, uid: bool| {
            here(event).spread(if uid { "uids" } else { "sequence" }, &numbers(set))
        };
        let changed = event(EventCode::MessagesChanged);
        match body {
            CommandBody::Store { sequence_set, uid, .. } => on(changed, sequence_set, *uid),
            CommandBody::Copy { sequence_set, mailbox, uid } | CommandBody::Move { sequence_set, mailbox, uid } => {
                on(changed.detail("target", folder(mailbox)), sequence_set, *uid)
            }
            CommandBody::ExpungeUid { sequence_set } => on(changed, sequence_set, true),
            CommandBody::Expunge => vec![here(changed)],
            CommandBody::Close if self.state.is_read_write => vec![here(changed)],
            CommandBody::Create { mailbox }
            | CommandBody::Delete { mailbox }
            | CommandBody::Subscribe { mailbox }
            | CommandBody::Unsubscribe { mailbox } => {
                vec![event(EventCode::FolderChanged).detail("folder", folder(mailbox))]
            }
            CommandBody::Rename { from, to } => {
                vec![event(EventCode::FolderChanged).detail("folder", folder(from)).detail("target", folder(to))]
            }
            _ => Vec::new(),
        }
    }

    /// The record of a message that is added.
    pub(super) fn added(&self, mailbox: &Mailbox<'_>, octets: u64, ids: &[String]) -> AuditEvent {
        let digests: Vec<String> = ids.iter().map(|id| self.gatekeeper.message_digest(id)).collect();
        self.gatekeeper
            .session_event(&self.session.info, EventCode::MessagesChanged, Outcome::Success)
            .detail("command", "APPEND")
            .detail("folder", folder(mailbox))
            .detail("bytes", octets.to_string())
            .list("message_ids", &digests)
    }

    /// Has a FETCH of content tell the UIDs and Message-IDs, which are recorded; the tool does not see them unless it asked for them.
    pub(super) fn ask_for_more(&mut self, body: &mut CommandBody<'static>) {
        self.reads.hidden = Hidden::default();
        let CommandBody::Fetch {
            macro_or_item_names: MacroOrMessageDataItemNames::MessageDataItemNames(items),
            uid: is_by_uid,
            ..
        } = body
        else {
            return;
        };
        if !items.iter().any(content::is_content) {
            return;
        }
        if !*is_by_uid && !items.contains(&MessageDataItemName::Uid) {
            items.push(MessageDataItemName::Uid);
            // Where QRESYNC is on, a tool keeps its messages by UID and gets them unasked anyway.
            self.reads.hidden.uid = !self.enabled.qresync;
        }
        // The header itself: an ENVELOPE tells one id of several, in a form of the upstream's own.
        if !items.iter().any(content::tells_message_id) {
            items.extend(content::message_id());
            self.reads.hidden.message_id = true;
        }
    }

    /// Another folder is open, or none.
    pub(super) async fn leave(&mut self, next: Option<&Mailbox<'_>>) -> Result<(), End> {
        self.settle_all().await?;
        if let Some(event) = self.reads.visit(&self.gatekeeper, &self.session) {
            // Of how much was looked at nobody waits to hear.
            drop(self.gatekeeper.begin(event).await?);
        }
        self.reads.open(next.map(folder).unwrap_or_default());
        Ok(())
    }

    /// Begins the record of what was delivered so far.
    pub(super) async fn record_reads(&mut self) -> Result<(), End> {
        match self.reads.event(&self.gatekeeper, &self.session) {
            Some(event) => self.begin(event).await,
            None => Ok(()),
        }
    }

    /// Comes back when every change is durably recorded, and what was read if its time has come.
    pub(super) async fn settle(&mut self) -> Result<(), End> {
        if self.reads.is_due() {
            self.record_reads().await?;
        }
        self.durable().await
    }

    /// Comes back when all that was done is durably recorded.
    pub(super) async fn settle_all(&mut self) -> Result<(), End> {
        self.record_reads().await?;
        self.durable().await
    }

    async fn durable(&mut self) -> Result<(), End> {
        for recording in std::mem::take(&mut self.pending) {
            self.gatekeeper.durable(recording).await?;
        }
        Ok(())
    }
}

fn folder(mailbox: &Mailbox<'_>) -> String {
    mailbox_name(mailbox).unwrap_or_else(|| "?".to_owned())
}

/// A set of numbers as it was asked for, in texts of which each fits into a record.
fn numbers(set: &SequenceSet) -> Vec<String> {
    let one = |number: &SeqOrUid| match number {
        SeqOrUid::Value(number) => number.to_string(),
        SeqOrUid::Asterisk => "*".to_owned(),
    };
    let parts = set.0.as_ref().iter().map(|part| match part {
        Sequence::Single(number) => one(number),
        Sequence::Range(from, to) => format!("{}:{}", one(from), one(to)),
    });
    parts.fold(Vec::new(), |mut texts: Vec<String>, part| {
        match texts.last_mut() {
            Some(text) if text.len() + part.len() < MAX_LIST => text.extend([",", &part]),
            _ => texts.push(part),
        }
        texts
    })
}

#[cfg(test)]
mod tests {
    use imap_codec::imap_types::sequence::SequenceSet;

    use super::{MAX_LIST, numbers};

    #[test]
    fn a_set_of_any_length_is_told_whole() {
        let asked = (1..9000).map(|number| (2 * number).to_string()).collect::<Vec<_>>().join(",") + ",7:*";
        let texts = numbers(&SequenceSet::try_from(asked.as_str()).unwrap());
        assert!(texts.len() > 1 && texts.iter().all(|text| text.len() <= MAX_LIST));
        assert_eq!(texts.join(","), asked);
    }
}
