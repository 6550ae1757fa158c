//! Lines from an upstream, told apart by their first words (RFC 3501 section 7). Bodies of messages are never parsed.

use crate::protocol::imap::framing;

/// The kind of a response line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// `+ ...`
    Continuation,
    /// `<tag> OK|NO|BAD ...`: tag, status, the rest.
    Tagged(&'a str, &'a str, &'a [u8]),
    /// `* OK|NO|BAD ...`
    Status,
    /// `* BYE ...`
    Bye,
    /// `* <number> EXISTS|RECENT|EXPUNGE|FETCH ...`: about the selected folder.
    Message,
    /// `* LIST ...` or `* LSUB ...`
    List,
    /// `* STATUS ...`
    FolderStatus,
    /// `* FLAGS|SEARCH|SORT|THREAD ...`: about the selected folder.
    Selected,
    /// `* VANISHED ...`: messages that are gone from the selected folder (RFC 7162).
    Vanished,
    /// `* ESEARCH ...`: what a SEARCH with RETURN found (RFC 4731).
    Found,
    /// `* QUOTA ...` or `* QUOTAROOT ...`: about the whole account (RFC 9208).
    Quota,
    /// `* ENABLED ...`
    Enabled,
    /// `* NAMESPACE ...`
    Namespace,
    /// Anything else that is untagged.
    Other,
    /// No response at all.
    Malformed,
}

/// Tells what `line` (without CRLF) is.
pub fn kind(line: &[u8]) -> Kind<'_> {
    if line == b"+" || line.starts_with(b"+ ") {
        return Kind::Continuation;
    }
    if let Some(rest) = line.strip_prefix(b"* ") {
        let mut words = rest.splitn(3, |byte| *byte == b' ');
        let first = words.next().unwrap_or_default();
        let second = words.next().unwrap_or_default();
        let is = |word: &[u8], text: &str| word.eq_ignore_ascii_case(text.as_bytes());
        return if !first.is_empty() && first.iter().all(u8::is_ascii_digit) {
            let known = ["EXISTS", "RECENT", "EXPUNGE", "FETCH"].iter().any(|text| is(second, text));
            if known { Kind::Message } else { Kind::Other }
        } else if ["OK", "NO", "BAD"].iter().any(|text| is(first, text)) {
            Kind::Status
        } else if is(first, "BYE") {
            Kind::Bye
        } else if is(first, "LIST") || is(first, "LSUB") {
            Kind::List
        } else if is(first, "STATUS") {
            Kind::FolderStatus
        } else if ["FLAGS", "SEARCH", "SORT", "THREAD"].iter().any(|text| is(first, text)) {
            Kind::Selected
        } else if is(first, "VANISHED") {
            Kind::Vanished
        } else if is(first, "ESEARCH") {
            Kind::Found
        } else if is(first, "QUOTA") || is(first, "QUOTAROOT") {
            Kind::Quota
        } else if is(first, "ENABLED") {
            Kind::Enabled
        } else if is(first, "NAMESPACE") {
            Kind::Namespace
        } else {
            Kind::Other
        };
    }
    match framing::split_tag(line) {
        Some((tag, rest)) => {
            let (status, rest) = rest.split_at(rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len()));
            match std::str::from_utf8(status) {
                Ok(status) if ["OK", "NO", "BAD"].iter().any(|known| status.eq_ignore_ascii_case(known)) => {
                    Kind::Tagged(tag, status, rest.get(1..).unwrap_or_default())
                }
                _ => Kind::Malformed,
            }
        }
        None => Kind::Malformed,
    }
}

/// Takes response codes off a status text that speak of the upstream itself: what it can do, and where else to go. `None` when such
/// a code does not end in `text`.
pub fn without_upstream_codes(text: &[u8]) -> Option<&[u8]> {
    let hidden = [&b"[CAPABILITY"[..], b"[REFERRAL", b"[BADURL", b"[URLMECH"];
    let starts = |text: &[u8]| {
        hidden.iter().any(|code| text.get(..code.len()).is_some_and(|head| head.eq_ignore_ascii_case(code)))
    };
    let mut text = text.trim_ascii_start();
    while starts(text) {
        let end = text.iter().position(|byte| *byte == b']')?;
        text = text.get(end + 1..)?.trim_ascii_start();
    }
    Some(text)
}

