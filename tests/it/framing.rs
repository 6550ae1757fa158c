//! Bytes that are made to confuse: each gets a clear answer or a closed connection, none reaches the upstream.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::support::gateway::{plain, xoauth2};
use crate::support::maildir;
use crate::support::stage::{ADDRESS, ScriptedStage, Stage};
use crate::support::upstream::imap::Command;
use crate::support::wire::{Wire, tcp};

/// What follows a smuggled literal; if the upstream ever ran it, the folder would exist.
const SMUGGLED: &str = "z CREATE Smuggled\r\n";

#[test]
fn im_02_smuggled_commands_reach_nobody() {
    let stage = Stage::reading(|dovecot| drop(maildir::seed(&dovecot.maildir(ADDRESS), 3, 0)));
    let tool = stage.gateway.add_tool("backup", ADDRESS, "backup");
    let token = stage.gateway.token(&tool, ADDRESS);
    let length = SMUGGLED.len();
    let tricks = [
        format!("a NOOP {{{length}+}}\r\n{SMUGGLED}"),
        format!("a NOOP {{{length}}}\r\n{SMUGGLED}"),
        format!("a EXAMINE \"{{{length}+}}\r\n{SMUGGLED}"),
        format!("a EXAMINE \\{{{length}+}}\r\n{SMUGGLED}"),
        format!("a EXAMINE {{ {length}+}}\r\n{SMUGGLED}"),
        format!("a EXAMINE {{0{length}+}}\r\n{SMUGGLED}"),
        format!("a EXAMINE {{99999999999999999999999+}}\r\n{SMUGGLED}"),
        format!("a EXAMINE {{18446744073709551617+}}\r\n{SMUGGLED}"),
        format!("a EXAMINE {{-1+}}\r\n{SMUGGLED}"),
        format!("a EXAMINE {{{length}+}} \r\n{SMUGGLED}"),
        format!("a NOOP\n{SMUGGLED}"),
        format!("a NOOP\r{SMUGGLED}"),
        "a EXAMINE \"IN\0BOX\"\r\n".to_owned(),
        "a FETCH 1 BODY[HEADER.FIELDS ({7+}\r\nSubject)]\r\nz EXPUNGE\r\n".to_owned(),
        "z STORE 1 +FLAGS (\\Deleted)\n".to_owned(),
        "\r\n\r\na NOOP\r\n".to_owned(),
        " a NOOP\r\n".to_owned(),
        "a\tNOOP\r\n".to_owned(),
        "+ NOOP\r\n".to_owned(),
        "* OK [CAPABILITY X]\r\n".to_owned(),
    ];
    let before = maildir::snapshot(&stage.maildir());
    for trick in &tricks {
        let mut imap = stage.gateway.imap_session(ADDRESS, &token);
        imap.command_ok("open", "SELECT INBOX");
        imap.send(trick);
        // Whatever the answers are, the end of the connection or this last word closes them.
        let _ = imap.try_send(b"\r\nbye LOGOUT\r\n");
        let answers = imap.rest().unwrap_or_else(|error| panic!("{trick:?} left the connection hanging: {error}"));
        assert!(!answers.iter().any(|line| line.starts_with("z OK")), "{trick:?} was answered {answers:?}");
        assert!(maildir::snapshot(&stage.maildir()) == before, "{trick:?} changed the mailbox");
    }
    let mut imap = stage.gateway.imap_session(ADDRESS, &token);
    imap.command_ok("well", "LOGOUT");
}

#[test]
fn garbage_before_login_harms_nobody() {
    let stage = Stage::reading(|_| ());
    let tool = stage.gateway.add_tool("backup", ADDRESS, "backup");
    let token = stage.gateway.token(&tool, ADDRESS);
    let mut other = stage.gateway.imap_session(ADDRESS, &token);
    let noise =
        (0_u32..50_000).map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap_or(0)).collect::<Vec<_>>();
    for bytes in [&noise[..], &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &vec![b'a'; 1 << 20][..], &vec![0; 70_000][..]]
    {
        for listener in ["imaps", "smtps"] {
            let mut wire = Wire::connect(stage.gateway.port(listener), stage.gateway.ca_file());
            wire.patience(Duration::from_secs(10));
            let _ = wire.try_send(bytes);
            let _ = wire.try_send(b"\r\nq LOGOUT\r\nQUIT\r\n");
            // A reset after what was sent is an end as well; a hang is none.
            if let Err(error) = wire.rest() {
                assert!(error.kind() != std::io::ErrorKind::WouldBlock, "{listener} hangs after garbage");
            }
        }
        // No TLS at all on a port that wants it at once.
        let mut plain = tcp(stage.gateway.port("imaps"));
        let _ = plain.write_all(bytes);
        let _ = plain.read_to_end(&mut Vec::new());
    }
    other.command_ok("still", "NOOP");
}

