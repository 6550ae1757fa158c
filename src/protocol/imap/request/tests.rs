//! The forms that imap-codec does not know.

use imap_codec::encode::Fragment;
use proptest::prelude::{any, prop_assert_eq, proptest};

use super::{Form, Request};
use crate::protocol::imap::list_form::{MAX_PATTERNS, MAX_REFERENCE, pattern_text};
use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::mailbox::Mailbox;

/// The command with the patterns of a LIST as octets, however they are spelled.
fn meaning(request: Request) -> (Request, Vec<Vec<u8>>) {
    let mut request = request;
    let mut texts = Vec::new();
    if let (CommandBody::List { mailbox_wildcard, .. }, Form::List(form)) = (&mut request.body, &mut request.form) {
        texts.push(pattern_text(mailbox_wildcard).to_vec());
        *mailbox_wildcard = "*".try_into().unwrap();
        texts.extend(form.more.drain(..).map(|pattern| pattern_text(&pattern).to_vec()));
    }
    (request, texts)
}

fn bytes(fragments: Vec<Fragment>) -> Vec<u8> {
    fragments
        .into_iter()
        .flat_map(|fragment| match fragment {
            Fragment::Line { data } | Fragment::Literal { data, .. } => data,
        })
        .collect()
}

/// What is said for `line`, after it came back as the same command.
fn said(line: &str) -> String {
    let parsed = Request::parse(format!("a {line}\r\n").as_bytes()).unwrap_or_else(|_| panic!("{line} does not parse"));
    let out = bytes(parsed.clone().serialise("T7").unwrap());
    assert_eq!(meaning(Request::parse(&out).unwrap()), meaning(parsed), "{line}");
    String::from_utf8(out).unwrap().strip_prefix("T7 ").unwrap().strip_suffix("\r\n").unwrap().to_owned()
}

#[test]
fn every_extension_comes_back_as_it_was_read() {
    for same in [
        "SELECT INBOX (CONDSTORE)",
        "EXAMINE INBOX (QRESYNC (67890007 20050715194045000 41,43:211,214:541))",
        "SELECT a (QRESYNC (67890007 90060115194045000 41:211,214:541 (1,2,5:6 9,8,7:6)))",
        "SELECT a (QRESYNC (1 2))",
        "FETCH 1:* (FLAGS MODSEQ)",
        "FETCH 1:* FAST (CHANGEDSINCE 12345)",
        "UID FETCH 300:500 (FLAGS) (CHANGEDSINCE 12345 VANISHED)",
        "FETCH 1 (BODY[HEADER.FIELDS (SUBJECT {3+}\r\na b)]) (CHANGEDSINCE 9)",
        "FETCH 1 (BODY[] UID) (VANISHED)",
        "STORE 6,4,8 (UNCHANGEDSINCE 12121230045) +FLAGS.SILENT (\\Deleted)",
        "UID STORE 6 (UNCHANGEDSINCE 0) FLAGS ($MDNSent)",
        "SEARCH MODSEQ \"/flags/\\\\Draft\" all 620162338",
        "UID SEARCH CHARSET UTF-8 OR NOT MODSEQ 720162338 LARGER 50000",
        "SEARCH UNSEEN YOUNGER 259200 OLDER 5",
        "STATUS a (HIGHESTMODSEQ SIZE)",
        "ENABLE CONDSTORE QRESYNC",
        "UID EXPUNGE 1:3",
        "FETCH 1 (BINARY[] BINARY.PEEK[1.2]<0.5> BINARY.SIZE[3])",
        "UID SORT (REVERSE DISPLAYFROM SIZE) UTF-8 FLAGGED",
        "UID THREAD REFERENCES UTF-8 ALL",
        "GETQUOTA \"\"",
        "GETQUOTAROOT INBOX",
        "SEARCH RETURN () ALL",
        "UID SEARCH RETURN (MIN MAX ALL COUNT) CHARSET UTF-8 TEXT x",
        "SORT RETURN (COUNT) (SUBJECT) UTF-8 ALL",
        "UID SORT RETURN (ALL) (SUBJECT) UTF-8 1:3",
        "LIST \"\" (\"*\")",
        "LIST () \"\" (\"%\") RETURN ()",
        "LIST (SUBSCRIBED RECURSIVEMATCH REMOTE SPECIAL-USE) \"a\" (\"b\" \"c*\") RETURN (SUBSCRIBED CHILDREN SPECIAL-USE STATUS (MESSAGES UNSEEN SIZE) CHILDREN)",
    ] {
        assert_eq!(said(same), same);
    }
    for (line, meant) in [
        ("uid fetch 2:* body[] (changedsince 1)", "UID FETCH 2:* (BODY[]) (CHANGEDSINCE 1)"),
        ("search return (min Count) (all)", "SEARCH RETURN (MIN COUNT) (ALL)"),
        ("list \"\" % return (subscribed)", "LIST \"\" (\"%\") RETURN (SUBSCRIBED)"),
        ("LIST (subscribed) \"inbox\" %", "LIST (SUBSCRIBED) \"INBOX\" (\"%\")"),
        ("LIST \"\" ({3}\r\nb\"c \"x\\\\y\" {2+}\r\n%% *)", "LIST \"\" (\"b\\\"c\" \"x\\\\y\" \"%%\" \"*\")"),
        ("LIST \"\" {1}\r\n* RETURN (status (messages))", "LIST \"\" (\"*\") RETURN (STATUS (MESSAGES))"),
        ("SEARCH RETURN (ALL) SUBJECT {3+}\r\na\"b", "SEARCH RETURN (ALL) SUBJECT {3+}\r\na\"b"),
    ] {
        assert_eq!(said(line), meant);
    }
}

