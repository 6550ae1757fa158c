//! What FETCH responses show, and what of them a tool gets.

use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use crate::protocol::imap::content::Content;
use crate::protocol::imap::fetch::{FetchScan, Shown};
use crate::protocol::imap::response::literal_at_end;
use crate::protocol::imap::veil::Hidden;

const BOTH: Hidden = Hidden { uid: true, message_id: true };

fn part(scan: &mut FetchScan, text: &str) -> (Vec<Shown>, String) {
    let (shown, left) = scan.part(text.as_bytes());
    (shown, left.map_or_else(|| text.to_owned(), |left| String::from_utf8(left).unwrap()))
}

fn uid(line: &str) -> Option<u32> {
    let (found, left) = part(&mut FetchScan::default(), line);
    assert_eq!(left, line, "nothing is hidden");
    found.into_iter().find_map(|one| if let Shown::Uid(uid) = one { Some(uid) } else { None })
}

/// What the tool gets of a response whose literals are what stands between `{n}CRLF` and the next line, cut anywhere.
fn shown(response: &[u8], hidden: Hidden, cut: usize) -> (Vec<u8>, Vec<Content>) {
    let (mut scan, mut out, mut found) = (FetchScan::hiding(hidden), Vec::new(), Vec::new());
    let mut rest = response;
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        for piece in line.chunks(cut) {
            out.extend(scan.part(piece).1.unwrap_or_else(|| piece.to_vec()));
        }
        let literal = literal_at_end(line).ok().flatten();
        if let Some(left) = scan.line_end(literal.is_some()) {
            out.extend([left.as_slice(), b"\r\n"].concat());
        }
        let Some(literal) = literal else { return (out, found) };
        found.extend(scan.literal());
        let after = after.get(2..).unwrap_or_default();
        let (octets, after) = after.split_at(usize::try_from(literal.length).unwrap().min(after.len()));
        if !scan.is_ours() {
            out.extend(octets);
        }
        rest = after;
    }
}

#[test]
fn uids_are_found_where_they_are_items_and_nowhere_else() {
    for line in [
        "* 1 FETCH (UID 7 FLAGS (\\Seen))",
        "* 1 FETCH (FLAGS (UID 9) UID 7)",
        "* 1 FETCH (ENVELOPE (\"UID 9\" NIL) UID 7 X 1)",
        "* 1 FETCH (BODY[HEADER.FIELDS (UID 9)] NIL UID 7)",
        "* 1 FETCH (BODY[] \"UID 9 \\\" UID 8\" UID 7)",
    ] {
        assert_eq!(uid(line), Some(7), "{line}");
    }
    assert_eq!(uid("* 1 FETCH (FLAGS ())"), None);
    assert_eq!(FetchScan::number(b"* 12 fetch (FLAGS ())"), Some(12));
    assert_eq!(FetchScan::number(b"* 12 EXPUNGE"), None);
}

#[test]
fn a_literal_is_what_its_item_says() {
    let content = |is_body, has_header, is_ours| Some(Content { is_body, has_header, is_ours });
    let mut scan = FetchScan::default();
    part(&mut scan, "* 1 FETCH (UID 7 BODY[HEADER.FIELDS (SUBJECT FROM)] {5}");
    assert_eq!(scan.literal(), content(false, true, false));
    part(&mut scan, " BODY[1]<10> {6}");
    assert_eq!(scan.literal(), content(true, false, false));
    part(&mut scan, " ENVELOPE (NIL {3}");
    assert_eq!(scan.literal(), None);
    assert_eq!(part(&mut scan, " NIL) UID 7)").0, vec![Shown::Uid(7)]);
    let mut scan = FetchScan::hiding(BOTH);
    part(&mut scan, "* 1 FETCH (UID 7 BODY[HEADER.FIELDS (Message-ID)] {5}");
    assert_eq!(scan.literal(), content(false, true, true));
}

#[test]
fn content_in_quotes_is_told_in_whatever_parts_it_comes() {
    let mut scan = FetchScan::default();
    let content = Content { is_body: true, has_header: false, is_ours: false };
    let first = part(&mut scan, "* 1 FETCH (FLAGS (\"a\") BODY[1] \"ab\\\"").0;
    assert_eq!(first, vec![Shown::Quote(content), Shown::Octets(32..36)]);
    assert_eq!(part(&mut scan, "cd").0, vec![Shown::Octets(0..2)]);
    assert_eq!(part(&mut scan, "e\")").0, vec![Shown::Octets(0..1), Shown::QuoteEnd]);
}

