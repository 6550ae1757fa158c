//! POP3 before and after the login: what is offered, what each grant gets, what DELE and QUIT do, and how sessions end.

use std::fs;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::support::gateway::{base64, plain, xoauth2};
use crate::support::maildir::{messages, seed, snapshot};
use crate::support::pop3::Pop3;
use crate::support::stage::{ADDRESS, ScriptedStage, Stage};
use crate::support::wire::{Wire, tcp};
use crate::support::{PATIENCE, clients, give_to_mail_user, wait_for};

/// What one may say that has nothing to do with removing, or only seems to.
const REMOVALS: [&str; 6] = ["DELE 1", "dele 2", "Dele 3", "DELE 4", "DELE 5", "DELE 12"];

#[test]
fn po_01_control_characters_in_credentials_are_refused() {
    let stage = ScriptedStage::set();
    let token = stage.token("full");
    let hostile = [
        format!("\0{ADDRESS}\0{token}\r\nDELE 1"),
        format!("\0{ADDRESS}\r\nDELE 1\0{token}"),
        format!("{ADDRESS}\r\n\0{ADDRESS}\0{token}"),
        format!("\0{ADDRESS}\0{token}\n"),
        format!("\0{ADDRESS}\0\t{token}"),
    ];
    for message in &hostile {
        let mut pop3 = Pop3::open(&stage.gateway);
        pop3.say(&format!("AUTH PLAIN {}", base64(message.as_bytes())), "-ERR [AUTH]");
        pop3.say("STAT", "-ERR");
    }
    for (user, password) in
        [(format!("{ADDRESS}\r\nDELE 1"), token.clone()), (ADDRESS.to_owned(), format!("{token}\r\nDELE 1"))]
    {
        let mut pop3 = Pop3::open(&stage.gateway);
        pop3.say("AUTH LOGIN", "+ ");
        pop3.say(&base64(user.as_bytes()), "+ ");
        pop3.say(&base64(password.as_bytes()), "-ERR [AUTH]");
    }
    let mut pop3 = Pop3::open(&stage.gateway);
    pop3.say(&format!("USER {ADDRESS}"), "+OK");
    pop3.say(&format!("PASS {token}\u{7f}"), "-ERR");
    let log = stage.gateway.audit();
    let refused = log.iter().filter(|event| event["code"] == "login.refused");
    let examined = refused.filter(|event| event["detail"]["reason"] != "the message is malformed").count();
    assert_eq!(examined, 0, "such a message is not even looked at");
    assert_eq!(stage.upstream.heard().len(), 0, "the upstream heard {:?}", stage.upstream.heard());
    Pop3::session(&stage.gateway, ADDRESS, &token);
    assert!(!stage.upstream.heard().is_empty(), "the same token opens the maildrop when it is said well");
}

#[test]
fn po_02_a_read_only_tool_removes_nothing() {
    let stage = Stage::reading(|dovecot| drop(seed(&dovecot.maildir(ADDRESS), 12, 0)));
    let before = snapshot(&stage.dovecot.mail_root());
    let tool = stage.gateway.add_tool("backup", ADDRESS, "backup");
    let mut pop3 = Pop3::session(&stage.gateway, ADDRESS, &stage.gateway.token(&tool, ADDRESS));
    let mut verdicts = Vec::new();
    for command in REMOVALS {
        let refused = pop3.say(command, "-ERR [SYS/PERM]");
        let (_, verdict) = refused.split_once("(verdict ").unwrap_or_else(|| panic!("no verdict: {refused}"));
        verdicts.push(verdict.trim_end_matches(')').to_owned());
    }
    assert_eq!(pop3.unique_ids().len(), 12, "nothing is marked");
    pop3.say("QUIT", "+OK");
    assert_eq!(pop3.wire.rest().expect("the end"), [""; 0]);
    assert_eq!(snapshot(&stage.dovecot.mail_root()), before);
    let denials: Vec<_> = stage.gateway.audit().into_iter().filter(|event| event["code"] == "command.denied").collect();
    assert_eq!(denials.len(), REMOVALS.len());
    for (denial, verdict) in denials.iter().zip(&verdicts) {
        assert_eq!(
            (&denial["verdict_id"], &denial["detail"]["protocol"]),
            (&verdict.as_str().into(), &"pop3".into()),
            "{denial}"
        );
        assert_eq!(denial["detail"]["needs"], "mail.delete", "{denial}");
    }
    let why = stage.gateway.manage_ok(&["grant", "explain", "--verdict", &verdicts[0]], b"");
    assert!(why.contains("DELE") && why.contains("mail.delete"), "{why}");
}

