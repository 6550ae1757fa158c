//! What of a mailbox a session has delivered to its tool, message by message, until it is recorded.

use std::time::Duration;

use tokio::time::Instant;

use crate::audit::Recording;
use crate::domain::event::{AuditEvent, EventCode, MAX_LIST, Outcome};
use crate::gateway::gatekeeper::{Gatekeeper, Refusal, Session};
use crate::protocol::imap::content::Content;
use crate::protocol::imap::fetch::{FetchScan, Shown};
use crate::protocol::imap::uid_set::UidSet;
use crate::protocol::imap::veil::Hidden;
use crate::protocol::message_id::HeaderScan;

/// How long what was delivered may wait for its record. It is what a crash of ours can lose: a tool that reads one message after the
/// other would wait for the disk after each otherwise.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// So many messages stand in one record, where their entries are not too long for it.
const PER_RECORD: usize = 200;

/// The Message-IDs of so many octets wait for their record.
const MAX_HELD: usize = 256 * 1024;

/// So many Message-IDs stand in one entry; who puts in more hides nothing by it but himself.
const MAX_IDS: usize = 8;

/// What was delivered of one message.
#[derive(Debug, Default)]
struct Read {
    number: u32,
    uid: Option<u32>,
    is_content: bool,
    is_body: bool,
    octets: u64,
    ids: Vec<String>,
}

/// The folder that is open and what was delivered of it.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Reads {
    folder: String,
    uid_validity: Option<u32>,
    /// What we asked for and the tool did not.
    pub(in crate::gateway) hidden: Hidden,
    /// Whether the command that runs asked for content.
    pub(in crate::gateway) asks_content: bool,
    scan: FetchScan,
    /// The content whose octets pass by.
    content: Option<Content>,
    header: Option<HeaderScan>,
    now: Option<Read>,
    done: Vec<Read>,
    /// How long their entries are together, and their Message-IDs.
    octets: usize,
    held: usize,
    /// When what is done has to be recorded.
    due: Option<Instant>,
    listed: u64,
    searches: u64,
}

impl Reads {
    /// Another folder is open now.
    pub(in crate::gateway) fn open(&mut self, folder: String) {
        *self = Self { folder, ..Self::default() };
    }

    /// Another folder is open now, whose UIDVALIDITY is known.
    pub(in crate::gateway) fn open_as(&mut self, folder: String, validity: u32) {
        self.open(folder);
        self.uid_validity = Some(validity);
    }

    /// The folder that is open.
    pub(in crate::gateway) fn folder(&self) -> &str {
        &self.folder
    }

    /// Takes note of `* OK [UIDVALIDITY n]`.
    pub(in crate::gateway) fn status(&mut self, line: &[u8]) {
        let head = b"* OK [UIDVALIDITY ";
        if line.get(..head.len()).is_some_and(|start| start.eq_ignore_ascii_case(head)) {
            let digits = line.get(head.len()..).unwrap_or_default().split(|byte| *byte == b']').next();
            self.uid_validity = digits.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
        }
    }

    /// A search was made.
    pub(in crate::gateway) fn searched(&mut self) {
        self.searches += 1;
    }

    /// A response that the tool gets begins with `line`.
    pub(in crate::gateway) fn begin(&mut self, line: &[u8]) {
        self.scan = FetchScan::hiding(self.hidden);
        self.now = FetchScan::number(line).map(|number| Read { number, ..Read::default() });
    }

    /// A message's content begins, or its header's, that is delivered without a FETCH response around it.
    pub(in crate::gateway) fn message(&mut self, uid: u32, is_body: bool) {
        self.now = Some(Read { uid: Some(uid), ..Read::default() });
        self.enter(Content { is_body, has_header: true, is_ours: false });
    }

    /// So many messages were shown in a list.
    pub(in crate::gateway) fn listed(&mut self, count: usize) {
        self.listed += count as u64;
    }

    /// A part of the response's line passes by. What only we asked for is taken out.
    pub(in crate::gateway) fn part(&mut self, bytes: &mut Vec<u8>) {
        if self.now.is_none() {
            return;
        }
        let (all, left) = self.scan.part(bytes);
        for shown in all {
            match shown {
                Shown::Uid(uid) => self.now.iter_mut().for_each(|now| now.uid = Some(uid)),
                Shown::Quote(content) => self.enter(content),
                Shown::Octets(at) => self.chunk(bytes.get(at).unwrap_or_default()),
                Shown::QuoteEnd => self.literal_end(),
            }
        }
        if let Some(left) = left {
            *bytes = left;
        }
    }

    /// The line is over, and a literal follows or does not. Says what the tool still has to get of it; `None`: nothing, not even its
    /// end.
    pub(in crate::gateway) fn line_end(&mut self, has_literal: bool) -> Option<Vec<u8>> {
        if self.now.is_none() { Some(Vec::new()) } else { self.scan.line_end(has_literal) }
    }

    /// A literal follows. Says whether the tool gets it.
    pub(in crate::gateway) fn literal(&mut self) -> bool {
        if self.now.is_none() {
            return true;
        }
        let content = self.scan.literal().or_else(|| {
            // Where content was asked for, what cannot be told from it counts as that.
            let is_doubtful = self.asks_content && !self.scan.is_structure() && !self.scan.is_ours();
            is_doubtful.then_some(Content { is_body: true, has_header: false, is_ours: false })
        });
        if let Some(content) = content {
            self.enter(content);
        }
        !self.scan.is_ours()
    }

