//! The header of a submitted message: who it says it is from, and what is missing from it (RFC 5322, RFC 6409 section 8).

use mail_parser::{Address, MessageParser};

use crate::domain::address::MailAddress;

/// Longest header taken, in octets.
pub const MAX_HEADER: usize = 256 * 1024;

/// So much of a Message-ID is kept for the log.
const MAX_ID: usize = 250;

/// Fields that may stand in a header once (RFC 5322 section 3.6).
const ONCE: [&str; 8] = ["from", "sender", "to", "cc", "subject", "date", "message-id", "reply-to"];
/// Fields that name an author or sender.
const AUTHORS: [&str; 4] = ["from", "sender", "resent-from", "resent-sender"];

/// The header cannot be judged, so the message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadHeader(&'static str);

/// A header that was understood.
#[derive(Debug)]
pub struct Header {
    /// Every address that it names as author or sender.
    pub authors: Vec<MailAddress>,
    /// It as it goes upstream, without Bcc: lines with CRLF, no empty line.
    pub text: Vec<u8>,
    /// Whether it has a Date field.
    pub has_date: bool,
    /// Its Message-ID field's value, if it has one, for the log.
    pub message_id: Option<String>,
}

/// Reads header lines (without CRLF). Two readers must not be able to disagree about who sent it: fields stand once, in ASCII, in
/// the plain form, and each author field names one address, the only thing in it with an `@`.
pub fn read(lines: &[Vec<u8>]) -> Result<Header, BadHeader> {
    let mut fields: Vec<(String, Vec<u8>)> = Vec::new();
    for line in lines {
        if line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
            let (_, value) = fields.last_mut().ok_or(BadHeader("the header starts with a folded line"))?;
            value.extend_from_slice(b"\r\n");
            value.extend_from_slice(line);
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or(BadHeader("a header line has no colon"))?;
        let name = line.get(..colon).unwrap_or_default();
        if name.is_empty() || name.starts_with(b".") || !name.iter().all(u8::is_ascii_graphic) {
            return Err(BadHeader("a header field has no proper name"));
        }
        fields.push((String::from_utf8_lossy(name).to_ascii_lowercase(), line.clone()));
    }
    for name in ONCE {
        if fields.iter().filter(|(known, _)| known == name).count() > 1 {
            return Err(BadHeader("a header field that may stand once stands twice"));
        }
    }
    let mut authors = Vec::new();
    for (_, value) in fields.iter().filter(|(name, _)| AUTHORS.contains(&name.as_str())) {
        authors.push(author(value)?);
    }
    if !fields.iter().any(|(name, _)| name == "from") || authors.is_empty() {
        return Err(BadHeader("there must be one From field with an address"));
    }
    let message_id = fields.iter().find(|(name, _)| name == "message-id").and_then(|(_, value)| {
        let value = std::str::from_utf8(value).ok()?;
        value.split_once(':').map(|(_, id)| id.trim().chars().take(MAX_ID).collect())
    });
    let has_date = fields.iter().any(|(name, _)| name == "date");
    let kept = fields.iter().filter(|(name, _)| name != "bcc" && name != "resent-bcc");
    let text = kept.flat_map(|(_, value)| [value.as_slice(), b"\r\n"].concat()).collect();
    Ok(Header { authors, text, has_date, message_id })
}

/// The one address of a field.
fn author(field: &[u8]) -> Result<MailAddress, BadHeader> {
    if !field.is_ascii() || field.contains(&0) {
        return Err(BadHeader("From and Sender must be ASCII"));
    }
    // The parser knows a few fields by name; what is asked of each is the same.
    let value =
        field.iter().position(|byte| *byte == b':').and_then(|colon| field.get(colon + 1..)).unwrap_or_default();
    let probe = [b"From:", value, b"\r\n\r\n"].concat();
    let unclear = BadHeader("From or Sender is not understood: write one plain address");
    let message = MessageParser::default().parse(&probe).ok_or(unclear)?;
    let Some(Address::List(list)) = message.from() else { return Err(unclear) };
    let [one] = list.as_slice() else { return Err(unclear) };
    let name = one.name().unwrap_or_default();
    let address = one.address().unwrap_or_default();
    let count = |wanted: u8| value.iter().filter(|byte| **byte == wanted).count();
    let is_balanced = count(b'<') == count(b'>') && count(b'<') < 2 && count(b'"').is_multiple_of(2);
    // An encoded name that decodes to an address shows one to the reader; an encoded address is decoded by some servers.
    let is_disguised = name.contains(['@', '<', '>']) || name.chars().any(char::is_control) || address.contains("=?");
    if count(b'@') != 1
        || !is_balanced
        || is_disguised
        || !stands_in(value, address)
        || value.contains(&b'(')
        || value.contains(&b';')
    {
        return Err(unclear);
    }
    address.parse().map_err(|_| unclear)
}