#[test]
fn po_04_stls_capa_and_limits_are_those_of_the_other_doors() {
    let stage = ScriptedStage::set();
    let (gateway, token) = (&stage.gateway, stage.token("backup"));
    // Bytes behind STLS are not executed.
    let mut clear = tcp(gateway.port("pop3"));
    let mut chunk = [0; 4096];
    let _ = clear.read(&mut chunk).expect("the greeting");
    clear.write_all(b"CAPA\r\n").expect("send");
    let mut offered = String::new();
    while !offered.ends_with("\r\n.\r\n") {
        let read = clear.read(&mut chunk).expect("the list");
        offered.push_str(&String::from_utf8_lossy(&chunk[..read]));
    }
    assert!(offered.contains("\r\nSTLS\r\n") && !offered.contains("SASL") && !offered.contains("USER"), "{offered}");
    clear.write_all(b"STLS\r\nQUIT\r\n").expect("send");
    let read = clear.read(&mut chunk).expect("the answer");
    assert_eq!(chunk[..read].iter().filter(|byte| **byte == b'\n').count(), 1, "one answer");
    let mut tls = Wire::over(clear, gateway.ca_file());
    // Whether the handshake is possible or not, what was sent before it has no answer behind it.
    if tls.try_send(b"CAPA\r\n").is_ok()
        && let Ok(Some(first)) = tls.try_line()
    {
        assert_eq!(first, "+OK");
        assert!(std::iter::from_fn(|| tls.try_line().expect("a line")).any(|line| line == "."), "the list ends");
    }
    let tester =
        ["--pop3", "--pop3-port", &gateway.port("pop3").to_string(), "--nocolor", "--logdir"].map(str::to_owned);
    let logs = gateway.dir().join("logs").display().to_string();
    let args: Vec<&str> = tester.iter().map(String::as_str).chain([logs.as_str(), "localhost"]).collect();
    let finished = clients::python_tool("command-injection-tester", &args);
    let said = format!("{}{}", finished.stdout, finished.stderr);
    assert!(said.contains("Sanity test done") && !said.contains("ommand injection here."), "{said}");
    // The list is our own, whatever the upstream can do, and says the same of us to everybody.
    let mut pop3 = Pop3::open(gateway);
    let capabilities = String::from_utf8(pop3.fetch("CAPA")).expect("text");
    let expected = "TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\n";
    assert_eq!(capabilities, format!("{expected}USER\r\nSASL OAUTHBEARER XOAUTH2 PLAIN LOGIN\r\n"));
    assert_eq!(pop3.fetch("AUTH"), b"OAUTHBEARER\r\nXOAUTH2\r\nPLAIN\r\nLOGIN\r\n");
    pop3.say("STLS", "-ERR");
    pop3.say(&format!("AUTH PLAIN {}", plain(ADDRESS, &token)), "+OK");
    assert_eq!(String::from_utf8(pop3.fetch("capa")).expect("text"), expected);
    pop3.say("STLS", "-ERR");
    // Strangers have a small budget.
    for (what, line, goes_on) in [
        ("a line of 8192", format!("USER {}\r\n", "u".repeat(8192 - 5)), true),
        ("a line of 8193", format!("USER {}\r\n", "u".repeat(8193 - 5)), false),
        ("a token of 12,000", format!("AUTH PLAIN {}\r\n", "A".repeat(12_000)), true),
        ("a token of 20,000", format!("AUTH PLAIN {}\r\n", "A".repeat(20_000)), false),
        ("no end", "A".repeat(1 << 20), false),
    ] {
        let mut pop3 = Pop3::open(gateway);
        let _ = pop3.wire.try_send(line.as_bytes());
        let _ = pop3.wire.try_send(b"QUIT\r\n");
        let heard = pop3.wire.rest().unwrap_or_default();
        assert_eq!(heard.iter().any(|line| line.contains("see you")), goes_on, "{what}: {heard:?}");
    }
    let mut pop3 = Pop3::open(gateway);
    pop3.wire.send("XTND XMIT\r\nAPOP a b\r\nRETR 1\r\nCAPA\r\n");
    let heard = pop3.wire.rest().expect("an end");
    assert!(heard.len() == 3 && heard.iter().all(|line| line.starts_with("-ERR")), "three are enough: {heard:?}");
}

