//! LIST with options (RFC 5258): which folders, and what else is said of them (RFC 5819, RFC 6154).

use imap_codec::encode::Fragment;
use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::core::LiteralMode;
use imap_codec::imap_types::mailbox::{ListMailbox, Mailbox};
use imap_codec::imap_types::status::StatusDataItemName;

use crate::protocol::imap::command;
use crate::protocol::imap::framing;
use crate::protocol::imap::request::begins;

/// Most patterns in a LIST.
pub const MAX_PATTERNS: usize = 16;

/// Longest reference of a LIST that says more than that and a pattern, in octets, as it is spelled.
pub const MAX_REFERENCE: usize = 1000;

/// What a LIST says beyond its reference and its first pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListForm {
    /// Which folders are meant; `None` when nothing is said.
    pub selection: Option<Vec<Selection>>,
    /// The patterns after the first.
    pub more: Vec<ListMailbox<'static>>,
    /// What is told of each; `None` when nothing is said.
    pub told: Option<Vec<Told>>,
}

/// A selection option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Subscribed folders.
    Subscribed,
    /// Folders of other servers too.
    Remote,
    /// Folders that have such ones below.
    RecursiveMatch,
    /// Folders with a special use.
    SpecialUse,
}

impl Selection {
    const ALL: [Self; 4] = [Self::Subscribed, Self::Remote, Self::RecursiveMatch, Self::SpecialUse];

    fn as_str(self) -> &'static str {
        match self {
            Self::Subscribed => "SUBSCRIBED",
            Self::Remote => "REMOTE",
            Self::RecursiveMatch => "RECURSIVEMATCH",
            Self::SpecialUse => "SPECIAL-USE",
        }
    }
}

/// A return option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Whether it is subscribed.
    Subscribed,
    /// Whether it has children.
    Children,
    /// Its special use.
    SpecialUse,
    /// Its STATUS.
    Status(Vec<StatusDataItemName>),
}

impl ListForm {
    /// Parses what follows `LIST `. Gives the plain command with it: the reference and the first pattern.
    pub(super) fn parse(tag: &str, arguments: &[u8]) -> Option<(CommandBody<'static>, Self)> {
        let mut rest = arguments;
        let selection = match rest.strip_prefix(b"(") {
            Some(after) => {
                let (words, after) = words(after)?;
                rest = after.strip_prefix(b" ")?;
                let parse = |word: &[u8]| {
                    Selection::ALL.into_iter().find(|known| word.eq_ignore_ascii_case(known.as_str().as_bytes()))
                };
                Some(words.into_iter().map(parse).collect::<Option<Vec<_>>>()?)
            }
            None => None,
        };
        let reference = take_string(&mut rest).filter(|spelled| spelled.len() <= MAX_REFERENCE)?;
        rest = rest.strip_prefix(b" ")?;
        let (mut patterns, is_several) = (Vec::new(), rest.first() == Some(&b'('));
        if is_several {
            rest = rest.get(1..)?;
        }
        loop {
            if patterns.len() == MAX_PATTERNS {
                return None;
            }
            // The reference is read with the first.
            let reference = if patterns.is_empty() { reference } else { &b"\"\""[..] };
            let line = [tag.as_bytes(), b" LIST ", reference, b" ", take_string(&mut rest)?, b"\r\n"].concat();
            patterns.push(command::parse(&line).ok()?.body);
            match rest.split_first()? {
                (b' ', after) if is_several => rest = after,
                (b')', after) if is_several => {
                    rest = after;
                    break;
                }
                _ if is_several => return None,
                _ => break,
            }
        }
        let told = if begins(rest, " RETURN (") {
            let (told, after) = told(tag, rest.get(" RETURN (".len()..)?)?;
            rest = after;
            Some(told)
        } else {
            None
        };
        if rest != b"\r\n" {
            return None;
        }
        let mut patterns = patterns.into_iter();
        let first = patterns.next()?;
        let pattern = |body| match body {
            CommandBody::List { mailbox_wildcard, .. } => Some(mailbox_wildcard),
            _ => None,
        };
        Some((first, Self { selection, more: patterns.map(pattern).collect::<Option<Vec<_>>>()?, told }))
    }

    /// The whole command under `tag`; `plain` is what came with this form.
    pub(super) fn serialise(&self, tag: &str, plain: &CommandBody<'_>) -> Option<Vec<Fragment>> {
        let CommandBody::List { reference, mailbox_wildcard } = plain else { return None };
        let mut out = Out { fragments: Vec::new(), line: format!("{tag} LIST ").into_bytes() };
        if let Some(selection) = &self.selection {
            let words: Vec<&str> = selection.iter().map(|option| option.as_str()).collect();
            out.line.extend_from_slice(format!("({}) ", words.join(" ")).as_bytes());
        }
        out.string(match reference {
            Mailbox::Inbox => b"INBOX",
            Mailbox::Other(other) => other.as_ref(),
        });
        for (place, pattern) in std::iter::once(mailbox_wildcard).chain(&self.more).enumerate() {
            out.line.extend_from_slice(if place == 0 { b" (" } else { b" " });
            out.string(pattern_text(pattern));
        }
        out.line.push(b')');
        if let Some(told) = &self.told {
            let words: Vec<String> = told.iter().map(|option| option.said(tag)).collect::<Option<_>>()?;
            out.line.extend_from_slice(format!(" RETURN ({})", words.join(" ")).as_bytes());
        }
        out.line.extend_from_slice(b"\r\n");
        out.fragments.push(Fragment::Line { data: out.line });
        Some(out.fragments)
    }
}

