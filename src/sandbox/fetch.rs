//! FETCH data of the sandbox.

use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::fetch::{Macro, MacroOrMessageDataItemNames, MessageDataItemName, Section};
use mail_parser::{Address, HeaderValue, MessageParser};

use crate::domain::clock::Timestamp;
use crate::protocol::imap::command;
use crate::sandbox::state::Message;

/// The items that a macro stands for.
pub(super) fn items(asked: &MacroOrMessageDataItemNames<'static>) -> Vec<MessageDataItemName<'static>> {
    use MessageDataItemName::{Body, Envelope, Flags, InternalDate, Rfc822Size};
    match asked {
        MacroOrMessageDataItemNames::Macro(Macro::Fast) => vec![Flags, InternalDate, Rfc822Size],
        MacroOrMessageDataItemNames::Macro(Macro::Full) => vec![Flags, InternalDate, Rfc822Size, Envelope, Body],
        MacroOrMessageDataItemNames::MessageDataItemNames(items) => items.clone(),
        MacroOrMessageDataItemNames::Macro(_) => vec![Flags, InternalDate, Rfc822Size, Envelope],
    }
}

/// Whether an item marks the message as read.
pub(super) fn marks(item: &MessageDataItemName<'_>) -> bool {
    matches!(
        item,
        MessageDataItemName::BodyExt { peek: false, .. }
            | MessageDataItemName::Rfc822
            | MessageDataItemName::Rfc822Text
    )
}

/// One item with its value; `None` for what the sandbox does not know.
pub(super) fn value(item: &MessageDataItemName<'static>, message: &Message) -> Option<Vec<u8>> {
    let (header, body) = split(&message.bytes);
    let text = |name: &str, value: String| Some(format!("{name} {value}").into_bytes());
    match item {
        MessageDataItemName::Flags => text("FLAGS", format!("({})", message.flags.join(" "))),
        MessageDataItemName::Uid => text("UID", message.uid.to_string()),
        MessageDataItemName::Rfc822Size => text("RFC822.SIZE", message.bytes.len().to_string()),
        MessageDataItemName::InternalDate => text("INTERNALDATE", format!("\"{}\"", date_time(message.received_secs))),
        MessageDataItemName::Envelope => text("ENVELOPE", envelope(&message.bytes)),
        MessageDataItemName::Body | MessageDataItemName::BodyStructure => {
            let name = if *item == MessageDataItemName::Body { "BODY" } else { "BODYSTRUCTURE" };
            let lines = body.iter().filter(|byte| **byte == b'\n').count();
            text(name, format!("(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"utf-8\") NIL NIL \"8BIT\" {} {lines})", body.len()))
        }
        MessageDataItemName::Rfc822 => Some(literal(b"RFC822", &message.bytes)),
        MessageDataItemName::Rfc822Header => Some(literal(b"RFC822.HEADER", header)),
        MessageDataItemName::Rfc822Text => Some(literal(b"RFC822.TEXT", body)),
        MessageDataItemName::BodyExt { section, partial, .. } => {
            let content = match section {
                None => message.bytes.clone(),
                Some(Section::Header(_) | Section::Mime(_)) => header.to_vec(),
                Some(Section::HeaderFields(_, names)) => fields(header, names.as_ref(), true),
                Some(Section::HeaderFieldsNot(_, names)) => fields(header, names.as_ref(), false),
                Some(Section::Text(_) | Section::Part(_)) => body.to_vec(),
            };
            let mut label = label(item)?;
            let content = match partial {
                None => content,
                Some((start, length)) => {
                    label.extend_from_slice(format!("<{start}>").as_bytes());
                    let from = usize::try_from(*start).ok()?.min(content.len());
                    let to = from.saturating_add(usize::try_from(length.get()).ok()?).min(content.len());
                    content.get(from..to)?.to_vec()
                }
            };
            Some(literal(&label, &content))
        }
        _ => None,
    }
}

/// Header with its empty line, and body.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
    bytes.split_at(end)
}

fn literal(name: &[u8], content: &[u8]) -> Vec<u8> {
    [name, format!(" {{{}}}\r\n", content.len()).as_bytes(), content].concat()
}

/// `BODY[section]`, in the serialiser's spelling.
fn label(item: &MessageDataItemName<'static>) -> Option<Vec<u8>> {
    use imap_codec::encode::Fragment;
    let body = CommandBody::Fetch {
        sequence_set: "1".try_into().ok()?,
        macro_or_item_names: MacroOrMessageDataItemNames::MessageDataItemNames(vec![item.clone()]),
        uid: false,
    };
    let Some(Fragment::Line { data }) = command::serialise("A", body)?.into_iter().next() else { return None };
    let (open, close) = (data.iter().position(|byte| *byte == b'[')?, data.iter().rposition(|byte| *byte == b']')?);
    Some([b"BODY", data.get(open..=close)?].concat())
}

fn fields(header: &[u8], names: &[imap_codec::imap_types::core::AString<'_>], wanted: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut is_kept = false;
    for line in header.split_inclusive(|byte| *byte == b'\n').filter(|line| *line != b"\r\n") {
        if !line.starts_with(b" ") && !line.starts_with(b"\t") {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            is_kept = names.iter().any(|known| known.as_ref().eq_ignore_ascii_case(name)) == wanted;
        }
        if is_kept {
            out.extend_from_slice(line);
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

fn date_time(secs: i64) -> String {
    use time::OffsetDateTime;
    use time::macros::format_description;
    let format = format_description!("[day]-[month repr:short]-[year] [hour]:[minute]:[second] +0000");
    OffsetDateTime::from_unix_timestamp(Timestamp::from_secs(secs).as_secs())
        .ok()
        .and_then(|moment| moment.format(&format).ok())
        .unwrap_or_default()
}

fn envelope(bytes: &[u8]) -> String {
    let Some(message) = MessageParser::default().parse(bytes) else {
        return "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)".to_owned();
    };
    let raw = |name: &'static str| message.header_raw(name).map(str::trim);
    let list = |address: Option<&Address<'_>>| {
        let entries: String = address
            .into_iter()
            .flat_map(|address| address.iter())
            .filter_map(|entry| {
                let (local, domain) = entry.address()?.rsplit_once('@')?;
                Some(format!("({} NIL {} {})", quoted(entry.name()), quoted(Some(local)), quoted(Some(domain))))
            })
            .collect();
        if entries.is_empty() { "NIL".to_owned() } else { format!("({entries})") }
    };
    let from = list(message.from());
    let or_from = |address: Option<&Address<'_>>| if address.is_some() { list(address) } else { from.clone() };
    let in_reply_to = match message.in_reply_to() {
        HeaderValue::Text(text) => Some(text.to_string()),
        _ => None,
    };
    format!(
        "({} {} {from} {} {} {} {} {} {} {})",
        quoted(raw("Date")),
        quoted(raw("Subject")),
        or_from(message.sender()),
        or_from(message.reply_to()),
        list(message.to()),
        list(message.cc()),
        list(message.bcc()),
        quoted(in_reply_to.as_deref()),
        quoted(raw("Message-ID")),
    )
}

fn quoted(text: Option<&str>) -> String {
    match text {
        None => "NIL".to_owned(),
        Some(text) => {
            let clean: String = text.chars().filter(|c| c.is_ascii() && !c.is_ascii_control()).collect();
            format!("\"{}\"", clean.replace('\\', "\\\\").replace('"', "\\\""))
        }
    }
}
