//! What of a mailbox a session has delivered to its tool, message by message, until it is recorded.

use std::time::Duration;

use tokio::time::Instant;

use crate::audit::Recording;
use crate::domain::event::{AuditEvent, EventCode, Outcome};
use crate::gateway::gatekeeper::{Gatekeeper, Refusal, Session};
use crate::protocol::imap::fetch::{Content, FetchScan, Shown};
use crate::protocol::imap::uid_set::UidSet;
use crate::protocol::message_id::HeaderScan;

/// How long what was delivered may wait for its record. It is what a crash of ours can lose: a tool that reads one message after the
/// other would wait for the disk after each otherwise.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// So many messages stand in one record.
const PER_RECORD: usize = 200;

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
    /// Whether we asked for UIDs that the tool did not ask for.
    pub(in crate::gateway) hides_uid: bool,
    /// Whether the command that runs asked for content.
    pub(in crate::gateway) asks_content: bool,
    scan: FetchScan,
    is_in_content: bool,
    header: Option<HeaderScan>,
    now: Option<Read>,
    done: Vec<Read>,
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
        self.scan = FetchScan::default();
        self.now = FetchScan::number(line).map(|number| Read { number, ..Read::default() });
    }

    /// A message's content begins, or its header's, that is delivered without a FETCH response around it.
    pub(in crate::gateway) fn message(&mut self, uid: u32, is_body: bool) {
        self.now = Some(Read { uid: Some(uid), is_content: true, is_body, ..Read::default() });
        self.is_in_content = true;
        self.header = Some(HeaderScan::default());
    }

    /// So many messages were shown in a list.
    pub(in crate::gateway) fn listed(&mut self, count: usize) {
        self.listed += count as u64;
    }

    /// A part of the response's line passes by. A UID that only we asked for is taken out.
    pub(in crate::gateway) fn part(&mut self, bytes: &mut Vec<u8>) {
        let Some(now) = &mut self.now else { return };
        let mut cut = None;
        for shown in self.scan.part(bytes) {
            match shown {
                Shown::Uid(uid, at) => {
                    now.uid = Some(uid);
                    cut = Some(at);
                }
                Shown::Quoted(content, at) => {
                    let text = bytes.get(at).unwrap_or_default();
                    now.add(content, text.len() as u64);
                    if content.has_header {
                        let mut header = HeaderScan::default();
                        header.feed(text);
                        now.ids.extend(header.finish());
                    }
                }
            }
        }
        if let Some(at) = cut.filter(|_| self.hides_uid) {
            let (mut from, mut to) = (at.start, at.end);
            if bytes.get(to) == Some(&b' ') {
                to += 1;
            } else if from > 0 && bytes.get(from - 1) == Some(&b' ') {
                from -= 1;
            }
            bytes.drain(from..to);
        }
    }

    /// A literal follows.
    pub(in crate::gateway) fn literal(&mut self) {
        let Some(now) = &mut self.now else { return };
        let content = self.scan.literal().or_else(|| {
            // Where content was asked for, what cannot be told from it counts as that.
            let is_doubtful = self.asks_content && !self.scan.is_structure();
            is_doubtful.then_some(Content { is_body: true, has_header: false })
        });
        if let Some(content) = content {
            now.add(content, 0);
            self.is_in_content = true;
            self.header = content.has_header.then(HeaderScan::default);
        }
    }

    /// Octets of the literal pass by.
    pub(in crate::gateway) fn chunk(&mut self, bytes: &[u8]) {
        let Some(now) = &mut self.now else { return };
        if !self.is_in_content {
            return;
        }
        now.octets += bytes.len() as u64;
        if let Some(header) = &mut self.header
            && !header.is_over()
        {
            header.feed(bytes);
        }
    }

    /// The literal is over.
    pub(in crate::gateway) fn literal_end(&mut self) {
        self.is_in_content = false;
        if let (Some(now), Some(header)) = (&mut self.now, self.header.take()) {
            now.ids.extend(header.finish());
        }
    }

    /// The response is over.
    pub(in crate::gateway) fn end(&mut self) {
        self.literal_end();
        if let Some(now) = self.now.take() {
            self.listed += 1;
            if now.is_content {
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
        self.done.len() >= PER_RECORD
    }

    /// What is to be recorded of the messages that were delivered; `None` when there are none.
    pub(in crate::gateway) fn event(&mut self, gatekeeper: &Gatekeeper, session: &Session) -> Option<AuditEvent> {
        if self.done.is_empty() {
            return None;
        }
        let done = std::mem::take(&mut self.done);
        self.due = None;
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
    fn add(&mut self, content: Content, octets: u64) {
        self.is_content = true;
        self.is_body |= content.is_body;
        self.octets += octets;
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
mod tests {
    use super::Reads;

    #[test]
    fn a_uid_that_only_we_asked_for_is_not_shown_and_every_message_is_counted_once() {
        let mut reads = Reads::default();
        reads.open("INBOX".to_owned());
        reads.status(b"* OK [UIDVALIDITY 17] UIDs valid");
        reads.hides_uid = true;
        for (line, shown) in [
            ("* 1 FETCH (UID 7 BODY[] {3}", "* 1 FETCH (BODY[] {3}"),
            ("* 1 FETCH (BODY[] \"x\" UID 7)", "* 1 FETCH (BODY[] \"x\")"),
            ("* 1 FETCH (FLAGS (UID))", "* 1 FETCH (FLAGS (UID))"),
        ] {
            let mut bytes = line.as_bytes().to_vec();
            reads.begin(&bytes);
            reads.part(&mut bytes);
            assert_eq!(String::from_utf8(bytes).unwrap(), shown);
            reads.literal();
            reads.chunk(b"Message-ID: <1@x.test>\r\n\r\n");
            reads.literal_end();
            reads.end();
        }
        let found: Vec<_> =
            reads.done.iter().map(|read| (read.number, read.uid, read.is_body, read.ids.len())).collect();
        assert_eq!(found, [(1, Some(7), true, 1), (1, Some(7), true, 0)]);
        assert_eq!((reads.uid_validity, reads.listed), (Some(17), 3));
    }

    #[test]
    fn where_content_was_asked_for_a_literal_that_nobody_can_place_is_content() {
        for (asks_content, line, is_body) in [
            (true, "* 1 FETCH (UID 7 BODY[X] Y {3}", Some(true)),
            (true, "* 1 FETCH (UID 7 BODY[X {3}", Some(true)),
            (true, "* 1 FETCH ({3}", Some(true)),
            (true, "* 1 FETCH  (UID 7 BODY[] {3}", Some(true)),
            (true, "* 99999999999 FETCH (UID 7 X {3}", Some(true)),
            (true, "* 1 FETCH (UID 7 BODY[HEADER] {3}", Some(false)),
            (true, "* 1 FETCH (UID 7 ENVELOPE (NIL {3}", None),
            (true, "* SEARCH {3}", None),
            (false, "* 1 FETCH (UID 7 X {3}", None),
        ] {
            let mut reads = Reads { asks_content, ..Reads::default() };
            let mut bytes = line.as_bytes().to_vec();
            reads.begin(&bytes);
            reads.part(&mut bytes);
            reads.literal();
            reads.chunk(b"abc");
            reads.literal_end();
            reads.end();
            let found: Vec<_> = reads.done.iter().map(|read| (read.is_body, read.octets)).collect();
            assert_eq!(found, Vec::from_iter(is_body.map(|is_body| (is_body, 3))), "{line}");
        }
    }
}
