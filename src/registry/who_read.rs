//! Who has read, added or sent one message, by the audit log. Message-IDs stand there as keyed digests only.

use std::collections::BTreeSet;

use crate::audit::record::Record;
use crate::crypto::encoding::hex;
use crate::domain::id::MailboxId;
use crate::protocol::message_id::canonical;
use crate::registry::{Registry, RegistryError};

/// What keeps these digests apart from all others.
pub const MESSAGE_ID: &str = "message-id";

/// Most places of one message that are looked up by their UIDs.
const MAX_PLACES: usize = 100;

/// One delivery of the message to a tool, or its way in.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The event that tells it.
    pub seq: i64,
    /// When.
    pub at: String,
    /// The client's name, or its id when it is gone.
    pub client: String,
    /// The client's id.
    pub client_id: String,
    /// The mailbox's address, or its id when it is gone.
    pub mailbox: String,
    /// The session.
    pub session_id: String,
    /// Where the tool came from.
    pub source: String,
    /// The folder; `null`: it was sent.
    pub folder: Option<String>,
    /// The UID, where it is known.
    pub uid: Option<u32>,
    /// `header` or `body` was read; it was `added` or `sent`.
    pub what: String,
    /// How many octets of it.
    pub bytes: u64,
}

/// So many records are held at a time while the places are sought, and the numbers of so many of each place while a page is filled.
const PAGE: u32 = 100;
const WINDOW: u32 = 1000;

/// Where a message lies: mailbox, folder, UIDVALIDITY and UID.
type Place = (String, String, String, u32);

/// One entry of a `messages.read` record: `UID/what/octets/digests`.
struct Entry<'a> {
    uid: Option<u32>,
    what: &'a str,
    octets: u64,
    digests: &'a str,
}

impl<'a> Entry<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let mut parts = text.split('/');
        let (uid, what) = (parts.next()?.parse().ok(), parts.next()?);
        Some(Self { uid, what, octets: parts.next()?.parse().ok()?, digests: parts.next()? })
    }

    fn has(&self, digest: &str) -> bool {
        self.digests.split('+').any(|one| one == digest)
    }
}

impl Registry {
    /// Who has read the message with this Message-ID, in the order of the audit log: `most` entries at most, and all that one record
    /// tells in any case.
    pub async fn who_read(
        &self,
        message_id: &str,
        mailbox: Option<&MailboxId>,
        after_seq: i64,
        most: usize,
    ) -> Result<Vec<Reading>, RegistryError> {
        let id = canonical(message_id).ok_or(RegistryError::Invalid("that is no Message-ID"))?;
        let digest = hex(self.vault.digest(MESSAGE_ID, &id).get(..16).unwrap_or_default());
        let mailbox = mailbox.map(MailboxId::as_str);
        let places = self.places(mailbox, &digest).await?;
        let (mut readings, mut after) = (Vec::new(), after_seq);
        loop {
            let (numbers, until) = self.mentioned(mailbox, (&digest, &places), after).await?;
            for seq in numbers {
                let Some(record) = self.audit.find(seq).await? else { continue };
                let mut told = Vec::new();
                self.readings(&record, &digest, &places, &mut told).await?;
                // The next page begins behind a record, so this one ends with one.
                if !readings.is_empty() && readings.len() + told.len() > most {
                    return Ok(readings);
                }
                readings.extend(told);
                if readings.len() >= most {
                    return Ok(readings);
                }
            }
            match until {
                Some(until) => after = until,
                None => return Ok(readings),
            }
        }
    }

    /// Where the message lies: any read of its header tells it, also one before the page that is asked for.
    async fn places(&self, mailbox: Option<&str>, digest: &str) -> Result<BTreeSet<Place>, RegistryError> {
        let (mut places, mut after) = (BTreeSet::new(), 0);
        loop {
            let page = self.audit.mentions(after, mailbox, digest, PAGE).await?;
            let Some(last) = page.last() else { return Ok(places) };
            after = last.seq;
            for record in &page {
                for entry in entries(record).filter(|entry| entry.has(digest)) {
                    places.extend(place(record, &entry).filter(|_| places.len() < MAX_PLACES));
                }
            }
        }
    }

