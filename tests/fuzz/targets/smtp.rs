//! SMTP: commands, messages and their headers from tools, replies from mail servers (SM-01, SM-02, SM-05). BDAT is not served.

use std::io::Cursor;
use std::time::Duration;

use mailwarden::domain::address::MailAddress;
use mailwarden::domain::bounds::Bounds;
use mailwarden::domain::scope::{Scope, ScopeSet};
use mailwarden::gateway::smtp::header as header_of;
use mailwarden::policy::{Rights, explain, smtp};
use mailwarden::protocol::smtp::{dotted, path, size, undot, verb};
use mailwarden::upstream::smtp::reply as read_reply;
use mailwarden::upstream::wire::Wire;

/// A command line. What is permitted of it is said in one line, in which no second command or parameter can hide.
pub(super) fn command(data: &[u8]) {
    if let Some(text) = super::text(data) {
        let _ = size(text);
        let _ = explain(&rights(), false, text);
    }
    let Some((verb, rest)) = verb(data) else { return };
    assert!(!verb.contains(' '));
    for word in ["FROM:", "TO:"] {
        let Some((address, parameters)) = path(rest, word) else { continue };
        assert!(!address.contains(['<', '>', ' ', '"']) && parameters.iter().all(|word| !word.contains(' ')));
        let Ok(address) = address.parse::<MailAddress>() else { continue };
        let permit =
            if word == "TO:" { smtp::recipient(&rights(), address) } else { smtp::sender(&rights(), Some(address)) };
        let Ok(permit) = permit else { continue };
        let said = format!("{word}<{}>", permit.get());
        assert!(said.bytes().all(|byte| byte.is_ascii_graphic()), "{said:?}");
        let (again, parameters) = path(&said, word).expect("what we say is a path");
        assert!(again == permit.get().as_str() && parameters.is_empty());
    }
}

/// A message as DATA carries it, however it arrives: what goes upstream ends where we say, for the strictest and the laxest reader.
pub(super) fn data(data: &[u8]) {
    let (Some(lines), rest) = message(data) else { return };
    let sent = [lines.iter().flat_map(|line| dotted(line)).collect::<Vec<u8>>(), b".\r\n".to_vec()].concat();
    for (at, byte) in sent.iter().enumerate() {
        match byte {
            b'\n' => assert!(at > 0 && sent[at - 1] == b'\r', "a bare LF"),
            b'\r' => assert_eq!(sent.get(at + 1), Some(&b'\n'), "a bare CR"),
            _ => assert_ne!(*byte, 0),
        }
    }
    let body = &sent[..sent.len() - 3];
    assert!(!body.starts_with(b".\r\n") && !body.windows(5).any(|five| five == b"\r\n.\r\n"), "an end before the end");
    let (again, left) = message(&sent);
    assert_eq!((again.as_deref(), left), (Some(&*lines), 0), "the same lines, and nothing behind them");
    // The header is judged by the lines before the first empty one, and what follows the message was not touched.
    let head: Vec<Vec<u8>> = lines.iter().take_while(|line| !line.is_empty()).cloned().collect();
    judge(&head);
    assert!(data.len() - rest >= 3);
}

/// The header of a message, line by line: who it is from.
pub(super) fn header(data: &[u8]) {
    let lines: Vec<Vec<u8>> = data.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    if lines.iter().flatten().any(|byte| matches!(byte, b'\r' | 0)) || lines.iter().any(Vec::is_empty) {
        // The reader of lines lets none of these through.
        return;
    }
    judge(&lines);
}

/// A reply of a mail server.
pub(super) fn reply(data: &[u8]) {
    let mut wire = Wire::new(Box::new(Cursor::new(data.to_vec())));
    let read = async {
        while let Ok(reply) = read_reply(&mut wire, Duration::from_secs(60)).await {
            assert!((200..600).contains(&reply.code) && !reply.lines.is_empty());
            assert!(reply.lines.iter().all(|line| !line.contains(['\r', '\n', '\0'])));
        }
    };
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(read);
}

/// Two readers of a header that was taken must see the same authors; what goes upstream is taken again and says the same.
fn judge(lines: &[Vec<u8>]) {
    let Ok(read) = header_of::read(lines) else { return };
    assert!(!read.authors.is_empty());
    assert!(read.text.ends_with(b"\r\n") && !read.text.starts_with(b"\r\n"));
    assert!(!read.text.windows(4).any(|four| four == b"\r\n\r\n"), "an empty line would end the header early");
    let text = read.text.to_ascii_lowercase();
    assert!(!text.starts_with(b"bcc:") && !text.windows(6).any(|six| six == b"\r\nbcc:"), "Bcc stays here");
    let again: Vec<Vec<u8>> = read.text[..read.text.len() - 2]
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec())
        .collect();
    let second = header_of::read(&again).expect("what goes upstream is taken again");
    assert_eq!((&second.authors, &second.text, second.has_date), (&read.authors, &read.text, read.has_date));
    // A reader that knows no comments, quotes or groups: every word with an `@` in an author field is an author that we saw.
    for field in unfolded(&again) {
        let Some((name, value)) = field.split_once(':') else { continue };
        if !["from", "sender", "resent-from", "resent-sender"].contains(&&*name.trim_end().to_ascii_lowercase()) {
            continue;
        }
        let words =
            value.split(|c: char| c.is_whitespace() || "<>\"(),;:\\".contains(c)).filter(|word| word.contains('@'));
        for word in words {
            let seen = read.authors.iter().any(|author| author.as_str().eq_ignore_ascii_case(word));
            assert!(seen, "{word:?} of {field:?} is not among {:?}", read.authors);
        }
    }
}

fn unfolded(lines: &[Vec<u8>]) -> Vec<String> {
    let mut fields: Vec<String> = Vec::new();
    for line in lines {
        let text = String::from_utf8_lossy(line);
        match fields.last_mut() {
            Some(field) if text.starts_with([' ', '\t']) => field.push_str(&text),
            _ => fields.push(text.into_owned()),
        }
    }
    fields
}

/// The lines of a message, and how many octets follow it; no lines where it does not end, or ends the connection.
fn message(data: &[u8]) -> (Option<Vec<Vec<u8>>>, usize) {
    let mut wire = Wire::new(Box::new(Cursor::new(data.to_vec())));
    let mut lines = Vec::new();
    let read = async {
        while let Ok(line) = wire.line(4096).await {
            match undot(line) {
                Some(line) => lines.push(line),
                None => return true,
            }
        }
        false
    };
    let is_whole = tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(read);
    (is_whole.then_some(lines), wire.buffered().len())
}

fn rights() -> Rights {
    let scopes: ScopeSet = [Scope::Send].into_iter().collect();
    let senders = Some(vec!["*".parse().expect("a pattern")]);
    let bounds = Bounds { senders: senders.clone(), recipients: senders, ..Bounds::default() };
    Rights { scopes, bounds, mailbox: "own@a.test".parse().expect("an address") }
}
