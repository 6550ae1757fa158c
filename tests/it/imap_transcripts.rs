//! Side by side: what Dovecot answers to a tool with a full grant, it answers through the gateway, in the same words.

use crate::support::gateway::{plain, xoauth2};
use crate::support::maildir;
use crate::support::stage::{ADDRESS, PASSWORD, Stage};
use crate::support::wire::Wire;

/// Every command that the gateway offers, one after the other, each on what the ones before it left.
const SCRIPT: &[&str] = &[
    "NOOP",
    "ID NIL",
    "NAMESPACE",
    "LIST \"\" \"\"",
    "LIST \"\" *",
    "LSUB \"\" *",
    "CREATE Work",
    "CREATE Work/2026/",
    "CREATE Work",
    "SUBSCRIBE Work",
    "LSUB \"\" %",
    "UNSUBSCRIBE Work",
    "STATUS INBOX (MESSAGES RECENT UIDNEXT UNSEEN)",
    "STATUS Nowhere (MESSAGES)",
    "SELECT Nowhere",
    "FETCH 1 FLAGS",
    "EXAMINE INBOX",
    "STORE 1 +FLAGS (\\Seen)",
    "CLOSE",
    "SELECT INBOX",
    "IDLE\r\nDONE",
    "CHECK",
    "FETCH 1:3 (FLAGS UID RFC822.SIZE)",
    "FETCH 1 (ENVELOPE BODY BODYSTRUCTURE INTERNALDATE)",
    "FETCH 2 ALL",
    "FETCH 2 FAST",
    "FETCH 2 FULL",
    "FETCH 1 BODY[HEADER.FIELDS (SUBJECT \"FROM\")]",
    "FETCH 1 BODY.PEEK[TEXT]<0.40>",
    "FETCH 2 BODY[]",
    "FETCH 1 RFC822.HEADER",
    "FETCH 99 FLAGS",
    "UID FETCH 1:* (UID FLAGS)",
    "SEARCH ALL",
    "SEARCH UNSEEN SUBJECT \"Message 3\"",
    "SEARCH OR FLAGGED (SEEN NOT DELETED) SINCE 1-Jan-2020",
    "SEARCH CHARSET UTF-8 TEXT {6+}\r\ngr\u{fc}\u{df}",
    "UID SEARCH LARGER 100 SMALLER 100000",
    "STORE 1 +FLAGS (\\Flagged work)",
    "STORE 2 -FLAGS.SILENT (\\Seen)",
    "UID STORE 3 FLAGS (\\Answered)",
    "COPY 1 Work",
    "COPY 1 Nowhere",
    "UID COPY 1:2 \"Work/2026\"",
    "MOVE 2 Work",
    "UID MOVE 1 Nowhere",
    "APPEND Work (\\Seen) {21+}\r\nSubject: added\r\n\r\nx\r\n",
    "APPEND Nowhere {4+}\r\nabcd",
    "STORE 1 +FLAGS (\\Deleted)",
    "UID EXPUNGE 99",
    "EXPUNGE",
    "SEARCH UNDELETED",
    "UNSELECT",
    "SELECT Work",
    "FETCH 1:* (UID FLAGS)",
    "STORE 1:* +FLAGS (\\Deleted)",
    "CLOSE",
    "RENAME Work/2026 Old",
    "RENAME Nowhere Else",
    "DELETE Old",
    "DELETE Nowhere",
    "DELETE INBOX",
    "LIST \"\" %",
    "LOGOUT",
];

