//! The open folder as the tool knows it: how it was opened, and which message stands at which place. Everything that the tool is told
//! of it passes here, so that after a lost connection can be said what it has not been told.

use imap_codec::imap_types::command::{CommandBody, SelectParameter};

use crate::protocol::imap::response::{Kind, kind};
use crate::protocol::imap::uid_set::UidSet;

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder {
    /// The SELECT or EXAMINE that opened it and can open it again.
    pub(super) opener: CommandBody<'static>,
    /// UIDVALIDITY: under another one the UIDs are other messages'.
    pub(super) validity: Option<u32>,
    /// HIGHESTMODSEQ when it was opened. Dovecot tells it to those only who have switched mod-sequences on.
    pub(super) modseq: Option<u64>,
    pub(super) view: View,
}

/// The messages of a folder in their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// How many there are.
    pub(super) exists: u32,
    /// The UIDs of the first of them, or `None` when nobody can say any more which they are.
    uids: Option<UidSet>,
}

impl Folder {
    /// One that is about to be opened.
    pub(super) fn new(opener: &CommandBody<'static>) -> Option<Self> {
        let mut opener = opener.clone();
        let (CommandBody::Select { parameters, .. } | CommandBody::Examine { parameters, .. }) = &mut opener else {
            return None;
        };
        // What a tool has missed since its last session it hears once.
        parameters.retain(|parameter| matches!(parameter, SelectParameter::CondStore));
        Some(Self { opener, validity: None, modseq: None, view: View::default() })
    }

    /// Takes note of an untagged response about the folder, without its CRLF; of a long one, the beginning will do.
    pub(super) fn heard(&mut self, line: &[u8], is_whole: bool) {
        match kind(line) {
            Kind::Message => self.view.message(line),
            Kind::Vanished => self.view.vanished(line, is_whole),
            Kind::Status => {
                if let Some(number) = code(line, b"[UIDVALIDITY ") {
                    self.validity = u32::try_from(number).ok();
                } else if let Some(number) = code(line, b"[HIGHESTMODSEQ ") {
                    // The first one: what a tool has seen change since then it may hear again.
                    self.modseq = self.modseq.or(Some(number));
                }
            }
            _ => (),
        }
    }

    /// By what a folder that was opened anew is known to be this one: its UIDVALIDITY, and the UIDs of all messages. `None`: it cannot
    /// be proven.
    pub(super) fn proof(&self) -> Option<(u32, &UidSet)> {
        Some((self.validity?, self.view.whole()?))
    }
}

impl View {
    /// Where UIDs are known of all messages, these.
    pub(super) fn whole(&self) -> Option<&UidSet> {
        self.uids.as_ref().filter(|uids| uids.len() == u64::from(self.exists))
    }

    /// Takes in what a search for all messages found.
    pub(super) fn found(&mut self, uids: UidSet) {
        self.uids = Some(uids).filter(|uids| uids.len() == u64::from(self.exists));
    }

    /// What is known of the messages' UIDs.
    pub(super) fn known(&self) -> Option<&UidSet> {
        self.uids.as_ref()
    }

    fn message(&mut self, line: &[u8]) {
        let mut words = line.splitn(4, |byte| *byte == b' ').skip(1);
        let number = words.next().and_then(number).and_then(|number| u32::try_from(number).ok());
        let word = words.next().unwrap_or_default().to_ascii_uppercase();
        match (word.as_slice(), number) {
            (b"EXISTS", Some(number)) => {
                // Only an EXPUNGE makes them fewer.
                if number < self.exists {
                    self.uids = None;
                }
                self.exists = number;
            }
            (b"EXPUNGE", Some(number @ 1..)) if number <= self.exists => {
                self.exists -= 1;
                if let Some(uids) = &mut self.uids {
                    // Beyond the known ones, one of the newer is gone.
                    let _ = uids.take(number);
                }
            }
            (b"EXISTS" | b"EXPUNGE", _) => self.uids = None,
            _ => (),
        }
    }

    fn vanished(&mut self, line: &[u8], is_whole: bool) {
        let text = line.get(b"* VANISHED ".len()..).filter(|_| is_whole).unwrap_or_default();
        if text.starts_with(b"(") {
            // EARLIER: gone before the folder was opened; the numbers stand.
            return;
        }
        let known = self.uids.take();
        let (Some(gone), Some(known)) = (UidSet::parse(text), known) else { return };
        let left = known.minus(&gone);
        let went = known.len() - left.len();
        // One that we do not know may be one of the newer messages, or none any more.
        if went == gone.len() && u64::from(self.exists) >= went {
            self.exists -= u32::try_from(went).unwrap_or(self.exists);
            self.uids = Some(left);
        }
    }
}

