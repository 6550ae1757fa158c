//! What a tool gets of a FETCH response in which there is more than it asked for: items of ours are taken out, and responses in which
//! nothing else stands. What is let through is let through as it came, literals in step.

use crate::protocol::imap::content::is_message_id;

/// Longest name of an item that is kept; what it is shows at its beginning.
pub(super) const MAX_NAME: usize = 64;

/// What only we asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    /// The UID.
    pub uid: bool,
    /// The header field Message-ID.
    pub message_id: bool,
}

impl Hidden {
    /// Whether there is anything.
    pub fn is_any(self) -> bool {
        self.uid || self.message_id
    }

    fn has(self, name: &[u8]) -> bool {
        (self.uid && name.eq_ignore_ascii_case(b"UID")) || (self.message_id && is_message_id(name))
    }
}

/// What an octet is to the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Outside of the list of items.
    Head,
    /// Of an item's name.
    Name,
    /// The space behind a name.
    NameEnd,
    /// Of an item's value.
    Value,
    /// The space behind a value.
    ValueEnd,
    /// The end of the list of items.
    Close,
}

/// What lies over one response.
#[derive(Debug, Default)]
pub(super) struct Veil {
    hidden: Hidden,
    /// The response's beginning, until the tool gets an item.
    head: Vec<u8>,
    /// Whether the tool got an item.
    is_shown: bool,
    /// Whether it got the beginning of the name that is under way.
    is_named: bool,
    /// Whether the value that is under way is ours alone.
    is_ours: bool,
}

impl Veil {
    pub(super) fn over(hidden: Hidden) -> Self {
        Self { hidden, ..Self::default() }
    }

    pub(super) fn hides(&self) -> bool {
        self.hidden.is_any()
    }

    pub(super) fn is_ours(&self) -> bool {
        self.is_ours
    }

    /// Gives an octet to the tool, or keeps it back. `name` is as much of the item's name as has come.
    pub(super) fn let_through(&mut self, byte: u8, role: Role, name: &[u8], left: &mut Vec<u8>) {
        match role {
            Role::Head if self.is_shown => left.push(byte),
            Role::Head => self.head.push(byte),
            Role::Name if self.is_named => left.push(byte),
            // Too long for one of ours.
            Role::Name if name.len() >= MAX_NAME => self.reveal(name, left),
            Role::Name => (),
            Role::NameEnd => {
                self.is_ours = !self.is_named && self.hidden.has(name);
                if !self.is_ours {
                    if !self.is_named {
                        self.reveal(name, left);
                    }
                    left.push(byte);
                }
                self.is_named = false;
            }
            Role::Value if self.is_ours => (),
            Role::Value => left.push(byte),
            // What separates two items is said before the second one.
            Role::ValueEnd => self.is_ours = false,
            Role::Close => {
                self.is_ours = false;
                if self.is_shown {
                    left.push(byte);
                }
            }
        }
    }

    /// The line is over, in a value or after so much of a name.
    pub(super) fn line_end(&mut self, name: &[u8], is_value: bool, has_literal: bool) -> Option<Vec<u8>> {
        let mut left = Vec::new();
        if !self.hides() {
            return Some(left);
        }
        if has_literal && self.is_ours {
            return None;
        }
        let is_new = !self.is_named && !name.is_empty();
        // Whose octets the tool gets, it gets the announcement of too, however odd the place.
        if is_new || (has_literal && !(self.is_shown && is_value)) {
            self.reveal(if self.is_named { &[] } else { name }, &mut left);
        }
        self.is_shown.then_some(left)
    }

    /// The tool gets an item, of whose name so much has come.
    fn reveal(&mut self, name: &[u8], left: &mut Vec<u8>) {
        if self.is_shown && !self.is_named {
            left.push(b' ');
        }
        left.append(&mut self.head);
        left.extend_from_slice(name);
        (self.is_shown, self.is_named) = (true, true);
    }
}
