//! What a command's arguments ask for beyond its row in the table.

use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::core::{AString, Vec1};
use imap_codec::imap_types::extensions::thread::ThreadingAlgorithm;
use imap_codec::imap_types::fetch::{Macro, MacroOrMessageDataItemNames, MessageDataItemName, Section};
use imap_codec::imap_types::flag::{Flag, StoreType};
use imap_codec::imap_types::mailbox::{ListMailbox, Mailbox};
use imap_codec::imap_types::search::SearchKey;

use crate::domain::folder::FolderPath;
use crate::domain::scope::Scope;
use crate::policy::imap::State;
use crate::policy::imap::table::{self, Needs};
use crate::policy::{Denial, Rights};
use crate::protocol::imap::command::mailbox_name;
use crate::protocol::imap::list_form::{ListForm, Selection, Told, pattern_text};

/// Most wildcards in a LIST pattern.
const MAX_WILDCARDS: usize = 8;

fn outside(asked: &str) -> Denial {
    Denial::rule("folder", asked, "the folder lies outside the grant's bounds")
}

/// One command under judgement.
pub(super) struct Check<'a> {
    pub(super) rights: &'a Rights,
    pub(super) state: State,
    pub(super) asked: &'a str,
}

impl Check<'_> {
    pub(super) fn needs(&self, scope: Scope) -> Result<(), Denial> {
        if self.rights.scopes.allows(scope) { Ok(()) } else { Err(Denial::scope(self.asked, scope)) }
    }

    /// What the table says of the command.
    pub(super) fn row(&self, body: &CommandBody<'_>) -> Result<(), Denial> {
        match table::needs(self.asked) {
            Some(Needs::Session) => Ok(()),
            Some(Needs::AnyOf(scopes)) if self.rights.scopes.allows_any(scopes) => Ok(()),
            Some(Needs::AnyOf(scopes)) => {
                if let CommandBody::Store { kind, flags, .. } = body {
                    // The flags tell which of its two scopes it needs.
                    self.store(*kind, flags)?;
                }
                Err(scopes
                    .first()
                    .map_or_else(|| self.never("no scope gives it"), |scope| Denial::scope(self.asked, *scope)))
            }
            Some(Needs::Never(why)) => Err(self.never(why)),
            None => Err(self.never("it has no rule")),
        }
    }

    pub(super) fn never(&self, why: &str) -> Denial {
        Denial::never(self.asked, why)
    }

    pub(super) fn with<T>(&self, scope: Scope, body: T) -> Result<T, Denial> {
        self.needs(scope).map(|()| body)
    }

    /// The folder must have one spelling and lie within the bounds. Whether it exists is not told.
    pub(super) fn folder(&self, mailbox: &Mailbox<'_>) -> Result<(), Denial> {
        self.path(mailbox).map(drop)
    }

    /// The same of a folder with all that may lie below it, which RENAME takes along (RFC 3501 section 6.3.5).
    pub(super) fn tree(&self, mailbox: &Mailbox<'_>) -> Result<(), Denial> {
        match self.path(mailbox)? {
            Some(path) if !self.rights.bounds.allow_tree(&path) => {
                let text = "the grant's bounds do not hold all that may lie below the folder";
                Err(Denial::rule("folder-tree", self.asked, text).about(path.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// The folder's path; `None` where nothing bounds folders.
    fn path(&self, mailbox: &Mailbox<'_>) -> Result<Option<FolderPath>, Denial> {
        let Some(name) = mailbox_name(mailbox) else {
            return Err(Denial::rule("folder-name", self.asked, "the folder name is not canonical modified UTF-7"));
        };
        if self.rights.bounds.folders.is_none() {
            return Ok(None);
        }
        // A trailing delimiter says «will have folders below» (CREATE) and does not change which folder is meant.
        let plain = self.state.delimiter.and_then(|delimiter| name.strip_suffix(delimiter)).unwrap_or(&name);
        match FolderPath::from_name(plain, self.state.delimiter) {
            Some(path) if self.rights.bounds.allow_folder(&path) => Ok(Some(path)),
            Some(path) => Err(outside(self.asked).about(path.to_string())),
            None => Err(outside(self.asked)),
        }
    }

    /// A run of wildcards means what its strongest says: `%*%` is `*`. Said so, and few of them, a pattern costs the upstream no more
    /// than its length (IM-09).
    pub(super) fn pattern(&self, pattern: ListMailbox<'static>) -> Result<ListMailbox<'static>, Denial> {
        let asked = pattern_text(&pattern).to_vec();
        let is_wildcard = |byte: &u8| matches!(byte, b'*' | b'%');
        let mut short: Vec<u8> = Vec::with_capacity(asked.len());
        for byte in &asked {
            match short.last_mut() {
                Some(last) if is_wildcard(last) && is_wildcard(byte) => *last = (*last).max(*byte),
                _ => short.push(*byte),
            }
        }
        if short.iter().filter(|byte| is_wildcard(byte)).count() > MAX_WILDCARDS {
            return Err(Denial::rule("pattern", self.asked, "the pattern holds too many wildcards"));
        }
        if short == asked {
            return Ok(pattern);
        }
        let shortened = String::from_utf8(short).ok().and_then(|text| ListMailbox::try_from(text).ok());
        shortened.ok_or_else(|| Denial::rule("pattern", self.asked, "the pattern is not text"))
    }

    /// Every key of a search.
    pub(super) fn criteria(&self, keys: &Vec1<SearchKey<'_>>) -> Result<(), Denial> {
        keys.as_ref().iter().try_for_each(|key| self.search(key, 0))
    }

    /// With `mail.metadata` alone, keys that probe content are refused. Depth is bounded (IM-11).
    pub(super) fn search(&self, key: &SearchKey<'_>, depth: u8) -> Result<(), Denial> {
        if depth > 20 {
            return Err(Denial::rule("search-depth", self.asked, "the search is nested too deeply"));
        }
        match key {
            SearchKey::And(keys) => keys.as_ref().iter().try_for_each(|key| self.search(key, depth + 1)),
            SearchKey::Not(key) => self.search(key, depth + 1),
            SearchKey::Or(left, right) => self.search(left, depth + 1).and_then(|()| self.search(right, depth + 1)),
            SearchKey::Body(_) | SearchKey::Text(_) | SearchKey::Header(..) => self.needs(Scope::Read),
            // Flags, dates, sizes, numbers, and what ENVELOPE shows. Listed one by one: a key that a newer parser knows must not slip in.
            SearchKey::SequenceSet(_)
            | SearchKey::Uid(_)
            | SearchKey::All
            | SearchKey::Answered
            | SearchKey::Deleted
            | SearchKey::Draft
            | SearchKey::Flagged
            | SearchKey::New
            | SearchKey::Old
            | SearchKey::Recent
            | SearchKey::Seen
            | SearchKey::Unanswered
            | SearchKey::Undeleted
            | SearchKey::Undraft
            | SearchKey::Unflagged
            | SearchKey::Unseen
            | SearchKey::Keyword(_)
            | SearchKey::Unkeyword(_)
            | SearchKey::Before(_)
            | SearchKey::On(_)
            | SearchKey::Since(_)
            | SearchKey::SentBefore(_)
            | SearchKey::SentOn(_)
            | SearchKey::SentSince(_)
            | SearchKey::Larger(_)
            | SearchKey::Smaller(_)
            | SearchKey::Older(_)
            | SearchKey::Younger(_)
            | SearchKey::ModSequence { .. }
            | SearchKey::Bcc(_)
            | SearchKey::Cc(_)
            | SearchKey::From(_)
            | SearchKey::Subject(_)
            | SearchKey::To(_) => Ok(()),
        }
    }

    /// What a LIST names beyond its first pattern, and what it wants to be told.
    pub(super) fn list(&self, list: ListForm) -> Result<ListForm, Denial> {
        let ListForm { selection, more, told } = list;
        if selection.iter().flatten().any(|option| *option == Selection::Remote) {
            return Err(self.never("it reaches other mail servers"));
        }
        for option in told.iter().flatten() {
            match option {
                Told::Subscribed | Told::Children | Told::SpecialUse => (),
                Told::Status(_) => self.needs(Scope::Metadata)?,
            }
        }
        let more = more.into_iter().map(|pattern| self.pattern(pattern)).collect::<Result<_, _>>()?;
        Ok(ListForm { selection, more, told })
    }

    /// SORT and THREAD make the upstream read every message that they find (IM-11).
    pub(super) fn costly(&self) -> Result<(), Denial> {
        if self.state.costly_search {
            return Ok(());
        }
        Err(Denial::rule("costly-search", self.asked, &format!("{} is switched off here: it is costly", self.asked)))
    }

    /// Threads by References tell of a header that ENVELOPE does not show; so may those of ways unknown here.
    pub(super) fn thread(&self, algorithm: &ThreadingAlgorithm<'_>) -> Result<(), Denial> {
        self.costly()?;
        match algorithm {
            ThreadingAlgorithm::OrderedSubject => Ok(()),
            ThreadingAlgorithm::References | ThreadingAlgorithm::Other(_) => self.needs(Scope::Read),
        }
    }

    /// What speaks of the account as a whole speaks of folders outside any bounds too.
    pub(super) fn whole_account<T>(&self, body: T) -> Result<T, Denial> {
        if self.rights.bounds.folders.is_none() {
            return Ok(body);
        }
        Err(Denial::rule(
            "whole-account",
            self.asked,
            "quotas speak of the whole account, the grant is for some of its folders",
        ))
    }

    pub(super) fn fetch(&self, body: CommandBody<'static>) -> Result<CommandBody<'static>, Denial> {
        let CommandBody::Fetch { sequence_set, macro_or_item_names, uid, modifiers } = body else { return Ok(body) };
        let keeps_seen = !self.rights.scopes.allows(Scope::Flag);
        let macro_or_item_names = match macro_or_item_names {
            MacroOrMessageDataItemNames::Macro(short @ (Macro::All | Macro::Fast | Macro::Full)) => {
                MacroOrMessageDataItemNames::Macro(short)
            }
            MacroOrMessageDataItemNames::MessageDataItemNames(items) => {
                MacroOrMessageDataItemNames::MessageDataItemNames(
                    items.into_iter().map(|item| self.item(item, keeps_seen)).collect::<Result<_, _>>()?,
                )
            }
            MacroOrMessageDataItemNames::Macro(_) => {
                return Err(self.never("this form of it has no rule"));
            }
        };
        Ok(CommandBody::Fetch { sequence_set, macro_or_item_names, uid, modifiers })
    }

    fn item(
        &self,
        item: MessageDataItemName<'static>,
        keeps_seen: bool,
    ) -> Result<MessageDataItemName<'static>, Denial> {
        match item {
            MessageDataItemName::Body
            | MessageDataItemName::BodyStructure
            | MessageDataItemName::Envelope
            | MessageDataItemName::Flags
            | MessageDataItemName::InternalDate
            | MessageDataItemName::ModSeq
            | MessageDataItemName::BinarySize { .. }
            | MessageDataItemName::Rfc822Size
            | MessageDataItemName::Uid => Ok(item),
            MessageDataItemName::BodyExt { section, partial, peek } => {
                self.needs(Scope::Read)?;
                self.section(section.as_ref())?;
                Ok(MessageDataItemName::BodyExt { section, partial, peek: peek || keeps_seen })
            }
            MessageDataItemName::Rfc822Header => self.with(Scope::Read, item),
            MessageDataItemName::Rfc822 | MessageDataItemName::Rfc822Text => {
                self.needs(Scope::Read)?;
                // These have no PEEK form. Under EXAMINE they mark nothing.
                if keeps_seen && self.state.is_read_write {
                    Err(Denial::scope(self.asked, Scope::Flag))
                } else {
                    Ok(item)
                }
            }
            MessageDataItemName::Binary { section, partial, peek } => {
                self.needs(Scope::Read)?;
                Ok(MessageDataItemName::Binary { section, partial, peek: peek || keeps_seen })
            }
        }
    }

    /// Header fields are asked for by names that one can have (RFC 5322 section 3.6.8). The upstream repeats them where its answer is
    /// told apart, so none holds what could end one there.
    fn section(&self, section: Option<&Section<'_>>) -> Result<(), Denial> {
        let Some(Section::HeaderFields(_, names) | Section::HeaderFieldsNot(_, names)) = section else { return Ok(()) };
        let is_name = |name: &AString<'_>| {
            let name = name.as_ref();
            !name.is_empty() && name.iter().all(|byte| byte.is_ascii_graphic() && !b":]\"\\(){".contains(byte))
        };
        if names.as_ref().iter().all(is_name) {
            return Ok(());
        }
        Err(Denial::rule("field-name", self.asked, "no header field has such a name"))
    }

    /// `\Deleted` is a deletion in waiting; a replacement of all flags may set or clear it.
    pub(super) fn store(&self, kind: StoreType, flags: &[Flag<'_>]) -> Result<(), Denial> {
        let touches_deleted = kind == StoreType::Replace || flags.contains(&Flag::Deleted);
        if touches_deleted {
            self.needs(Scope::Delete)?;
        }
        if flags.iter().any(|flag| *flag != Flag::Deleted) || kind == StoreType::Replace {
            self.needs(Scope::Flag)?;
        }
        Ok(())
    }

    pub(super) fn append(&self, body: CommandBody<'static>) -> Result<CommandBody<'static>, Denial> {
        let CommandBody::Append { mailbox, mut flags, date, message } = body else { return Ok(body) };
        self.folder(&mailbox)?;
        if !self.rights.scopes.allows(Scope::Delete) {
            flags.retain(|flag| *flag != Flag::Deleted);
        }
        Ok(CommandBody::Append { mailbox, flags, date, message })
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::scope::Preset;
    use crate::policy::imap::tests::{outcome, rights};

    #[test]
    fn a_header_field_is_asked_for_by_a_name_that_can_be_one() {
        let full = rights(Preset::Full.scopes(), "{}");
        for wrong in [
            "\"]\"",
            "X]",
            "\"\"",
            "\"a b\"",
            "\"a:\"",
            "\"a\\\"b\"",
            "\"a\\\\b\"",
            "\"(\"",
            "\")\"",
            "\"{3}\"",
            "{1}\r\n]",
            "{1}\r\n\u{7f}",
            "Subject \"] UID 9 BODY[\"",
        ] {
            for section in ["HEADER.FIELDS", "HEADER.FIELDS.NOT", "1.2.HEADER.FIELDS", "1.HEADER.FIELDS.NOT"] {
                for item in ["BODY", "BODY.PEEK"] {
                    let asked = format!("FETCH 1 (FLAGS {item}[{section} ({wrong})] BODY.PEEK[])");
                    assert_eq!(outcome(&full, true, &asked), "!field-name", "{asked}");
                }
            }
        }
        let asked = "FETCH 1 BODY[HEADER.FIELDS (Message-ID X-Spam_Level List.Id X/9)]";
        assert_eq!(outcome(&full, true, asked), asked);
    }

    #[test]
    fn im_08_a_folder_is_renamed_with_all_that_lies_below_it() {
        let bounded = rights(Preset::Full.scopes(), r#"{"folders":["INBOX","Team","Mine/*","Both","Both/*","A/B"]}"#);
        for (line, told) in [
            ("RENAME Team Mine/T", "!folder-tree"),
            ("RENAME Mine/T Team", "!folder-tree"),
            ("RENAME INBOX Mine/T", "!folder-tree"),
            ("RENAME A/B Mine/T", "!folder-tree"),
            ("RENAME Team/Deep Mine/T", "!folder"),
            ("RENAME Mine Mine/T", "!folder"),
            ("RENAME Mine/A Mine/B", "RENAME Mine/A Mine/B"),
            ("RENAME Both Mine/B", "RENAME Both Mine/B"),
            ("RENAME Mine/A/ Both", "RENAME Mine/A/ Both"),
            ("DELETE Team", "DELETE Team"),
            ("CREATE A/B", "CREATE A/B"),
            ("CREATE Mine/A/B/", "CREATE Mine/A/B/"),
            ("CREATE A", "!folder"),
        ] {
            assert_eq!(outcome(&bounded, true, line), told, "{line}");
        }
        assert_eq!(outcome(&rights(Preset::Full.scopes(), "{}"), true, "RENAME a b"), "RENAME a b");
    }
}