/// The set that a search found, when `line` is the answer to the one that was sent under `tag` with `RETURN (ALL)`.
pub(super) fn found(line: &[u8], tag: &str) -> Option<UidSet> {
    let rest = line.get("* ESEARCH".len()..).filter(|_| kind(line) == Kind::Found)?;
    let rest = rest.strip_prefix(format!(" (TAG \"{tag}\")").as_bytes())?;
    let rest = rest.strip_prefix(b" UID").unwrap_or(rest);
    match rest.strip_prefix(b" ALL ") {
        Some(set) => UidSet::parse(set),
        None => rest.is_empty().then(UidSet::default),
    }
}

/// The number of a response code.
fn code(line: &[u8], name: &[u8]) -> Option<u64> {
    let rest = line.get(b"* OK ".len()..)?;
    let (head, rest) = rest.split_at_checked(name.len())?;
    let end = rest.iter().position(|byte| *byte == b']')?;
    number(rest.get(..end)?).filter(|_| head.eq_ignore_ascii_case(name))
}

fn number(text: &[u8]) -> Option<u64> {
    let is_digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    is_digits.then(|| std::str::from_utf8(text).ok()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::{Folder, View, found};
    use crate::protocol::imap::command::parse;
    use crate::protocol::imap::uid_set::UidSet;

    fn set(text: &str) -> UidSet {
        UidSet::parse(text.as_bytes()).unwrap()
    }

    /// A folder with the UIDs 3, 5, 6, 9, after these lines.
    fn after(lines: &[&str]) -> Folder {
        let opener = parse(b"a SELECT INBOX (CONDSTORE QRESYNC (1 2))\r\n").unwrap().body;
        let mut folder = Folder::new(&opener).unwrap();
        for line in ["* 4 EXISTS", "* OK [UIDVALIDITY 7] so", "* OK [HIGHESTMODSEQ 12] so"] {
            folder.heard(line.as_bytes(), true);
        }
        folder.view.found(set("3,5:6,9"));
        for line in lines {
            folder.heard(line.as_bytes(), true);
        }
        folder
    }

    #[test]
    fn what_the_tool_is_told_moves_the_places() {
        for (lines, left) in [
            (&[][..], Some("3,5:6,9")),
            (&["* 2 EXPUNGE", "* 2 EXPUNGE"], Some("3,9")),
            (&["* 4 expunge", "* 3 FETCH (FLAGS ())", "* 0 RECENT"], Some("3,5:6")),
            (&["* VANISHED 5:6"], Some("3,9")),
            (&["* VANISHED (EARLIER) 1:6"], Some("3,5:6,9")),
            // One more than we know by UID, which goes again.
            (&["* 5 EXISTS", "* 5 EXPUNGE"], Some("3,5:6,9")),
            (&["* 5 EXISTS"], None),
            (&["* 5 EXISTS", "* 1 EXPUNGE"], None),
            // What no server may say.
            (&["* 3 EXISTS"], None),
            (&["* 0 EXPUNGE"], None),
            (&["* 5 EXPUNGE"], None),
            (&["* 99999999999 EXISTS"], None),
            (&["* VANISHED 4:5"], None),
            (&["* VANISHED"], None),
        ] {
            let folder = after(lines);
            assert_eq!(folder.view.whole().map(ToString::to_string), left.map(str::to_owned), "{lines:?}");
        }
        let mut folder = after(&[]);
        folder.heard(b"* VANISHED 5:6", false);
        assert_eq!(folder.view.whole(), None, "half a line tells half of it");
    }

    #[test]
    fn a_proof_takes_validity_and_all_uids() {
        let folder = after(&["* OK [HIGHESTMODSEQ 50] later"]);
        assert_eq!((folder.proof(), folder.modseq), (Some((7, &set("3,5:6,9"))), Some(12)));
        assert_eq!(folder.opener, parse(b"b SELECT INBOX (CONDSTORE)\r\n").unwrap().body);
        assert_eq!(after(&["* 7 EXISTS"]).proof(), None);
        assert_eq!(Folder { validity: None, ..after(&[]) }.proof(), None);
        let mut view = View::default();
        view.found(set("1"));
        assert_eq!(view.whole(), None, "it found more than there are");
    }

    #[test]
    fn a_search_is_believed_when_it_is_ours() {
        let read = |line: &str| found(line.as_bytes(), "w9").map(|uids| uids.to_string());
        assert_eq!(read("* ESEARCH (TAG \"w9\") UID ALL 1:3,7").as_deref(), Some("1:3,7"));
        assert_eq!(read("* ESEARCH (TAG \"w9\") UID").as_deref(), Some(""));
        for wrong in [
            "* ESEARCH (TAG \"w8\") UID ALL 1",
            "* ESEARCH UID ALL 1",
            "* ESEARCH (TAG \"w9\") UID COUNT 1",
            "* ESEARCH (TAG \"w9\") UID ALL 1 MODSEQ 3",
            "* SEARCH 1",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