#[test]
fn gw_03_a_token_shown_to_pop3_without_tls_is_dead() {
    let stage = ScriptedStage::set();
    for number in 0..3 {
        let tool = stage.gateway.add_tool(&format!("tool {number}"), ADDRESS, "backup");
        let token = stage.gateway.token(&tool, ADDRESS);
        let line = match number {
            0 => format!("AUTH XOAUTH2 {}\r\n", xoauth2(ADDRESS, &token)),
            1 => format!("AUTH PLAIN {}\r\n", plain(ADDRESS, &token)),
            // USER is refused already; some send PASS without looking.
            _ => format!("USER {ADDRESS}\r\nPASS {token}\r\n"),
        };
        let mut clear = tcp(stage.gateway.port("pop3"));
        clear.write_all(format!("{line}QUIT\r\n").as_bytes()).expect("send");
        let mut heard = String::new();
        clear.read_to_string(&mut heard).expect("the end");
        assert!(heard.contains("-ERR use STLS first; what you sent is known to others now"), "{heard}");
        let mut pop3 = Pop3::open(&stage.gateway);
        pop3.say(&format!("USER {ADDRESS}"), "+OK");
        pop3.say(&format!("PASS {token}"), "-ERR [AUTH]");
    }
    let mut clear = tcp(stage.gateway.port("pop3"));
    clear.write_all(b"AUTH PLAIN\r\nAUTH LOGIN\r\nAUTH\r\nQUIT\r\n").expect("send");
    let mut heard = String::new();
    clear.read_to_string(&mut heard).expect("the end");
    assert_eq!(heard.matches("-ERR").count(), 3, "nothing secret is asked for: {heard}");
    let exposed = stage.gateway.audit().iter().filter(|event| event["code"] == "token.exposed").count();
    assert_eq!(exposed, 3, "each exposure is on record");
}

#[test]
fn there_is_a_maildrop_for_those_who_may_read_inbox() {
    let stage = ScriptedStage::set();
    let gateway = &stage.gateway;
    for (name, preset, folders, opens) in [
        ("reader", "backup", &[][..], true),
        ("reader of all", "backup", &["*"], true),
        ("reader of INBOX", "archive", &["inbox"], true),
        ("reader of another folder", "backup", &["Archive/*"], false),
        ("sender", "marketing", &[], false),
        ("restorer", "restore", &[], false),
    ] {
        let tool = gateway.add_bounded_tool(name, ADDRESS, preset, folders);
        let mut pop3 = Pop3::open(gateway);
        let answer = pop3.ask(&format!("AUTH PLAIN {}", plain(ADDRESS, &gateway.token(&tool, ADDRESS))));
        if opens {
            assert!(answer.starts_with("+OK"), "{name}: {answer}");
        } else {
            assert!(answer.starts_with("-ERR [SYS/PERM]") && answer.contains("(verdict vrd_"), "{name}: {answer}");
            assert_eq!(pop3.wire.rest().expect("the end"), [""; 0], "{name}");
        }
    }
    let tool = gateway.add_tool("other", ADDRESS, "backup");
    let (own, foreign) = (gateway.handle(&tool, ADDRESS, "pop3"), gateway.handle(&tool, ADDRESS, "imap"));
    for (handle, expected) in [(&own, "+OK"), (&foreign, "-ERR [AUTH]")] {
        let mut pop3 = Pop3::open(gateway);
        pop3.say(&format!("USER {ADDRESS}"), "+OK");
        pop3.say(&format!("PASS {handle}"), expected);
    }
    let imap = gateway.imap().command("a", &format!("LOGIN {ADDRESS} {own}"));
    assert!(imap.last().is_some_and(|line| line.starts_with("a NO")), "{imap:?}");
    let bounded = gateway.add_client("imap only");
    let args =
        ["grant", "add", "--client", &bounded.id, "--mailbox", ADDRESS, "--preset", "backup", "--protocol", "imap"];
    gateway.manage_ok(&args, b"");
    let mut pop3 = Pop3::open(gateway);
    pop3.say(&format!("AUTH PLAIN {}", plain(ADDRESS, &gateway.token(&bounded, ADDRESS))), "-ERR [AUTH]");
    let explained = |command: &str| {
        let args = ["grant", "explain", "--client", &tool.id, "--mailbox", ADDRESS, "--command", command];
        gateway.manage(&args, b"").stdout
    };
    assert!(explained("RETR 1").contains("permitted"), "{}", explained("RETR 1"));
    assert!(explained("DELE 1").contains("mail.delete"), "{}", explained("DELE 1"));
}

