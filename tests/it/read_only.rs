//! A read-only token leaves the mailbox as it was, whatever it sends and however it is spelled.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::support::gateway::Gateway;
use crate::support::maildir;
use crate::support::stage::{ADDRESS, Stage};
use crate::support::wire::Wire;

/// Commands that change something somewhere; `@` stands for an argument that is spelled in every way.
const CHANGING: &[&str] = &[
    r"STORE 1 FLAGS (\Seen)",
    r"STORE 1 +FLAGS (\Deleted)",
    r"STORE 1:* -FLAGS.SILENT (\Seen \Flagged)",
    r"UID STORE 1:* +FLAGS.SILENT (\Deleted)",
    "STORE 1 (UNCHANGEDSINCE 99) +FLAGS ($Junk)",
    r"UID STORE 1:* (UNCHANGEDSINCE 999999) FLAGS.SILENT (\Deleted)",
    r"STORE 1:* (UNCHANGEDSINCE 0) -FLAGS (\Seen)",
    "EXPUNGE",
    "UID EXPUNGE 1:*",
    "COPY 1 @INBOX",
    "UID COPY 1:* @Stolen",
    "MOVE 1 @INBOX",
    "UID MOVE 1:* @Stolen",
    "CREATE @Stolen",
    "DELETE @Archive",
    "RENAME @Archive @Stolen",
    "SUBSCRIBE @Archive",
    "UNSUBSCRIBE @Archive",
    "APPEND @INBOX {5}\r\nA: b\r",
    "APPEND @INBOX {5+}\r\nA: b\r",
    "APPEND @INBOX (\\Seen) {5+}\r\nA: b\r",
    "APPEND @INBOX ~{5}\r\nA: b\r",
    "APPEND @INBOX (\\Seen) ~{5+}\r\nA: b\r",
];

/// Extensions that the gateway does not offer. It knows them by their names.
const FOREIGN: &[&str] = &[
    "SETACL @INBOX @anyone lrswipkxtecda",
    "DELETEACL @INBOX @anyone",
    "SETQUOTA @user (STORAGE 1)",
    "SETMETADATA @INBOX (/private/comment @x)",
    "SETANNOTATION @INBOX @/comment (@value.priv @x)",
    "RESETKEY @INBOX INTERNAL",
    "GENURLAUTH @imap://x/ INTERNAL",
    "REPLACE 1 @INBOX {5+}\r\nA: b\r",
    "UID REPLACE 1 @INBOX {5+}\r\nA: b\r",
    "XSTORE 1",
    "X-DOVECOT @INBOX",
    "COMPRESS DEFLATE",
    "NOTIFY SET (PERSONAL (MessageNew))",
    "LIST (REMOTE) @Archive *",
];

#[test]
fn im_07_every_changing_command_is_refused_in_every_spelling() {
    let (stage, before) = stage();
    let tool = stage.gateway.add_tool("backup", ADDRESS, "backup");
    let mut imap = session(&stage.gateway, &stage.gateway.token(&tool, ADDRESS));
    let mut number = 0;
    for command in CHANGING {
        for spelled in spellings(command) {
            number += 1;
            println!("{spelled:?}");
            let tag = format!("r{number}");
            let answer = refused(&mut imap, &tag, &spelled);
            assert!(
                answer.last().is_some_and(|line| line.starts_with(&format!("{tag} NO [NOPERM]"))),
                "{spelled:?}: {answer:?}"
            );
            imap.command_ok("noop", "NOOP");
        }
    }
    unchanged(&stage, &before);
    stage.gateway.manage_ok(&["audit", "verify"], b"");
}

#[test]
fn im_07_foreign_commands_are_refused_in_every_spelling() {
    let (stage, before) = stage();
    let tool = stage.gateway.add_tool("backup", ADDRESS, "backup");
    let mut imap = session(&stage.gateway, &stage.gateway.token(&tool, ADDRESS));
    for command in FOREIGN {
        for spelled in spellings(command) {
            println!("{spelled:?}");
            let answer = refused(&mut imap, "r", &spelled);
            assert!(answer.last().is_some_and(|line| line.starts_with("r NO [NOPERM]")), "{spelled:?}: {answer:?}");
            imap.command_ok("noop", "NOOP");
        }
    }
    unchanged(&stage, &before);
}

#[test]
fn a_refusal_carries_its_verdict() {
    let (stage, _) = stage();
    let tool = stage.gateway.add_tool("backup", ADDRESS, "backup");
    let mut imap = session(&stage.gateway, &stage.gateway.token(&tool, ADDRESS));
    for command in [r"STORE 1 +FLAGS (\Deleted)", "EXPUNGE", "CREATE Stolen", "COPY 1 Archive"] {
        let answer = imap.command("t", command);
        let last = answer.last().expect("an answer has a line");
        assert!(last.starts_with("t NO [NOPERM]") && last.contains("vrd_"), "{command}: {last}");
    }
}

#[test]
fn im_07_pipelined_changes_are_refused_one_by_one() {
    let (stage, before) = stage();
    let tool = stage.gateway.add_tool("backup", ADDRESS, "backup");
    let mut imap = session(&stage.gateway, &stage.gateway.token(&tool, ADDRESS));
    let plain = CHANGING.iter().chain(FOREIGN).filter(|command| !command.contains('{')).collect::<Vec<_>>();
    let mut batch = String::new();
    for (number, command) in plain.iter().enumerate() {
        let command = command.replace('@', "");
        batch.extend([format!("p{number} {command}\r\n"), format!("n{number} NOOP\r\n")]);
    }
    imap.send(batch);
    for (number, command) in plain.iter().enumerate() {
        let answer = imap.answer(&format!("p{number}"));
        let last = answer.last().expect("an answer has a line");
        assert!(!last.starts_with(&format!("p{number} OK")), "{command} was answered {last}");
        let noop = imap.answer(&format!("n{number}"));
        assert!(noop.last().is_some_and(|line| line.starts_with(&format!("n{number} OK"))), "{noop:?}");
    }
    unchanged(&stage, &before);
}

