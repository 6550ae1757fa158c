//! POP3: commands from tools, FETCH responses that a maildrop is read from, and messages put into multi-line answers (PO-03).

use mailwarden::protocol::imap::fetched::{Content, Fetched};
use mailwarden::protocol::pop3::command::{Command, verb};
use mailwarden::protocol::pop3::stuffing::Stuffer;

/// A command line: what is understood has one spelling but for the case of its verb.
pub(super) fn command(data: &[u8]) {
    let Some((verb, rest)) = verb(data) else { return };
    assert!(!verb.contains(' ') && !rest.chars().any(char::is_control));
    let Some(command) = Command::parse(&verb, rest) else { return };
    assert_eq!(verb, command.name());
    let said = match command {
        Command::Stat | Command::List(None) | Command::Uidl(None) => String::new(),
        Command::List(Some(number)) | Command::Uidl(Some(number)) | Command::Retr(number) | Command::Dele(number) => {
            number.to_string()
        }
        Command::Top(number, lines) => format!("{number} {lines}"),
    };
    assert_eq!(Command::parse(&verb, &said), Some(command), "{verb} {said}");
}

/// A FETCH response, and what follows a literal of it.
pub(super) fn fetched(data: &[u8]) {
    let (line, rest) = match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &b""[..]),
    };
    let Some(mut found) = Fetched::read(line) else { return };
    if let Some(Content::Here(octets)) = &found.content {
        assert!(octets.len() <= line.len());
    }
    if matches!(found.content, Some(Content::Literal(_))) {
        let content = found.content.clone();
        if found.read_on(rest).is_some() {
            assert_eq!(found.content, content, "one response, one content");
        }
    }
}

/// A message in an answer, in pieces of any size: a tool that unstuffs it has the message, and nothing of the message ends it. The first
/// octet says how long the pieces are, and the second how much is wanted.
pub(super) fn stuffing(data: &[u8]) {
    let [size, lines, message @ ..] = data else { return };
    let whole = || if *lines == 255 { Stuffer::whole() } else { Stuffer::top(u32::from(*lines)) };
    let mut stuffer = whole();
    let mut sent: Vec<u8> = message.chunks(usize::from(*size).max(1)).flat_map(|piece| stuffer.piece(piece)).collect();
    let mut at_once = whole();
    assert_eq!(at_once.piece(message), sent, "how it is cut up changes nothing");
    sent.extend_from_slice(stuffer.end());
    assert!(sent.ends_with(b"\r\n.\r\n") || sent == b".\r\n");
    let body = &sent[..sent.len() - 3];
    assert!(!body.starts_with(b".\r\n") && !body.windows(5).any(|five| five == b"\r\n.\r\n"), "an end before the end");
    assert!(body.iter().enumerate().all(|(at, byte)| *byte != b'\n' || (at > 0 && body[at - 1] == b'\r')), "a bare LF");
    if *lines == 255 {
        let heard = body.strip_prefix(b".").unwrap_or(body);
        let heard = replace(heard, b"\r\n.", b"\r\n");
        let said = with_crlf(message);
        assert!(heard == said || heard == [&said[..], b"\r\n"].concat(), "the same message");
    }
}

/// A bare LF as CRLF.
fn with_crlf(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len());
    for (at, byte) in message.iter().enumerate() {
        if *byte == b'\n' && (at == 0 || message[at - 1] != b'\r') {
            out.push(b'\r');
        }
        out.push(*byte);
    }
    out
}

fn replace(text: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some(at) = rest.windows(what.len()).position(|window| window == what) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(by);
        rest = &rest[at + what.len()..];
    }
    out.extend_from_slice(rest);
    out
}