#[test]
fn gw_09_a_ten_megabyte_literal_at_login_is_turned_down_at_once() {
    let stage = Stage::reading(|_| ());
    for (line, sync) in [("a LOGIN {10485760}\r\n", true), ("a LOGIN {10485760+}\r\n", false)] {
        let mut imap = stage.gateway.imap();
        let started = Instant::now();
        imap.send(line);
        if !sync {
            let _ = imap.try_send(&vec![b'x'; 64 << 10]);
        }
        let answer = imap.line();
        assert!(!answer.starts_with('+'), "{line:?} was invited to send: {answer}");
        assert!(answer.starts_with("a BAD") || answer.starts_with("a NO") || answer.starts_with("* BYE"), "{answer}");
        assert!(started.elapsed() < Duration::from_secs(5), "the answer took {:?}", started.elapsed());
    }
}

#[test]
fn im_02_each_form_of_a_literal_has_one_outcome() {
    let stage = ScriptedStage::set();
    let token = stage.token("helpdesk");
    let malformed = ["a BAD malformed literal", "* BYE malformed literal"];
    let table: [(&str, &[&str]); 12] = [
        ("{5}\r\n", &["+ OK", "a OK done"]),
        ("{5+}\r\n", &["a OK done"]),
        ("{+5}\r\n", &malformed),
        ("{05}\r\n", &malformed),
        ("{5 }\r\n", &malformed),
        ("{-1}\r\n", &malformed),
        ("{4294967296}\r\n", &malformed),
        ("{18446744073709551616}\r\n", &malformed),
        ("{4294967296+}\r\n", &malformed),
        ("~{5}\r\n", &malformed),
        ("{5}\n", &["* BYE lines end in CRLF and hold no NUL"]),
        ("{4294967295}\r\n", &["a NO [TOOBIG] literals of a command may hold 65536 octets together"]),
    ];
    for (form, outcome) in table {
        let mut imap = stage.gateway.imap_session(ADDRESS, &token);
        // Where the form is a literal, the next five octets are a name; where it is none, they must not become a command.
        imap.send(format!("a CREATE {form}"));
        let _ = imap.try_send(b"INBOX\r\nz DELETE Smuggled\r\n");
        let _ = imap.try_send(b"bye LOGOUT\r\n");
        let heard = imap.rest().unwrap_or_else(|error| panic!("{form:?} left the session hanging: {error}"));
        let told = heard.iter().map(String::as_str).take(outcome.len()).collect::<Vec<_>>();
        assert_eq!(told, outcome, "{form:?}");
        let goes_on = outcome.last().is_some_and(|line| line.starts_with("a OK") || line.contains("TOOBIG"));
        assert_eq!(heard.iter().any(|line| line.starts_with("bye OK")), goes_on, "{form:?}: {heard:?}");
        assert_eq!(heard.iter().any(|line| line.starts_with("z ")), goes_on, "{form:?}: {heard:?}");
    }
    let heard = stage.upstream.heard();
    let created = heard.iter().filter(|command| command.is("CREATE")).map(Command::as_text);
    assert_eq!(created.collect::<Vec<_>>(), ["CREATE INBOX", "CREATE INBOX"], "the two forms that are literals");
    assert!(!heard.iter().any(|command| command.is("DELETE")), "the helpdesk may not delete folders");
}

#[test]
fn im_02_braces_within_a_name_announce_nothing() {
    let stage = ScriptedStage::set();
    let mut imap = stage.session(&stage.token("helpdesk"));
    imap.send("a CREATE {7}\r\nabc {5}\r\nb RENAME \"x{y\" z}\r\nc CREATE {2+}\r\n{5}\r\nbye LOGOUT\r\n");
    let heard =
        imap.rest().unwrap_or_else(|error| panic!("the session waits for octets that nobody announced: {error}"));
    let answers: Vec<&str> = heard.iter().map(String::as_str).filter(|line| !line.starts_with('*')).collect();
    assert_eq!(answers[..2], ["+ OK", "a OK done"], "{heard:?}");
    assert!(
        answers[2].starts_with("b OK") && answers[3].starts_with("c BAD") && answers[4].starts_with("bye OK"),
        "{heard:?}"
    );
}

#[test]
fn im_03_no_string_carries_a_second_command() {
    let stage = ScriptedStage::set();
    let token = stage.token("full");
    let mut imap = stage.session(&token);
    let evil = "x\r\nA2 DELETE Archive";
    let (length, before) = (evil.len(), stage.upstream.heard().len());
    for command in [
        format!("EXAMINE {{{length}+}}\r\n{evil}"),
        format!("STATUS {{{length}+}}\r\n{evil} (MESSAGES)"),
        format!("RENAME a {{{length}+}}\r\n{evil}"),
        format!("COPY 1 {{{length}+}}\r\n{evil}"),
        format!("APPEND {{{length}+}}\r\n{evil} {{1+}}\r\nx"),
        format!("ID (\"name\" {{{length}+}}\r\n{evil})"),
        "EXAMINE {3+}\r\na\0b".to_owned(),
        "SEARCH SUBJECT {3+}\r\na\0b".to_owned(),
    ] {
        let answer = imap.command("a", &command);
        let is_local = command.starts_with("ID");
        assert!(is_local || !answer.last().expect("an answer").starts_with("a OK"), "{command:?}: {answer:?}");
    }
    assert_eq!(stage.upstream.heard().len(), before, "a string with a line end in it went upstream");
    imap.command_ok("open", "EXAMINE INBOX");
    let before = before + 1;
    // A search key may hold a line end; it goes as a literal, and the upstream hears one command.
    imap.command_ok("b", &format!("SEARCH SUBJECT {{{length}+}}\r\n{evil}"));
    let heard = stage.upstream.heard();
    assert_eq!(heard.len(), before + 1, "{heard:?}");
    assert_eq!(heard[before].as_text(), format!("SEARCH SUBJECT {{{length}+}}\r\n{evil}"));
}

