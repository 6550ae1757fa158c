//! FETCH responses as they pass by (RFC 3501 section 7.4.2): whose they are, and what content they carry. Items that only we asked for
//! are taken out. Nothing is held but names.

use std::ops::Range;

use crate::protocol::imap::content::Content;
use crate::protocol::imap::veil::{Hidden, MAX_NAME, Role, Veil};

/// Items whose parts may be literals without being content.
const STRUCTURES: [&[u8]; 3] = [b"ENVELOPE", b"BODYSTRUCTURE", b"BODY"];

/// What a response has shown.
#[derive(Debug, PartialEq, Eq)]
pub enum Shown {
    /// The message's UID.
    Uid(u32),
    /// Content in quotes begins.
    Quote(Content),
    /// Octets of it: where in the part they stand.
    Octets(Range<usize>),
    /// It is over.
    QuoteEnd,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Inside {
    /// A list.
    #[default]
    List,
    /// A quoted string.
    Quotes,
    /// One, behind a backslash.
    Escape,
    /// The section of an item's name.
    Brackets,
    /// A quoted string in it.
    NameQuotes,
    /// One, behind a backslash.
    NameEscape,
}

/// One response, part by part. Literals are announced by [`FetchScan::literal`].
#[derive(Debug, Default)]
pub struct FetchScan {
    veil: Veil,
    depth: u32,
    inside: Inside,
    /// Whether a name was read, and its value comes.
    is_value: bool,
    name: Vec<u8>,
    token: Vec<u8>,
    /// Whether content in quotes is under way.
    is_quote: bool,
}

impl FetchScan {
    /// A response of which the tool does not get what is `hidden`.
    pub fn hiding(hidden: Hidden) -> Self {
        Self { veil: Veil::over(hidden), ..Self::default() }
    }

    /// The number of the message, when `line` begins a FETCH response; 0 when that is no number of a message.
    pub fn number(line: &[u8]) -> Option<u32> {
        let mut words = line.strip_prefix(b"* ")?.splitn(3, |byte| *byte == b' ');
        let (number, word) = (words.next()?, words.next()?);
        let is_fetch = word.eq_ignore_ascii_case(b"FETCH") && number.iter().all(u8::is_ascii_digit);
        is_fetch.then(|| std::str::from_utf8(number).ok().and_then(|text| text.parse().ok()).unwrap_or_default())
    }

    /// Reads a part of the response's line. Gives what it shows, and what of it the tool gets where that is not all.
    pub fn part(&mut self, bytes: &[u8]) -> (Vec<Shown>, Option<Vec<u8>>) {
        let (mut shown, mut left) = (Vec::new(), self.veil.hides().then(Vec::new));
        let mut from = self.is_quote.then_some(0);
        for (at, byte) in bytes.iter().copied().enumerate() {
            let was_quote = self.is_quote;
            let (role, uid) = self.step(byte);
            shown.extend(uid.map(Shown::Uid));
            if self.is_quote && !was_quote {
                shown.extend(self.content().map(Shown::Quote));
                from = Some(at + 1);
            } else if was_quote && !self.is_quote {
                shown.extend(from.take().map(|from| Shown::Octets(from..at)));
                shown.push(Shown::QuoteEnd);
            }
            if let Some(left) = &mut left {
                let name = if role == Role::NameEnd { &self.name } else { &self.token };
                self.veil.let_through(byte, role, name, left);
            }
        }
        shown.extend(from.map(|from| Shown::Octets(from..bytes.len())));
        (shown, left)
    }

    /// The line is over, and a literal follows or does not. Says what the tool still has to get of it; `None`: nothing, not even its
    /// end.
    pub fn line_end(&mut self, has_literal: bool) -> Option<Vec<u8>> {
        let name = if self.is_value { &[][..] } else { &self.token };
        self.veil.line_end(name, self.is_value, has_literal)
    }

    /// Reads an octet. Says what it is, and the UID if that has ended.
    fn step(&mut self, byte: u8) -> (Role, Option<u32>) {
        let role = if self.is_value { Role::Value } else { Role::Name };
        match self.inside {
            Inside::List => (),
            Inside::Escape => {
                self.inside = Inside::Quotes;
                return (role, None);
            }
            Inside::Quotes => {
                match byte {
                    b'\\' => self.inside = Inside::Escape,
                    b'"' => (self.inside, self.is_quote) = (Inside::List, false),
                    _ => (),
                }
                return (role, None);
            }
            inside => {
                self.inside = match (inside, byte) {
                    (Inside::Brackets, b']') => Inside::List,
                    (Inside::Brackets, b'"') | (Inside::NameEscape, _) => Inside::NameQuotes,
                    (Inside::NameQuotes, b'\\') => Inside::NameEscape,
                    (Inside::NameQuotes, b'"') => Inside::Brackets,
                    (inside, _) => inside,
                };
                self.keep(byte);
                return (role, None);
            }
        }
        let was = self.depth;
        let mut uid = None;
        match byte {
            b'"' => {
                self.inside = Inside::Quotes;
                self.is_quote = was == 1 && self.content().is_some();
            }
            b'(' => self.depth += 1,
            b')' | b' ' => {
                if was == 1 {
                    uid = self.word_ends();
                }
                if byte == b')' {
                    self.depth = was.saturating_sub(1);
                    self.is_value &= was > 1;
                }
            }
            byte if was == 1 => {
                if byte == b'[' && !self.is_value {
                    self.inside = Inside::Brackets;
                }
                self.keep(byte);
            }
            _ => (),
        }
        let role = match (was, byte) {
            (0, _) => Role::Head,
            (1, b')') => Role::Close,
            (1, b' ') if self.is_value => Role::NameEnd,
            (1, b' ') => Role::ValueEnd,
            _ => role,
        };
        (role, uid)
    }

    fn keep(&mut self, byte: u8) {
        if self.token.len() < MAX_NAME {
            self.token.push(byte);
        }
    }

    /// A name or a value is over; gives the UID when that was it.
    fn word_ends(&mut self) -> Option<u32> {
        let token = std::mem::take(&mut self.token);
        if self.is_value {
            self.is_value = false;
            let name = std::mem::take(&mut self.name);
            return if name.eq_ignore_ascii_case(b"UID") {
                std::str::from_utf8(&token).ok()?.parse().ok()
            } else {
                None
            };
        }
        if !token.is_empty() {
            self.name = token;
            self.is_value = true;
        }
        None
    }

    /// The content that the value under way is.
    fn content(&self) -> Option<Content> {
        let content = Content::of(&self.name).filter(|_| self.depth == 1 && self.is_value)?;
        Some(Content { is_ours: self.veil.is_ours(), ..content })
    }

    /// Whether the response stands within the value of an item that shows how a message is made up, and holds no content.
    pub fn is_structure(&self) -> bool {
        self.depth > 1 && self.is_value && STRUCTURES.iter().any(|name| self.name.eq_ignore_ascii_case(name))
    }

    /// A literal follows the part: what it carries.
    pub fn literal(&mut self) -> Option<Content> {
        // Its announcement is no word of its own; in a section it is part of the item's name.
        if self.inside != Inside::Brackets {
            self.token.clear();
        }
        self.content()
    }

    /// Whether the value under way is ours alone.
    pub fn is_ours(&self) -> bool {
        self.veil.is_ours()
    }
}
