//! Who fills the audit log: strangers that fail to log in, and tools that are denied command after command. Neither goes on without end.

use std::time::Duration;

use crate::sasl::{Door, PROTOCOLS, Protocol};
use crate::support::gateway::plain;
use crate::support::smtp_upstream::Act;
use crate::support::stage::ADDRESS;
use crate::support::submission::{Both, say};

/// How many commands in a row may be denied.
const DENIALS: usize = 100;

/// Logs in on a connection of its own. Gives the answer and whatever comes before the connection's end, when it is closed.
fn attempt(scene: &Both, protocol: Protocol, token: &str) -> (String, Door) {
    let mut door = Door::open(scene, protocol);
    let answer = door.log_in("PLAIN", &[plain(ADDRESS, token)], true);
    (answer, door)
}

#[test]
fn au_01_a_network_that_fails_to_log_in_is_told_to_wait_at_every_door() {
    let scene = Both::set(|_| Act::Well);
    for (protocol, text) in PROTOCOLS.map(|protocol| match protocol {
        Protocol::Imap => (protocol, "a NO [LIMIT] too many logins failed from your network, try again later"),
        Protocol::Smtp => (protocol, "454 4.7.0 too many logins failed from your network, try again later"),
        Protocol::Pop3 => (protocol, "-ERR [SYS/TEMP] too many logins failed from your network, try again later"),
    }) {
        // The more have failed, the longer the wait: in the end it is longer than a login takes here.
        let mut failed = 0;
        let (answer, mut door) = loop {
            let (answer, door) = attempt(&scene, protocol, "wrong");
            if !answer.starts_with(protocol.refusal()) {
                break (answer, door);
            }
            failed += 1;
            assert!(failed <= 100, "{protocol:?}: nobody is slowed down: {answer}");
        };
        assert_eq!(answer, text, "{protocol:?}");
        let rest = door.wire.rest().expect("the connection is closed in order");
        let last_word = "* BYE too many logins failed from your network, try again later";
        assert_eq!(rest, if protocol == Protocol::Imap { vec![last_word] } else { vec![] }, "{protocol:?}");
    }
    let refused = || {
        let audit = scene.gateway.audit().into_iter();
        audit.filter(|event| event["code"] == "login.refused").collect::<Vec<_>>()
    };
    let together = crate::support::wait_for("the record", crate::support::PATIENCE, || {
        refused().into_iter().find(|event| event["detail"]["rule"] == "slowed")
    });
    assert!(together["detail"]["count"].as_str().is_some_and(|count| count != "0"), "{together}");
    assert_eq!(together["source"], "127.0.0.1");
}

#[test]
fn au_01_a_session_that_is_denied_a_hundred_commands_in_a_row_ends() {
    let stage = Both::set(|_| Act::Well);
    let tool = stage.gateway.add_tool("tool", ADDRESS, "backup");
    let token = stage.gateway.token(&tool, ADDRESS);
    let mut imap = stage.gateway.imap_session(ADDRESS, &token);
    imap.command_ok("s", "SELECT INBOX");
    // One that gets something done in between may go on.
    for _ in 0..2 {
        imap.send("d EXPUNGE\r\n".repeat(DENIALS - 1));
        for _ in 1..DENIALS {
            assert!(imap.line().starts_with("d NO [NOPERM]"));
        }
        imap.command_ok("n", "NOOP");
    }
    imap.send("d EXPUNGE\r\n".repeat(DENIALS + 50));
    imap.patience(Duration::from_secs(60));
    let heard = imap.rest().expect("an end");
    assert_eq!(heard.len(), DENIALS + 1, "{heard:?}");
    assert_eq!(heard.last().map(String::as_str), Some("* BYE [LIMIT] too many refused commands in a row"));

    let sender = stage.gateway.add_tool("sender", ADDRESS, "marketing");
    let token = stage.gateway.token(&sender, ADDRESS);
    let mut smtp = crate::support::wire::Wire::connect(stage.gateway.port("smtps"), stage.gateway.ca_file());
    smtp.reply();
    say(&mut smtp, "EHLO tool.example.test", "250");
    say(&mut smtp, &format!("AUTH PLAIN {}", plain(ADDRESS, &token)), "235");
    smtp.send("MAIL FROM:<other@example.test>\r\n".repeat(DENIALS + 50));
    let heard = smtp.rest().expect("an end");
    assert_eq!(heard.len(), DENIALS + 1, "{heard:?}");
    assert_eq!(heard.last().map(String::as_str), Some("421 4.7.0 too many refused commands in a row"));

    let mut pop3 = crate::support::pop3::Pop3::open(&stage.gateway).wire;
    let token = stage.gateway.token(&tool, ADDRESS);
    pop3.send(format!("AUTH PLAIN {}\r\n", plain(ADDRESS, &token)));
    assert!(pop3.line().starts_with("+OK"));
    pop3.send("DELE 1\r\n".repeat(DENIALS + 50));
    let heard = pop3.rest().expect("an end");
    assert_eq!(heard.len(), DENIALS + 1, "{heard:?}");
    assert_eq!(heard.last().map(String::as_str), Some("-ERR [SYS/PERM] too many refused commands in a row"));

    let ends = crate::support::wait_for("three ends", crate::support::PATIENCE, || {
        let audit = stage.gateway.audit().into_iter();
        let ends = audit.filter(|event| event["code"] == "session.ended" && event["detail"]["reason"] == "denials");
        let ends = ends.count();
        (ends >= 3).then_some(ends)
    });
    assert_eq!(ends, 3);
}
