//! FETCH responses as they pass by (RFC 3501 section 7.4.2): whose they are, and what content they carry. Nothing is held but names.

use std::ops::Range;

/// Longest name of an item that is kept; what it is shows at its beginning.
const MAX_NAME: usize = 64;

/// Items whose parts may be literals without being content.
const STRUCTURES: [&[u8]; 3] = [b"ENVELOPE", b"BODYSTRUCTURE", b"BODY"];

/// What an item carries of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Whether it is more than a header.
    pub is_body: bool,
    /// Whether it starts with the message's own header.
    pub has_header: bool,
}

impl Content {
    /// What the item called `name` carries; `None` for flags, envelopes and all else that is no content.
    pub fn of(name: &[u8]) -> Option<Self> {
        let name = String::from_utf8_lossy(name).to_ascii_uppercase();
        let (is_body, has_header) = match name.as_str() {
            "RFC822" => (true, true),
            "RFC822.HEADER" => (false, true),
            "RFC822.TEXT" => (true, false),
            name => {
                let section = name.strip_prefix("BODY[").or_else(|| name.strip_prefix("BINARY["))?;
                let (section, origin) = section.split_once(']').unwrap_or((section, ""));
                let is_start = matches!(origin, "" | "<0>");
                match section {
                    "" => (true, is_start),
                    section if section.starts_with("HEADER") => (false, is_start),
                    section if section.contains(".HEADER") || section.rsplit('.').next() == Some("MIME") => {
                        (false, false)
                    }
                    _ => (true, false),
                }
            }
        };
        Some(Self { is_body, has_header })
    }
}

/// What a response has shown.
#[derive(Debug, PartialEq, Eq)]
pub enum Shown {
    /// The message's UID, and where in the part it was said.
    Uid(u32, Range<usize>),
    /// Content in quotes: where in the part it stands.
    Quoted(Content, Range<usize>),
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
    depth: u32,
    inside: Inside,
    /// Whether a name was read, and its value comes.
    is_value: bool,
    name: Vec<u8>,
    token: Vec<u8>,
}

impl FetchScan {
    /// The number of the message, when `line` begins a FETCH response; 0 when that is no number of a message.
    pub fn number(line: &[u8]) -> Option<u32> {
        let mut words = line.strip_prefix(b"* ")?.splitn(3, |byte| *byte == b' ');
        let (number, word) = (words.next()?, words.next()?);
        let is_fetch = word.eq_ignore_ascii_case(b"FETCH") && number.iter().all(u8::is_ascii_digit);
        is_fetch.then(|| std::str::from_utf8(number).ok().and_then(|text| text.parse().ok()).unwrap_or_default())
    }