/// Whether the address stands in the field letter by letter, alone or in angle brackets: a reader that takes out less or more than ours
/// (a backslash, white space) would find another one.
fn stands_in(value: &[u8], address: &str) -> bool {
    let Some(at) = value.windows(address.len().max(1)).position(|window| window == address.as_bytes()) else {
        return false;
    };
    let (before, behind) = (value.get(..at), value.get(at + address.len()..));
    let is_edge = |byte: Option<&u8>| byte.is_none_or(|byte| b" \t\r\n<>".contains(byte));
    is_edge(before.and_then(<[u8]>::last)) && is_edge(behind.and_then(<[u8]>::first))
}

#[cfg(test)]
mod tests {
    use super::read;

    fn authors(header: &str) -> Option<Vec<String>> {
        let lines: Vec<Vec<u8>> = header.split("\r\n").map(|line| line.as_bytes().to_vec()).collect();
        read(&lines).ok().map(|header| header.authors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn plain_authors_are_found() {
        assert_eq!(authors("From: A <a@x.test>"), Some(vec!["a@x.test".into()]));
        assert_eq!(authors("from:\r\n a@x.test\r\nSubject: x"), Some(vec!["a@x.test".into()]));
        assert_eq!(authors("From: a@x.test\r\nSender: b@x.test"), Some(vec!["a@x.test".into(), "b@x.test".into()]));
        assert_eq!(
            authors("From: a@x.test\r\nResent-From: b@x.test"),
            Some(vec!["a@x.test".into(), "b@x.test".into()])
        );
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        for wrong in [
            "Subject: none",
            "From: a@x.test\r\nFrom: b@x.test",
            "From: a@x.test\r\nFROM : b@x.test",
            "From: a@x.test (b@x.test)",
            "From: \"b@x.test\" <a@x.test>",
            "From: <a@x.test",
            "From: <b\\a@x.test>",
            "From: b\\a@x.test",
            "From: a @x.test",
            "From: \"a\"@x.test",
            "From:",
            "From: a@x.test\r\n.From: b@x.test",
            "From: \u{e9} <a@x.test>",
            " From: a@x.test",
            "From: a@x.test\r\nnonsense",
            "From: group: a@x.test, b@x.test;, \"c@x.test\"",
        ] {
            assert_eq!(authors(wrong), None, "{wrong}");
        }
    }

    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_header_gives_an_answer(parts in prop::collection::vec(prop::sample::select(vec![
            "From", ":", " ", "a@x.test", "<", ">", ",", ";", "(", ")", "\"", "\\", "=?utf-8?Q?", "=40", "?=", "\r\n", "\t",
            "Sender", "Resent-From", "group", "\u{e9}", ".", "b@y.test",
        ]), 0..24)) {
            if let Some(authors) = authors(&parts.concat()) {
                prop_assert!(authors.iter().all(|author| author.ends_with("@x.test") || author.ends_with("@y.test")));
            }
        }

        #[test]
        fn what_goes_upstream_is_read_alike(name in "[A-Za-z ]{0,12}", subject in "[ -~]{0,40}") {
            let lines = [format!("From: {name} <a@x.test>").into_bytes(), format!("Subject: {subject}").into_bytes()];
            let first = read(&lines).unwrap();
            let again: Vec<Vec<u8>> =
                first.text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec()).collect();
            let second = read(&again[..again.len() - 1]).unwrap();
            prop_assert!(second.authors == first.authors && second.text == first.text);
        }
    }
}