/// A result of the search that the upstream knows as `ours`, spoken to whoever knows it as `tag` (RFC 4466 section 2.6.2). `line` may
/// be the beginning of a long one. `None` when it is the result of anything else.
pub fn found_for(line: &[u8], ours: &str, tag: &str) -> Option<Vec<u8>> {
    let rest = line.get("* ESEARCH".len()..)?;
    let Some(correlator) = rest.strip_prefix(b" (") else { return Some(line.to_vec()) };
    let name = correlator.get(..4).filter(|name| name.eq_ignore_ascii_case(b"TAG "))?;
    let after = correlator.get(name.len()..)?;
    let plain = after.strip_prefix(ours.as_bytes());
    let quoted = || after.strip_prefix(b"\"")?.strip_prefix(ours.as_bytes())?.strip_prefix(b"\"");
    let data = plain.or_else(quoted)?.strip_prefix(b")")?;
    Some([format!("* ESEARCH (TAG \"{tag}\")").as_bytes(), data].concat())
}

/// The literal that an upstream announces at the end of a line: as a client's, but never the kind that is not waited for.
pub fn literal_at_end(line: &[u8]) -> Result<Option<framing::Literal>, framing::BadLiteral> {
    upstreams(framing::any_literal_at_end(line)?)
}

/// The same of a response that arrives in pieces.
pub fn literal_in(pieces: &framing::Pieces) -> Result<Option<framing::Literal>, framing::BadLiteral> {
    upstreams(pieces.any_literal()?)
}

fn upstreams(found: Option<framing::Literal>) -> Result<Option<framing::Literal>, framing::BadLiteral> {
    if found.is_some_and(|literal| !literal.is_sync) { Err(framing::BadLiteral) } else { Ok(found) }
}

/// A `LIST`, `LSUB` or `STATUS` response taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// `LIST`, `LSUB` or `STATUS`.
    pub word: String,
    /// The hierarchy delimiter (LIST and LSUB only).
    pub delimiter: Option<char>,
    /// The folder's name as sent, decoded from quoting only.
    pub name: Vec<u8>,
    /// Where in the line the name ends.
    pub end: usize,
}

/// Takes apart a whole `LIST`, `LSUB` or `STATUS` response: `line` holds the literals too, each as `{n}CRLF` and octets.
pub fn listed(line: &[u8]) -> Option<Listed> {
    let rest = line.strip_prefix(b"* ")?;
    let end = rest.iter().position(|byte| *byte == b' ')?;
    let word = std::str::from_utf8(rest.get(..end)?).ok()?.to_ascii_uppercase();
    let mut rest = rest.get(end + 1..)?;
    let mut delimiter = None;
    if word != "STATUS" {
        let close = rest.iter().position(|byte| *byte == b')')?;
        rest = rest.get(close + 1..)?.strip_prefix(b" ")?;
        let (text, after) = astring(rest)?;
        let is_nil = rest.len() >= 3 && rest.get(..3)?.eq_ignore_ascii_case(b"NIL");
        delimiter = if is_nil { None } else { text.first().map(|byte| char::from(*byte)) };
        rest = after.strip_prefix(b" ")?;
    }
    let (name, after) = astring(rest)?;
    Some(Listed { word, delimiter, name, end: line.len() - after.len() })
}

/// Reads a quoted string; gives its value and what follows.
pub(super) fn quoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (mut value, mut at) = (Vec::new(), 1);
    loop {
        match text.get(at)? {
            b'"' => return Some((value, text.get(at + 1..)?)),
            b'\\' => {
                value.push(*text.get(at + 1)?);
                at += 2;
            }
            byte => {
                value.push(*byte);
                at += 1;
            }
        }
    }
}

