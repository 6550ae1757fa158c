//! The sandbox's folder commands: LIST, LSUB, STATUS, SELECT, EXAMINE, CREATE, DELETE, RENAME.

use imap_codec::imap_types::mailbox::{ListMailbox, Mailbox};
use imap_codec::imap_types::status::StatusDataItemName;

use crate::protocol::imap::command::mailbox_name;
use crate::protocol::imap::mutf7;
use crate::sandbox::imap::{Desk, Selected};
use crate::sandbox::state::Folder;
use crate::upstream::wire::WireError;

impl Desk<'_> {
    pub(super) async fn list(
        &mut self,
        word: &str,
        reference: &Mailbox<'_>,
        wildcard: &ListMailbox<'_>,
    ) -> Result<(), WireError> {
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
            self.say(&format!("{word} ({attribute}) \"/\" {}", quoted(name))).await?;
        }
        Ok(())
    }

    pub(super) async fn status(
        &mut self,
        mailbox: &Mailbox<'_>,
        items: &[StatusDataItemName],
    ) -> Result<String, WireError> {
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
        self.say(&format!("STATUS {} ({})", quoted(&name), values.join(" "))).await?;
        Ok("OK done".to_owned())
    }

    pub(super) async fn select(&mut self, mailbox: &Mailbox<'_>, may_write: bool) -> Result<String, WireError> {
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
        let uids = folder.messages.iter().map(|message| message.uid).collect();
        self.selected = Some(Selected { folder: name, may_write, uids });
        Ok(format!("OK [READ-{}] open", if may_write { "WRITE" } else { "ONLY" }))
    }

    pub(super) fn create(&self, mailbox: &Mailbox<'_>) -> String {
        let Some(name) = mailbox_name(mailbox) else { return "NO not a folder name".to_owned() };
        let name = name.trim_end_matches('/').to_owned();
        let now = self.shared.store.now_secs();
        let is_new = self
            .shared
            .store
            .write(|folders| !folders.contains_key(&name) && folders.insert(name, Folder::new(now)).is_none());
        if is_new { "OK created".to_owned() } else { "NO [ALREADYEXISTS] there is one".to_owned() }
    }

    pub(super) fn rename(&self, from: &Mailbox<'_>, to: &Mailbox<'_>) -> String {
        let (Some(from), Some(to)) = (mailbox_name(from), mailbox_name(to)) else {
            return "NO not a folder name".to_owned();
        };
        // What lies below moves along (RFC 3501 section 6.3.5).
        let below = format!("{from}/");
        let done = from != "INBOX"
            && self.shared.store.write(|folders| {
                if folders.contains_key(&to) || !folders.contains_key(&from) {
                    return false;
                }
                let moved: Vec<String> =
                    folders.keys().filter(|name| **name == from || name.starts_with(&below)).cloned().collect();
                for name in moved {
                    if let (Some(folder), Some(rest)) = (folders.remove(&name), name.strip_prefix(&from)) {
                        folders.insert(format!("{to}{rest}"), folder);
                    }
                }
                true
            });
        if done { "OK renamed".to_owned() } else { "NO cannot rename".to_owned() }
    }

    pub(super) fn delete(&self, mailbox: &Mailbox<'_>) -> String {
        let name = mailbox_name(mailbox).unwrap_or_default();
        let gone = name != "INBOX" && self.shared.store.write(|folders| folders.remove(&name).is_some());
        if gone { "OK deleted".to_owned() } else { "NO [NONEXISTENT] no such folder".to_owned() }
    }
}

/// A folder name as IMAP writes it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", mutf7::encode(name).replace('\\', "\\\\").replace('"', "\\\""))
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
