//! The sandbox's IMAP server: enough of RFC 3501 for mail programs to read, file and wait.

use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::extensions::binary::LiteralOrLiteral8;
use imap_codec::imap_types::fetch::MessageDataItemName;
use imap_codec::imap_types::flag::{Flag, StoreResponse, StoreType};
use imap_codec::imap_types::mailbox::{ListMailbox, Mailbox};
use imap_codec::imap_types::search::SearchKey;
use imap_codec::imap_types::sequence::{SeqOrUid, Sequence, SequenceSet};
use imap_codec::imap_types::status::StatusDataItemName;

use crate::crypto::encoding::from_base64;
use crate::protocol::imap::command::{self, mailbox_name};
use crate::protocol::imap::{framing, mutf7};
use crate::sandbox::state::{Folder, Message};
use crate::sandbox::{Shared, fetch};
use crate::upstream::wire::{Wire, WireError};

const CAPABILITIES: &str = "IMAP4rev1 LITERAL+ AUTH=PLAIN IDLE NAMESPACE UNSELECT CHILDREN";

struct Desk<'a> {
    wire: Wire,
    shared: &'a Shared,
    is_in: bool,
    /// The selected folder, whether it may be changed, and how many messages the client knows of.
    selected: Option<(String, bool, usize)>,
}

pub(super) async fn serve(wire: Wire, shared: &Shared) -> Result<(), WireError> {
    let mut desk = Desk { wire, shared, is_in: false, selected: None };
    desk.wire.send(format!("* OK [CAPABILITY {CAPABILITIES}] sandbox\r\n").as_bytes()).await?;
    loop {
        let mut bytes = desk.wire.line(64 * 1024).await?;
        while let Ok(Some(literal)) = framing::literal_at_end(&bytes) {
            if literal.is_sync {
                desk.wire.send(b"+ OK\r\n").await?;
            }
            bytes.extend_from_slice(b"\r\n");
            bytes.extend(desk.wire.exactly(literal.length).await?);
            bytes.extend(desk.wire.line(64 * 1024).await?);
        }
        bytes.extend_from_slice(b"\r\n");
        let Ok(command) = command::parse(&bytes) else {
            desk.wire.send(b"* BAD not understood\r\n").await?;
            continue;
        };
        let tag = command.tag.inner().to_owned();
        let is_logout = command.body == CommandBody::Logout;
        let answer = desk.execute(command.body).await?;
        desk.news().await?;
        desk.wire.send(format!("{tag} {answer}\r\n").as_bytes()).await?;
        if is_logout {
            return Ok(());
        }
    }
}