    /// Reads a part of the response's line.
    pub fn part(&mut self, bytes: &[u8]) -> Vec<Shown> {
        let (mut shown, mut name_at, mut quote_at) = (Vec::new(), None, None);
        for (at, byte) in bytes.iter().enumerate() {
            match self.inside {
                Inside::List => (),
                Inside::Escape => {
                    self.inside = Inside::Quotes;
                    continue;
                }
                Inside::Quotes => {
                    match byte {
                        b'\\' => self.inside = Inside::Escape,
                        b'"' => {
                            self.inside = Inside::List;
                            if self.depth == 1
                                && let (Some(content), Some(from)) = (Content::of(&self.name), quote_at.take())
                            {
                                shown.push(Shown::Quoted(content, from..at));
                            }
                        }
                        _ => (),
                    }
                    continue;
                }
                inside => {
                    self.inside = match (inside, byte) {
                        (Inside::Brackets, b']') => Inside::List,
                        (Inside::Brackets, b'"') | (Inside::NameEscape, _) => Inside::NameQuotes,
                        (Inside::NameQuotes, b'\\') => Inside::NameEscape,
                        (Inside::NameQuotes, b'"') => Inside::Brackets,
                        (inside, _) => inside,
                    };
                    self.keep(*byte);
                    continue;
                }
            }
            match byte {
                b'"' => {
                    self.inside = Inside::Quotes;
                    quote_at = Some(at + 1);
                }
                b'(' => self.depth += 1,
                b')' | b' ' => {
                    if self.depth == 1
                        && let Some(uid) = self.word_ends()
                        && let Some(from) = name_at
                    {
                        shown.push(Shown::Uid(uid, from..at));
                    }
                    if *byte == b')' {
                        self.depth = self.depth.saturating_sub(1);
                    }
                }
                byte if self.depth == 1 => {
                    if *byte == b'[' && !self.is_value {
                        self.inside = Inside::Brackets;
                    }
                    if !self.is_value && self.token.is_empty() {
                        name_at = Some(at);
                    }
                    self.keep(*byte);
                }
                _ => (),
            }
        }
        shown
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
        if self.depth == 1 && self.is_value { Content::of(&self.name) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{Content, FetchScan, Shown};

    fn uid(line: &str) -> Option<(u32, String)> {
        let found = FetchScan::default().part(line.as_bytes());
        found.into_iter().find_map(|one| match one {
            Shown::Uid(uid, at) => Some((uid, line[at].to_owned())),
            Shown::Quoted(..) => None,
        })
    }

    #[test]
    fn uids_are_found_where_they_are_items_and_nowhere_else() {
        let found = |uid: u32| Some((uid, format!("UID {uid}")));
        assert_eq!(uid("* 1 FETCH (UID 7 FLAGS (\\Seen))"), found(7));
        assert_eq!(uid("* 1 FETCH (FLAGS (UID 9) UID 7)"), found(7));
        assert_eq!(uid("* 1 FETCH (ENVELOPE (\"UID 9\" NIL) UID 7 X 1)"), found(7));
        assert_eq!(uid("* 1 FETCH (BODY[HEADER.FIELDS (UID 9)] NIL UID 7)"), found(7));
        assert_eq!(uid("* 1 FETCH (BODY[] \"UID 9 \\\" UID 8\" UID 7)"), found(7));
        assert_eq!(uid("* 1 FETCH (FLAGS ())"), None);
        assert_eq!(FetchScan::number(b"* 12 fetch (FLAGS ())"), Some(12));
        assert_eq!(FetchScan::number(b"* 12 EXPUNGE"), None);
    }

    #[test]
    fn a_literal_is_what_its_item_says() {
        let mut scan = FetchScan::default();
        scan.part(b"* 1 FETCH (UID 7 BODY[HEADER.FIELDS (SUBJECT FROM)] {5}");
        assert_eq!(scan.literal(), Some(Content { is_body: false, has_header: true }));
        scan.part(b" BODY[1]<10> {6}");
        assert_eq!(scan.literal(), Some(Content { is_body: true, has_header: false }));
        scan.part(b" ENVELOPE (NIL {3}");
        assert_eq!(scan.literal(), None);
        assert_eq!(scan.part(b" NIL) UID 7)"), vec![Shown::Uid(7, 6..11)]);
        for (name, is_body, has_header) in [
            ("BODY[]", true, true),
            ("body[]<0>", true, true),
            ("BODY[]<99>", true, false),
            ("RFC822", true, true),
            ("RFC822.HEADER", false, true),
            ("BODY[HEADER]", false, true),
            ("BODY[2.HEADER]", false, false),
            ("BODY[1.MIME]", false, false),
            ("BODY[TEXT]", true, false),
            ("BINARY[1]", true, false),
        ] {
            assert_eq!(Content::of(name.as_bytes()), Some(Content { is_body, has_header }), "{name}");
        }
        for name in ["FLAGS", "BODY", "BODYSTRUCTURE", "RFC822.SIZE", "ENVELOPE", "UID", "INTERNALDATE"] {
            assert_eq!(Content::of(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn a_section_ends_where_its_names_say_and_not_within_them() {
        let body = Some(Content { is_body: true, has_header: true });
        for names in [r#"("]")"#, r#"("A UID 9] B" X)"#, r#"("\"] UID 9 \"")"#, r#"("\\" "] UID 9 (")"#] {
            let mut scan = FetchScan::default();
            let shown = scan.part(format!("* 1 FETCH (BODY[HEADER.FIELDS {names}] NIL UID 7 BODY[] {{3}}").as_bytes());
            assert!(matches!(shown[..], [Shown::Uid(7, _)]), "{names}: {shown:?}");
            assert_eq!(scan.literal(), body, "{names}");
        }
        let mut scan = FetchScan::default();
        assert_eq!(scan.part(b"* 1 FETCH (BODY[HEADER.FIELDS (X {8}"), []);
        assert_eq!((scan.literal(), scan.is_structure()), (None, false));
        assert_eq!(scan.part(b" Y)] \"abc\" UID 7 BODY[] {3}").len(), 2, "what the item holds, and the UID");
        assert_eq!(scan.literal(), body);
    }

    #[test]
    fn a_literal_within_a_structure_is_known_to_be_no_content() {
        for (line, is_structure) in [
            ("* 1 FETCH (ENVELOPE (NIL {3}", true),
            ("* 1 FETCH (UID 7 bodystructure ((\"text\" {3}", true),
            ("* 1 FETCH (BODY (\"text\" {3}", true),
            ("* 1 FETCH (BODY[] {3}", false),
            ("* 1 FETCH (X {3}", false),
            ("* 1 FETCH (X ({3}", false),
            ("* 1 FETCH ({3}", false),
            ("* 1 FETCH (BODY[X {3}", false),
            ("* 1 FETCH (FLAGS () {3}", false),
        ] {
            let mut scan = FetchScan::default();
            scan.part(line.as_bytes());
            assert_eq!(scan.is_structure(), is_structure, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_response_is_too_odd(noise in any::<Vec<u8>>()) {
            let mut scan = FetchScan::default();
            for part in noise.chunks(7) {
                for one in scan.part(part) {
                    let (Shown::Uid(_, at) | Shown::Quoted(_, at)) = one;
                    let _ = &part[at];
                }
                let _ = scan.literal();
            }
        }
    }
}