#[test]
fn what_only_we_asked_for_is_taken_out_wherever_it_stands() {
    let id = "BODY[HEADER.FIELDS (MESSAGE-ID)] {5}\r\nM:x\r\n";
    for (said, left) in [
        ("UID 7 BODY[1] {3}\r\nabc".to_owned(), "BODY[1] {3}\r\nabc"),
        (format!("UID 7 BODY[1] {{3}}\r\nabc {id}"), "BODY[1] {3}\r\nabc"),
        (format!("{id} UID 7 BODY[1] {{3}}\r\nabc"), "BODY[1] {3}\r\nabc"),
        (format!("BODY[1] {{3}}\r\nabc {id} UID 7"), "BODY[1] {3}\r\nabc"),
        (format!("FLAGS (UID) {id} BODY[1] NIL"), "FLAGS (UID) BODY[1] NIL"),
        (format!("{id} {id} BODY[1] \"a UID 7\" {id}"), "BODY[1] \"a UID 7\""),
        ("body[header.fields (\"Message-Id\")] NIL BODY[1] \"\"".to_owned(), "BODY[1] \"\""),
        ("BODY[HEADER.FIELDS (MESSAGE-ID)] \"a ) b\" BODY[1] \"\"".to_owned(), "BODY[1] \"\""),
        ("BODY[HEADER.FIELDS (MESSAGE-ID)] (a (UID 7)) X 1".to_owned(), "X 1"),
        // Another's.
        ("BODY[HEADER.FIELDS (MESSAGE-ID TO)] NIL".to_owned(), "BODY[HEADER.FIELDS (MESSAGE-ID TO)] NIL"),
        ("BODY[HEADER.FIELDS (MESSAGE-ID)]<0> NIL".to_owned(), "BODY[HEADER.FIELDS (MESSAGE-ID)]<0> NIL"),
    ] {
        for cut in [1, 7, 1000] {
            let (out, _) = shown(format!("* 1 FETCH ({said})\r\n").as_bytes(), BOTH, cut);
            assert_eq!(String::from_utf8(out).unwrap(), format!("* 1 FETCH ({left})\r\n"), "{said}");
        }
    }
    // Nothing is left of it.
    assert_eq!(shown(format!("* 1 FETCH ({id} UID 7)\r\n").as_bytes(), BOTH, 9).0, b"");
    let long = format!("* 1 FETCH (UID 7 BODY[HEADER.FIELDS ({})] NIL X 1)\r\n", "A ".repeat(99));
    assert_eq!(shown(long.as_bytes(), BOTH, 9).0, long.replace("UID 7 ", "").into_bytes());
    // What is no response stays in step: octets come where they were announced, and nowhere else.
    for odd in ["({5}\r\nM:x\r\n)", "() {5}\r\nM:x\r\n", "(UID) {5}\r\nM:x\r\n)", "(X {5}\r\nM:x\r\n"] {
        let (out, _) = shown(format!("* 1 FETCH {odd}\r\n").as_bytes(), BOTH, 100);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("{5}\r\nM:x\r\n") && text.starts_with("* 1 FETCH ("), "{odd}: {text}");
    }
}

proptest! {
    #[test]
    fn no_response_is_too_odd(noise in any::<Vec<u8>>(), uid in any::<bool>(), message_id in any::<bool>()) {
        let hidden = Hidden { uid, message_id };
        let mut scan = FetchScan::hiding(hidden);
        for piece in noise.chunks(7) {
            let (shown, left) = scan.part(piece);
            for one in shown {
                if let Shown::Octets(at) = one {
                    prop_assert!(piece.get(at).is_some());
                }
            }
            prop_assert_eq!(hidden.is_any(), left.is_some());
            let _ = (scan.line_end(piece.ends_with(b"}")), scan.literal());
        }
    }

    #[test]
    fn what_was_not_asked_for_by_us_is_left_as_it_was(
        items in proptest::collection::vec("X[0-9]{1,3} [a-z0-9]{1,4}|FLAGS \\(a b\\)|BODY\\[1\\] \"[a-z ]{0,5}\"|UID 7", 1..6),
        cut in 1_usize..20,
    ) {
        let response = |items: &[String]| format!("* 1 FETCH ({})\r\n", items.join(" ")).into_bytes();
        prop_assert_eq!(shown(&response(&items), Hidden::default(), cut).0, response(&items));
        let left: Vec<String> = items.iter().filter(|item| *item != "UID 7").cloned().collect();
        let expected = if left.is_empty() { Vec::new() } else { response(&left) };
        prop_assert_eq!(shown(&response(&items), BOTH, cut).0, expected);
    }
}

#[test]
fn a_section_ends_where_its_names_say_and_not_within_them() {
    let body = Some(Content { is_body: true, has_header: true, is_ours: false });
    for names in [r#"("]")"#, r#"("A UID 9] B" X)"#, r#"("\"] UID 9 \"")"#, r#"("\\" "] UID 9 (")"#] {
        let mut scan = FetchScan::default();
        let (shown, _) = part(&mut scan, &format!("* 1 FETCH (BODY[HEADER.FIELDS {names}] NIL UID 7 BODY[] {{3}}"));
        assert!(matches!(shown[..], [Shown::Uid(7)]), "{names}: {shown:?}");
        assert_eq!(scan.literal(), body, "{names}");
    }
    let mut scan = FetchScan::default();
    assert_eq!(part(&mut scan, "* 1 FETCH (BODY[HEADER.FIELDS (X {8}").0, []);
    assert_eq!((scan.literal(), scan.is_structure()), (None, false));
    assert!(part(&mut scan, " Y)] \"abc\" UID 7 BODY[] {3}").0.contains(&Shown::Uid(7)));
    assert_eq!(scan.literal(), body);
}

#[test]
fn a_literal_within_a_structure_is_known_to_be_no_content() {
    for (line, is_structure) in [
        ("* 1 FETCH (ENVELOPE (NIL {3}", true),
        ("* 1 FETCH (UID 7 bodystructure ((\"text\" {3}", true),
        ("* 1 FETCH (BODY (\"text\" {3}", true),
        ("* 1 FETCH (BODY[] {3}", false),
        ("* 1 FETCH (X {3}", false),
        ("* 1 FETCH (X ({3}", false),
        ("* 1 FETCH ({3}", false),
        ("* 1 FETCH (BODY[X {3}", false),
        ("* 1 FETCH (FLAGS () {3}", false),
    ] {
        let mut scan = FetchScan::default();
        scan.part(line.as_bytes());
        assert_eq!(scan.is_structure(), is_structure, "{line}");
    }
}