impl Desk<'_> {
    async fn say(&mut self, text: &str) -> Result<(), WireError> {
        self.wire.queue(format!("* {text}\r\n").as_bytes()).await
    }

    /// Tells of messages that have come since.
    async fn news(&mut self) -> Result<(), WireError> {
        let Some((name, _, known)) = self.selected.clone() else { return Ok(()) };
        let count = self.shared.store.read(|folders| folders.get(&name).map_or(0, |folder| folder.messages.len()));
        if count > known {
            self.say(&format!("{count} EXISTS")).await?;
            self.selected = self.selected.take().map(|(name, write, _)| (name, write, count));
        }
        Ok(())
    }

    async fn execute(&mut self, body: CommandBody<'static>) -> Result<String, WireError> {
        match body {
            CommandBody::Capability => self.say(&format!("CAPABILITY {CAPABILITIES}")).await?,
            CommandBody::Noop | CommandBody::Check => (),
            CommandBody::Logout => self.say("BYE bye").await?,
            CommandBody::Authenticate { .. } => {
                self.wire.send(b"+ \r\n").await?;
                let response = zeroize::Zeroizing::new(from_base64(&self.wire.line(8192).await?).unwrap_or_default());
                self.is_in = self.shared.accepts(&response);
                return Ok(if self.is_in { "OK in".to_owned() } else { "NO [AUTHENTICATIONFAILED] wrong".to_owned() });
            }
            _ if !self.is_in => return Ok("BAD log in first".to_owned()),
            CommandBody::Namespace => self.say("NAMESPACE ((\"\" \"/\")) NIL NIL").await?,
            CommandBody::List { reference, mailbox_wildcard } => {
                self.list("LIST", &reference, &mailbox_wildcard).await?
            }
            CommandBody::Lsub { reference, mailbox_wildcard } => {
                self.list("LSUB", &reference, &mailbox_wildcard).await?
            }
            CommandBody::Status { mailbox, item_names } => return self.status(&mailbox, &item_names).await,
            CommandBody::Select { mailbox } => return self.select(&mailbox, true).await,
            CommandBody::Examine { mailbox } => return self.select(&mailbox, false).await,
            CommandBody::Unselect => self.selected = None,
            CommandBody::Close => {
                if matches!(self.selected, Some((_, true, _))) {
                    self.expunge(None, true).await?;
                }
                self.selected = None;
            }
            CommandBody::Create { mailbox } => return Ok(self.create(&mailbox)),
            CommandBody::Delete { mailbox } => {
                let name = mailbox_name(&mailbox).unwrap_or_default();
                let gone = name != "INBOX" && self.shared.store.write(|folders| folders.remove(&name).is_some());
                return Ok(if gone { "OK deleted".to_owned() } else { "NO no such folder".to_owned() });
            }
            CommandBody::Rename { from, to } => return Ok(self.rename(&from, &to)),
            CommandBody::Subscribe { .. } | CommandBody::Unsubscribe { .. } => (),
            CommandBody::Append { mailbox, flags, message, .. } => {
                let name = mailbox_name(&mailbox).unwrap_or_default();
                if !self.shared.store.read(|folders| folders.contains_key(&name)) {
                    return Ok("NO [TRYCREATE] no such folder".to_owned());
                }
                let bytes = match message {
                    LiteralOrLiteral8::Literal(literal) => literal.into_inner().into_owned(),
                    LiteralOrLiteral8::Literal8(literal) => literal.data.into_owned(),
                };
                self.shared.store.add(&name, &words(&flags), bytes);
            }
            CommandBody::Idle => self.idle().await?,
            body => return self.in_folder(body).await,
        }
        Ok("OK done".to_owned())
    }

    async fn in_folder(&mut self, body: CommandBody<'static>) -> Result<String, WireError> {
        let Some((name, may_write, _)) = self.selected.clone() else {
            return Ok("BAD select a folder first".to_owned());
        };
        let folder = self.shared.store.read(|folders| folders.get(&name).cloned().unwrap_or_default());
        match body {
            CommandBody::Fetch { sequence_set, macro_or_item_names, uid } => {
                let mut items = fetch::items(&macro_or_item_names);
                if uid && !items.contains(&MessageDataItemName::Uid) {
                    items.push(MessageDataItemName::Uid);
                }
                for (row, message) in chosen(&folder, &sequence_set, uid) {
                    let values: Vec<Vec<u8>> = items.iter().filter_map(|item| fetch::value(item, message)).collect();
                    self.wire.queue(format!("* {row} FETCH (").as_bytes()).await?;
                    self.wire.queue(&values.join(&b' ')).await?;
                    self.wire.queue(b")\r\n").await?;
                }
                if may_write && items.iter().any(fetch::marks) {
                    let uids: Vec<u32> = chosen(&folder, &sequence_set, uid).map(|(_, message)| message.uid).collect();
                    self.change(&name, &uids, |flags| add(flags, &["\\Seen".to_owned()]));
                }
            }
            CommandBody::Store { sequence_set, kind, response, flags, uid } => {
                if !may_write {
                    return Ok("NO [READ-ONLY] folder is open read-only".to_owned());
                }
                let (uids, flags) =
                    (chosen(&folder, &sequence_set, uid).map(|(_, m)| m.uid).collect::<Vec<_>>(), words(&flags));
                self.change(&name, &uids, |current| match kind {
                    StoreType::Replace => current.clone_from(&flags),
                    StoreType::Add => add(current, &flags),
                    StoreType::Remove => current.retain(|flag| !flags.contains(flag)),
                });
                if response == StoreResponse::Answer {
                    let folder = self.shared.store.read(|folders| folders.get(&name).cloned().unwrap_or_default());
                    for (row, message) in folder.messages.iter().enumerate().filter(|(_, m)| uids.contains(&m.uid)) {
                        let flags = message.flags.join(" ");
                        let tail = if uid { format!(" UID {}", message.uid) } else { String::new() };
                        self.say(&format!("{} FETCH (FLAGS ({flags}){tail})", row + 1)).await?;
                    }
                }
            }
            CommandBody::Copy { sequence_set, mailbox, uid } => {
                let target = mailbox_name(&mailbox).unwrap_or_default();
                if !self.shared.store.read(|folders| folders.contains_key(&target)) {
                    return Ok("NO [TRYCREATE] no such folder".to_owned());
                }
                for (_, message) in chosen(&folder, &sequence_set, uid) {
                    self.shared.store.add(&target, &message.flags, message.bytes.clone());
                }
            }
            CommandBody::Search { criteria, uid, .. } => {
                let hits =
                    folder.messages.iter().enumerate().filter(|(row, message)| {
                        criteria.as_ref().iter().all(|key| hit(key, row + 1, message, &folder))
                    });
                let numbers: Vec<String> = hits
                    .map(|(row, message)| if uid { message.uid.to_string() } else { (row + 1).to_string() })
                    .collect();
                self.say(format!("SEARCH {}", numbers.join(" ")).trim_end()).await?;
            }
            CommandBody::Expunge if may_write => self.expunge(None, false).await?,
            _ => return Ok("NO [CANNOT] the sandbox does not know this".to_owned()),
        }
        Ok("OK done".to_owned())
    }

    async fn idle(&mut self) -> Result<(), WireError> {
        let mut changes = self.shared.store.changes();
        self.wire.send(b"+ idling\r\n").await?;
        loop {
            if self.wire.take_line(64)?.is_some() {
                return Ok(());
            }
            self.news().await?;
            self.wire.flush().await?;
            tokio::select! {
                filled = self.wire.fill() => filled?,
                _ = changes.changed() => (),
            }
        }
    }

    async fn list(&mut self, word: &str, reference: &Mailbox<'_>, wildcard: &ListMailbox<'_>) -> Result<(), WireError> {
        let pattern = match wildcard {
            ListMailbox::Token(token) => token.as_ref().to_vec(),
            ListMailbox::String(text) => text.as_ref().to_vec(),
        };
        if pattern.is_empty() {
            return self.say(&format!("{word} (\\Noselect) \"/\" \"\"")).await;
        }
        let prefix = mailbox_name(reference).filter(|_| !matches!(reference, Mailbox::Inbox)).unwrap_or_default();
        let pattern = format!("{prefix}{}", String::from_utf8_lossy(&pattern));
        let names: Vec<String> = self.shared.store.read(|folders| folders.keys().cloned().collect());
        for name in names.iter().filter(|name| matches(pattern.as_bytes(), mutf7::encode(name).as_bytes())) {
            let has_children = names.iter().any(|other| other.starts_with(&format!("{name}/")));
            let attribute = if has_children { "\\HasChildren" } else { "\\HasNoChildren" };
            self.say(&format!("{word} ({attribute}) \"/\" \"{}\"", mutf7::encode(name))).await?;
        }
        Ok(())
    }

    async fn status(&mut self, mailbox: &Mailbox<'_>, items: &[StatusDataItemName]) -> Result<String, WireError> {
        let name = mailbox_name(mailbox).unwrap_or_default();
        let Some(folder) = self.shared.store.read(|folders| folders.get(&name).cloned()) else {
            return Ok("NO [NONEXISTENT] no such folder".to_owned());
        };
        let unseen =
            folder.messages.iter().filter(|message| !message.flags.iter().any(|flag| flag == "\\Seen")).count();
        let values: Vec<String> = items
            .iter()
            .filter_map(|item| match item {
                StatusDataItemName::Messages => Some(format!("MESSAGES {}", folder.messages.len())),
                StatusDataItemName::Recent => Some("RECENT 0".to_owned()),
                StatusDataItemName::UidNext => Some(format!("UIDNEXT {}", folder.next_uid)),
                StatusDataItemName::UidValidity => Some(format!("UIDVALIDITY {}", folder.uid_validity)),
                StatusDataItemName::Unseen => Some(format!("UNSEEN {unseen}")),
                _ => None,
            })
            .collect();
        self.say(&format!("STATUS \"{}\" ({})", mutf7::encode(&name), values.join(" "))).await?;
        Ok("OK done".to_owned())
    }

    async fn select(&mut self, mailbox: &Mailbox<'_>, may_write: bool) -> Result<String, WireError> {
        self.selected = None;
        let name = mailbox_name(mailbox).unwrap_or_default();
        let Some(folder) = self.shared.store.read(|folders| folders.get(&name).cloned()) else {
            return Ok("NO [NONEXISTENT] no such folder".to_owned());
        };
        self.say("FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)").await?;
        self.say(&format!("{} EXISTS", folder.messages.len())).await?;
        self.say("0 RECENT").await?;
        self.say(&format!("OK [UIDVALIDITY {}] valid", folder.uid_validity)).await?;
        self.say(&format!("OK [UIDNEXT {}] next", folder.next_uid)).await?;
        self.say(if may_write {
            "OK [PERMANENTFLAGS (\\* \\Answered \\Flagged \\Deleted \\Seen \\Draft)] kept"
        } else {
            "OK [PERMANENTFLAGS ()] kept"
        })
        .await?;
        self.selected = Some((name, may_write, folder.messages.len()));
        Ok(format!("OK [READ-{}] open", if may_write { "WRITE" } else { "ONLY" }))
    }

    fn create(&self, mailbox: &Mailbox<'_>) -> String {
        let Some(name) = mailbox_name(mailbox) else { return "NO not a folder name".to_owned() };
        let name = name.trim_end_matches('/').to_owned();
        let now = self.shared.store.now_secs();
        let is_new = self
            .shared
            .store
            .write(|folders| !folders.contains_key(&name) && folders.insert(name, Folder::new(now)).is_none());
        if is_new { "OK created".to_owned() } else { "NO [ALREADYEXISTS] there is one".to_owned() }
    }

    fn rename(&self, from: &Mailbox<'_>, to: &Mailbox<'_>) -> String {
        let (Some(from), Some(to)) = (mailbox_name(from), mailbox_name(to)) else {
            return "NO not a folder name".to_owned();
        };
        let done = from != "INBOX"
            && self.shared.store.write(|folders| {
                if folders.contains_key(&to) {
                    return false;
                }
                folders.remove(&from).is_some_and(|folder| folders.insert(to, folder).is_none())
            });
        if done { "OK renamed".to_owned() } else { "NO cannot rename".to_owned() }
    }

    fn change(&self, name: &str, uids: &[u32], change: impl Fn(&mut Vec<String>)) {
        self.shared.store.write(|folders| {
            for message in folders.get_mut(name).into_iter().flat_map(|folder| &mut folder.messages) {
                if uids.contains(&message.uid) {
                    change(&mut message.flags);
                }
            }
        });
    }

    async fn expunge(&mut self, uids: Option<&[u32]>, is_silent: bool) -> Result<(), WireError> {
        let Some((name, may_write, _)) = self.selected.clone() else { return Ok(()) };
        let rows = self.shared.store.write(|folders| {
            let Some(folder) = folders.get_mut(&name) else { return Vec::new() };
            let goes = |message: &Message| {
                message.flags.iter().any(|flag| flag == "\\Deleted")
                    && uids.is_none_or(|uids| uids.contains(&message.uid))
            };
            let rows: Vec<usize> =
                folder.messages.iter().enumerate().filter(|(_, m)| goes(m)).map(|(row, _)| row + 1).collect();
            folder.messages.retain(|message| !goes(message));
            rows
        });
        // Each removal moves the ones behind it: told from the last to the first, the numbers stay right.
        for row in rows.iter().rev().filter(|_| !is_silent) {
            self.say(&format!("{row} EXPUNGE")).await?;
        }
        let left = self.shared.store.read(|folders| folders.get(&name).map_or(0, |folder| folder.messages.len()));
        self.selected = Some((name, may_write, left));
        Ok(())
    }
}