/// The octets of a pattern.
pub fn pattern_text<'a>(pattern: &'a ListMailbox<'_>) -> &'a [u8] {
    match pattern {
        ListMailbox::Token(token) => token.as_ref(),
        ListMailbox::String(text) => text.as_ref(),
    }
}

impl Told {
    fn said(&self, tag: &str) -> Option<String> {
        Some(match self {
            Self::Subscribed => "SUBSCRIBED".to_owned(),
            Self::Children => "CHILDREN".to_owned(),
            Self::SpecialUse => "SPECIAL-USE".to_owned(),
            Self::Status(items) => {
                let body = CommandBody::Status { mailbox: Mailbox::Inbox, item_names: items.clone().into() };
                let fragments = command::serialise(tag, body)?;
                let Some(Fragment::Line { data }) = fragments.first() else { return None };
                let items = data.get(data.iter().position(|byte| *byte == b'(')?..)?.strip_suffix(b"\r\n")?;
                format!("STATUS {}", std::str::from_utf8(items).ok()?)
            }
        })
    }
}

/// The return options up to their closing parenthesis, and what follows it.
fn told<'a>(tag: &str, text: &'a [u8]) -> Option<(Vec<Told>, &'a [u8])> {
    let mut found = Vec::new();
    if let Some(after) = text.strip_prefix(b")") {
        return Some((found, after));
    }
    let mut rest = text;
    loop {
        let (word, after) = rest.split_at_checked(rest.iter().position(|byte| matches!(byte, b' ' | b')'))?)?;
        rest = after;
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        found.push(if is("SUBSCRIBED") {
            Told::Subscribed
        } else if is("CHILDREN") {
            Told::Children
        } else if is("SPECIAL-USE") {
            Told::SpecialUse
        } else if is("STATUS") {
            let (items, after) = rest.split_at_checked(rest.iter().position(|byte| *byte == b')')? + 1)?;
            rest = after;
            let line = [tag.as_bytes(), b" STATUS INBOX", items, b"\r\n"].concat();
            let CommandBody::Status { item_names, .. } = command::parse(&line).ok()?.body else { return None };
            Told::Status(item_names.into_owned())
        } else {
            return None;
        });
        match rest.split_first()? {
            (b' ', after) => rest = after,
            (b')', after) => return Some((found, after)),
            _ => return None,
        }
    }
}

/// Words up to a closing parenthesis, and what follows it.
fn words(text: &[u8]) -> Option<(Vec<&[u8]>, &[u8])> {
    let end = text.iter().position(|byte| *byte == b')')?;
    let (inside, after) = (text.get(..end)?, text.get(end + 1..)?);
    Some((if inside.is_empty() { Vec::new() } else { inside.split(|byte| *byte == b' ').collect() }, after))
}

/// Takes an atom, quoted string or literal off the text, in its own spelling. What is in it is for imap-codec to judge.
fn take_string<'a>(text: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = match text.first()? {
        b'"' => {
            let mut at = 1;
            loop {
                match text.get(at)? {
                    b'"' => break at + 1,
                    b'\\' => at += 2,
                    _ => at += 1,
                }
            }
        }
        b'{' => {
            let line = text.get(..text.iter().position(|byte| *byte == b'\r')?)?;
            let literal = framing::literal_at_end(line).ok()??;
            line.len() + 2 + usize::try_from(literal.length).ok()?
        }
        _ => text.iter().position(|byte| matches!(byte, b' ' | b'(' | b')' | b'\r'))?,
    };
    let (string, rest) = text.split_at_checked(end)?;
    *text = rest;
    Some(string)
}

/// A command while it is written.
struct Out {
    fragments: Vec<Fragment>,
    line: Vec<u8>,
}

impl Out {
    /// A quoted string where that can hold the text, a literal otherwise.
    fn string(&mut self, text: &[u8]) {
        if text.iter().all(|byte| (b' '..=b'~').contains(byte)) {
            self.line.push(b'"');
            for byte in text {
                if matches!(byte, b'"' | b'\\') {
                    self.line.push(b'\\');
                }
                self.line.push(*byte);
            }
            self.line.push(b'"');
        } else {
            self.line.extend_from_slice(format!("{{{}}}\r\n", text.len()).as_bytes());
            self.fragments.push(Fragment::Line { data: std::mem::take(&mut self.line) });
            self.fragments.push(Fragment::Literal { data: text.to_vec(), mode: LiteralMode::Sync });
        }
    }
}
