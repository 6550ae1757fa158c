//! The commands around a message: nothing is smuggled through them, and nobody relays through us.

use std::io::{BufRead, BufReader, Write};

use crate::support::gateway::{base64, plain};
use crate::support::smtp_upstream::Act;
use crate::support::stage::ADDRESS;
use crate::support::submission::{Submission, say};
use crate::support::wire::tcp;

const WELL: fn(&str) -> Act = |_| Act::Well;

#[test]
fn sm_05_neither_parameters_nor_lines_are_injected() {
    let scene = Submission::set(WELL);
    for (line, codes) in [
        ("MAIL FROM:<support@example.test> AUTH=<> SMTPUTF8", &["555"][..]),
        ("MAIL FROM:<support@example.test>AUTH=<>", &["501"]),
        ("MAIL FROM:<support@example.test> SMTPUTF8", &["555"]),
        ("MAIL FROM:<support@example.test> BODY=BINARYMIME", &["555"]),
        ("MAIL FROM:<support@example.test> RET=FULL", &["555"]),
        ("MAIL FROM:<support@example.test> X=1", &["555"]),
        ("MAIL FROM:<support@example.test AUTH=<>>", &["501"]),
        ("MAIL FROM:<support@example.test\tAUTH=x>", &["501", "553"]),
        ("MAIL FROM:<support@example.test\r\nRCPT TO:<injected@else.test>>", &["501"]),
        ("MAIL FROM:<<support@example.test>>", &["501"]),
        ("MAIL FROM:<\"support@example.test> X\"@else.test>", &["501", "553", "555"]),
        ("MAIL FROM:<@relay.test:support@example.test>", &["501", "553"]),
        ("MAIL FROM:support@example.test", &["501"]),
        ("MAIL TO:<support@example.test>", &["501"]),
        ("MAIL FROM:<b\u{f6}ss@example.test>", &["501", "553"]),
    ] {
        let mut smtp = scene.session();
        smtp.send(format!("{line}\r\n"));
        let reply = smtp.reply();
        assert!(codes.iter().any(|code| reply[0].starts_with(code)), "{line:?}: {reply:?}");
    }
    let mut smtp = scene.session();
    // RFC 4954 section 5: whoever offers AUTH takes this parameter; it vouches for nobody and goes no further.
    say(&mut smtp, "MAIL FROM:<support@example.test> AUTH=<> BODY=8BITMIME SIZE=10", "250");
    for (line, code) in [
        ("RCPT TO:<customer@else.test> NOTIFY=NEVER", "555"),
        ("RCPT TO:<customer@else.test> AUTH=<>", "555"),
        ("RCPT TO:<customer@else.test>,<injected@else.test>", "501"),
        ("RCPT TO:<injected@else.test> RCPT TO:<injected@else.test>", "555"),
        ("RCPT TO:<customer%injected@relay@else.test>", "553"),
        ("RCPT TO:<>", "553"),
    ] {
        say(&mut smtp, line, code);
    }
    let received = scene.upstream.received();
    for injected in ["injected", "AUTH=", "SIZE=", "BODY=", "X=1", "NOTIFY"] {
        assert!(!received.contains(injected), "{injected} went upstream");
    }
}

#[test]
fn sm_07_nobody_relays_without_a_login() {
    let scene = Submission::set(WELL);
    let mut smtp = scene.connect();
    say(&mut smtp, "EHLO tool", "250");
    for line in ["MAIL FROM:<support@example.test>", "RCPT TO:<customer@else.test>", "DATA"] {
        say(&mut smtp, line, "530");
    }
    let before = scene.upstream.connections();
    say(&mut smtp, &format!("AUTH PLAIN {}", plain(ADDRESS, &scene.token)), "235");
    say(&mut smtp, &format!("AUTH PLAIN {}", plain(ADDRESS, &scene.token)), "503");
    say(&mut smtp, "RCPT TO:<customer@else.test>", "503");
    say(&mut smtp, "DATA", "503");
    assert_eq!(scene.upstream.connections(), before, "the upstream heard of it");
    say(&mut smtp, "MAIL FROM:<support@example.test>", "250");
    say(&mut smtp, "MAIL FROM:<support@example.test>", "503");
    say(&mut smtp, &format!("AUTH PLAIN {}", plain(ADDRESS, &scene.token)), "503");
    say(&mut smtp, "DATA", "554");
    // The transaction is as it was.
    say(&mut smtp, "RCPT TO:<customer@else.test>", "250");
}

#[test]
fn sm_08_commands_that_tell_or_turn_are_refused() {
    let scene = Submission::set(WELL);
    let commands =
        ["VRFY support", "EXPN staff", "ETRN example.test", "TURN", "XCLIENT ADDR=127.0.0.1", "XFORWARD NAME=x"];
    for mut smtp in [scene.connect(), scene.session()] {
        for command in commands {
            say(&mut smtp, command, "502");
            say(&mut smtp, "NOOP", "250");
        }
    }
}

#[test]
fn gw_03_a_token_sent_in_the_clear_is_refused_recorded_and_dead_on_smtp() {
    let scene = Submission::set(WELL);
    let stream = tcp(scene.gateway.port("submission"));
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut talk = |line: Option<&str>| {
        if let Some(line) = line {
            (&stream).write_all(format!("{line}\r\n").as_bytes()).expect("send");
        }
        let mut lines = Vec::new();
        loop {
            let mut text = String::new();
            reader.read_line(&mut text).expect("read");
            let is_last = text.as_bytes().get(3) == Some(&b' ');
            lines.push(text);
            if is_last {
                return lines;
            }
        }
    };
    talk(None);
    let offered = talk(Some("EHLO tool"));
    assert!(offered.iter().all(|line| !line.contains("AUTH")), "{offered:?}");
    assert!(talk(Some("AUTH PLAIN"))[0].starts_with("538"));
    // Whoever asks for LOGIN with the user name at once is not asked for the password either.
    assert!(talk(Some(&format!("AUTH LOGIN {}", base64(ADDRESS.as_bytes()))))[0].starts_with("538"));
    scene.session();
    assert!(talk(Some(&format!("AUTH PLAIN {}", plain(ADDRESS, &scene.token))))[0].starts_with("538"));
    assert_eq!(scene.gateway.audit().iter().filter(|event| event["code"] == "token.exposed").count(), 1);
    let mut smtp = scene.connect();
    say(&mut smtp, &format!("AUTH PLAIN {}", plain(ADDRESS, &scene.token)), "535");
    assert!(!scene.upstream.received().contains(&scene.token));
}