    fn enter(&mut self, content: Content) {
        if let Some(now) = self.now.as_mut().filter(|_| !content.is_ours) {
            now.is_content = true;
            now.is_body |= content.is_body;
        }
        self.content = Some(content);
        self.header = content.has_header.then(HeaderScan::default);
    }

    /// Octets of the content pass by.
    pub(in crate::gateway) fn chunk(&mut self, bytes: &[u8]) {
        let (Some(now), Some(content)) = (&mut self.now, self.content) else { return };
        if !content.is_ours {
            now.octets += bytes.len() as u64;
        }
        if let Some(header) = &mut self.header
            && !header.is_over()
        {
            header.feed(bytes);
        }
    }

    /// The content is over.
    pub(in crate::gateway) fn literal_end(&mut self) {
        self.content = None;
        if let (Some(now), Some(header)) = (&mut self.now, self.header.take()) {
            for id in header.finish() {
                if now.ids.len() < MAX_IDS && !now.ids.contains(&id) {
                    now.ids.push(id);
                }
            }
        }
    }

    /// The response is over.
    pub(in crate::gateway) fn end(&mut self) {
        self.literal_end();
        if let Some(now) = self.now.take() {
            self.listed += 1;
            if now.is_content {
                self.octets += now.octets_of_entry();
                self.held += now.ids.iter().map(String::len).sum::<usize>();
                self.done.push(now);
                self.due.get_or_insert_with(|| Instant::now() + MAX_WAIT);
            }
        }
    }

    /// When what was delivered has to be recorded; `None` when there is nothing.
    pub(in crate::gateway) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether it has to be recorded now.
    pub(in crate::gateway) fn is_due(&self) -> bool {
        self.is_full() || self.due.is_some_and(|due| due <= Instant::now())
    }

    /// Whether there is enough for a record.
    pub(in crate::gateway) fn is_full(&self) -> bool {
        let longest = Read { ids: vec![String::new(); MAX_IDS], ..Read::default() }.octets_of_entry();
        self.done.len() >= PER_RECORD || self.octets + longest > MAX_LIST || self.held > MAX_HELD
    }

    /// What is to be recorded of the messages that were delivered; `None` when there are none.
    pub(in crate::gateway) fn event(&mut self, gatekeeper: &Gatekeeper, session: &Session) -> Option<AuditEvent> {
        if self.done.is_empty() {
            return None;
        }
        let done = std::mem::take(&mut self.done);
        (self.due, self.octets, self.held) = (None, 0, 0);
        let uids: UidSet = done.iter().filter_map(|read| read.uid).collect();
        let octets: u64 = done.iter().map(|read| read.octets).sum();
        let messages: Vec<String> = done.iter().map(|read| read.entry(gatekeeper)).collect();
        let event = gatekeeper
            .session_event(&session.info, EventCode::MessagesRead, Outcome::Success)
            .detail("folder", self.folder.clone())
            .detail("count", done.len().to_string())
            .detail("bytes", octets.to_string())
            .list("uids", &[uids.to_string()])
            .list("messages", &messages);
        Some(self.with_validity(event))
    }

    /// Adds what tells this folder's UIDs from those of its namesakes.
    pub(in crate::gateway) fn with_validity(&self, event: AuditEvent) -> AuditEvent {
        match self.uid_validity {
            Some(validity) => event.detail("uidvalidity", validity.to_string()),
            None => event,
        }
    }

    /// What is to be recorded when the folder is left; `None` when none was open.
    pub(in crate::gateway) fn visit(&mut self, gatekeeper: &Gatekeeper, session: &Session) -> Option<AuditEvent> {
        if self.folder.is_empty() {
            return None;
        }
        let event = gatekeeper
            .session_event(&session.info, EventCode::FolderVisited, Outcome::Success)
            .detail("folder", std::mem::take(&mut self.folder))
            .detail("listed", self.listed.to_string())
            .detail("searches", self.searches.to_string());
        Some(self.with_validity(event))
    }

    /// The last records of a session: what was delivered, whatever ended it. Comes back when they and those that are `pending` are
    /// durable.
    pub(in crate::gateway) async fn close(self, gatekeeper: &Gatekeeper, session: &Session, pending: Vec<Recording>) {
        if self.written(gatekeeper, session, pending).await.is_err() {
            tracing::error!(session = %session.info.id, "the last reads of a session could not be recorded");
        }
    }

    async fn written(
        mut self,
        gatekeeper: &Gatekeeper,
        session: &Session,
        mut pending: Vec<Recording>,
    ) -> Result<(), Refusal> {
        self.end();
        for event in [self.event(gatekeeper, session), self.visit(gatekeeper, session)].into_iter().flatten() {
            pending.push(gatekeeper.begin(event).await?);
        }
        for recording in pending {
            gatekeeper.durable(recording).await?;
        }
        Ok(())
    }
}

impl Read {
    /// How long its entry is at most, with the space before it.
    fn octets_of_entry(&self) -> usize {
        const REST: usize = " #4294967295/header/18446744073709551615/-".len();
        const DIGEST: usize = "+".len() + 32;
        REST + self.ids.len() * DIGEST
    }

    /// `UID/what/octets/digests`; a message whose UID was not told has its number, with `#` before it.
    fn entry(&self, gatekeeper: &Gatekeeper) -> String {
        let which = self.uid.map_or_else(|| format!("#{}", self.number), |uid| uid.to_string());
        let what = if self.is_body { "body" } else { "header" };
        let ids: Vec<String> = self.ids.iter().map(|id| gatekeeper.message_digest(id)).collect();
        format!("{which}/{what}/{}/{}", self.octets, if ids.is_empty() { "-".to_owned() } else { ids.join("+") })
    }
}

#[cfg(test)]
mod tests;
