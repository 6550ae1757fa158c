//! ENVELOPE and BODYSTRUCTURE of the sandbox, and where a message's parts lie (RFC 3501 sections 7.4.2 and 6.4.5).

use std::fmt::Write;

use imap_codec::imap_types::fetch::Part;
use mail_parser::{Address, ContentType, HeaderValue, Message, MessageParser, MessagePart, MimeHeaders, PartType};

/// How deep a structure is described.
const MAX_DEPTH: u8 = 20;

/// ENVELOPE of a message.
pub(super) fn envelope_of(bytes: &[u8]) -> String {
    match MessageParser::default().parse(bytes) {
        Some(message) => envelope(&message),
        None => "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)".to_owned(),
    }
}

/// BODY, or with `is_extended` BODYSTRUCTURE, of a message.
pub(super) fn describe(bytes: &[u8], is_extended: bool) -> String {
    let message = MessageParser::default().parse(bytes);
    let described = message.as_ref().and_then(|message| Some(body(message, message.parts.first()?, is_extended, 0)));
    described.unwrap_or_else(|| "(\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 0 0)".to_owned())
}

/// MIME header and content of the part with this number; `None` when there is no such part.
pub(super) fn part(bytes: &[u8], number: &Part) -> Option<(Vec<u8>, Vec<u8>)> {
    let top = MessageParser::default().parse(bytes)?;
    let (mut message, mut part, mut is_top) = (&top, top.parts.first()?, true);
    for step in number.0.as_ref() {
        if let PartType::Message(inner) = &part.body {
            (message, part, is_top) = (inner, inner.parts.first()?, true);
        }
        part = match &part.body {
            PartType::Multipart(children) => {
                let id = *children.get(usize::try_from(step.get()).ok()?.checked_sub(1)?)?;
                message.parts.get(usize::try_from(id).ok()?)?
            }
            _ if step.get() == 1 && is_top => part,
            _ => return None,
        };
        is_top = false;
    }
    Some((slice(message, part.offset_header, part.offset_body).to_vec(), raw(message, part).to_vec()))
}

/// The octets of a part as they were sent, without its header.
fn raw<'a>(message: &'a Message<'_>, part: &MessagePart<'_>) -> &'a [u8] {
    slice(message, part.offset_body, part.offset_end)
}

fn slice<'a>(message: &'a Message<'_>, from: u32, to: u32) -> &'a [u8] {
    let at = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
    message.raw_message.get(at(from)..at(to)).unwrap_or_default()
}

fn body(message: &Message<'_>, part: &MessagePart<'_>, is_extended: bool, depth: u8) -> String {
    let kind = part.content_type();
    let subtype = |default: &str| quoted(Some(kind.and_then(|kind| kind.c_subtype.as_deref()).unwrap_or(default)));
    if let PartType::Multipart(children) = &part.body
        && depth < MAX_DEPTH
    {
        let children: String = children
            .iter()
            .filter_map(|id| message.parts.get(usize::try_from(*id).ok()?))
            .map(|child| body(message, child, is_extended, depth + 1))
            .collect();
        let tail = if is_extended { format!(" {} {} NIL", parameters(kind), disposition(part)) } else { String::new() };
        return format!("({children} {}{tail})", subtype("MIXED"));
    }
    let octets = raw(message, part);
    let lines = octets.iter().filter(|byte| **byte == b'\n').count();
    let (default_type, default_subtype) = match &part.body {
        PartType::Message(_) => ("MESSAGE", "RFC822"),
        PartType::Html(_) => ("TEXT", "HTML"),
        PartType::Text(_) => ("TEXT", "PLAIN"),
        _ => ("APPLICATION", "OCTET-STREAM"),
    };
    let main = kind.map_or(default_type, |kind| &kind.c_type);
    let mut text = format!(
        "({} {} {} {} {} {} {}",
        quoted(Some(main)),
        subtype(default_subtype),
        parameters(kind),
        quoted(part.content_id().map(|id| format!("<{id}>")).as_deref()),
        quoted(part.content_description()),
        quoted(Some(part.content_transfer_encoding().unwrap_or("7BIT"))),
        octets.len(),
    );
    // Writing to a String cannot fail.
    let _ = match &part.body {
        PartType::Message(inner) => match inner.parts.first() {
            Some(first) => {
                write!(text, " {} {} {lines}", envelope(inner), body(inner, first, is_extended, depth + 1))
            }
            None => Ok(()),
        },
        _ if main.eq_ignore_ascii_case("text") => write!(text, " {lines}"),
        _ => Ok(()),
    };
    if is_extended {
        let _ = write!(text, " NIL {} NIL", disposition(part));
    }
    text.push(')');
    text
}

