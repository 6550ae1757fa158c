//! Whole commands: typed by imap-codec's strict parser, serialised anew for the upstream.

use imap_codec::CommandCodec;
use imap_codec::decode::Decoder;
use imap_codec::encode::{Encoder, Fragment};
use imap_codec::imap_types::command::{Command, CommandBody};
use imap_codec::imap_types::core::Tag;
use imap_codec::imap_types::mailbox::Mailbox;

use crate::protocol::imap::framing::{self, Literal};
use crate::protocol::imap::mutf7;

/// The bytes are not exactly one command that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown or malformed command")]
pub struct NotACommand;

/// Parses one whole command, literals included. Nothing may be left over.
pub fn parse(bytes: &[u8]) -> Result<Command<'static>, NotACommand> {
    match CommandCodec::default().decode_static(bytes) {
        Ok(([], command)) => Ok(command),
        _ => Err(NotACommand),
    }
}

/// Parses an APPEND whose message `literal` is announced at the end of `head` (a line without CRLF, earlier literals included). Gives
/// the command with a stand-in for the message, so that policy can decide before a single octet of it is taken.
pub fn parse_append(head: &[u8], literal: Literal) -> Option<Command<'static>> {
    let mut probe = head.get(..literal.at)?.to_vec();
    probe.extend_from_slice(if literal.is_binary { b"~{1}\r\nx\r\n" } else { b"{1}\r\nx\r\n" });
    match parse(&probe) {
        Ok(command) if matches!(command.body, CommandBody::Append { .. }) => Some(command),
        _ => None,
    }
}

/// Serialises `body` under `tag`.
pub fn serialise(tag: &str, body: CommandBody<'static>) -> Option<Vec<Fragment>> {
    let tag = Tag::try_from(tag.to_owned()).ok()?;
    Some(CommandCodec::default().encode(&Command { tag, body }).collect())
}

/// Serialises an APPEND up to and with the announcement of a message of `length` octets.
pub fn serialise_append(tag: &str, body: CommandBody<'static>, length: u64, is_sync: bool) -> Option<Vec<Fragment>> {
    let mut fragments = serialise(tag, body)?;
    // What ends the command is: a line that announces the stand-in, the stand-in, an empty line.
    fragments.pop()?;
    fragments.pop()?;
    if let Some(Fragment::Line { data }) = fragments.last_mut() {
        let line = data.strip_suffix(b"\r\n")?;
        let literal = framing::any_literal_at_end(line).ok()??;
        data.truncate(literal.at);
        let (mark, plus) = (if literal.is_binary { "~" } else { "" }, if is_sync { "" } else { "+" });
        data.extend_from_slice(format!("{mark}{{{length}{plus}}}\r\n").as_bytes());
        return Some(fragments);
    }
    None
}

/// The name of a command, for records and refusals.
pub fn name(body: &CommandBody<'_>) -> String {
    let name = body.name();
    let is_uid = match body {
        CommandBody::Search { uid, .. }
        | CommandBody::Sort { uid, .. }
        | CommandBody::Thread { uid, .. }
        | CommandBody::Fetch { uid, .. }
        | CommandBody::Store { uid, .. }
        | CommandBody::Copy { uid, .. }
        | CommandBody::Move { uid, .. } => *uid,
        CommandBody::ExpungeUid { .. } => return "UID EXPUNGE".to_owned(),
        _ => false,
    };
    if is_uid { format!("UID {name}") } else { name.to_owned() }
}

/// A mailbox argument decoded from modified UTF-7, or `None` when it has no canonical spelling.
pub fn mailbox_name(mailbox: &Mailbox<'_>) -> Option<String> {
    match mailbox {
        Mailbox::Inbox => Some("INBOX".to_owned()),
        Mailbox::Other(other) => mutf7::decode(other.as_ref()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use imap_codec::encode::Fragment;
    use imap_codec::imap_types::command::Command;

    use crate::protocol::imap::framing::literal_at_end;

    use super::{parse, parse_append, serialise, serialise_append};

    fn append(head: &[u8]) -> Option<Command<'static>> {
        parse_append(head, literal_at_end(head).ok()??)
    }

    fn bytes(fragments: Vec<Fragment>) -> String {
        let all: Vec<u8> = fragments
            .into_iter()
            .flat_map(|fragment| match fragment {
                Fragment::Line { data } | Fragment::Literal { data, .. } => data,
            })
            .collect();
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn a_command_is_one_command_and_nothing_more() {
        assert!(parse(b"A NOOP\r\n").is_ok());
        for wrong in [
            &b"A NOOP\r\nB NOOP\r\n"[..],
            b"A NOOP\n",
            b"A NOOP \r\n",
            b"A  NOOP\r\n",
            b"A NOOP {3+}\r\nabc\r\n",
            b"A XYZ\r\n",
        ] {
            assert!(parse(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
    }

    #[test]
    fn an_append_is_announced_in_our_own_words() {
        let command = append(b"a aPPend \"Sent\" (\\Seen) {310+}").unwrap();
        let fragments = serialise_append("M7", command.body, 310, true).unwrap();
        assert_eq!(bytes(fragments), "M7 APPEND \"Sent\" (\\Seen) {310}\r\n");
        assert!(append(b"A APPEND {4}").is_none());
        let with_literal_name = append(b"A APPEND {4}\r\nSent {9}").unwrap();
        assert!(bytes(serialise_append("M8", with_literal_name.body, 9, false).unwrap()).ends_with("{9+}\r\n"));
    }

    #[test]
    fn what_goes_out_is_our_spelling() {
        let command = parse(b"x sElEcT {5}\r\nDraft\r\n").unwrap();
        assert_eq!(bytes(serialise("M1", command.body).unwrap()), "M1 SELECT {5}\r\nDraft\r\n");
    }

    proptest! {
        #[test]
        fn im_03_what_is_serialised_is_the_command_that_was_parsed(
            text in "[a-z0-9]{1,4} (SELECT|STATUS|SEARCH|FETCH|STORE|COPY|LIST|RENAME|ENABLE|UID FETCH) [ -~]{0,40}",
            name in "[ -~]{0,12}",
            octets in proptest::collection::vec(1_u8.., 0..12),
        ) {
            let literal = [format!("a SEARCH SUBJECT {{{}+}}\r\n", octets.len()).as_bytes(), &octets, b"\r\n"].concat();
            let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
            for line in [format!("{text}\r\n").into_bytes(), format!("a SELECT \"{quoted}\"\r\n").into_bytes(), literal] {
                let Ok(command) = parse(&line) else { continue };
                let tag = command.tag.as_ref().to_owned();
                let said: Vec<u8> = serialise(&tag, command.body.clone())
                    .unwrap()
                    .into_iter()
                    .flat_map(|fragment| match fragment {
                        Fragment::Line { data } | Fragment::Literal { data, .. } => data,
                    })
                    .collect();
                let again = parse(&said);
                prop_assert!(again.is_ok(), "{}", String::from_utf8_lossy(&said));
                prop_assert_eq!(again.unwrap(), command);
            }
        }

        #[test]
        fn noise_is_no_command(noise in any::<Vec<u8>>()) {
            prop_assert!(parse(&noise).is_err() && append(&noise).is_none());
        }
    }
}
