//! IMAP: every command that the parser knows, and what it takes (RFC 3501; effects as in RFC 9051). What is not named is denied.

use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::fetch::{Macro, MacroOrMessageDataItemNames, MessageDataItemName};
use imap_codec::imap_types::flag::{Flag, StoreType};
use imap_codec::imap_types::mailbox::Mailbox;
use imap_codec::imap_types::search::SearchKey;

use crate::domain::folder::FolderPath;
use crate::domain::scope::{Scope, ScopeSet};
use crate::policy::{Denial, Permit, Rights};
use crate::protocol::imap::command::{mailbox_name, name};

/// What the decision depends on besides rights and command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The upstream's hierarchy delimiter.
    pub delimiter: Option<char>,
    /// Whether a folder is selected so that commands may change it.
    pub is_read_write: bool,
}

/// Decides one command. The permitted command may differ from the asked one: SELECT becomes EXAMINE, `BODY[]` becomes
/// `BODY.PEEK[]`, CLOSE becomes UNSELECT, `\Deleted` is taken off an APPEND.
pub fn decide(
    rights: &Rights,
    state: State,
    body: CommandBody<'static>,
) -> Result<Permit<CommandBody<'static>>, Denial> {
    let asked = name(&body);
    let check = Check { rights, state, asked: &asked };
    let permitted = match body {
        CommandBody::Noop | CommandBody::Logout | CommandBody::Capability | CommandBody::Check => body,
        CommandBody::Id { .. } | CommandBody::Enable { .. } | CommandBody::Unselect => body,
        CommandBody::Idle => check.with(Scope::Metadata, body)?,
        CommandBody::Select { mailbox } | CommandBody::Examine { mailbox }
            if !writes(rights.scopes) || asked == "EXAMINE" =>
        {
            check.selects(&mailbox)?;
            CommandBody::Examine { mailbox }
        }
        CommandBody::Select { ref mailbox } => {
            check.selects(mailbox)?;
            body
        }
        CommandBody::Close if state.is_read_write && !rights.scopes.allows(Scope::Delete) => CommandBody::Unselect,
        CommandBody::Close => body,
        // Who adds messages has to find the folder to add them to.
        CommandBody::Namespace | CommandBody::List { .. } | CommandBody::Lsub { .. }
            if rights.scopes.allows(Scope::Append) =>
        {
            body
        }
        CommandBody::Namespace | CommandBody::List { .. } | CommandBody::Lsub { .. } => {
            check.with(Scope::Metadata, body)?
        }
        CommandBody::Status { ref mailbox, .. } => {
            check.needs(Scope::Metadata)?;
            check.folder(mailbox)?;
            body
        }
        CommandBody::Search { ref criteria, .. } => {
            for key in criteria.as_ref() {
                check.search(key, 0)?;
            }
            body
        }
        CommandBody::Fetch { .. } => check.fetch(body)?,
        CommandBody::Store { ref kind, ref flags, .. } => {
            check.store(*kind, flags)?;
            body
        }
        CommandBody::Append { .. } => check.append(body)?,
        CommandBody::Copy { ref mailbox, .. } => {
            if !rights.scopes.allows(Scope::Organize) {
                check.needs(Scope::Append)?;
                check.needs(Scope::Read)?;
            }
            check.folder(mailbox)?;
            body
        }
        CommandBody::Move { ref mailbox, .. }
        | CommandBody::Create { ref mailbox }
        | CommandBody::Subscribe { ref mailbox }
        | CommandBody::Unsubscribe { ref mailbox } => {
            check.needs(Scope::Organize)?;
            check.folder(mailbox)?;
            body
        }
        CommandBody::Rename { ref from, ref to } => {
            check.needs(Scope::Organize)?;
            if matches!(from, Mailbox::Inbox) {
                // It moves every message out of INBOX (RFC 3501 section 6.3.5).
                check.needs(Scope::Delete)?;
            }
            check.folder(from)?;
            check.folder(to)?;
            body
        }
        CommandBody::Delete { ref mailbox } => {
            check.needs(Scope::Delete)?;
            check.folder(mailbox)?;
            body
        }
        CommandBody::Expunge | CommandBody::ExpungeUid { .. } => check.with(Scope::Delete, body)?,
        _ => return Err(Denial::rule("never", &asked, "this command is never permitted")),
    };
    Ok(Permit(permitted))
}

/// Whether any scope lets a tool change what is in a selected folder. If not, it is opened with EXAMINE.
fn writes(scopes: ScopeSet) -> bool {
    scopes.allows_any(&[Scope::Flag, Scope::Organize, Scope::Delete])
}