/// Every extension that the gateway offers, each command in its forms, and what each of them refuses.
const EXTENSIONS: &[&str] = &[
    "ENABLE CONDSTORE",
    "CREATE Archive",
    "CREATE Archive/2026",
    "CREATE Other",
    "SUBSCRIBE Archive/2026",
    // LIST-EXTENDED, LIST-STATUS, SPECIAL-USE, CHILDREN.
    "LIST (SUBSCRIBED) \"\" *",
    "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" %",
    "LIST (RECURSIVEMATCH) \"\" %",
    "LIST (SPECIAL-USE) \"\" *",
    "LIST () \"\" (INBOX \"Arch*\")",
    "LIST \"\" % RETURN ()",
    "LIST \"\" * RETURN (SUBSCRIBED CHILDREN SPECIAL-USE)",
    "LIST \"\" (INBOX {7+}\r\nArchive) RETURN (STATUS (MESSAGES UIDNEXT UNSEEN))",
    "LIST (SUBSCRIBED) \"Archive/\" % RETURN (CHILDREN STATUS (MESSAGES SIZE HIGHESTMODSEQ))",
    "LIST \"\" % RETURN (NONSENSE)",
    // STATUS=SIZE and CONDSTORE.
    "STATUS INBOX (MESSAGES SIZE)",
    "STATUS INBOX (HIGHESTMODSEQ)",
    "SELECT Archive (CONDSTORE)",
    "EXAMINE INBOX (CONDSTORE)",
    "SELECT INBOX (CONDSTORE)",
    "FETCH 1:2 (UID MODSEQ)",
    "STORE 2 (UNCHANGEDSINCE 0) +FLAGS (\\Flagged)",
    "STORE 1:3 (UNCHANGEDSINCE 999999) +FLAGS.SILENT ($Label1)",
    "UID STORE 4 (UNCHANGEDSINCE 999999) -FLAGS (\\Seen)",
    "FETCH 1:* (FLAGS) (CHANGEDSINCE 1)",
    "UID FETCH 1:* FLAGS (CHANGEDSINCE 999999)",
    "UID FETCH 1:2 (BODY.PEEK[HEADER]) (CHANGEDSINCE 1)",
    "FETCH 2 (BODY.PEEK[HEADER.FIELDS (SUBJECT)]) (CHANGEDSINCE 1)",
    "FETCH 1 (FLAGS) (CHANGEDSINCE x)",
    "SEARCH MODSEQ 1",
    "UID SEARCH MODSEQ \"/flags/\\\\Seen\" all 1 SEEN",
    "SEARCH MODSEQ 999999",
    // WITHIN and ESEARCH.
    "SEARCH OLDER 60",
    "SEARCH YOUNGER 60",
    "SEARCH RETURN () ALL",
    "SEARCH RETURN (MIN MAX COUNT) UNDELETED",
    "SEARCH RETURN (ALL) SUBJECT \"Message 3\"",
    "SEARCH RETURN (ALL COUNT) CHARSET UTF-8 TEXT {6+}\r\ngr\u{fc}\u{df}",
    "SEARCH RETURN (COUNT) SUBJECT nothing",
    "UID SEARCH RETURN (MIN ALL) MODSEQ 1",
    "UID SEARCH RETURN (MAX) OLDER 60 OR SEEN UNSEEN",
    "SEARCH RETURN (NONSENSE) ALL",
    // SORT, THREAD and their kin.
    "SORT (SUBJECT) UTF-8 ALL",
    "UID SORT (REVERSE DATE SIZE) US-ASCII UNDELETED",
    "SORT (DISPLAYFROM REVERSE DISPLAYTO) UTF-8 1:4",
    "SORT RETURN (MIN COUNT) (ARRIVAL) UTF-8 ALL",
    "UID SORT RETURN (ALL) (FROM) UTF-8 SUBJECT Message",
    "SORT (NONSENSE) UTF-8 ALL",
    "THREAD REFERENCES UTF-8 ALL",
    "UID THREAD REFERENCES UTF-8 TEXT message",
    "THREAD REFS UTF-8 ALL",
    "THREAD ORDEREDSUBJECT UTF-8 ALL",
    // BINARY.
    "FETCH 1 (BINARY.SIZE[1] BINARY.SIZE[])",
    "FETCH 1 BINARY[1]",
    "FETCH 2 (BINARY.PEEK[1]<0.20> FLAGS)",
    "UID FETCH 3 BINARY[]",
    "FETCH 7 BINARY[1]",
    "FETCH 7 (BINARY.PEEK[1]<1.3> BINARY.SIZE[1])",
    "FETCH 1 BINARY[9]",
    "APPEND Other ~{21+}\r\nSubject: added\r\n\r\nx\r\n",
    "APPEND Nowhere (\\Seen) ~{4+}\r\nabcd",
    // QUOTA.
    "GETQUOTAROOT INBOX",
    "GETQUOTA Mailbox",
    "GETQUOTA \"\"",
    "GETQUOTAROOT Nowhere",
    // QRESYNC, from its switching on to what is gone.
    "CLOSE",
    "ENABLE QRESYNC",
    "ENABLE CONDSTORE QRESYNC",
    "SELECT INBOX",
    "STORE 1:2 +FLAGS.SILENT (\\Deleted)",
    "UID EXPUNGE 1",
    "EXPUNGE",
    "UID FETCH 1:* (UID FLAGS) (CHANGEDSINCE 1 VANISHED)",
    "UID FETCH 3 FLAGS (VANISHED)",
    "MOVE 1 Archive",
    "UID MOVE 4 Archive",
    "UNSELECT",
    "SELECT INBOX (QRESYNC (VALIDITY 1))",
    "EXAMINE INBOX (QRESYNC (VALIDITY 1 1:7))",
    "SELECT INBOX (QRESYNC (VALIDITY 1 1:7 (1,2 5,6)))",
    "SELECT INBOX (QRESYNC (1 1))",
    "CLOSE",
    "DELETE Other",
    "LOGOUT",
];

