//! The table, command by command.

use super::table::{self, Needs};
use super::{State, decide_request, decide_unparsed};
use crate::domain::bounds::Bounds;
use crate::domain::scope::{Preset, Scope, ScopeSet};
use crate::policy::Rights;
use crate::protocol::imap::command;
use crate::protocol::imap::request::Request;

pub(super) fn rights(scopes: ScopeSet, bounds: &str) -> Rights {
    let bounds: Bounds = serde_json::from_str(bounds).unwrap();
    Rights { scopes, bounds, mailbox: "support@example.test".parse().unwrap() }
}

/// What goes upstream for `line`, or the rule that refused it.
pub(super) fn outcome(rights: &Rights, is_read_write: bool, line: &str) -> String {
    outcome_in(State { delimiter: Some('/'), is_read_write, costly_search: true }, rights, line)
}

fn outcome_in(state: State, rights: &Rights, line: &str) -> String {
    let request =
        Request::parse(format!("A {line}\r\n").as_bytes()).unwrap_or_else(|_| panic!("{line} does not parse"));
    match decide_request(rights, state, request) {
        Ok(permit) => {
            let fragments = permit.into_inner().serialise("T").unwrap();
            fragments
                .into_iter()
                .map(|fragment| match fragment {
                    imap_codec::encode::Fragment::Line { data }
                    | imap_codec::encode::Fragment::Literal { data, .. } => String::from_utf8(data).unwrap(),
                })
                .collect::<String>()
                .trim_start_matches("T ")
                .trim_end()
                .to_owned()
        }
        Err(denial) => format!("!{}", denial.needs.map_or(denial.rule, Scope::as_str)),
    }
}

const MUTATING: [(&str, Scope); 24] = [
    ("STORE 1 +FLAGS (\\Seen)", Scope::Flag),
    ("UID STORE 1:* -FLAGS.SILENT (work)", Scope::Flag),
    ("STORE 1 +FLAGS (\\Deleted)", Scope::Delete),
    ("STORE 1 -FLAGS (\\Deleted)", Scope::Delete),
    ("STORE 1 FLAGS (\\Seen)", Scope::Delete),
    ("STORE 1 (UNCHANGEDSINCE 9) +FLAGS (\\Seen)", Scope::Flag),
    ("UID STORE 1 (UNCHANGEDSINCE 0) -FLAGS.SILENT (work)", Scope::Flag),
    ("STORE 1 (UNCHANGEDSINCE 9) +FLAGS (\\Deleted)", Scope::Delete),
    ("UID STORE 1:* (UNCHANGEDSINCE 9) FLAGS.SILENT (\\Flagged)", Scope::Delete),
    ("APPEND INBOX (\\Seen) ~{1}\r\nx", Scope::Append),
    ("EXPUNGE", Scope::Delete),
    ("UID EXPUNGE 1:3", Scope::Delete),
    ("COPY 1 INBOX", Scope::Append),
    ("UID COPY 1 INBOX", Scope::Append),
    ("MOVE 1 INBOX", Scope::Organize),
    ("UID MOVE 1 INBOX", Scope::Organize),
    ("CREATE New", Scope::Organize),
    ("RENAME a b", Scope::Organize),
    ("SUBSCRIBE a", Scope::Organize),
    ("UNSUBSCRIBE a", Scope::Organize),
    ("DELETE a", Scope::Delete),
    ("APPEND INBOX {1}\r\nx", Scope::Append),
    ("APPEND INBOX (\\Seen) {1}\r\nx", Scope::Append),
    ("append {5}\r\nINBOX {1}\r\nx", Scope::Append),
];

#[test]
fn im_07_a_read_only_session_is_refused_every_change() {
    let reader = rights(Preset::Backup.scopes(), "{}");
    for (line, needs) in MUTATING {
        assert_eq!(outcome(&reader, false, line), format!("!{}", needs.as_str()), "{line}");
    }
}

#[test]
fn a_full_session_is_refused_nothing_of_the_mailbox() {
    let full = rights(Preset::Full.scopes(), "{}");
    for (line, _) in MUTATING {
        assert!(!outcome(&full, true, line).starts_with('!'), "{line}");
    }
    assert_eq!(outcome(&full, true, "SELECT INBOX"), "SELECT INBOX");
    assert_eq!(outcome(&full, true, "CLOSE"), "CLOSE");
    assert_eq!(outcome(&full, true, "FETCH 1 BODY[]"), "FETCH 1 BODY[]");
}