#[test]
fn im_07_reading_in_every_spelling_marks_nothing() {
    let (stage, before) = stage();
    let tool = stage.gateway.add_tool("backup", ADDRESS, "backup");
    let mut imap = stage.gateway.imap_session(ADDRESS, &stage.gateway.token(&tool, ADDRESS));
    imap.command_ok("q", "ENABLE CONDSTORE QRESYNC");
    let opens = [
        "SELECT INBOX",
        "EXAMINE INBOX",
        "select \"inbox\"",
        "SELECT INBOX (CONDSTORE)",
        "SELECT inbox (QRESYNC (1 1))",
    ];
    for open in opens {
        let listing = imap.command_ok("o", open);
        assert!(listing.last().is_some_and(|line| line.contains("[READ-ONLY]")), "{listing:?}");
        for fetch in [
            "FETCH 1:* BODY[]",
            "fetch 1 RFC822",
            "FETCH 2 RFC822.TEXT",
            "UID FETCH 1:* (FLAGS BODY[TEXT]<0.10>)",
            "FETCH 1:* BINARY[1]",
            "uid fetch 1:* (Binary[]<0.10> BINARY.SIZE[1] MODSEQ)",
            "UID FETCH 1:* (BODY[]) (CHANGEDSINCE 1 VANISHED)",
        ] {
            imap.command_ok("f", fetch);
        }
        imap.command_ok("s", "SEARCH TEXT message");
        imap.command_ok("s", "UID SEARCH RETURN (ALL) OR MODSEQ 1 OLDER 5 TEXT message");
        let fetched = imap.command_ok("b", "FETCH 3 BINARY[1]");
        // Where QRESYNC is on, what is read is told with its UID.
        assert!(fetched[0].starts_with("* 3 FETCH (UID 3 BINARY[1] "), "{fetched:?}");
        imap.command_ok("c", "CLOSE");
    }
    imap.command_ok("l", "LOGOUT");
    unchanged(&stage, &before);
}

fn stage() -> (Stage, BTreeMap<PathBuf, Vec<u8>>) {
    let stage = Stage::reading(|dovecot| {
        maildir::seed(&dovecot.maildir(ADDRESS), 10, 0);
        for part in ["cur", "new", "tmp"] {
            std::fs::create_dir_all(dovecot.maildir(ADDRESS).join(".Archive").join(part)).expect("make a folder");
        }
        crate::support::give_to_mail_user(&dovecot.maildir(ADDRESS));
    });
    let before = maildir::snapshot(&stage.maildir());
    (stage, before)
}

fn session(gateway: &Gateway, token: &str) -> Wire {
    let mut imap = gateway.imap_session(ADDRESS, token);
    imap.command_ok("open", "SELECT INBOX");
    imap
}

fn unchanged(stage: &Stage, before: &BTreeMap<PathBuf, Vec<u8>>) {
    let after = maildir::snapshot(&stage.maildir());
    let names = |snapshot: &BTreeMap<PathBuf, Vec<u8>>| snapshot.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&after), names(before), "files came, went or changed their flags");
    assert!(after == *before, "the content of a file changed");
}

/// Sends a command with its literals, waiting where the literal asks for that, and returns all answer lines.
fn refused(imap: &mut Wire, tag: &str, command: &str) -> Vec<String> {
    let text = format!("{tag} {command}\r\n");
    let mut rest = text.as_str();
    while let Some(at) = rest.find("}\r\n") {
        let (line, after) = rest.split_at(at + 3);
        imap.send(line);
        rest = after;
        if line.ends_with("+}\r\n") {
            continue;
        }
        let answer = imap.line();
        if !answer.starts_with('+') {
            // Refused before the literal, which is then not sent.
            return vec![answer];
        }
    }
    // The peer may have gone already; its last words are read all the same.
    let _ = imap.try_send(rest.as_bytes());
    let mut answer = Vec::new();
    while let Ok(Some(line)) = imap.try_line() {
        let last = line.starts_with(&format!("{tag} "));
        answer.push(line);
        if last {
            break;
        }
    }
    answer
}

/// A command in the spellings that mean the same: letter case, and each `@` argument as atom, quoted and literals.
fn spellings(command: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (upper, lower) = (command.to_owned(), lower_words(command));
    for text in [upper, lower] {
        if !text.contains('@') {
            found.push(text);
            continue;
        }
        for style in ["atom", "quoted", "sync", "nonsync"] {
            found.push(spell(&text, style));
        }
    }
    found
}

fn spell(command: &str, style: &str) -> String {
    let mut parts = command.split('@');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find([' ', ')']).unwrap_or(part.len());
        let (word, rest) = part.split_at(end);
        let spelled = match style {
            "atom" => word.to_owned(),
            "quoted" => format!("\"{word}\""),
            "sync" => format!("{{{}}}\r\n{word}", word.len()),
            _ => format!("{{{}+}}\r\n{word}", word.len()),
        };
        out.push_str(&spelled);
        out.push_str(rest);
    }
    out
}

/// The command's own words in mixed case; arguments stay as they are.
fn lower_words(command: &str) -> String {
    let end = command.find(['@', '(', '{']).unwrap_or(command.len());
    let (words, rest) = command.split_at(end);
    let mixed = words.char_indices().map(|(at, c)| if at % 2 == 0 { c.to_ascii_lowercase() } else { c });
    format!("{}{rest}", mixed.collect::<String>())
}