fn words(flags: &[Flag<'_>]) -> Vec<String> {
    flags.iter().map(ToString::to_string).collect()
}

fn add(flags: &mut Vec<String>, new: &[String]) {
    for flag in new {
        if !flags.contains(flag) {
            flags.push(flag.clone());
        }
    }
}

/// The messages of a sequence set with their numbers.
fn chosen<'a>(folder: &'a Folder, set: &'a SequenceSet, by_uid: bool) -> impl Iterator<Item = (usize, &'a Message)> {
    let last = if by_uid {
        folder.messages.last().map_or(0, |message| message.uid)
    } else {
        u32::try_from(folder.messages.len()).unwrap_or(0)
    };
    folder.messages.iter().enumerate().map(|(row, message)| (row + 1, message)).filter(move |(row, message)| {
        let number = if by_uid { message.uid } else { u32::try_from(*row).unwrap_or(0) };
        contains(set, number, last)
    })
}

fn contains(set: &SequenceSet, number: u32, last: u32) -> bool {
    let value = |end: &SeqOrUid| match end {
        SeqOrUid::Value(value) => value.get(),
        SeqOrUid::Asterisk => last,
    };
    set.0.as_ref().iter().any(|sequence| match sequence {
        Sequence::Single(only) => value(only) == number,
        Sequence::Range(one, other) => {
            let (one, other) = (value(one), value(other));
            (one.min(other)..=one.max(other)).contains(&number)
        }
    })
}