#[test]
fn im_07_reading_leaves_no_trace() {
    let reader = rights(Preset::Backup.scopes(), "{}");
    assert_eq!(outcome(&reader, false, "SELECT INBOX"), "EXAMINE INBOX");
    assert_eq!(outcome(&reader, false, "FETCH 1 (FLAGS BODY[])"), "FETCH 1 (FLAGS BODY.PEEK[])");
    assert_eq!(
        outcome(&reader, false, "UID FETCH 1 BODY[HEADER.FIELDS (SUBJECT)]"),
        "UID FETCH 1 BODY.PEEK[HEADER.FIELDS (SUBJECT)]"
    );
    assert_eq!(outcome(&reader, false, "FETCH 1 RFC822"), "FETCH 1 RFC822");
    for (asked, said) in [
        ("SELECT a (CONDSTORE)", "EXAMINE a (CONDSTORE)"),
        ("SELECT a (QRESYNC (1 2 3:4))", "EXAMINE a (QRESYNC (1 2 3:4))"),
        ("FETCH 1 BINARY[]", "FETCH 1 BINARY.PEEK[]"),
        ("FETCH 1 (UID BINARY[1.2]<0.9>)", "FETCH 1 (UID BINARY.PEEK[1.2]<0.9>)"),
        ("UID FETCH 1 (BODY[]) (CHANGEDSINCE 5 VANISHED)", "UID FETCH 1 (BODY.PEEK[]) (CHANGEDSINCE 5 VANISHED)"),
    ] {
        assert_eq!(outcome(&reader, false, asked), said);
    }
    assert_eq!(outcome(&rights(Preset::Full.scopes(), "{}"), true, "FETCH 1 BINARY[]"), "FETCH 1 BINARY[]");
    let mover: ScopeSet = [Scope::Read, Scope::Organize].into_iter().collect();
    assert_eq!(outcome(&rights(mover, "{}"), true, "FETCH 1 RFC822"), "!mail.flag");
    assert_eq!(outcome(&rights(mover, "{}"), true, "CLOSE"), "UNSELECT");
}

#[test]
fn metadata_never_shows_content() {
    let metadata = rights([Scope::Metadata].into_iter().collect(), "{}");
    for line in [
        "FETCH 1 BODY.PEEK[]",
        "FETCH 1 RFC822.HEADER",
        "FETCH 1 BODY[1]",
        "SEARCH TEXT x",
        "SEARCH NOT BODY x",
        "SEARCH OR SEEN HEADER a b",
        "SEARCH RETURN (COUNT) BODY x",
        "SORT (DATE) UTF-8 TEXT x",
        "UID SORT RETURN (MIN) (DATE) UTF-8 HEADER a b",
        "THREAD ORDEREDSUBJECT UTF-8 BODY x",
        "THREAD REFERENCES UTF-8 ALL",
        "THREAD REFS UTF-8 ALL",
        "FETCH 1 BINARY[1]",
        "FETCH 1 (FLAGS BINARY.PEEK[])",
        "UID FETCH 1 BODY.PEEK[] (CHANGEDSINCE 1)",
    ] {
        assert_eq!(outcome(&metadata, false, line), "!mail.read", "{line}");
    }
    for line in [
        "FETCH 1 (FLAGS ENVELOPE UID)",
        "FETCH 1 FULL",
        "SEARCH UNSEEN SUBJECT x",
        "LIST \"\" *",
        "STATUS INBOX (MESSAGES)",
        "FETCH 1 (BODYSTRUCTURE MODSEQ BINARY.SIZE[1])",
        "UID FETCH 1:* FLAGS (CHANGEDSINCE 1 VANISHED)",
        "SEARCH MODSEQ 5 YOUNGER 60",
        "SEARCH RETURN (ALL) OLDER 60",
        "SORT (SUBJECT FROM) UTF-8 UNSEEN",
        "THREAD ORDEREDSUBJECT UTF-8 ALL",
        "STATUS INBOX (SIZE HIGHESTMODSEQ)",
        "LIST (SUBSCRIBED) \"\" * RETURN (STATUS (MESSAGES))",
        "GETQUOTAROOT INBOX",
    ] {
        assert!(!outcome(&metadata, false, line).starts_with('!'), "{line}");
    }
}

