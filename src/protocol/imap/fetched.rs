//! What a FETCH response says of one message (RFC 3501 section 7.4.2): its UID, its size, and where its content begins.

use crate::protocol::imap::response;

/// The items of a FETCH response that the POP3 door asks for. Others are passed over.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// `UID`
    pub uid: Option<u32>,
    /// `RFC822.SIZE`
    pub size: Option<u64>,
    /// `BODY[]`, whole or from an offset.
    pub content: Option<Content>,
}

/// The content of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// So many octets follow the line; then comes the rest of the response.
    Literal(u64),
    /// These octets.
    Here(Vec<u8>),
    /// There is none.
    Nil,
}

impl Fetched {
    /// Reads a response up to its end or its literal: `None` when it is no FETCH response, or not well formed.
    pub fn read(line: &[u8]) -> Option<Self> {
        let rest = line.strip_prefix(b"* ")?;
        let end = rest.iter().position(|byte| !byte.is_ascii_digit()).filter(|end| *end > 0)?;
        let rest = rest.get(end..)?;
        let (word, items) = rest.split_at_checked(b" FETCH (".len())?;
        if !word.eq_ignore_ascii_case(b" FETCH (") {
            return None;
        }
        let mut found = Self::default();
        found.items(items)?;
        Some(found)
    }

    /// Reads on behind a literal, to the end of the response.
    pub fn read_on(&mut self, line: &[u8]) -> Option<()> {
        let had_literal = self.content.take();
        self.items(line.strip_prefix(b" ").unwrap_or(line))?;
        // A second content would be another message's.
        self.content.is_none().then(|| self.content = had_literal)
    }

    fn items(&mut self, items: &[u8]) -> Option<()> {
        let mut rest = items;
        loop {
            if rest == b")" {
                return Some(());
            }
            let end = rest.iter().position(|byte| *byte == b' ')?;
            let (name, after) = (rest.get(..end)?.to_ascii_uppercase(), rest.get(end + 1..)?);
            let (value, after) = value(after)?;
            match (name.as_slice(), value) {
                (b"UID", Value::Atom(text)) => self.uid = Some(number(text).and_then(|uid| u32::try_from(uid).ok())?),
                (b"RFC822.SIZE", Value::Atom(text)) => self.size = Some(number(text)?),
                (name, value) if name.starts_with(b"BODY[]") => {
                    self.content = Some(match value {
                        Value::Literal(length) => Content::Literal(length),
                        Value::Quoted(text) => Content::Here(text),
                        Value::Atom(text) if text.eq_ignore_ascii_case(b"NIL") => Content::Nil,
                        Value::Atom(_) | Value::List => return None,
                    });
                    if matches!(self.content, Some(Content::Literal(_))) {
                        return Some(());
                    }
                }
                // A literal that was not asked for: it would have to be read before anything else.
                (_, Value::Literal(_)) => return None,
                _ => (),
            }
            rest = after.strip_prefix(b" ").unwrap_or(after);
        }
    }
}

enum Value<'a> {
    Atom(&'a [u8]),
    Quoted(Vec<u8>),
    List,
    Literal(u64),
}

/// One value, and what follows it.
fn value(text: &[u8]) -> Option<(Value<'_>, &[u8])> {
    match text.first()? {
        b'"' => response::quoted(text).map(|(value, rest)| (Value::Quoted(value), rest)),
        b'{' => response::literal_at_end(text)
            .ok()?
            .filter(|literal| literal.at == 0)
            .map(|literal| (Value::Literal(literal.length), &b""[..])),
        b'(' => {
            let (mut rest, mut depth) = (text, 0_u32);
            loop {
                match rest.first()? {
                    b'"' => {
                        rest = response::quoted(rest)?.1;
                        continue;
                    }
                    b'(' => depth += 1,
                    b')' => depth -= 1,
                    _ => (),
                }
                rest = rest.get(1..)?;
                if depth == 0 {
                    return Some((Value::List, rest));
                }
            }
        }
        _ => {
            let end = text.iter().position(|byte| matches!(byte, b' ' | b')')).filter(|end| *end > 0)?;
            Some((Value::Atom(text.get(..end)?), text.get(end..)?))
        }
    }
}

fn number(text: &[u8]) -> Option<u64> {
    let is_digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    is_digits.then(|| std::str::from_utf8(text).ok()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{Content, Fetched};

    #[test]
    fn items_come_in_any_order_among_others() {
        let read = |line: &[u8]| Fetched::read(line).map(|found| (found.uid, found.size, found.content));
        assert_eq!(read(b"* 1 FETCH (UID 7 RFC822.SIZE 12)"), Some((Some(7), Some(12), None)));
        let line = b"* 12 fetch (FLAGS (\\Seen \"a)\" (b)) rfc822.size 0 INTERNALDATE \"1-Jan (x\\\") \" MODSEQ (3) uid 4294967295)";
        assert_eq!(read(line), Some((Some(u32::MAX), Some(0), None)));
        assert_eq!(read(b"* 1 FETCH (BODY[] {5}"), Some((None, None, Some(Content::Literal(5)))));
        assert_eq!(read(b"* 1 FETCH (UID 7 BODY[]<0> {0}"), Some((Some(7), None, Some(Content::Literal(0)))));
        let quoted = Some(Content::Here(b"a\"b".to_vec()));
        assert_eq!(read(b"* 1 FETCH (BODY[] \"a\\\"b\" UID 7)"), Some((Some(7), None, quoted)));
        assert_eq!(read(b"* 1 FETCH (BODY[] NIL UID 7)"), Some((Some(7), None, Some(Content::Nil))));
        let mut found = Fetched::read(b"* 1 FETCH (BODY[] {5}").unwrap();
        assert_eq!(found.read_on(b" UID 9 FLAGS ())"), Some(()));
        assert_eq!((found.uid, found.content), (Some(9), Some(Content::Literal(5))));
        for wrong in [
            &b"* 1 FETCH (UID 7"[..],
            b"* 1 FETCH UID 7",
            b"* FETCH (UID 7)",
            b"* 1 FETCH (UID x)",
            b"* 1 FETCH (UID 4294967296)",
            b"* 1 FETCH (UID 7) more",
            b"* 1 FETCH (BODY[] {5+}",
            b"* 1 FETCH (FLAGS {5}",
            b"* 1 FETCH (FLAGS (()",
            b"* 1 EXISTS",
            b"* 1 FETCH (BODY[] (a))",
            b"* 1 FETCH (BODY[] {5} UID 7)",
        ] {
            assert_eq!(read(wrong), None, "{}", String::from_utf8_lossy(wrong));
        }
        for wrong in [&b" BODY[] {5}"[..], b" UID 9", b"", b" BODY[] \"\")"] {
            assert_eq!(Fetched::read(b"* 1 FETCH (BODY[] {5}").unwrap().read_on(wrong), None);
        }
    }

    proptest! {
        #[test]
        fn no_line_is_too_odd(noise in any::<Vec<u8>>(), odd in "\\* 1 FETCH \\([ -~]{0,40}") {
            for line in [noise.as_slice(), odd.as_bytes()] {
                if let Some(mut found) = Fetched::read(line) {
                    let _ = found.read_on(line);
                }
            }
        }

        #[test]
        fn what_was_written_is_read(uid in any::<u32>(), size in any::<u64>(), seq in any::<u32>()) {
            let line = format!("* {seq} FETCH (RFC822.SIZE {size} FLAGS (\\Seen) UID {uid})");
            let expected = Fetched { uid: Some(uid), size: Some(size), content: None };
            prop_assert_eq!(Fetched::read(line.as_bytes()), Some(expected));
        }
    }
}