fn hit(key: &SearchKey<'_>, row: usize, message: &Message, folder: &Folder) -> bool {
    let has = |flag: &str| message.flags.iter().any(|known| known == flag);
    let text = || String::from_utf8_lossy(&message.bytes).to_ascii_lowercase();
    let holds = |part: &[u8]| text().contains(&String::from_utf8_lossy(part).to_ascii_lowercase());
    let field = |name: &str, part: &[u8]| {
        let part = String::from_utf8_lossy(part).to_ascii_lowercase();
        let start = format!("{}:", name.to_ascii_lowercase());
        text()
            .split("\r\n\r\n")
            .next()
            .unwrap_or_default()
            .lines()
            .any(|line| line.starts_with(&start) && line.contains(&part))
    };
    match key {
        SearchKey::All | SearchKey::Old => true,
        SearchKey::And(keys) => keys.as_ref().iter().all(|key| hit(key, row, message, folder)),
        SearchKey::Or(left, right) => hit(left, row, message, folder) || hit(right, row, message, folder),
        SearchKey::Not(key) => !hit(key, row, message, folder),
        SearchKey::Seen => has("\\Seen"),
        SearchKey::Unseen => !has("\\Seen"),
        SearchKey::Deleted => has("\\Deleted"),
        SearchKey::Undeleted => !has("\\Deleted"),
        SearchKey::Flagged => has("\\Flagged"),
        SearchKey::Unflagged => !has("\\Flagged"),
        SearchKey::Answered => has("\\Answered"),
        SearchKey::Unanswered => !has("\\Answered"),
        SearchKey::Subject(part) => field("Subject", part.as_ref()),
        SearchKey::From(part) => field("From", part.as_ref()),
        SearchKey::To(part) => field("To", part.as_ref()),
        SearchKey::Header(name, part) => field(&String::from_utf8_lossy(name.as_ref()), part.as_ref()),
        SearchKey::Text(part) | SearchKey::Body(part) => holds(part.as_ref()),
        SearchKey::Uid(set) => contains(set, message.uid, folder.messages.last().map_or(0, |message| message.uid)),
        SearchKey::SequenceSet(set) => {
            contains(set, u32::try_from(row).unwrap_or(0), u32::try_from(folder.messages.len()).unwrap_or(0))
        }
        SearchKey::Larger(size) => message.bytes.len() > usize::try_from(*size).unwrap_or(usize::MAX),
        SearchKey::Smaller(size) => message.bytes.len() < usize::try_from(*size).unwrap_or(usize::MAX),
        _ => false,
    }
}