#[test]
fn im_10_append_only_cannot_read() {
    let append = rights(Preset::Restore.scopes(), "{}");
    for line in [
        "SELECT INBOX",
        "SELECT INBOX (CONDSTORE)",
        "EXAMINE INBOX (QRESYNC (1 2))",
        "FETCH 1 FLAGS",
        "FETCH 1 BINARY[]",
        "UID FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)",
        "SEARCH ALL",
        "SEARCH RETURN (COUNT) ALL",
        "SORT (DATE) UTF-8 ALL",
        "UID THREAD REFERENCES UTF-8 ALL",
        "STATUS INBOX (MESSAGES)",
        "STATUS INBOX (SIZE HIGHESTMODSEQ)",
        "LIST \"\" * RETURN (STATUS (MESSAGES))",
        "LIST (SUBSCRIBED) \"\" (a b) RETURN (CHILDREN STATUS (SIZE))",
        "GETQUOTA \"\"",
        "GETQUOTAROOT INBOX",
        "IDLE",
    ] {
        assert_eq!(outcome(&append, false, line), "!mail.metadata", "{line}");
    }
    assert_eq!(outcome(&append, false, "STORE 1 (UNCHANGEDSINCE 9) +FLAGS (\\Seen)"), "!mail.flag");
    assert_eq!(outcome(&append, false, "LIST \"\" (a) RETURN (SPECIAL-USE)"), "LIST \"\" (\"a\") RETURN (SPECIAL-USE)");
    assert_eq!(outcome(&append, false, "COPY 1 INBOX"), "!mail.read");
    assert_eq!(outcome(&append, false, "APPEND INBOX (\\Seen \\Deleted) {1}\r\nx"), "APPEND INBOX (\\Seen) {1}\r\nx");
}

