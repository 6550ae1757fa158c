//! The maildrop: the upstream's INBOX as it was when the session began, by UID and size. No message is held.

use std::time::Duration;

use crate::domain::uid_range::UidRange;
use crate::gateway::tags::Tags;
use crate::policy::Permit;
use crate::policy::pop3::Open;
use crate::protocol::imap::fetched::Fetched;
use crate::protocol::imap::response::{Kind, kind};
use crate::upstream::PATIENCE;
use crate::upstream::imap::Connection;
use crate::upstream::wire::Wire;

/// Longest line of the upstream.
const MAX_LINE: usize = 64 * 1024;
/// Most messages of a maildrop: each takes 16 octets of memory.
const MAX_MESSAGES: usize = 500_000;

/// A message, numbered by its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    pub(super) uid: u32,
    /// Whether QUIT will remove it.
    pub(super) is_marked: bool,
    /// What the upstream says its size is.
    pub(super) size: u64,
}

/// An open maildrop.
pub(super) struct Maildrop {
    pub(super) wire: Wire,
    pub(super) messages: Vec<Message>,
    /// The UIDVALIDITY of INBOX: with a UID it names a message for good.
    pub(super) validity: u32,
    /// What the tool removed for itself in earlier sessions; none of `messages` lies in it.
    pub(super) hidden: Vec<UidRange>,
    /// Whether the upstream can remove single messages (UIDPLUS, RFC 4315).
    pub(super) can_remove: bool,
    capabilities: Vec<String>,
    tags: Tags,
}

/// Why the upstream did not do as it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It broke the protocol or is gone.
    Lost,
    /// It said no; `in_use` when because somebody else is at work there.
    Refused { in_use: bool },
    /// There are more messages than a session can hold.
    TooMany,
}

impl Maildrop {
    /// Opens INBOX so that nothing in it can change, and asks what is there.
    pub(super) async fn open(_: Permit<Open>, upstream: Connection, tags: Tags) -> Result<Self, Trouble> {
        let can_remove = upstream.capabilities.iter().any(|known| known == "UIDPLUS");
        let Connection { wire, capabilities } = upstream;
        let mut maildrop =
            Self { wire, messages: Vec::new(), validity: 0, hidden: Vec::new(), can_remove, capabilities, tags };
        let (validity, exists) = maildrop.enter("EXAMINE").await?;
        maildrop.validity = validity;
        if exists > 0 {
            maildrop.take_stock().await?;
        }
        Ok(maildrop)
    }

    /// SELECT or EXAMINE; gives the UIDVALIDITY and how many messages there are.
    pub(super) async fn enter(&mut self, word: &str) -> Result<(u32, u32), Trouble> {
        let tag = self.ask(&format!("{word} INBOX")).await?;
        let (mut validity, mut exists) = (0, 0);
        while let Some(line) = self.answer(&tag).await? {
            if kind(&line) == Kind::Status {
                validity = code(&line, "[UIDVALIDITY ").unwrap_or(validity);
            } else if let Some(number) = count(&line, "EXISTS") {
                exists = number;
            }
        }
        // RFC 3501 section 2.3.1.1: without one, no UID would mean anything in the next session.
        if validity == 0 { Err(Trouble::Lost) } else { Ok((validity, exists)) }
    }

    async fn take_stock(&mut self) -> Result<(), Trouble> {
        let tag = self.ask("UID FETCH 1:* (UID RFC822.SIZE)").await?;
        while let Some(line) = self.answer(&tag).await? {
            let Some(Fetched { uid: Some(uid), size: Some(size), .. }) = Fetched::read(&line) else { continue };
            if self.messages.len() >= MAX_MESSAGES {
                return Err(Trouble::TooMany);
            }
            self.messages.push(Message { uid, size, is_marked: false });
        }
        self.messages.sort_by_key(|message| message.uid);
        self.messages.dedup_by_key(|message| message.uid);
        Ok(())
    }

    /// Lets the upstream know that we are there still.
    pub(super) async fn noop(&mut self) -> Result<(), Trouble> {
        let tag = self.ask("NOOP").await?;
        while self.answer(&tag).await?.is_some() {}
        Ok(())
    }

