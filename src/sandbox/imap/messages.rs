//! The sandbox's message commands: APPEND, FETCH, STORE, COPY, MOVE, SEARCH, EXPUNGE.

use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::extensions::binary::LiteralOrLiteral8;
use imap_codec::imap_types::fetch::{MacroOrMessageDataItemNames, MessageDataItemName};
use imap_codec::imap_types::flag::{Flag, StoreResponse, StoreType};
use imap_codec::imap_types::mailbox::Mailbox;
use imap_codec::imap_types::sequence::{SeqOrUid, Sequence, SequenceSet};

use crate::protocol::imap::command::mailbox_name;
use crate::sandbox::imap::{Desk, Selected, fetch, search};
use crate::sandbox::state::Message;
use crate::upstream::wire::WireError;

/// A message with its number in the open folder.
type Numbered = (usize, Message);

impl Desk<'_> {
    pub(super) fn append(&self, mailbox: &Mailbox<'_>, flags: &[Flag<'_>], message: LiteralOrLiteral8<'_>) -> String {
        let name = mailbox_name(mailbox).unwrap_or_default();
        if !self.shared.store.has(&name) {
            return "NO [TRYCREATE] no such folder".to_owned();
        }
        let bytes = match message {
            LiteralOrLiteral8::Literal(literal) => literal.into_inner().into_owned(),
            LiteralOrLiteral8::Literal8(literal) => literal.data.into_owned(),
        };
        let (validity, uid) = self.shared.store.add(&name, &words(flags), bytes);
        format!("OK [APPENDUID {validity} {uid}] kept")
    }

    pub(super) async fn in_folder(&mut self, body: CommandBody<'static>) -> Result<String, WireError> {
        let Some(selected) = self.selected.clone() else {
            return Ok("BAD select a folder first".to_owned());
        };
        let known = self.known(&selected);
        match body {
            CommandBody::Fetch { sequence_set, macro_or_item_names, uid, .. } => {
                self.fetch(&selected, chosen(&known, &sequence_set, uid), &macro_or_item_names, uid).await?;
            }
            CommandBody::Search { criteria, uid, .. } => {
                let numbers: Vec<String> = known
                    .iter()
                    .filter(|(row, message)| {
                        criteria.as_ref().iter().all(|key| search::hit(key, *row, message, &known))
                    })
                    .map(|(row, message)| if uid { message.uid.to_string() } else { row.to_string() })
                    .collect();
                self.say(format!("SEARCH {}", numbers.join(" ")).trim_end()).await?;
            }
            CommandBody::Copy { sequence_set, mailbox, uid } => {
                return Ok(match self.copy(&chosen(&known, &sequence_set, uid), &mailbox) {
                    Some(code) => format!("OK {code}copied"),
                    None => "NO [TRYCREATE] no such folder".to_owned(),
                });
            }
            _ if !selected.may_write => return Ok("NO [READ-ONLY] folder is open read-only".to_owned()),
            CommandBody::Store { sequence_set, kind, response, flags, uid, .. } => {
                let uids: Vec<u32> =
                    chosen(&known, &sequence_set, uid).iter().map(|(_, message)| message.uid).collect();
                let flags = words(&flags);
                self.change(&selected.folder, &uids, |current| match kind {
                    StoreType::Replace => current.clone_from(&flags),
                    StoreType::Add => add(current, &flags),
                    StoreType::Remove => current.retain(|flag| !flags.contains(flag)),
                });
                if response == StoreResponse::Answer {
                    self.tell_flags(&selected, &uids, uid).await?;
                }
            }
            CommandBody::Move { sequence_set, mailbox, uid } => {
                let moved = chosen(&known, &sequence_set, uid);
                let Some(code) = self.copy(&moved, &mailbox) else {
                    return Ok("NO [TRYCREATE] no such folder".to_owned());
                };
                self.say(&format!("OK {code}moved")).await?;
                let uids: Vec<u32> = moved.iter().map(|(_, message)| message.uid).collect();
                self.shared.store.remove(&selected.folder, |message| uids.contains(&message.uid));
            }
            CommandBody::Expunge => self.expunge(None),
            CommandBody::ExpungeUid { sequence_set } => self.expunge(Some(&sequence_set)),
            _ => return Ok("NO [CANNOT] the sandbox does not know this".to_owned()),
        }
        Ok("OK done".to_owned())
    }

    /// The messages that the client knows of and that are still there.
    fn known(&self, selected: &Selected) -> Vec<Numbered> {
        self.shared.store.read(|folders| {
            let there = folders.get(&selected.folder).map_or(&[][..], |folder| &folder.messages);
            let numbered = selected.uids.iter().enumerate();
            numbered
                .filter_map(|(at, uid)| Some((at + 1, there.iter().find(|message| message.uid == *uid)?.clone())))
                .collect()
        })
    }

    async fn fetch(
        &mut self,
        selected: &Selected,
        messages: Vec<Numbered>,
        asked: &MacroOrMessageDataItemNames<'static>,
        uid: bool,
    ) -> Result<(), WireError> {
        let mut items = fetch::items(asked);
        if uid && !items.contains(&MessageDataItemName::Uid) {
            items.push(MessageDataItemName::Uid);
        }
        if selected.may_write && items.iter().any(fetch::marks) {
            let uids: Vec<u32> = messages.iter().map(|(_, message)| message.uid).collect();
            self.change(&selected.folder, &uids, |flags| add(flags, &["\\Seen".to_owned()]));
        }
        for (row, message) in messages {
            let values: Vec<Vec<u8>> = items.iter().filter_map(|item| fetch::value(item, &message)).collect();
            self.wire.queue(format!("* {row} FETCH (").as_bytes()).await?;
            self.wire.queue(&values.join(&b' ')).await?;
            self.wire.queue(b")\r\n").await?;
        }
        Ok(())
    }

    async fn tell_flags(&mut self, selected: &Selected, uids: &[u32], with_uid: bool) -> Result<(), WireError> {
        for (row, message) in self.known(selected).iter().filter(|(_, message)| uids.contains(&message.uid)) {
            let tail = if with_uid { format!(" UID {}", message.uid) } else { String::new() };
            self.say(&format!("{row} FETCH (FLAGS ({}){tail})", message.flags.join(" "))).await?;
        }
        Ok(())
    }

    /// The response code that tells the new UIDs (RFC 4315), empty when nothing was copied; `None`: there is no such folder.
    fn copy(&self, messages: &[Numbered], mailbox: &Mailbox<'_>) -> Option<String> {
        let target = mailbox_name(mailbox).filter(|name| self.shared.store.has(name))?;
        let (mut from, mut to, mut validity) = (Vec::new(), Vec::new(), 0);
        for (_, message) in messages {
            let (target_validity, uid) = self.shared.store.add(&target, &message.flags, message.bytes.clone());
            validity = target_validity;
            from.push(message.uid.to_string());
            to.push(uid.to_string());
        }
        Some(if to.is_empty() {
            String::new()
        } else {
            format!("[COPYUID {validity} {} {}] ", from.join(","), to.join(","))
        })
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

    /// Removes what is marked `\Deleted`, of `set` only if there is one. The client is told by the news that follow.
    pub(super) fn expunge(&self, set: Option<&SequenceSet>) {
        let Some(selected) = &self.selected else { return };
        let last = selected.uids.last().copied().unwrap_or(0);
        self.shared.store.remove(&selected.folder, |message| {
            message.flags.iter().any(|flag| flag == "\\Deleted")
                && set.is_none_or(|set| contains(set, message.uid, last))
        });
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

/// The messages of a sequence set.
fn chosen(known: &[Numbered], set: &SequenceSet, by_uid: bool) -> Vec<Numbered> {
    let number = |(row, message): &Numbered| if by_uid { message.uid } else { u32::try_from(*row).unwrap_or(0) };
    let last = known.last().map_or(0, number);
    known.iter().filter(|numbered| contains(set, number(numbered), last)).cloned().collect()
}

/// Whether `number` is in `set`, where `*` stands for `last`.
pub(super) fn contains(set: &SequenceSet, number: u32, last: u32) -> bool {
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