/// Which command of the scripts shows an extension.
const SHOWN_BY: &[(&str, &str)] = &[
    ("IMAP4rev1", "NOOP"),
    ("LITERAL+", "{6+}"),
    ("ID", "ID NIL"),
    ("ENABLE", "ENABLE CONDSTORE"),
    ("IDLE", "IDLE"),
    ("NAMESPACE", "NAMESPACE"),
    ("UNSELECT", "UNSELECT"),
    ("UIDPLUS", "UID EXPUNGE"),
    ("CHILDREN", "RETURN (SUBSCRIBED CHILDREN"),
    ("MOVE", "MOVE 2 Work"),
    ("CONDSTORE", "CHANGEDSINCE"),
    ("QRESYNC", "VANISHED"),
    ("ESEARCH", "SEARCH RETURN"),
    ("WITHIN", "OLDER"),
    ("BINARY", "BINARY["),
    ("SPECIAL-USE", "LIST (SPECIAL-USE)"),
    ("LIST-EXTENDED", "RECURSIVEMATCH"),
    ("LIST-STATUS", "RETURN (STATUS"),
    ("STATUS=SIZE", "STATUS INBOX (MESSAGES SIZE)"),
    ("QUOTA", "GETQUOTA"),
    ("SORT", "SORT (SUBJECT)"),
    ("SORT=DISPLAY", "DISPLAYFROM"),
    ("ESORT", "SORT RETURN"),
    ("THREAD=REFERENCES", "THREAD REFERENCES"),
    ("THREAD=REFS", "THREAD REFS"),
    ("THREAD=ORDEREDSUBJECT", "THREAD ORDEREDSUBJECT"),
];

#[test]
fn im_13_a_full_grant_hears_what_the_server_says() {
    side_by_side(SCRIPT);
}

#[test]
fn im_13_every_extension_that_is_offered_answers_as_the_servers_own() {
    let offered = side_by_side(EXTENSIONS);
    let offered: Vec<&str> = offered.split(' ').skip(2).collect();
    for (name, command) in SHOWN_BY {
        assert!(offered.contains(name), "{name} is not offered: {offered:?}");
        let all = SCRIPT.iter().chain(EXTENSIONS);
        assert!(all.into_iter().any(|line| line.contains(command)), "{command}, which shows {name}, is in no script");
    }
    let unshown = offered.iter().filter(|name| SHOWN_BY.iter().all(|(known, _)| known != *name)).collect::<Vec<_>>();
    assert!(unshown.is_empty(), "offered, and in no script: {unshown:?}");
}