    /// The connection, with INBOX open.
    pub(super) fn into_connection(self) -> Connection {
        Connection { wire: self.wire, capabilities: self.capabilities }
    }

    /// Takes leave. What the upstream says to it does not matter any more.
    pub(super) async fn leave(&mut self) {
        let _ = tokio::time::timeout(Duration::from_secs(1), self.wire.send(b"w9 LOGOUT\r\n")).await;
    }

    /// Says a command; gives its tag.
    pub(super) async fn ask(&mut self, command: &str) -> Result<String, Trouble> {
        let tag = self.tags.next();
        self.wire.send(format!("{tag} {command}\r\n").as_bytes()).await.map_err(|_| Trouble::Lost)?;
        Ok(tag)
    }

    /// The next untagged line of an answer; `None` when it ended well. A literal at the line's end was not read.
    pub(super) async fn answer(&mut self, tag: &str) -> Result<Option<Vec<u8>>, Trouble> {
        let line = self.line().await?;
        match kind(&line) {
            Kind::Tagged(found, status, text) if found == tag => {
                if status.eq_ignore_ascii_case("OK") {
                    return Ok(None);
                }
                let in_use = text.get(..7).is_some_and(|code| code.eq_ignore_ascii_case(b"[INUSE]"));
                Err(Trouble::Refused { in_use })
            }
            // An answer to what was not asked (IM-06).
            Kind::Tagged(..) | Kind::Continuation | Kind::Malformed | Kind::Bye => Err(Trouble::Lost),
            _ => Ok(Some(line)),
        }
    }

    /// A line, as it comes.
    pub(super) async fn line(&mut self) -> Result<Vec<u8>, Trouble> {
        let line = tokio::time::timeout(PATIENCE, self.wire.line(MAX_LINE)).await;
        line.map_err(|_| Trouble::Lost)?.map_err(|_| Trouble::Lost)
    }

    /// Some octets of a literal, `most` at most.
    pub(super) async fn octets(&mut self, most: u64) -> Result<Vec<u8>, Trouble> {
        let octets = tokio::time::timeout(PATIENCE, self.wire.some(most)).await;
        octets.map_err(|_| Trouble::Lost)?.map_err(|_| Trouble::Lost)
    }

    /// The message of this number, unless it is marked.
    pub(super) fn message(&self, number: u32) -> Option<Message> {
        let row = usize::try_from(number).ok()?.checked_sub(1)?;
        self.messages.get(row).copied().filter(|message| !message.is_marked)
    }

    /// Has QUIT remove the message of this number.
    pub(super) fn mark(&mut self, number: u32) {
        let row = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        if let Some(message) = row.and_then(|row| self.messages.get_mut(row)) {
            message.is_marked = true;
        }
    }

    /// Those that are not marked, with their numbers.
    pub(super) fn left(&self) -> impl Iterator<Item = (usize, &Message)> {
        self.messages.iter().enumerate().filter(|(_, message)| !message.is_marked).map(|(row, found)| (row + 1, found))
    }

    /// How many messages and octets are left.
    pub(super) fn stat(&self) -> (usize, u64) {
        self.left().fold((0, 0), |(count, octets), (_, message)| (count + 1, octets.saturating_add(message.size)))
    }

    /// A message's unique id: the same in every session, and never another's.
    pub(super) fn unique_id(&self, message: &Message) -> String {
        format!("{}.{}", self.validity, message.uid)
    }
}

/// The number in a response code of a status line.
fn code(line: &[u8], name: &str) -> Option<u32> {
    let text = std::str::from_utf8(line).ok()?;
    let (_, rest) = text.split_once(' ')?;
    let (_, text) = rest.split_once(' ')?;
    let head = text.get(..name.len()).filter(|head| head.eq_ignore_ascii_case(name))?;
    text.strip_prefix(head)?.split(']').next()?.parse().ok()
}

/// The number of a line like `* 5 EXISTS`.
fn count(line: &[u8], word: &str) -> Option<u32> {
    let text = std::str::from_utf8(line).ok()?.strip_prefix("* ")?;
    let (number, found) = text.split_once(' ')?;
    if found.eq_ignore_ascii_case(word) { number.parse().ok() } else { None }
}
