//! Where a line ends in a literal (RFC 9051 section 4.3, RFC 7888), decided strictly: one spelling per length.

/// A literal announced at the end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Literal {
    /// How many octets follow.
    pub length: u64,
    /// Whether the sender waits for a continuation (`{5}`), or not (`{5+}`).
    pub is_sync: bool,
    /// Whether it may hold NUL (`~{5}`, RFC 3516).
    pub is_binary: bool,
    /// Where the announcement starts in the line.
    pub at: usize,
}

/// The line ends like a literal and is none: `{05}`, `{5 }`, `{-1}`, `{+5}`, `~{5}`, a length above 2^32-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed literal")]
pub struct BadLiteral;

/// Looks for a literal at the end of `line`, which comes without its CRLF. One of any octets (`~{5}`) is none here.
pub fn literal_at_end(line: &[u8]) -> Result<Option<Literal>, BadLiteral> {
    any_literal_at_end(line).and_then(|found| match found {
        Some(literal) if literal.is_binary => Err(BadLiteral),
        found => Ok(found),
    })
}

/// The same, where a literal of any octets (RFC 3516) may stand too.
pub fn any_literal_at_end(line: &[u8]) -> Result<Option<Literal>, BadLiteral> {
    let Some(body) = line.strip_suffix(b"}") else { return Ok(None) };
    let Some(at) = body.iter().rposition(|byte| *byte == b'{') else { return Ok(None) };
    let inner = body.get(at + 1..).unwrap_or_default();
    if inner.contains(&b'"') {
        // The brace stands in a quoted string that has ended.
        return Ok(None);
    }
    let (digits, is_sync) = match inner.strip_suffix(b"+") {
        Some(digits) => (digits, false),
        None => (inner, true),
    };
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let is_canonical = digits.len() == 1 || digits.first() != Some(&b'0');
    if !is_number || !is_canonical || digits.len() > 10 {
        return Err(BadLiteral);
    }
    let length = digits.iter().fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    let is_binary = at > 0 && line.get(at - 1) == Some(&b'~');
    let at = if is_binary { at - 1 } else { at };
    if length > u64::from(u32::MAX) { Err(BadLiteral) } else { Ok(Some(Literal { length, is_sync, is_binary, at })) }
}

/// A command or response as it arrives: lines with literals between them. A literal is announced by the end of a line, never by what
/// another literal holds.
#[derive(Debug)]
pub struct Pieces {
    bytes: Vec<u8>,
    /// Where the last line begins.
    line: usize,
}

impl Pieces {
    /// Begins with a line, which comes without its CRLF.
    pub fn new(line: Vec<u8>) -> Self {
        Self { bytes: line, line: 0 }
    }

    /// The literal that has to follow, when it may not be binary; `at` counts from the first octet of all.
    pub fn literal(&self) -> Result<Option<Literal>, BadLiteral> {
        match self.any_literal()? {
            Some(literal) if literal.is_binary => Err(BadLiteral),
            found => Ok(found),
        }
    }

    /// The same, where a literal of any octets (RFC 3516) may stand too.
    pub fn any_literal(&self) -> Result<Option<Literal>, BadLiteral> {
        let found = any_literal_at_end(self.bytes.get(self.line..).unwrap_or_default())?;
        Ok(found.map(|literal| Literal { at: self.line + literal.at, ..literal }))
    }

    /// Adds the octets of the literal.
    pub fn push_literal(&mut self, octets: &[u8]) {
        self.bytes.extend_from_slice(b"\r\n");
        self.bytes.extend_from_slice(octets);
        self.line = self.bytes.len();
    }

    /// Adds the line that follows a literal, without its CRLF.
    pub fn push_line(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
    }