fn parameters(kind: Option<&ContentType<'_>>) -> String {
    let pairs = kind.and_then(|kind| kind.attributes.as_deref()).unwrap_or_default();
    if pairs.is_empty() {
        return "NIL".to_owned();
    }
    let pairs: Vec<String> =
        pairs.iter().map(|pair| format!("{} {}", quoted(Some(&pair.name)), quoted(Some(&pair.value)))).collect();
    format!("({})", pairs.join(" "))
}

fn disposition(part: &MessagePart<'_>) -> String {
    part.content_disposition().map_or_else(
        || "NIL".to_owned(),
        |disposition| format!("({} {})", quoted(Some(&disposition.c_type)), parameters(Some(disposition))),
    )
}

fn envelope(message: &Message<'_>) -> String {
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

/// A string as IMAP writes it; what is not ASCII is left out.
fn quoted(text: Option<&str>) -> String {
    match text {
        None => "NIL".to_owned(),
        Some(text) => {
            let clean: String = text.chars().filter(|c| c.is_ascii() && !c.is_ascii_control()).collect();
            format!("\"{}\"", clean.replace('\\', "\\\\").replace('"', "\\\""))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use imap_codec::imap_types::core::Vec1;
    use imap_codec::imap_types::fetch::Part;

    use super::{describe, envelope_of, part};

    const MIXED: &str = "From: A <a@b.test>\r\nSubject: two parts\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n\
        --x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello\r\n\
        --x\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n\
        Content-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--x--\r\n";

    fn at(numbers: &[u32]) -> Option<(String, String)> {
        let numbers: Vec<NonZeroU32> = numbers.iter().map(|number| NonZeroU32::new(*number).unwrap()).collect();
        let (header, content) = part(MIXED.as_bytes(), &Part(Vec1::try_from(numbers).unwrap()))?;
        Some((String::from_utf8(header).unwrap(), String::from_utf8(content).unwrap()))
    }

    #[test]
    fn parts_are_described_and_found() {
        assert_eq!(
            describe(MIXED.as_bytes(), false),
            "((\"text\" \"plain\" (\"charset\" \"utf-8\") NIL NIL \"7BIT\" 5 0)\
             (\"application\" \"pdf\" (\"name\" \"a.pdf\") NIL NIL \"base64\" 4) \"mixed\")"
        );
        assert!(describe(MIXED.as_bytes(), true).contains("(\"attachment\" (\"filename\" \"a.pdf\"))"));
        assert_eq!(at(&[1]).unwrap().1, "Hello");
        assert_eq!(at(&[2]).unwrap().1, "AAAA");
        assert!(at(&[2]).unwrap().0.starts_with("Content-Type: application/pdf"));
        assert_eq!(at(&[3]), None);
        assert!(envelope_of(MIXED.as_bytes()).contains("\"two parts\" ((\"A\" NIL \"a\" \"b.test\"))"));
    }

    #[test]
    fn a_message_of_one_part_is_its_part_one() {
        let bytes = b"Subject: x\r\n\r\nbody\r\n";
        let one = Part(Vec1::from(NonZeroU32::MIN));
        assert_eq!(part(bytes, &one).unwrap().1, b"body\r\n");
        assert_eq!(describe(bytes, false), "(\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 6 1)");
    }
}