/// LIST's wildcards: `*` is anything, `%` anything without a delimiter. Linear in pattern and name together for one star at a time.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let mut states = vec![false; name.len() + 1];
    if let Some(start) = states.first_mut() {
        *start = true;
    }
    for symbol in pattern {
        let mut next = vec![false; name.len() + 1];
        let mut reach = false;
        for at in 0..=name.len() {
            let here = states.get(at).copied().unwrap_or(false);
            let before = at.checked_sub(1).and_then(|before| name.get(before).copied());
            reach = match symbol {
                b'*' => reach || here,
                b'%' => here || (reach && before != Some(b'/')),
                _ => at.checked_sub(1).is_some_and(|last| states.get(last) == Some(&true) && before == Some(*symbol)),
            };
            if let Some(place) = next.get_mut(at) {
                *place = reach;
            }
        }
        states = next;
    }
    states.last() == Some(&true)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn wildcards_mean_what_rfc_3501_says() {
        assert!(matches(b"*", b"a/b") && matches(b"%", b"a") && !matches(b"%", b"a/b") && matches(b"a/%", b"a/b"));
        assert!(
            matches(b"INBOX", b"INBOX")
                && !matches(b"INBOX", b"INBO")
                && matches(b"%/%", b"a/b")
                && !matches(b"", b"a")
        );
    }
}
