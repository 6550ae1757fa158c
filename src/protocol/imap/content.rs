//! What the items of a FETCH carry of a message (RFC 3501 section 6.4.5), as they are asked for and as they are answered.

use imap_codec::imap_types::core::{AString, Vec1};
use imap_codec::imap_types::fetch::{MessageDataItemName, Section};

const MESSAGE_ID: &str = "MESSAGE-ID";

/// What an item carries of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Whether it is more than a header.
    pub is_body: bool,
    /// Whether it starts with the message's own header.
    pub has_header: bool,
    /// Whether only we asked for it: the tool does not get it.
    pub is_ours: bool,
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
        Some(Self { is_body, has_header, is_ours: false })
    }
}

/// The item that tells a message's Message-ID, and marks nothing as read.
pub fn message_id() -> Option<MessageDataItemName<'static>> {
    let name = AString::try_from(MESSAGE_ID).ok()?;
    Some(MessageDataItemName::BodyExt {
        section: Some(Section::HeaderFields(None, Vec1::from(name))),
        partial: None,
        peek: true,
    })
}

/// Whether an item of an answer is the one that [`message_id`] asks for, in whichever spelling.
pub fn is_message_id(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name).to_ascii_uppercase();
    let fields = name.strip_prefix("BODY[HEADER.FIELDS (").and_then(|rest| rest.strip_suffix(")]"));
    fields.is_some_and(|fields| fields.trim_matches(['"', ' ']) == MESSAGE_ID)
}

/// Whether an item asks for content.
pub fn is_content(item: &MessageDataItemName<'_>) -> bool {
    matches!(
        item,
        MessageDataItemName::BodyExt { .. }
            | MessageDataItemName::Binary { .. }
            | MessageDataItemName::Rfc822
            | MessageDataItemName::Rfc822Header
            | MessageDataItemName::Rfc822Text
    )
}

/// Whether the answer to an item holds all Message-IDs of the message.
pub fn tells_message_id(item: &MessageDataItemName<'_>) -> bool {
    let is_named = |names: &Vec1<AString<'_>>| {
        names.as_ref().iter().any(|name| name.as_ref().eq_ignore_ascii_case(MESSAGE_ID.as_bytes()))
    };
    match item {
        MessageDataItemName::Rfc822 | MessageDataItemName::Rfc822Header => true,
        MessageDataItemName::Binary { section, partial: None, .. } => section.is_empty(),
        // A part of it may end before, or within, the header that tells.
        MessageDataItemName::BodyExt { section, partial: None, .. } => match section {
            None | Some(Section::Header(None)) => true,
            Some(Section::HeaderFields(None, names)) => is_named(names),
            Some(Section::HeaderFieldsNot(None, names)) => !is_named(names),
            Some(_) => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use imap_codec::imap_types::command::CommandBody;
    use imap_codec::imap_types::fetch::{MacroOrMessageDataItemNames, MessageDataItemName};

    use super::{Content, is_content, is_message_id, message_id, tells_message_id};
    use crate::protocol::imap::command::parse;

    fn item(text: &str) -> MessageDataItemName<'static> {
        let CommandBody::Fetch { macro_or_item_names, .. } =
            parse(format!("a FETCH 1 {text}\r\n").as_bytes()).unwrap().body
        else {
            panic!("{text}");
        };
        match macro_or_item_names {
            MacroOrMessageDataItemNames::MessageDataItemNames(items) => items.into_iter().next().unwrap(),
            MacroOrMessageDataItemNames::Macro(_) => panic!("{text}"),
        }
    }

    #[test]
    fn what_an_answer_carries_is_told_by_its_name() {
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
            let expected = Content { is_body, has_header, is_ours: false };
            assert_eq!(Content::of(name.as_bytes()), Some(expected), "{name}");
        }
        for name in ["FLAGS", "BODY", "BODYSTRUCTURE", "RFC822.SIZE", "ENVELOPE", "UID", "INTERNALDATE"] {
            assert_eq!(Content::of(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn what_is_asked_for_tells_the_message_id_or_does_not() {
        for told in [
            "BODY[]",
            "BODY.PEEK[HEADER]",
            "RFC822",
            "RFC822.HEADER",
            "BINARY[]",
            "BODY[HEADER.FIELDS (SUBJECT \"Message-Id\")]",
            "BODY.PEEK[HEADER.FIELDS.NOT (RECEIVED)]",
        ] {
            assert!(is_content(&item(told)) && tells_message_id(&item(told)), "{told}");
        }
        for untold in [
            "BODY[TEXT]",
            "BODY[1]",
            "BODY[1.HEADER]",
            "BODY[1.MIME]",
            "BODY[]<1.9999>",
            "BODY[]<0.10>",
            "BODY.PEEK[HEADER]<0.10>",
            "BINARY[1]",
            "BINARY[]<0.9>",
            "RFC822.TEXT",
            "BODY[HEADER.FIELDS (SUBJECT)]",
            "BODY[1.HEADER.FIELDS (MESSAGE-ID)]",
            "BODY[HEADER.FIELDS.NOT (MESSAGE-ID)]",
        ] {
            assert!(is_content(&item(untold)) && !tells_message_id(&item(untold)), "{untold}");
        }
        for none in ["FLAGS", "BODY", "BODYSTRUCTURE", "ENVELOPE", "UID", "BINARY.SIZE[1]", "RFC822.SIZE"] {
            assert!(!is_content(&item(none)) && !tells_message_id(&item(none)), "{none}");
        }
        assert_eq!(message_id(), Some(item("BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]")));
        for name in ["BODY[HEADER.FIELDS (MESSAGE-ID)]", "body[header.fields (\"Message-Id\")]"] {
            assert!(is_message_id(name.as_bytes()), "{name}");
        }
        for name in [
            "BODY[HEADER.FIELDS (MESSAGE-ID)]<0>",
            "BODY[HEADER.FIELDS (MESSAGE-ID TO)]",
            "BODY[1.HEADER.FIELDS (MESSAGE-ID)]",
            "BODY[HEADER.FIELDS.NOT (MESSAGE-ID)]",
            "UID",
        ] {
            assert!(!is_message_id(name.as_bytes()), "{name}");
        }
    }
}