/// Has two servers with the same mail, one of them behind the gateway, say the same to each command. Gives what the gateway offers.
fn side_by_side(script: &[&str]) -> String {
    let seed = |dovecot: &crate::support::dovecot::Dovecot| {
        maildir::seed(&dovecot.maildir(ADDRESS), 6, 0);
        let message = "Subject: octets\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n\
                       Content-Transfer-Encoding: base64\r\n\r\nYQBiAGMNCg==\r\n";
        let file = dovecot.maildir(ADDRESS).join("cur").join("1700000099.M99.test:2,S");
        std::fs::write(&file, message).expect("write a message");
        let at = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_099);
        std::fs::File::options().write(true).open(&file).and_then(|file| file.set_modified(at)).expect("date it");
        crate::support::give_to_mail_user(&dovecot.maildir(ADDRESS));
    };
    let (direct, mut stage) = (Stage::reading(seed), Stage::reading(seed));
    let tool = stage.gateway.add_tool("full", ADDRESS, "full");
    stage.gateway.stop();
    stage.gateway.environment.push(("MAILWARDEN_GATEWAY_COSTLY_SEARCH", "true".to_owned()));
    stage.gateway.serve();
    let token = stage.gateway.token(&tool, ADDRESS);
    let mut there = Wire::connect(direct.dovecot.imaps, &direct.ca.file());
    there.line();
    there.command_ok("login", &format!("AUTHENTICATE PLAIN {}", plain(ADDRESS, PASSWORD)));
    let mut here = stage.gateway.imap();
    here.command_ok("login", &format!("AUTHENTICATE XOAUTH2 {}", xoauth2(ADDRESS, &token)));
    let offered = here.command_ok("offered", "CAPABILITY").remove(0);
    let validity = |wire: &mut Wire| {
        let answer = wire.command_ok("validity", "STATUS INBOX (UIDVALIDITY)").remove(0);
        answer.trim_end_matches(')').rsplit(' ').next().expect("a number").to_owned()
    };
    let validities = (validity(&mut there), validity(&mut here));
    let mut differences = Vec::new();
    for (number, command) in script.iter().enumerate() {
        let tag = format!("t{number}");
        let expected = there.command(&tag, &command.replace("VALIDITY", &validities.0));
        let heard = here.command(&tag, &command.replace("VALIDITY", &validities.1));
        let (expected, heard) = (comparable(command, &expected), comparable(command, &heard));
        if heard != expected {
            differences.push(format!("{command}\n  the server:  {expected:?}\n  the gateway: {heard:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    offered
}

/// The answer without what differs between two mailboxes, or is the gateway's own: validity numbers, times, goodbyes.
fn comparable(command: &str, answer: &[String]) -> Vec<String> {
    let without_times = |line: &String| {
        let line = line.split(" (0.").next().unwrap_or_default();
        let mut words = line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for place in 0..words.len() {
            if ["[UIDVALIDITY", "[APPENDUID", "[COPYUID"].contains(&words[place].as_str()) {
                words[place + 1].clear();
            }
        }
        words.join(" ")
    };
    if command == "ID NIL" {
        // Strangers' names and versions are not told (GW-13).
        return answer.last().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).into_iter().collect();
    }
    if command == "IDLE\r\nDONE" {
        return answer
            .iter()
            .map(|line| line.split(' ').take(if line.starts_with('+') { 1 } else { 2 }).collect())
            .collect();
    }
    if command == "LOGOUT" {
        return answer.iter().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    }
    if command == "FETCH 1 FLAGS" || answer.last().is_some_and(|line| line.contains(" BAD ")) {
        // Each refuses in its own words.
        return answer.iter().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    }
    answer.iter().map(without_times).collect()
}