#[test]
fn im_08_folder_bounds_hold_under_every_spelling() {
    let bounded = rights(Preset::Full.scopes(), r#"{"folders":["INBOX","Archive/*"]}"#);
    for line in [
        "SELECT Sent",
        "EXAMINE \"Sent\"",
        "STATUS Sent (MESSAGES)",
        "COPY 1 Sent",
        "RENAME Archive/a Sent",
        "RENAME Sent Archive/a",
        "SELECT Archive",
        "SELECT \"Archive/../Sent\"",
        "SELECT \"Archive//a\"",
        "CREATE Sent/",
        "APPEND {4}\r\nSent {1}\r\nx",
        "APPEND \"Sent\" ~{1}\r\nx",
        "DELETE sent",
        "SELECT Sent (CONDSTORE)",
        "EXAMINE {4}\r\nSent (QRESYNC (1 2 3))",
        "STATUS \"Sent\" (HIGHESTMODSEQ SIZE)",
        "UID COPY 1 Sent",
        "GETQUOTAROOT Sent",
    ] {
        assert_eq!(outcome(&bounded, true, line), "!folder", "{line}");
    }
    for line in ["GETQUOTAROOT INBOX", "GETQUOTA \"\""] {
        assert_eq!(outcome(&bounded, true, line), "!whole-account", "{line}");
    }
    for line in [
        "SELECT \"&AEE-\"",
        "EXAMINE \"&AEE-\" (CONDSTORE)",
        "GETQUOTAROOT \"&AEE-\"",
        "SELECT \"A&\"",
        "STATUS \"&U,BTFw-&ZeVnLIqe-\" (UIDNEXT)",
    ] {
        assert_eq!(outcome(&bounded, true, line), "!folder-name", "{line}");
    }
    for line in ["SELECT iNbOx", "SELECT Archive/2025", "CREATE Archive/2026/"] {
        assert!(!outcome(&bounded, true, line).starts_with('!'), "{line}");
    }
}

#[test]
fn what_is_not_named_is_never_permitted() {
    let full = rights(Preset::Full.scopes(), "{}");
    for line in
        ["SETQUOTA \"\" (STORAGE 1)", "COMPRESS DEFLATE", "LIST (REMOTE) \"\" *", "LIST (SUBSCRIBED REMOTE) \"\" *"]
    {
        assert_eq!(outcome(&full, true, line), "!never", "{line}");
    }
}

/// Every command of the standards and of the extensions that servers have, by kind: `s` needs no right, `m r f a o d` one of the
/// scopes that begin so, `-` is never permitted.
const KNOWN: &str = "s CAPABILITY,s NOOP,s LOGOUT,s ID,- STARTTLS,- LOGIN,- AUTHENTICATE,- UNAUTHENTICATE,s ENABLE,- COMPRESS,- LANGUAGE,\
    - COMPARATOR,m SELECT,m EXAMINE,o CREATE,d DELETE,o RENAME,o SUBSCRIBE,o UNSUBSCRIBE,ma LIST,ma LSUB,- XLIST,- RLIST,- RLSUB,\
    ma NAMESPACE,m STATUS,a APPEND,- REPLACE,- UID REPLACE,m IDLE,- NOTIFY,s CLOSE,s UNSELECT,s CHECK,d EXPUNGE,d UID EXPUNGE,m SEARCH,\
    m UID SEARCH,- ESEARCH,- CANCELUPDATE,m SORT,m UID SORT,m THREAD,m UID THREAD,m FETCH,m UID FETCH,fd STORE,fd UID STORE,oa COPY,\
    oa UID COPY,o MOVE,o UID MOVE,- GETACL,- MYRIGHTS,- LISTRIGHTS,- SETACL,- DELETEACL,m GETQUOTA,m GETQUOTAROOT,- SETQUOTA,\
    - GETMETADATA,- GETANNOTATION,- SETMETADATA,- SETANNOTATION,- GENURLAUTH,- URLFETCH,- RESETKEY,- CONVERT,- UID CONVERT,\
    - CONVERSIONS,- GETJMAPACCESS,- XFER,- DUMP,- UNDUMP,- XWARMUP,- XSTATS,- XAPPLEPUSHSERVICE,- XCLIENT,- X-ANYTHING";

#[test]
fn im_07_every_known_command_has_its_row() {
    let letter = |scope: &Scope| scope.as_str().trim_start_matches("mail.").chars().next().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for entry in KNOWN.split(',') {
        let (kind, name) = entry.trim().split_once(' ').unwrap();
        seen.insert(name.trim_start_matches("UID ").to_owned());
        let found = match table::needs(name).unwrap_or_else(|| panic!("{name} has no row")) {
            Needs::Session => "s".to_owned(),
            Needs::Never(_) => "-".to_owned(),
            Needs::AnyOf(scopes) => scopes.iter().map(letter).collect(),
        };
        let sorted = |text: &str| text.chars().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(sorted(&found), sorted(kind), "{name}");
    }
    for (name, _) in table::COMMANDS {
        assert!(seen.contains(*name), "{name} is not among the known commands");
    }
    assert!(table::COMMANDS.is_sorted_by_key(|(name, _)| *name), "the rows stand in order of their names");
    assert_eq!(table::needs("FROBNICATE"), None);
}

#[test]
fn im_07_no_set_of_scopes_gives_more_than_the_table_says() {
    let samples = MUTATING.iter().map(|(line, _)| *line).chain([
        "NOOP",
        "CHECK",
        "CLOSE",
        "UNSELECT",
        "IDLE",
        "NAMESPACE",
        "SELECT a",
        "EXAMINE a",
        "STATUS a (MESSAGES)",
        "LIST \"\" *",
        "LSUB \"\" *",
        "SEARCH ALL",
        "SEARCH TEXT x",
        "FETCH 1 FLAGS",
        "FETCH 1 BODY[]",
        "UID EXPUNGE 1",
        "RENAME INBOX a",
        "COMPRESS DEFLATE",
        "SORT (DATE) UTF-8 ALL",
        "THREAD REFERENCES UTF-8 ALL",
        "GETQUOTA \"\"",
        "GETQUOTAROOT a",
        "SETQUOTA \"\" (STORAGE 1)",
        "SELECT a (QRESYNC (1 2))",
        "FETCH 1 (MODSEQ BINARY.SIZE[1])",
        "FETCH 1 BINARY[]",
        "UID FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)",
        "SEARCH MODSEQ 1 OLDER 5",
        "SEARCH RETURN (MIN) ALL",
        "SORT RETURN () (DATE) UTF-8 ALL",
        "LIST (SUBSCRIBED) \"\" (a b) RETURN (CHILDREN)",
        "LIST \"\" a RETURN (STATUS (MESSAGES))",
        "STATUS a (HIGHESTMODSEQ SIZE)",
        "LOGIN a b",
        "AUTHENTICATE PLAIN",
    ]);
    for line in samples {
        let request = Request::parse(format!("A {line}\r\n").as_bytes()).unwrap();
        let row = table::needs(&command::name(&request.body)).unwrap();
        for bits in 0_u32..128 {
            let scopes: ScopeSet = Scope::ALL
                .into_iter()
                .enumerate()
                .filter(|(place, _)| bits >> place & 1 == 1)
                .map(|(_, s)| s)
                .collect();
            let is_permitted = !outcome(&rights(scopes, "{}"), true, line).starts_with('!');
            match row {
                Needs::Session => assert!(is_permitted, "{line} with {scopes}"),
                Needs::Never(_) => assert!(!is_permitted, "{line} with {scopes}"),
                Needs::AnyOf(any) => assert!(!is_permitted || scopes.allows_any(any), "{line} with {scopes}"),
            }
        }
    }
}

#[test]
fn im_09_a_pattern_goes_upstream_in_its_shortest_form() {
    let reader = rights(Preset::Backup.scopes(), "{}");
    for (asked, said) in [
        ("*", "*"),
        ("%", "%"),
        ("%*%", "*"),
        ("%%%", "%"),
        ("a%*b**c%%", "a*b*c%"),
        ("\"a b%*\"", "\"a b*\""),
        ("{3}\r\n%*%", "*"),
    ] {
        assert_eq!(outcome(&reader, false, &format!("LIST \"\" {asked}")), format!("LIST \"\" {said}"), "{asked}");
        assert_eq!(outcome(&reader, false, &format!("LSUB \"\" {asked}")), format!("LSUB \"\" {said}"), "{asked}");
    }
    assert_eq!(outcome(&reader, false, &format!("LIST \"\" {}", "%*".repeat(200))), "LIST \"\" *");
    assert_eq!(
        outcome(&reader, false, &format!("LIST \"\" {}", "a*".repeat(8))),
        format!("LIST \"\" {}", "a*".repeat(8))
    );
    assert_eq!(outcome(&reader, false, &format!("LIST \"\" {}", "a*".repeat(9))), "!pattern");
    assert_eq!(outcome(&reader, false, "LIST \"\" (%*% a%%)"), "LIST \"\" (\"*\" \"a%\")");
    assert_eq!(outcome(&reader, false, &format!("LIST \"\" (a {})", "a*".repeat(9))), "!pattern");
}

#[test]
fn what_the_parser_does_not_know_is_denied_by_its_name() {
    let denied = |line: &str| decide_unparsed(line.as_bytes()).map(|denial| denial.asked);
    assert_eq!(denied("setacl INBOX a lrs\r\n").as_deref(), Some("SETACL"));
    assert_eq!(denied("uid Replace 1 INBOX {1}\r\n").as_deref(), Some("UID REPLACE"));
    assert_eq!(denied("X-GM-RAW\r\n").as_deref(), Some("X-GM-RAW"));
    for malformed in ["STORE 1 (UNCHANGEDSINCE 9) FLAG (a)", "NOOP x", "FROBNICATE", "", " ", "UID", "\0X", "X\u{e9}"] {
        assert_eq!(denied(malformed), None, "{malformed:?}");
    }
}

#[test]
fn im_11_sort_and_thread_are_the_operators_to_switch_on() {
    let full = rights(Preset::Full.scopes(), "{}");
    let off = State { delimiter: Some('/'), is_read_write: true, costly_search: false };
    for line in [
        "SORT (DATE) UTF-8 ALL",
        "UID SORT RETURN (COUNT) (DATE) UTF-8 ALL",
        "THREAD REFERENCES UTF-8 ALL",
        "UID THREAD ORDEREDSUBJECT UTF-8 ALL",
    ] {
        assert_eq!(outcome_in(off, &full, line), "!costly-search", "{line}");
        assert_eq!(outcome_in(State { costly_search: true, ..off }, &full, line), line);
    }
    assert_eq!(outcome_in(off, &full, "SEARCH RETURN (COUNT) ALL"), "SEARCH RETURN (COUNT) ALL");
}

#[test]
fn who_may_flag_and_not_delete_gets_no_deletion_past_a_condition() {
    let flagger = rights([Scope::Metadata, Scope::Flag].into_iter().collect(), "{}");
    for (line, told) in [
        ("STORE 1 (UNCHANGEDSINCE 9) +FLAGS (\\Seen work)", "STORE 1 (UNCHANGEDSINCE 9) +FLAGS (\\Seen work)"),
        ("STORE 1 (UNCHANGEDSINCE 9) +FLAGS (\\Seen \\Deleted)", "!mail.delete"),
        ("UID STORE 1 (UNCHANGEDSINCE 9) -FLAGS.SILENT (\\deleted)", "!mail.delete"),
        ("STORE 1 (UNCHANGEDSINCE 9) FLAGS (\\Seen)", "!mail.delete"),
    ] {
        assert_eq!(outcome(&flagger, true, line), told);
    }
}