    /// All so far, without the last CRLF.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All of it.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// The tag and the rest of a command line, or `None` when there is no proper tag (1 to 126 octets, no `+`).
pub fn split_tag(line: &[u8]) -> Option<(&str, &[u8])> {
    let end = line.iter().position(|byte| *byte == b' ')?;
    let (tag, rest) = line.split_at_checked(end)?;
    let is_tag_char = |byte: &u8| byte.is_ascii_graphic() && !b"(){%*\"\\+".contains(byte);
    if tag.is_empty() || tag.len() > 126 || !tag.iter().all(is_tag_char) {
        return None;
    }
    Some((std::str::from_utf8(tag).ok()?, rest.get(1..)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{BadLiteral, Literal, Pieces, literal_at_end, split_tag};

    #[test]
    fn literal_forms_are_unambiguous() {
        let length =
            |line: &[u8]| literal_at_end(line).map(|found| found.map(|literal| (literal.length, literal.is_sync)));
        assert_eq!(length(b"A LOGIN {5}"), Ok(Some((5, true))));
        assert_eq!(length(b"A LOGIN {5+}"), Ok(Some((5, false))));
        assert_eq!(length(b"A LOGIN {0}"), Ok(Some((0, true))));
        assert_eq!(length(b"A LOGIN {4294967295}"), Ok(Some((4_294_967_295, true))));
        assert_eq!(length(b"A NOOP"), Ok(None));
        assert_eq!(length(b"A SELECT a}"), Ok(None));
        assert_eq!(length(b"A RENAME \"{\" a}"), Ok(None));
        assert_eq!(length(b"A RENAME \"{\" {3}"), Ok(Some((3, true))));
        for wrong in [
            &b"{+5}"[..],
            b"{05}",
            b"{5 }",
            b"{ 5}",
            b"{-1}",
            b"{4294967296}",
            b"{18446744073709551616}",
            b"~{5}",
            b"{}",
            b"{+}",
            b"{5++}",
            b"{0x5}",
            b"{5-}",
        ] {
            assert_eq!(literal_at_end(wrong), Err(BadLiteral), "{}", String::from_utf8_lossy(wrong));
        }
    }

    #[test]
    fn im_02_what_a_literal_holds_announces_nothing() {
        let mut pieces = Pieces::new(b"A SEARCH SUBJECT {7}".to_vec());
        assert_eq!(pieces.literal(), Ok(Some(Literal { length: 7, is_sync: true, is_binary: false, at: 17 })));
        pieces.push_literal(b"abc {5}");
        pieces.push_line(b"");
        assert_eq!(pieces.literal(), Ok(None), "the command is whole");
        // An announcement that begins in a literal is none either.
        let mut pieces = Pieces::new(b"A SELECT {2}".to_vec());
        pieces.push_literal(b"{5");
        pieces.push_line(b"}");
        assert_eq!(pieces.literal(), Ok(None));
        let mut pieces = Pieces::new(b"A RENAME {1}".to_vec());
        pieces.push_literal(b"a");
        pieces.push_line(b" {3+}");
        assert_eq!(pieces.literal(), Ok(Some(Literal { length: 3, is_sync: false, is_binary: false, at: 16 })));
        assert_eq!(pieces.into_bytes(), b"A RENAME {1}\r\na {3+}");
    }

    #[test]
    fn tags_are_short_and_plain() {
        assert_eq!(split_tag(b"A1 NOOP"), Some(("A1", &b"NOOP"[..])));
        for wrong in [&b"NOOP"[..], b" NOOP", b"+ NOOP", b"A{ NOOP", b"\x00 NOOP"] {
            assert_eq!(split_tag(wrong), None);
        }
        assert_eq!(split_tag(&[&[b'a'; 127][..], b" NOOP"].concat()), None);
    }

    proptest! {
        #[test]
        fn a_literal_is_found_as_it_was_written(head in "[ -~]{0,30}", length in any::<u32>(), is_sync in any::<bool>()) {
            let plus = if is_sync { "" } else { "+" };
            let line = format!("{head} {{{length}{plus}}}");
            let literal = literal_at_end(line.as_bytes()).unwrap().unwrap();
            prop_assert_eq!((literal.length, literal.is_sync, literal.at), (u64::from(length), is_sync, head.len() + 1));
        }

        #[test]
        fn what_is_no_literal_to_us_has_no_second_reading(line in "[ -~]{0,12}\\{[0-9]{0,3}[0-9+ -]{0,2}\\}?") {
            // Whoever reads digits between braces at the end of a line as a length must find what we find.
            let lenient = line.strip_suffix('}').and_then(|body| body.rsplit_once('{')).map(|(_, inner)| inner);
            match literal_at_end(line.as_bytes()) {
                Ok(None) => prop_assert!(lenient.is_none(), "{line}"),
                Ok(Some(literal)) => {
                    let said = format!("{}{}", literal.length, if literal.is_sync { "" } else { "+" });
                    prop_assert_eq!(lenient, Some(said.as_str()));
                }
                Err(BadLiteral) => prop_assert!(lenient.is_some(), "{line}"),
            }
        }

        #[test]
        fn a_tag_and_its_rest_make_up_the_line(line in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some((tag, rest)) = split_tag(&line) {
                prop_assert_eq!([tag.as_bytes(), b" ", rest].concat(), line.as_slice());
                prop_assert!(tag.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'+'));
            }
        }
    }
}