#[test]
fn quit_removes_what_was_marked_and_nothing_else() {
    let stage = Stage::reading(|dovecot| drop(seed(&dovecot.maildir(ADDRESS), 12, 0)));
    let tool = stage.gateway.add_tool("keeper", ADDRESS, "full");
    let token = stage.gateway.token(&tool, ADDRESS);
    let before = snapshot(&stage.dovecot.mail_root());
    let mut pop3 = Pop3::session(&stage.gateway, ADDRESS, &token);
    let ids = pop3.unique_ids();
    let sizes = String::from_utf8(pop3.fetch("LIST")).expect("text");
    // What RSET or a lost connection leaves is what was there.
    pop3.say("DELE 1", "+OK");
    pop3.say("DELE 1", "-ERR");
    for command in ["RETR 1", "TOP 1 0", "LIST 1", "UIDL 1", "RETR 13", "DELE 13"] {
        pop3.say(command, "-ERR no such message");
    }
    assert_eq!(pop3.unique_ids(), ids[1..], "a marked message is not listed, and the others keep their numbers");
    let octets = |listed: &str| {
        listed
            .lines()
            .map(|line| line.split_once(' ').expect("a size").1.parse::<u64>().expect("a number"))
            .sum::<u64>()
    };
    let left = String::from_utf8(pop3.fetch("LIST")).expect("text");
    assert_eq!(pop3.ask("STAT"), format!("+OK 11 {}", octets(&left)));
    pop3.say("RSET", "+OK");
    assert_eq!(pop3.ask("STAT"), format!("+OK 12 {}", octets(&sizes)));
    pop3.say("DELE 2", "+OK");
    drop(pop3);
    let mut pop3 = Pop3::session(&stage.gateway, ADDRESS, &token);
    assert_eq!(pop3.unique_ids(), ids);
    assert_eq!(snapshot(&stage.dovecot.mail_root()), before);
    // The fifth and tenth message carry \Deleted from elsewhere, and one comes after the maildrop was opened.
    for number in [1, 3, 4, 12] {
        pop3.say(&format!("DELE {number}"), "+OK");
    }
    let late = stage.maildir().join("new/1800000000.M1.late");
    fs::write(&late, b"Subject: late\r\n\r\nlate\r\n").expect("deliver");
    give_to_mail_user(&late);
    pop3.say("QUIT", "+OK");
    let mut expected: Vec<String> = ids;
    for row in [11, 3, 2, 0] {
        expected.remove(row);
    }
    let mut again = Pop3::session(&stage.gateway, ADDRESS, &token);
    let now = again.unique_ids();
    assert_eq!(now[..8], expected, "ids stay what they were");
    assert_eq!(now.len(), 9, "and the late one is there");
    assert_eq!(messages(&stage.maildir()).len(), 9);
}

#[test]
fn a_revoked_session_says_so_and_removes_nothing() {
    let stage = Stage::reading(|dovecot| drop(seed(&dovecot.maildir(ADDRESS), 3, 0)));
    let tool = stage.gateway.add_tool("keeper", ADDRESS, "full");
    let token = stage.gateway.token(&tool, ADDRESS);
    let mut pop3 = Pop3::session(&stage.gateway, ADDRESS, &token);
    pop3.say("DELE 1", "+OK");
    let listed = stage.gateway.manage_ok(&["session", "list", "--format", "json"], b"");
    assert!(listed.contains(&tool.id) && listed.contains("pop3"), "{listed}");
    stage.gateway.manage_ok(&["revoke", "--client", &tool.id], b"");
    let revoked = Instant::now();
    pop3.wire.patience(Duration::from_secs(2));
    assert_eq!(pop3.wire.rest().expect("the session went on"), ["-ERR [SYS/PERM] access revoked"]);
    assert!(revoked.elapsed() < Duration::from_secs(2), "it took {:?}", revoked.elapsed());
    assert_eq!(messages(&stage.maildir()).len(), 3);
    Pop3::open(&stage.gateway).say(&format!("AUTH PLAIN {}", plain(ADDRESS, &token)), "-ERR [AUTH]");
    wait_for("the end on record", PATIENCE, || {
        let is_end =
            |event: &serde_json::Value| event["code"] == "session.ended" && event["detail"]["reason"] == "revoked";
        stage.gateway.audit().iter().any(is_end).then_some(())
    });
}

#[test]
fn commands_that_come_together_are_answered_in_turn() {
    let stage = Stage::reading(|dovecot| drop(seed(&dovecot.maildir(ADDRESS), 3, 0)));
    let tool = stage.gateway.add_tool("backup", ADDRESS, "backup");
    let token = stage.gateway.token(&tool, ADDRESS);
    let mut pop3 = Pop3::open(&stage.gateway);
    pop3.wire.send(format!("USER {ADDRESS}\r\nPASS {token}\r\nSTAT\r\nRETR 2\r\nNOOP\r\nUIDL 3\r\nQUIT\r\n"));
    for expected in ["+OK send", "+OK 3 messages", "+OK 3 ", "+OK "] {
        let answer = pop3.wire.line();
        assert!(answer.starts_with(expected), "{answer}");
    }
    let message = pop3.lines().expect("a message");
    assert!(String::from_utf8_lossy(&message).contains("Message-ID: <1@seed.example.net>"));
    let rest = pop3.wire.rest().expect("the end");
    assert!(rest.len() == 3 && rest.iter().all(|line| line.starts_with("+OK")), "{rest:?}");
}
