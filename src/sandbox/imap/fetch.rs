//! FETCH data of the sandbox.

use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::fetch::{Macro, MacroOrMessageDataItemNames, MessageDataItemName, Part, Section};

use crate::domain::clock::Timestamp;
use crate::protocol::imap::command;
use crate::sandbox::imap::structure;
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
        MessageDataItemName::Envelope => text("ENVELOPE", structure::envelope_of(&message.bytes)),
        MessageDataItemName::Body => text("BODY", structure::describe(&message.bytes, false)),
        MessageDataItemName::BodyStructure => text("BODYSTRUCTURE", structure::describe(&message.bytes, true)),
        MessageDataItemName::Rfc822 => Some(literal(b"RFC822", &message.bytes)),
        MessageDataItemName::Rfc822Header => Some(literal(b"RFC822.HEADER", header)),
        MessageDataItemName::Rfc822Text => Some(literal(b"RFC822.TEXT", body)),
        MessageDataItemName::BodyExt { section, partial, .. } => {
            let content = content(&message.bytes, section.as_ref())?;
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

/// What a section names; `None` when there is no such part.
fn content(bytes: &[u8], section: Option<&Section<'static>>) -> Option<Vec<u8>> {
    let whole = |part: &Option<Part>| match part {
        None => Some(bytes.to_vec()),
        Some(part) => structure::part(bytes, part).map(|(_, content)| content),
    };
    Some(match section {
        None => bytes.to_vec(),
        Some(Section::Part(part)) => structure::part(bytes, part)?.1,
        Some(Section::Mime(part)) => structure::part(bytes, part)?.0,
        Some(Section::Header(part)) => split(&whole(part)?).0.to_vec(),
        Some(Section::Text(part)) => split(&whole(part)?).1.to_vec(),
        Some(Section::HeaderFields(part, names)) => fields(split(&whole(part)?).0, names.as_ref(), true),
        Some(Section::HeaderFieldsNot(part, names)) => fields(split(&whole(part)?).0, names.as_ref(), false),
    })
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
        modifiers: Vec::new(),
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