#[test]
fn what_is_not_exactly_a_form_is_no_command() {
    for wrong in [
        "SEARCH RETURN ALL",
        "SEARCH RETURN (SAVE) ALL",
        "SEARCH RETURN (PARTIAL 1:3) ALL",
        "SEARCH RETURN (MIN  MAX) ALL",
        "SEARCH RETURN (MIN )ALL",
        "SEARCH RETURN (MIN)",
        "SEARCH RETURN (MIN) ",
        "SEARCH  RETURN (MIN) ALL",
        "SEARCH CHARSET UTF-8 RETURN (MIN) ALL",
        "SEARCH RETURN (MIN) RETURN (MAX) ALL",
        "THREAD RETURN (MIN) REFERENCES UTF-8 ALL",
        "FETCH RETURN (MIN) 1 FLAGS",
        "SEARCH $",
        "LIST",
        "LIST \"\"",
        "LIST ( \"\" *",
        "LIST (SUBSCRIBED FANCY) \"\" *",
        "LIST (SUBSCRIBED)  \"\" *",
        "LIST \"\" ()",
        "LIST \"\" (a",
        "LIST \"\" (a ) RETURN ()",
        "LIST \"\" (a)b",
        "LIST \"\" a RETURN",
        "LIST \"\" a RETURN (MYRIGHTS)",
        "LIST \"\" a RETURN (STATUS)",
        "LIST \"\" a RETURN (STATUS MESSAGES)",
        "LIST \"\" a RETURN (STATUS (MESSAGES)",
        "LIST \"\" a RETURN (STATUS (MESSAGES)CHILDREN)",
        "LIST \"\" a RETURN (CHILDREN) x",
        "LIST \"\" a RETURN (CHILDREN)\r\nb NOOP",
        "LIST \"\" (a \"b\r\nc NOOP\") RETURN (CHILDREN)",
        "LIST \"\" (\"\u{e9}\")",
        "LIST \"\" ({9}\r\nabc)",
        "CREATE a (USE (\\Sent))",
        "FETCH 1 PREVIEW",
        "FETCH 1 (PREVIEW (LAZY))",
        "FETCH 1 (SNIPPET)",
        "FETCH 1 (FLAGS) (CHANGEDSINCE 0)",
        "STORE 1 +FLAGS (UNCHANGEDSINCE 5) (\\Seen)",
        "APPEND a CATENATE (URL \"/INBOX/;UID=1\")",
    ] {
        assert!(Request::parse(format!("a {wrong}\r\n").as_bytes()).is_err(), "{wrong}");
    }
    assert!(Request::parse(b"a\x01 SEARCH RETURN () ALL\r\n").is_err());
}

#[test]
fn im_09_a_list_names_few_patterns_and_a_short_reference() {
    let parsed = |reference: usize, patterns: usize| {
        let (reference, patterns) = ("r".repeat(reference), " %".repeat(patterns));
        let line = format!("a LIST \"{reference}\" ({})\r\n", patterns.trim_start());
        let request = Request::parse(line.as_bytes()).ok()?;
        let Form::List(form) = &request.form else { return None };
        assert!(form.more.len() < MAX_PATTERNS, "{} patterns", form.more.len() + 1);
        let CommandBody::List { reference: Mailbox::Other(kept), .. } = &request.body else { return None };
        assert_eq!(kept.as_ref(), reference.as_bytes());
        Some(form.more.len() + 1)
    };
    let longest = MAX_REFERENCE - "\"\"".len();
    for patterns in [1, 2, MAX_PATTERNS] {
        assert_eq!(parsed(longest, patterns), Some(patterns));
    }
    for (reference, patterns) in [(1, MAX_PATTERNS + 1), (longest + 1, 1), (1, 32_000), (60_000, 2)] {
        assert_eq!(parsed(reference, patterns), None, "{reference} {patterns}");
    }
}

proptest! {
    #[test]
    fn im_03_a_form_is_serialised_as_what_was_parsed(
        names in proptest::collection::vec("[ -~]{0,8}", 1..4),
        octets in proptest::collection::vec(1_u8..127, 0..8),
        options in "\\(?(SUBSCRIBED|REMOTE| |SPECIAL-USE){0,3}\\)? ?",
        told in "( RETURN \\((STATUS \\(MESSAGES\\)|CHILDREN| |SUBSCRIBED){0,3}\\))?",
        noise in "[ -~]{0,30}",
    ) {
        let quoted = |name: &String| format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
        let mut patterns: Vec<u8> = names.iter().map(quoted).collect::<Vec<_>>().join(" ").into_bytes();
        patterns.extend([format!(" {{{}}}\r\n", octets.len()).as_bytes(), &octets].concat());
        for line in [
            [format!("a LIST {options}\"\" (").as_bytes(), &patterns, format!("){told}\r\n").as_bytes()].concat(),
            format!("a LIST {noise}\r\n").into_bytes(),
            format!("a SEARCH RETURN ({noise}) {noise}\r\n").into_bytes(),
            format!("a UID SEARCH RETURN (MIN ALL) SUBJECT {}\r\n", quoted(&noise)).into_bytes(),
        ] {
            let Ok(request) = Request::parse(&line) else { continue };
            let out = bytes(request.clone().serialise("T9").unwrap());
            prop_assert_eq!(meaning(Request::parse(&out).unwrap()), meaning(request), "{}", String::from_utf8_lossy(&out));
        }
    }

    #[test]
    fn noise_has_no_form(noise in any::<Vec<u8>>()) {
        for head in [&b"a LIST "[..], b"a SEARCH RETURN (", b""] {
            if let Ok(request) = Request::parse(&[head, &noise].concat()) {
                prop_assert_eq!(matches!(request.form, Form::Plain), head != b"a SEARCH RETURN (");
            }
        }
    }
}