    /// The numbers of the records after `after` that may tell of the message, in order: all up to the number that comes with them, or
    /// all there are.
    async fn mentioned(
        &self,
        mailbox: Option<&str>,
        (digest, places): (&str, &BTreeSet<Place>),
        after: i64,
    ) -> Result<(BTreeSet<i64>, Option<i64>), RegistryError> {
        let by_uid: BTreeSet<(&str, u32)> =
            places.iter().map(|(mailbox, _, _, uid)| (mailbox.as_str(), *uid)).collect();
        let by_uid = by_uid.into_iter().map(|(mailbox, uid)| (Some(mailbox), format!("{uid}/")));
        let (mut numbers, mut until) = (BTreeSet::new(), None);
        // A digest stands within a word too.
        for (mailbox, start) in std::iter::once((mailbox, format!("%{digest}"))).chain(by_uid) {
            let found = self.audit.mentioned(after, mailbox, &start, WINDOW).await?;
            if found.len() >= usize::try_from(WINDOW).unwrap_or(usize::MAX) {
                until = found.last().copied().into_iter().chain(until).min();
            }
            numbers.extend(found);
        }
        numbers.retain(|seq| until.is_none_or(|until| *seq <= until));
        Ok((numbers, until))
    }

    /// What one record tells of the message.
    async fn readings(
        &self,
        record: &Record,
        digest: &str,
        places: &BTreeSet<Place>,
        out: &mut Vec<Reading>,
    ) -> Result<(), RegistryError> {
        let start = out.len();
        let detail = |name: &str| record.detail.get(name).map(String::as_str).unwrap_or_default();
        let folder = record.detail.get("folder").cloned();
        let client_id = record.client_id.clone().unwrap_or_default();
        let reading = |uid, what: &str, bytes| Reading {
            seq: record.seq,
            at: record.at.to_rfc3339(),
            client: client_id.clone(),
            client_id: client_id.clone(),
            mailbox: record.mailbox_id.clone().unwrap_or_default(),
            session_id: record.session_id.clone().unwrap_or_default(),
            source: record.source.clone().unwrap_or_default(),
            folder: folder.clone(),
            uid,
            what: what.to_owned(),
            bytes,
        };
        for entry in entries(record) {
            let is_here = place(record, &entry).is_some_and(|place| places.contains(&place));
            if is_here || entry.has(digest) {
                out.push(reading(entry.uid, entry.what, entry.octets));
            }
        }
        // Of a record that is spread over several, the first one tells it.
        let is_first = record.detail.get("part").is_none_or(|part| part.starts_with("1/"));
        if is_first && detail("message_ids").split(' ').any(|one| one == digest) {
            let what = match record.code.as_str() {
                "messages.changed" => "added",
                "message.submitted" if record.outcome == "success" => "sent",
                "message.submitted" => "refused by the upstream",
                _ => "perhaps sent",
            };
            out.push(reading(None, what, detail("bytes").parse().unwrap_or_default()));
        }
        if out.len() > start {
            let client = self.find_client(&client_id).await.ok().map(|client| client.name);
            let mailbox = self.find_mailbox(record.mailbox_id.as_deref().unwrap_or_default()).await.ok();
            for one in out.iter_mut().skip(start) {
                one.client = client.clone().unwrap_or_else(|| one.client.clone());
                one.mailbox = mailbox.as_ref().map_or_else(|| one.mailbox.clone(), |found| found.address.to_string());
            }
        }
        Ok(())
    }
}

fn entries(record: &Record) -> impl Iterator<Item = Entry<'_>> {
    record.detail.get("messages").map(String::as_str).unwrap_or_default().split(' ').filter_map(Entry::of)
}

fn place(record: &Record, entry: &Entry<'_>) -> Option<Place> {
    let detail = |name: &str| record.detail.get(name).cloned();
    Some((record.mailbox_id.clone()?, detail("folder")?, detail("uidvalidity")?, entry.uid?))
}
