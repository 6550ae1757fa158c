//! What a session does to mail, recorded. A change is durable before the upstream hears of it; what is read waits for a record of many,
//! a second at most.

use imap_codec::imap_types::command::{CommandBody, StoreModifier};
use imap_codec::imap_types::fetch::{MacroOrMessageDataItemNames, MessageDataItemName};
use imap_codec::imap_types::flag::StoreType;
use imap_codec::imap_types::mailbox::Mailbox;

use crate::domain::event::{AuditEvent, EventCode, Outcome};
use crate::gateway::imap::session::Desk;
use crate::gateway::imap::{End, affected};
use crate::protocol::imap::command::{mailbox_name, name};
use crate::protocol::imap::content;
use crate::protocol::imap::veil::Hidden;

impl Desk {
    /// Records a command that changes something, durably, and takes note of others. Gives the record, which may be several events.
    pub(super) async fn note(&mut self, body: &CommandBody<'_>) -> Result<Vec<AuditEvent>, End> {
        if matches!(body, CommandBody::Search { .. } | CommandBody::Sort { .. } | CommandBody::Thread { .. }) {
            self.reads.searched();
        }
        let events = if let Some(event) = self.message_event(body) {
            self.with_uids(event, body).await?
        } else {
            self.folder_event(body).into_iter().collect()
        };
        for event in &events {
            self.begin(event.clone()).await?;
        }
        if !events.is_empty() {
            self.durable().await?;
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
        // In a box: few commands have a record, and each command is next to one.
        let recording = Box::pin(self.gatekeeper.begin(event)).await?;
        self.pending.push(recording);
        Ok(())
    }

    fn event(&self, code: EventCode, body: &CommandBody<'_>) -> AuditEvent {
        let event = self.gatekeeper.session_event(&self.session.info, code, Outcome::Success);
        event.detail("command", name(body))
    }

    /// The record of a command that changes folders.
    fn folder_event(&self, body: &CommandBody<'_>) -> Option<AuditEvent> {
        let event = || self.event(EventCode::FolderChanged, body);
        match body {
            CommandBody::Create { mailbox }
            | CommandBody::Delete { mailbox }
            | CommandBody::Subscribe { mailbox }
            | CommandBody::Unsubscribe { mailbox } => Some(event().detail("folder", folder(mailbox))),
            CommandBody::Rename { from, to } => {
                Some(event().detail("folder", folder(from)).detail("target", folder(to)))
            }
            _ => None,
        }
    }

    /// The record of a command that changes messages of the open folder, but for which ones.
    fn message_event(&self, body: &CommandBody<'_>) -> Option<AuditEvent> {
        let event = || {
            let event = self.event(EventCode::MessagesChanged, body).detail("folder", self.reads.folder());
            self.reads.with_validity(event)
        };
        match body {
            CommandBody::Store { kind, flags, modifiers, .. } => {
                let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
                let event = event().detail("kind", kind_of(*kind)).list("flags", &flags);
                Some(modifiers.iter().fold(event, |event, modifier| match modifier {
                    StoreModifier::UnchangedSince(modseq) => event.detail("unchanged_since", modseq.to_string()),
                }))
            }
            CommandBody::Copy { mailbox, .. } | CommandBody::Move { mailbox, .. } => {
                Some(event().detail("target", folder(mailbox)))
            }
            CommandBody::ExpungeUid { .. } | CommandBody::Expunge => Some(event()),
            CommandBody::Close if self.state.is_read_write => Some(event()),
            _ => None,
        }
    }

    /// Adds which ones.
    async fn with_uids(&mut self, event: AuditEvent, body: &CommandBody<'_>) -> Result<Vec<AuditEvent>, End> {
        let numbers = affected::numbers_of(body);
        Ok(match (affected::uids(self, body).await?, numbers) {
            (Some(uids), _) => event.spread("uids", &uids),
            (None, Some(numbers)) => event.detail("uids", "unknown").spread("sequence", &numbers),
            (None, None) => vec![event.detail("uids", "unknown")],
        })
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

    /// Takes note of a FETCH of content, and has it tell the UIDs and Message-IDs, which are recorded; the tool does not see them unless it asked for them.
    pub(super) fn ask_for_more(&mut self, body: &mut CommandBody<'static>) {
        (self.reads.hidden, self.reads.asks_content) = (Hidden::default(), false);
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
        self.reads.asks_content = true;
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

fn kind_of(kind: StoreType) -> &'static str {
    match kind {
        StoreType::Replace => "FLAGS",
        StoreType::Add => "+FLAGS",
        StoreType::Remove => "-FLAGS",
    }
}
