//! Bytes that are made to confuse: each gets a clear answer or a closed connection, none reaches the upstream.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::support::maildir;
use crate::support::stage::{ADDRESS, Stage};
use crate::support::wire::{Wire, tcp};

/// What follows a smuggled literal; if the upstream ever ran it, the folder would exist.
const SMUGGLED: &str = "z CREATE Smuggled\r\n";

#[test]
fn smuggled_commands_reach_nobody() {
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
fn a_ten_megabyte_literal_at_login_is_turned_down_at_once() {
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
fn nothing_is_accepted_before_tls() {
    let stage = Stage::sending();
    let tool = stage.gateway.add_tool("backup", ADDRESS, "backup");
    let token = stage.gateway.token(&tool, ADDRESS);
    let login = format!("a LOGIN {ADDRESS} {token}\r\n");
    let (before, after) = in_clear(stage.gateway.port("imap"), login.as_bytes());
    assert!(before.contains("LOGINDISABLED") || !before.contains("AUTH="), "{before}");
    assert!(after.contains("a NO") || after.contains("a BAD"), "{after}");
    let login = format!("AUTH XOAUTH2 {}\r\n", crate::support::gateway::xoauth2(ADDRESS, &token));
    let (_, after) = in_clear(stage.gateway.port("submission"), login.as_bytes());
    assert!(after.starts_with('5'), "{after}");
    // What was shown without TLS is known to others and must not work any more.
    let mut imap = stage.gateway.imap();
    let answer = imap.command("b", &format!("LOGIN {ADDRESS} {token}"));
    assert!(answer.last().is_some_and(|line| line.starts_with("b NO")), "an exposed token still works: {answer:?}");
}

#[test]
fn bytes_pipelined_after_starttls_are_dropped() {
    let stage = Stage::reading(|_| ());
    let mut plain = tcp(stage.gateway.port("imap"));
    let mut chunk = [0; 4096];
    let _ = plain.read(&mut chunk).expect("the greeting");
    plain.write_all(b"a STARTTLS\r\nb CAPABILITY\r\n").expect("send");
    let read = plain.read(&mut chunk).expect("the answer");
    let answer = String::from_utf8_lossy(&chunk[..read]).into_owned();
    if answer.contains("a OK") {
        assert!(!answer.contains("b OK"), "{answer}");
        let mut imap = Wire::over(plain, stage.gateway.ca_file());
        imap.send("c NOOP\r\n");
        let answers = imap.answer("c");
        assert!(!answers.iter().any(|line| line.contains("b OK")), "an injected command was run: {answers:?}");
    }
}

/// The greeting of a port without TLS, and its answer to `bytes`.
fn in_clear(port: u16, bytes: &[u8]) -> (String, String) {
    let mut stream = tcp(port);
    let mut chunk = [0; 4096];
    let read = stream.read(&mut chunk).expect("the greeting");
    let greeting = String::from_utf8_lossy(&chunk[..read]).into_owned();
    stream.write_all(bytes).expect("send");
    let read = stream.read(&mut chunk).expect("the answer");
    (greeting, String::from_utf8_lossy(&chunk[..read]).into_owned())
}
