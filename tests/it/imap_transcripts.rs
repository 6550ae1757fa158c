//! Side by side: what Dovecot answers to a tool with a full grant, it answers through the gateway, in the same words.

use crate::support::gateway::{plain, xoauth2};
use crate::support::maildir;
use crate::support::stage::{ADDRESS, PASSWORD, Stage};
use crate::support::wire::Wire;

/// Every command that the gateway offers, one after the other, each on what the ones before it left.
const SCRIPT: &[&str] = &[
    "NOOP",
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

#[test]
fn im_13_a_full_grant_hears_what_the_server_says() {
    let seed = |dovecot: &crate::support::dovecot::Dovecot| drop(maildir::seed(&dovecot.maildir(ADDRESS), 6, 0));
    let (direct, stage) = (Stage::reading(seed), Stage::reading(seed));
    let tool = stage.gateway.add_tool("full", ADDRESS, "full");
    let token = stage.gateway.token(&tool, ADDRESS);
    let mut there = Wire::connect(direct.dovecot.imaps, &direct.ca.file());
    there.line();
    there.command_ok("login", &format!("AUTHENTICATE PLAIN {}", plain(ADDRESS, PASSWORD)));
    let mut here = stage.gateway.imap();
    here.command_ok("login", &format!("AUTHENTICATE XOAUTH2 {}", xoauth2(ADDRESS, &token)));
    for (number, command) in SCRIPT.iter().enumerate() {
        let tag = format!("t{number}");
        let (expected, heard) = (there.command(&tag, command), here.command(&tag, command));
        assert_eq!(comparable(command, &heard), comparable(command, &expected), "{command}");
    }
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
    if command == "LOGOUT" {
        return answer.iter().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    }
    if command == "FETCH 1 FLAGS" || answer.last().is_some_and(|line| line.contains(" BAD ")) {
        // Each refuses in its own words.
        return answer.iter().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    }
    answer.iter().map(without_times).collect()
}