/// Reads an atom, quoted string or literal; gives its value and what follows.
fn astring(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    match text.first()? {
        b'"' => quoted(text),
        b'{' => {
            let end = text.iter().position(|byte| *byte == b'\n')?;
            let literal = framing::literal_at_end(text.get(..end)?.strip_suffix(b"\r")?).ok()??;
            let length = usize::try_from(literal.length).ok()?;
            let body = text.get(end + 1..)?;
            Some((body.get(..length)?.to_vec(), body.get(length..)?))
        }
        _ => {
            let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
            Some((text.get(..end)?.to_vec(), text.get(end..)?))
        }
    }
}

/// The personal namespaces of a `NAMESPACE` response (RFC 2342), with the others hidden. `line` holds the literals too; `None` for what
/// does not say in the first place which are the personal ones.
pub fn personal_namespace(line: &[u8]) -> Option<Vec<u8>> {
    const WORD: &[u8] = b"* NAMESPACE ";
    let text =
        line.get(WORD.len()..).filter(|_| line.get(..WORD.len()).is_some_and(|w| w.eq_ignore_ascii_case(WORD)))?;
    if text.get(..4).is_some_and(|nil| nil.eq_ignore_ascii_case(b"NIL ")) {
        return Some([WORD, b"NIL NIL NIL"].concat());
    }
    let (mut rest, mut depth) = (text.strip_prefix(b"(")?, 1_u32);
    loop {
        match rest.first()? {
            b'"' | b'{' => rest = astring(rest)?.1,
            b'(' => {
                depth += 1;
                rest = rest.get(1..)?;
            }
            b')' => {
                depth = depth.checked_sub(1)?;
                rest = rest.get(1..)?;
            }
            _ => rest = rest.get(1..)?,
        }
        if depth == 0 {
            let kept = text.get(..text.len() - rest.len())?;
            return rest.starts_with(b" ").then(|| [WORD, kept, b" NIL NIL"].concat());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{Kind, kind, listed, personal_namespace, without_upstream_codes};

    #[test]
    fn lines_are_told_apart() {
        assert_eq!(kind(b"+ go on"), Kind::Continuation);
        assert_eq!(kind(b"M1 ok [READ-ONLY] done"), Kind::Tagged("M1", "ok", b"[READ-ONLY] done"));
        assert_eq!(kind(b"* 12 FETCH (FLAGS ())"), Kind::Message);
        assert_eq!(kind(b"* 12 XFETCH"), Kind::Other);
        assert_eq!(kind(b"* lsub () \"/\" a"), Kind::List);
        assert_eq!(kind(b"* VANISHED 1:2"), Kind::Vanished);
        assert_eq!(kind(b"* esearch (TAG \"a\") ALL 1"), Kind::Found);
        assert_eq!(kind(b"* THREAD (1 2)"), Kind::Selected);
        assert_eq!(kind(b"* QUOTAROOTS x"), Kind::Other);
        assert_eq!(kind(b"garbage"), Kind::Malformed);
        assert_eq!(kind(b"M1 MAYBE"), Kind::Malformed);
    }

    #[test]
    fn folder_names_are_found_in_every_form() {
        let name = |line: &[u8]| listed(line).map(|listed| (listed.delimiter, String::from_utf8(listed.name).unwrap()));
        assert_eq!(name(b"* LIST (\\HasNoChildren) \"/\" INBOX"), Some((Some('/'), "INBOX".into())));
        assert_eq!(name(b"* LSUB () \".\" \"a \\\"b\\\"\""), Some((Some('.'), "a \"b\"".into())));
        assert_eq!(name(b"* LIST () NIL {3}\r\nabc"), Some((None, "abc".into())));
        assert_eq!(name(b"* STATUS \"Sent Items\" (MESSAGES 3)"), Some((None, "Sent Items".into())));
        assert_eq!(name(b"* LIST () \"/\" {9}\r\nabc"), None);
    }

    #[test]
    fn what_speaks_of_the_upstream_is_hidden() {
        let shown = |text: &'static [u8]| without_upstream_codes(text).map(|text| std::str::from_utf8(text).unwrap());
        assert_eq!(shown(b"[CAPABILITY IMAP4rev1] Hi"), Some("Hi"));
        assert_eq!(shown(b" [capability IMAP4rev1] [REFERRAL imap://x/] Hi"), Some("Hi"));
        assert_eq!(shown(b"[referral imap://x/] go away"), Some("go away"));
        assert_eq!(shown(b"[READ-ONLY] Done"), Some("[READ-ONLY] Done"));
        assert_eq!(shown(b"[CAPABILITY IMAP4rev1"), None);
        assert_eq!(
            personal_namespace(b"* NAMESPACE ((\"\" \"/\")) ((\"Other Users/\" \"/\")) NIL"),
            Some(b"* NAMESPACE ((\"\" \"/\")) NIL NIL".to_vec())
        );
    }

    #[test]
    fn the_namespaces_of_others_are_never_shown_as_ones_own() {
        let shown = |line: &str| personal_namespace(line.as_bytes()).map(|kept| String::from_utf8(kept).unwrap());
        for (line, kept) in [
            ("* NAMESPACE NIL ((\"Others/\" \"/\")) NIL", "NIL"),
            ("* namespace nil NIL ((\"Public/\" \"/\"))", "NIL"),
            (r#"* NAMESPACE (("a\")" "/")) (("Others/" "/")) NIL"#, r#"(("a\")" "/"))"#),
            ("* NAMESPACE (({2}\r\n)) \"/\")) ((\"Others/\" \"/\")) NIL", "(({2}\r\n)) \"/\"))"),
            (r#"* NAMESPACE (("" "/" "X-PARAM" ("a" "b"))) NIL NIL"#, r#"(("" "/" "X-PARAM" ("a" "b")))"#),
        ] {
            assert_eq!(shown(line), Some(format!("* NAMESPACE {kept} NIL NIL")), "{line}");
        }
        for wrong in [
            "* NAMESPACE",
            "* NAMESPACE ",
            "* NAMESPACE )(",
            "* NAMESPACE x ((",
            "* NAMESPACE \"x\" NIL NIL",
            "* NAMESPACE ((\"a)) NIL NIL",
            "* NAMESPACE (())",
        ] {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_listed_name_is_found_in_each_of_its_forms(name in "[ -~]{1,30}", delimiter in "[./]") {
            let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
            for form in [format!("\"{quoted}\""), format!("{{{}}}\r\n{name}", name.len())] {
                for head in ["* LIST () ", "* lsub (\\Noselect \\Marked) "] {
                    for (said, meant) in [(format!("\"{delimiter}\""), delimiter.chars().next()), ("NIL".to_owned(), None)] {
                        let found = listed(format!("{head}{said} {form}").as_bytes()).unwrap();
                        prop_assert_eq!((found.name.as_slice(), found.delimiter), (name.as_bytes(), meant));
                    }
                }
                let found = listed(format!("* STATUS {form} (MESSAGES 3)").as_bytes()).unwrap();
                prop_assert_eq!((found.name.as_slice(), found.word.as_str()), (name.as_bytes(), "STATUS"));
            }
        }

        #[test]
        fn no_line_of_an_upstream_is_too_odd(noise in any::<Vec<u8>>(), odd in "\\* (LIST|LSUB|STATUS|NAMESPACE|OK) [ -~]{0,40}") {
            for line in [noise.as_slice(), odd.as_bytes()] {
                let _ = (kind(line), listed(line), super::literal_at_end(line));
                if let Some(shown) = without_upstream_codes(line) {
                    prop_assert!(line.ends_with(shown));
                }
                if let Some(shown) = personal_namespace(line) {
                    prop_assert!(shown.ends_with(b" NIL NIL"));
                }
            }
        }
    }
}