#[test]
fn im_04_literals_have_a_budget() {
    let stage = ScriptedStage::set();
    let (reader, archiver) = (stage.token("backup"), stage.token("archive"));
    let before = stage.gateway.peak_memory_kib();
    let mut imap = stage.session(&reader);
    imap.send("a SEARCH");
    for _ in 0..10_000 {
        if imap.try_send(b" TEXT {1+}\r\nx").is_err() {
            break;
        }
    }
    let heard = imap.rest().unwrap_or_default();
    assert!(!heard.iter().any(|line| line.starts_with("a OK")), "{heard:?}");
    for (token, command, answer, ends) in [
        (&reader, "SEARCH TEXT {2000000000}", "a NO [TOOBIG]", false),
        (&reader, "SEARCH TEXT {2000000000+}", "a NO [TOOBIG]", true),
        (&reader, "APPEND INBOX {2000000000}", "a NO [NOPERM]", false),
        (&archiver, "APPEND INBOX {2000000000}", "a NO [TOOBIG]", false),
    ] {
        let mut imap = stage.session(token);
        let told = imap.command("a", command);
        assert!(told.len() == 1 && told[0].starts_with(answer), "{command}: {told:?}");
        if ends {
            assert!(imap.line().starts_with("* BYE [TOOBIG]"), "{command}");
        } else {
            imap.command_ok("b", "NOOP");
        }
    }
    let mut imap = stage.session(&reader);
    imap.send(format!("a SEARCH{}\r\n", " TEXT {1+}\r\nx".repeat(21)));
    assert_eq!(imap.rest().expect("an end"), ["* BYE [LIMIT] too many literals"]);
    let mut imap = stage.session(&reader);
    imap.command_ok("a", &format!("SEARCH{}", " TEXT {1+}\r\nx".repeat(20)));
    let after = stage.gateway.peak_memory_kib();
    assert!(after - before < 8 * 1024, "memory rose from {before} to {after} KiB");
}

#[test]
fn im_04_the_lines_of_a_command_share_its_octets() {
    let stage = ScriptedStage::set();
    let reader = stage.token("backup");
    // 65,536 octets together, the announcements and what they announce included.
    for (line, last, is_taken) in [(30_000, 5_000, true), (30_000, 6_000, false), (60_000, 60_000, false)] {
        let mut imap = stage.session(&reader);
        let long = |octets: usize| "x".repeat(octets);
        imap.send(format!("a SEARCH {{0+}}\r\n{} {{0+}}\r\n{} {{0+}}\r\n", long(line), long(line)));
        let _ = imap.try_send(format!("{}\r\nbye LOGOUT\r\n", long(last)).as_bytes());
        let heard = imap.rest().expect("an end");
        let told = if is_taken { "a BAD" } else { "* BYE [TOOBIG]" };
        assert!(heard.first().is_some_and(|answer| answer.starts_with(told)), "{line} {last}: {heard:?}");
    }
}

#[test]
fn im_05_what_is_pipelined_behind_a_login_is_judged_after_it() {
    let stage = ScriptedStage::set();
    let token = stage.token("backup");
    for (good, line) in [
        (true, format!("a AUTHENTICATE PLAIN {}", plain(ADDRESS, &token))),
        (true, format!("a AUTHENTICATE XOAUTH2 {}", xoauth2(ADDRESS, &token))),
        (true, format!("a LOGIN {ADDRESS} {token}")),
        (false, format!("a AUTHENTICATE PLAIN {}", plain(ADDRESS, "wrong"))),
        (false, format!("a AUTHENTICATE XOAUTH2 {}", xoauth2(ADDRESS, "wrong"))),
        (false, format!("a LOGIN {ADDRESS} wrong")),
    ] {
        let before = stage.upstream.heard().len();
        let mut imap = stage.gateway.imap();
        imap.send(format!("{line}\r\nb SELECT INBOX\r\nc STORE 1 +FLAGS (\\Seen)\r\nd LOGOUT\r\n"));
        let heard = imap.rest().expect("an end");
        let has = |start: &str| heard.iter().any(|line| line.starts_with(start));
        assert!(has("a OK") == good && has("a NO") != good, "{line}: {heard:?}");
        assert_eq!(has("b OK"), good, "{line}: {heard:?}");
        assert!(!has("c OK"), "{line}: {heard:?}");
        let upstream = stage.upstream.heard().len();
        assert_eq!(upstream > before, good, "{line}: what went upstream");
    }
}