struct Check<'a> {
    rights: &'a Rights,
    state: State,
    asked: &'a str,
}

impl Check<'_> {
    fn needs(&self, scope: Scope) -> Result<(), Denial> {
        if self.rights.scopes.allows(scope) { Ok(()) } else { Err(Denial::scope(self.asked, scope)) }
    }

    fn with<T>(&self, scope: Scope, body: T) -> Result<T, Denial> {
        self.needs(scope).map(|()| body)
    }

    /// The folder must have one spelling and lie within the bounds. Whether it exists is not told.
    fn folder(&self, mailbox: &Mailbox<'_>) -> Result<(), Denial> {
        let Some(name) = mailbox_name(mailbox) else {
            return Err(Denial::rule("folder-name", self.asked, "the folder name is not canonical modified UTF-7"));
        };
        if self.rights.bounds.folders.is_none() {
            return Ok(());
        }
        // A trailing delimiter says «will have folders below» (CREATE) and does not change which folder is meant.
        let plain = self.state.delimiter.and_then(|delimiter| name.strip_suffix(delimiter)).unwrap_or(&name);
        match FolderPath::from_name(plain, self.state.delimiter) {
            Some(path) if self.rights.bounds.allow_folder(&path) => Ok(()),
            _ => Err(Denial::rule("folder", self.asked, "the folder lies outside the grant's bounds")),
        }
    }

    fn selects(&self, mailbox: &Mailbox<'_>) -> Result<(), Denial> {
        self.needs(Scope::Metadata)?;
        self.folder(mailbox)
    }

    /// With `mail.metadata` alone, keys that probe content are refused. Depth is bounded (IM-11).
    fn search(&self, key: &SearchKey<'_>, depth: u8) -> Result<(), Denial> {
        self.needs(Scope::Metadata)?;
        if depth > 20 {
            return Err(Denial::rule("search-depth", self.asked, "the search is nested too deeply"));
        }
        match key {
            SearchKey::And(keys) => keys.as_ref().iter().try_for_each(|key| self.search(key, depth + 1)),
            SearchKey::Not(key) => self.search(key, depth + 1),
            SearchKey::Or(left, right) => self.search(left, depth + 1).and_then(|()| self.search(right, depth + 1)),
            SearchKey::Body(_) | SearchKey::Text(_) | SearchKey::Header(..) => self.needs(Scope::Read),
            _ => Ok(()),
        }
    }

    fn fetch(&self, body: CommandBody<'static>) -> Result<CommandBody<'static>, Denial> {
        self.needs(Scope::Metadata)?;
        let CommandBody::Fetch { sequence_set, macro_or_item_names, uid } = body else { return Ok(body) };
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
                return Err(Denial::rule("never", self.asked, "this FETCH form is never permitted"));
            }
        };
        Ok(CommandBody::Fetch { sequence_set, macro_or_item_names, uid })
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
            | MessageDataItemName::Rfc822Size
            | MessageDataItemName::Uid => Ok(item),
            MessageDataItemName::BodyExt { section, partial, peek } => {
                self.needs(Scope::Read)?;
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
            _ => Err(Denial::rule("never", self.asked, "this FETCH item is never permitted")),
        }
    }

    /// `\Deleted` is a deletion in waiting; a replacement of all flags may set or clear it.
    fn store(&self, kind: StoreType, flags: &[Flag<'_>]) -> Result<(), Denial> {
        let touches_deleted = kind == StoreType::Replace || flags.contains(&Flag::Deleted);
        if touches_deleted {
            self.needs(Scope::Delete)?;
        }
        if flags.iter().any(|flag| *flag != Flag::Deleted) || kind == StoreType::Replace {
            self.needs(Scope::Flag)?;
        }
        if !self.rights.scopes.allows_any(&[Scope::Flag, Scope::Delete]) {
            self.needs(Scope::Flag)?;
        }
        Ok(())
    }

    fn append(&self, body: CommandBody<'static>) -> Result<CommandBody<'static>, Denial> {
        self.needs(Scope::Append)?;
        let CommandBody::Append { mailbox, mut flags, date, message } = body else { return Ok(body) };
        self.folder(&mailbox)?;
        if !self.rights.scopes.allows(Scope::Delete) {
            flags.retain(|flag| *flag != Flag::Deleted);
        }
        Ok(CommandBody::Append { mailbox, flags, date, message })
    }
}

#[cfg(test)]
mod tests;
