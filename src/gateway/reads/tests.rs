//! What was delivered is told once, whole, and of the right message.

use super::Reads;
use crate::protocol::imap::veil::Hidden;

/// What the tool gets of a response that is one line, or one up to a literal and one after it.
fn pass(reads: &mut Reads, line: &str, literal: Option<(&str, &str)>) -> String {
    let (mut out, mut bytes) = (Vec::new(), line.as_bytes().to_vec());
    reads.begin(&bytes);
    reads.part(&mut bytes);
    out.extend(bytes);
    if let Some((octets, after)) = literal {
        out.extend(reads.line_end(true).into_iter().flatten());
        if reads.literal() {
            out.extend(octets.bytes());
        }
        reads.chunk(octets.as_bytes());
        reads.literal_end();
        let mut bytes = after.as_bytes().to_vec();
        reads.part(&mut bytes);
        out.extend(bytes);
    }
    out.extend(reads.line_end(false).into_iter().flatten());
    reads.end();
    String::from_utf8(out).unwrap()
}

#[test]
fn what_only_we_asked_for_is_not_shown_and_every_message_is_counted_once() {
    let mut reads = Reads::default();
    reads.open("INBOX".to_owned());
    reads.status(b"* OK [UIDVALIDITY 17] UIDs valid");
    reads.hidden = Hidden { uid: true, message_id: true };
    let header = "Message-ID: <1@x.test>\r\n\r\n";
    let id = "BODY[HEADER.FIELDS (MESSAGE-ID)] {26}";
    for (line, literal, shown) in [
        ("* 1 FETCH (UID 7 BODY[] {26}".to_owned(), Some((header, ")")), format!("* 1 FETCH (BODY[] {{26}}{header})")),
        ("* 1 FETCH (BODY[] \"x\" UID 7)".to_owned(), None, "* 1 FETCH (BODY[] \"x\")".to_owned()),
        ("* 1 FETCH (FLAGS (UID))".to_owned(), None, "* 1 FETCH (FLAGS (UID))".to_owned()),
        // Only its header is told to us, and only to us.
        (
            format!("* 1 FETCH (UID 7 BODY[1] \"abc\" {id}"),
            Some((header, ")")),
            "* 1 FETCH (BODY[1] \"abc\")".to_owned(),
        ),
        (format!("* 1 FETCH ({id}"), Some((header, " UID 7)")), String::new()),
    ] {
        assert_eq!(pass(&mut reads, &line, literal), shown);
    }
    let found: Vec<_> = reads.done.iter().map(|read| (read.uid, read.is_body, read.octets, read.ids.len())).collect();
    assert_eq!(found, [(Some(7), true, 26, 1), (Some(7), true, 1, 0), (Some(7), true, 3, 1)]);
    assert_eq!((reads.uid_validity, reads.listed), (Some(17), 5));
}

#[test]
fn a_record_is_due_before_its_entries_are_too_long_for_it() {
    let line = |ids: usize| {
        let items: Vec<String> = (0..ids).map(|n| format!("RFC822.HEADER \"Message-ID: <{n}@x.test>\"")).collect();
        format!("* 1 FETCH ({})", items.join(" "))
    };
    for (ids, count) in [(1, super::PER_RECORD), (8, 53)] {
        let mut reads = Reads::default();
        while !reads.is_full() {
            pass(&mut reads, &line(ids), None);
        }
        assert_eq!(reads.done.len(), count, "{ids} ids");
        assert!(reads.octets <= super::MAX_LIST);
    }
}

#[test]
fn an_upstream_that_tells_ids_without_end_fills_no_memory() {
    let mut reads = Reads { hidden: Hidden { uid: true, message_id: true }, ..Reads::default() };
    let ids: Vec<String> = (0..99).map(|n| format!("RFC822.HEADER \"Message-ID: <{n}@x.test>\"")).collect();
    pass(&mut reads, &format!("* 1 FETCH ({})", ids.join(" ")), None);
    assert_eq!(reads.done.first().map(|read| read.ids.len()), Some(super::MAX_IDS));
}

#[test]
fn where_content_was_asked_for_a_literal_that_nobody_can_place_is_content() {
    for (asks_content, line, is_body) in [
        (true, "* 1 FETCH (UID 7 BODY[X] Y {3}", Some(true)),
        (true, "* 1 FETCH (UID 7 BODY[X {3}", Some(true)),
        (true, "* 1 FETCH ({3}", Some(true)),
        (true, "* 1 FETCH  (UID 7 BODY[] {3}", Some(true)),
        (true, "* 99999999999 FETCH (UID 7 X {3}", Some(true)),
        (true, "* 1 FETCH (UID 7 BODY[HEADER] {3}", Some(false)),
        (true, "* 1 FETCH (UID 7 ENVELOPE (NIL {3}", None),
        (true, "* SEARCH {3}", None),
        (false, "* 1 FETCH (UID 7 X {3}", None),
    ] {
        let mut reads = Reads { asks_content, ..Reads::default() };
        let mut bytes = line.as_bytes().to_vec();
        reads.begin(&bytes);
        reads.part(&mut bytes);
        reads.literal();
        reads.chunk(b"abc");
        reads.literal_end();
        reads.end();
        let found: Vec<_> = reads.done.iter().map(|read| (read.is_body, read.octets)).collect();
        assert_eq!(found, Vec::from_iter(is_body.map(|is_body| (is_body, 3))), "{line}");
    }
}
