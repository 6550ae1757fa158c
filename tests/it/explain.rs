//! `grant explain`: one denial of every rule on every protocol, and what is told of it: what was asked, which rule refused, what would
//! let it through, and who may give that.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::ca::Ca;
use crate::support::folder;
use crate::support::gateway::{Gateway, Tool, Upstream, plain};
use crate::support::pop3::Pop3;
use crate::support::smtp_upstream::{Act, SmtpUpstream};
use crate::support::stage::{ADDRESS, PASSWORD};
use crate::support::submission::{Both, add_mailbox, say};
use crate::support::upstream::imap::ScriptedImap;
use crate::support::wire::Wire;

/// The verdict id in a refusal.
fn verdict(answer: &str) -> String {
    let at = answer.find("vrd_").unwrap_or_else(|| panic!("no verdict in {answer:?}"));
    answer[at..].chars().take_while(|one| one.is_ascii_alphanumeric() || *one == '_').collect()
}

fn explained(scene: &Both, verdict: &str) -> Value {
    let printed = scene.gateway.manage_ok(&["grant", "explain", "--verdict", verdict, "--format", "json"], b"");
    serde_json::from_str(&printed).expect("JSON")
}

/// A denial, explained: all four questions have their answer. Gives the explanation.
fn walk(scene: &Both, answer: &str, tool: &str, rule: &str, asked: &str, remedy: &str) -> Value {
    let told = explained(scene, &verdict(answer));
    assert_eq!((&told["rule"], &told["asked"]), (&json!(rule), &json!(asked)), "{told}");
    assert_eq!(told["permitted"], false, "{told}");
    if rule != "token" {
        assert_eq!((&told["client"], &told["mailbox"]), (&json!(tool), &json!(ADDRESS)), "{told}");
    }
    assert!(told["text"].is_string() && told["source"] == "127.0.0.1", "{told}");
    assert!(told["remedy"].as_str().is_some_and(|text| text.contains(remedy)), "{remedy:?} is not in {told}");
    let roles = if rule == "freeze" { json!(["admin", "security"]) } else { json!(["admin"]) };
    let by_role = told["roles"] == roles && told["operators"].as_array().is_some_and(|all| !all.is_empty());
    assert!(by_role != told["who"].is_string(), "either an operator or somebody else can help: {told}");
    let is_command = by_role && rule != "whole-account";
    assert_eq!(told["command"].is_string(), is_command, "what an operator can do is a command: {told}");
    told
}

/// Makes a tool with a grant in these terms.
fn tool(scene: &Both, name: &str, terms: &[&str]) -> Tool {
    let tool = scene.gateway.add_client(name);
    let add = ["grant", "add", "--client", &tool.id, "--mailbox", ADDRESS];
    scene.gateway.manage_ok(&[&add[..], terms].concat(), b"");
    tool
}

fn grant_id(scene: &Both, tool: &Tool) -> String {
    let listed: Value =
        serde_json::from_str(&scene.gateway.manage_ok(&["grant", "list", "--format", "json"], b"")).expect("JSON");
    let grants = listed["grants"].as_array().expect("grants");
    grants.iter().find(|grant| grant["client_id"] == tool.id.as_str()).expect("a grant")["id"]
        .as_str()
        .expect("an id")
        .to_owned()
}

fn change(scene: &Both, tool: &Tool, terms: &Value) {
    let path = format!("/api/v1/grants/{}", grant_id(scene, tool));
    let answer = Api::of(&scene.gateway).json("PUT", &path, &scene.gateway.operator_token, terms);
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn imap_log_in(scene: &Both, user: &str, token: &str) -> String {
    scene.gateway.imap().command("a", &format!("LOGIN {user} {token}")).pop().expect("an answer")
}

fn smtp(scene: &Both, token: &str) -> Wire {
    let mut smtp = Wire::connect(scene.gateway.port("smtps"), scene.gateway.ca_file());
    smtp.reply();
    say(&mut smtp, &format!("AUTH PLAIN {}", plain(ADDRESS, token)), "235");
    smtp
}

#[test]
fn every_rule_of_imap_explains_itself_and_the_proposed_command_lets_it_through() {
    let scene = Both::set(|_| Act::Well);
    let reader = tool(&scene, "reader", &["--preset", "archive", "--folder", "INBOX"]);
    let mut imap = scene.gateway.imap_session(ADDRESS, &scene.gateway.token(&reader, ADDRESS));
    imap.command_ok("s", "SELECT INBOX");
    for (command, rule, asked, remedy) in [
        (r"STORE 1 +FLAGS (\Seen)", "scope", "STORE", "mail.flag"),
        ("FETCH 1 BODY[HEADER.FIELDS (\"]\")]", "field-name", "FETCH", "names"),
        ("SORT (DATE) UTF-8 ALL", "costly-search", "SORT", "settings"),
        ("EXAMINE Secret", "folder", "EXAMINE", "Secret"),
        ("EXAMINE \"A&\"", "folder-name", "EXAMINE", "UTF-7"),
        ("EXAMINE \"*\"", "folder", "EXAMINE", "add the folder"),
        ("SETACL INBOX a lrs", "never", "SETACL", "no grant"),
        ("GETQUOTA \"\"", "whole-account", "GETQUOTA", "no folders"),
        (&format!("LIST \"\" {}", "a*".repeat(9)), "pattern", "LIST", "wildcards"),
        ("APPEND INBOX {999999999}", "size", "APPEND", "largest"),
    ] {
        let answer = imap.command("t", command).pop().expect("an answer");
        assert!(answer.starts_with("t NO ["), "{command}: {answer}");
        let told = walk(&scene, &answer, "reader", rule, asked, remedy);
        assert!(told["session_id"].is_string() && told["grant_id"] == grant_id(&scene, &reader).as_str(), "{told}");
    }
    // A star in a folder's name never becomes a pattern of a grant.
    let starred = imap.command("t", "EXAMINE \"*\"").pop().expect("an answer");
    assert!(explained(&scene, &verdict(&starred))["command"].as_str().is_some_and(|line| !line.contains('*')));
    // The table says the same in words.
    let table = scene.gateway.manage_ok(&["grant", "explain", "--verdict", &verdict(&starred)], b"");
    assert!(table.lines().any(|line| line.starts_with("remedy ")) && table.contains("admin"), "{table}");

    // What is proposed does it.
    imap.command_ok("s", "SELECT INBOX");
    for (command, after) in [(r"STORE 1 +FLAGS (\Seen)", "mail.flag"), ("EXAMINE Secret", "Secret")] {
        let told = explained(&scene, &verdict(&imap.command("t", command).pop().expect("an answer")));
        let line = told["command"].as_str().expect("a command").to_owned();
        let words: Vec<&str> = line.split(' ').skip(1).collect();
        let printed = scene.gateway.manage_ok(&[&words[..], &["--format", "json"]].concat(), b"");
        assert!(printed.contains(after), "{line}: {printed}");
        let again = explained(&scene, told["verdict_id"].as_str().expect("an id"));
        assert!(again["who"] == "tool" && again["command"].is_null(), "the grant gives it by now: {again}");
        imap = scene.gateway.imap_session(ADDRESS, &scene.gateway.token(&reader, ADDRESS));
        imap.command_ok("s", "SELECT INBOX");
        let answer = imap.command("t", command).pop().expect("an answer");
        assert!(!answer.contains("vrd_"), "{command} is refused still: {answer}");
        imap.command_ok("s", "SELECT INBOX");
    }
    imap.command_ok("s", "SELECT INBOX");
    let full = explained(&scene, &verdict(&imap.command("t", "EXPUNGE").pop().expect("an answer")));
    assert_eq!(full["presets"], json!(["full"]), "{full}");
}

#[test]
fn every_rule_of_submission_explains_itself() {
    let scene = Both::set(|_| Act::Well);
    let sender = tool(&scene, "sender", &["--preset", "marketing", "--recipient", "@else.test"]);
    let token = scene.gateway.token(&sender, ADDRESS);
    let mut smtp = smtp(&scene, &token);
    let mut refused = |line: &str, code: &str| say(&mut smtp, line, code).pop().expect("a reply");
    let told = walk(&scene, &refused("MAIL FROM:<boss@example.test>", "553"), "sender", "sender", "MAIL FROM", "boss@");
    let line = told["command"].as_str().expect("a command");
    assert!(line.ends_with(&format!("--sender={ADDRESS} --sender=boss@example.test")), "{line}");
    walk(&scene, &refused("MAIL FROM:<>", "553"), "sender", "null-sender", "MAIL FROM", "no grant");
    let big = format!("MAIL FROM:<{ADDRESS}> SIZE=99999999999");
    walk(&scene, &refused(&big, "552"), "sender", "size", "MAIL FROM", "largest");
    refused(&format!("MAIL FROM:<{ADDRESS}>"), "250");
    walk(&scene, &refused("RCPT TO:<a@third.test>", "550"), "sender", "recipient", "RCPT TO", "recipients");
    for number in 0..1000 {
        refused(&format!("RCPT TO:<a{number}@else.test>"), "250");
    }
    walk(&scene, &refused("RCPT TO:<b@else.test>", "452"), "sender", "recipient-count", "RCPT TO", "further message");
    refused("DATA", "354");
    let twice = format!("From: {ADDRESS}\r\nFrom: {ADDRESS}\r\n\r\nx\r\n.");
    walk(&scene, &refused(&twice, "550"), "sender", "header", "DATA", "once");
    refused(&format!("MAIL FROM:<{ADDRESS}>"), "250");
    refused("RCPT TO:<b@else.test>", "250");
    refused("DATA", "354");
    let forged = refused("From: boss@example.test\r\n\r\nx\r\n.", "550");
    walk(&scene, &forged, "sender", "header-sender", "DATA", "boss@");
    let reader = tool(&scene, "reader", &["--preset", "backup"]);
    let token = scene.gateway.token(&reader, ADDRESS);
    let mut smtp = self::smtp(&scene, &token);
    let answer = say(&mut smtp, &format!("MAIL FROM:<{ADDRESS}>"), "553").pop().expect("a reply");
    let told = walk(&scene, &answer, "reader", "scope", "MAIL FROM", "mail.send");
    assert_eq!(told["presets"], json!(["helpdesk", "full"]), "{told}");
}

#[test]
fn every_rule_of_the_login_explains_itself_to_operators_and_says_nothing_to_the_tool() {
    let scene = Both::set(|_| Act::Well);
    let terms = |scope: &str, bounds: Value| json!({ "scope": scope, "bounds": bounds });
    let mut said = BTreeSet::new();
    for (rule, user, change_to, remedy) in [
        ("network", ADDRESS, Some(terms("mail.read", json!({ "networks": ["192.0.2.0/24"] }))), "127.0.0.1"),
        ("protocol", ADDRESS, Some(terms("mail.read", json!({ "protocols": [] }))), "protocols"),
        ("mechanism", ADDRESS, Some(terms("mail.read", json!({ "mechanisms": ["XOAUTH2"] }))), "mechanisms"),
        ("token-scope", ADDRESS, Some(terms("mail.append", json!({}))), "new token"),
        ("user", "other@example.test", None, "address"),
        ("token", ADDRESS, None, "new token"),
    ] {
        let tool = tool(&scene, rule, &["--preset", "backup"]);
        let token = scene.gateway.token(&tool, ADDRESS);
        let shown = if rule == "token" { format!("x{token}") } else { token };
        if let Some(to) = change_to {
            change(&scene, &tool, &to);
        }
        let answer = imap_log_in(&scene, user, &shown);
        walk(&scene, &answer, rule, rule, "login", remedy);
        said.insert(answer.replace(&verdict(&answer), ""));
        let mut smtp = Wire::connect(scene.gateway.port("smtps"), scene.gateway.ca_file());
        smtp.reply();
        let answer = say(&mut smtp, &format!("AUTH PLAIN {}", plain(user, &shown)), "535").pop().expect("a reply");
        // On SMTP the command is another one.
        let rule = explained(&scene, &verdict(&answer));
        assert_eq!(rule["protocol"], "smtp", "{rule}");
        said.insert(answer.replace(&verdict(&answer), ""));
    }
    let gone = tool(&scene, "gone", &["--preset", "backup"]);
    let once = tool(&scene, "once", &["--preset", "backup", "--pin-once"]);
    let void = tool(&scene, "void", &["--preset", "backup"]);
    let [gone_token, once_token, void_token] = [&gone, &once, &void].map(|tool| scene.gateway.token(tool, ADDRESS));
    assert!(imap_log_in(&scene, ADDRESS, &once_token).starts_with("a OK"));
    scene.gateway.manage_ok(&["grant", "remove", &grant_id(&scene, &gone)], b"");
    scene.gateway.manage_ok(&["revoke", "--client", &void.id], b"");
    for (tool, token, rule, remedy) in [
        ("gone", gone_token, "grant", "make a grant"),
        ("once", once_token, "used-up", "one session"),
        ("void", void_token, "revoked", "void"),
    ] {
        let answer = imap_log_in(&scene, ADDRESS, &token);
        let told = walk(&scene, &answer, tool, rule, "login", remedy);
        if rule == "grant" {
            let line = told["command"].as_str().expect("a command");
            assert!(line.starts_with("mailwarden grant add --client=gone"), "{line}");
        }
        said.insert(answer.replace(&verdict(&answer), ""));
    }
    assert_eq!(said.len(), 2, "one answer per protocol, whatever the reason: {said:?}");
}

/// A session with one more message in INBOX.
fn add_message(scene: &Both) {
    let filler = tool(scene, "filler", &["--preset", "restore"]);
    let mut imap = scene.gateway.imap_session(ADDRESS, &scene.gateway.token(&filler, ADDRESS));
    imap.command_ok("a", "APPEND INBOX {10+}\r\nSubject: x");
}

/// Does what an explanation proposes.
fn paste(scene: &Both, told: &Value) {
    let line = told["command"].as_str().expect("a command");
    scene.gateway.manage_ok(&line.split(' ').skip(1).collect::<Vec<_>>(), b"");
}

fn pop3_log_in(scene: &Both, token: &str) -> String {
    Pop3::open(&scene.gateway).ask(&format!("AUTH PLAIN {}", plain(ADDRESS, token)))
}

fn smtp_log_in(scene: &Both, token: &str) -> String {
    let mut smtp = Wire::connect(scene.gateway.port("smtps"), scene.gateway.ca_file());
    smtp.reply();
    smtp.send(format!("AUTH PLAIN {}\r\n", plain(ADDRESS, token)));
    smtp.reply().pop().expect("a reply")
}

#[test]
fn every_rule_of_pop3_explains_itself_and_the_proposed_command_lets_it_through() {
    let scene = Both::set(|_| Act::Well);
    add_message(&scene);
    for (name, terms, rule, remedy) in [
        ("sender", &["--preset", "marketing"][..], "scope", "mail.read"),
        ("outside", &["--preset", "backup", "--folder", "Archive"], "folder", "INBOX"),
        ("closed", &["--preset", "backup", "--budget", "folders=0/day"], "budget", "next day"),
    ] {
        let tool = tool(&scene, name, terms);
        let token = scene.gateway.token(&tool, ADDRESS);
        let answer = pop3_log_in(&scene, &token);
        assert!(answer.starts_with("-ERR [SYS/"), "{answer}");
        let told = walk(&scene, &answer, name, rule, "the maildrop", remedy);
        assert_eq!(told["protocol"], "pop3", "{told}");
        paste(&scene, &told);
        let answer = pop3_log_in(&scene, &scene.gateway.token(&tool, ADDRESS));
        assert!(answer.starts_with("+OK"), "{name}: {answer}");
    }
    let terms = ["--preset", "backup", "--budget", "messages_read=0/hour", "--budget", "bytes=5/hour"];
    let reader = tool(&scene, "reader", &terms);
    let mut pop3 = Pop3::session(&scene.gateway, ADDRESS, &scene.gateway.token(&reader, ADDRESS));
    pop3.fetch("TOP 1 0");
    for (command, rule, asked, remedy, proposed) in [
        ("DELE 1", "scope", "DELE", "mail.delete", "--scope=mail.delete"),
        ("RETR 1", "budget", "RETR", "hour", "--budget=messages_read=1/hour"),
        // Twice as much would not do: the answer that went on has used more.
        ("TOP 1 0", "budget", "TOP", "raise", "--budget=bytes=40/hour"),
    ] {
        let answer = pop3.say(command, "-ERR [SYS/");
        let told = walk(&scene, &answer, "reader", rule, asked, remedy);
        let line = told["command"].as_str().expect("a command");
        assert!(line.ends_with(proposed), "{line}");
        paste(&scene, &told);
    }
    let mut pop3 = Pop3::session(&scene.gateway, ADDRESS, &scene.gateway.token(&reader, ADDRESS));
    pop3.fetch("RETR 1");
    pop3.say("DELE 1", "+OK");
    let mut said = BTreeSet::new();
    for shown in ["nonsense".to_owned(), format!("x{}", scene.gateway.token(&reader, ADDRESS)), "\t".to_owned()] {
        let answer = pop3_log_in(&scene, &shown);
        walk(&scene, &answer, "reader", "token", "login", "new token");
        said.insert(answer.replace(&verdict(&answer), ""));
    }
    assert_eq!(said.len(), 1, "{said:?}");
}

#[test]
fn a_freeze_explains_itself_at_every_door_and_who_may_end_it() {
    let scene = Both::set(|_| Act::Well);
    add_message(&scene);
    let all = tool(&scene, "all", &["--preset", "full"]);
    let token = scene.gateway.token(&all, ADDRESS);
    let freeze = |level: &str| {
        let args = ["freeze", "--client", &all.id, "--level", level, "--reason", "a drill", "--format", "json"];
        let made: Value = serde_json::from_str(&scene.gateway.manage_ok(&args, b"")).expect("JSON");
        made["id"].as_str().expect("an id").to_owned()
    };
    let id = freeze("drain");
    let mut last = Value::Null;
    for (protocol, answer, expected) in [
        ("imap", imap_log_in(&scene, ADDRESS, &token), "a NO [UNAVAILABLE]"),
        ("smtp", smtp_log_in(&scene, &token), "454 4.7.0"),
        ("pop3", pop3_log_in(&scene, &token), "-ERR [SYS/TEMP]"),
    ] {
        assert!(answer.starts_with(expected), "{answer}");
        last = walk(&scene, &answer, "all", "freeze", "login", "a drill");
        assert_eq!((&last["protocol"], &last["object"]), (&json!(protocol), &json!(id)), "{last}");
        assert_eq!(last["command"], format!("mailwarden thaw {id}"));
        let remedy = last["remedy"].as_str().expect("a remedy");
        assert!(remedy.contains("drain") && remedy.contains("by first") && remedy.contains("never"), "{remedy}");
    }
    paste(&scene, &last);
    let over = explained(&scene, last["verdict_id"].as_str().expect("an id"));
    assert!(over["who"] == "tool" && over["command"].is_null(), "{over}");
    let mut imap = scene.gateway.imap_session(ADDRESS, &token);
    imap.command_ok("s", "SELECT INBOX");
    let (mut pop3, mut smtp) = (Pop3::session(&scene.gateway, ADDRESS, &token), smtp(&scene, &token));
    freeze("read-only");
    let stored = imap.command("a", r"STORE 1 +FLAGS (\Seen)").pop().expect("an answer");
    walk(&scene, &stored, "all", "freeze", "STORE", "a drill");
    walk(&scene, &pop3.say("DELE 1", "-ERR [SYS/TEMP]"), "all", "freeze", "DELE", "a drill");
    let sent = say(&mut smtp, &format!("MAIL FROM:<{ADDRESS}>"), "451").pop().expect("a reply");
    paste(&scene, &walk(&scene, &sent, "all", "freeze", "MAIL FROM", "a drill"));
    imap.command_ok("b", r"STORE 1 +FLAGS (\Seen)");
}

#[test]
fn a_freeze_is_told_of_every_command_that_it_stops_and_of_no_other() {
    let scene = Both::set(|_| Act::Well);
    let all = tool(&scene, "all", &["--preset", "full"]);
    let reads = ["FETCH 1 BODY[]", "RETR 1", "NOOP"];
    let changes = ["EXPUNGE", "DELE 1", "DATA"];
    for (target, level, (logins, reading, changing)) in [
        (&[][..], "no-new-tokens", (true, true, true)),
        (&[], "read-only", (true, true, false)),
        (&[], "drain", (false, true, true)),
        (&[], "cut", (false, false, false)),
        // By IMAP it comes in.
        (&["--protocol", "smtp"], "cut", (true, true, true)),
    ] {
        let args = [&["freeze", "--client", &all.id, "--level", level, "--reason", "a drill"], target].concat();
        let made = scene.gateway.manage_ok(&[&args[..], &["--format", "json"]].concat(), b"");
        let made: Value = serde_json::from_str(&made).expect("JSON");
        let id = made["id"].as_str().expect("an id");
        let asked = [(&["login"][..], logins), (&reads, reading), (&changes, changing)];
        for (command, permitted) in asked.iter().flat_map(|(commands, may)| commands.iter().map(|one| (*one, *may))) {
            let permitted = permitted && (command != "DATA" || target.is_empty());
            let args = ["grant", "explain", "--client", "all", "--mailbox", ADDRESS, "--command", command];
            let told = scene.gateway.manage_ok(&[&args[..], &["--format", "json"]].concat(), b"");
            let told: Value = serde_json::from_str(&told).expect("JSON");
            assert_eq!(told["permitted"], permitted, "{level} {command}: {told}");
            if !permitted {
                assert_eq!((&told["rule"], &told["object"]), (&json!("freeze"), &json!(id)), "{level} {command}");
                assert_eq!(told["command"], format!("mailwarden thaw {id}"), "{level} {command}");
                assert_eq!(told["roles"], json!(["admin", "security"]), "{level} {command}");
            }
        }
        scene.gateway.manage_ok(&["thaw", id], b"");
    }
}

#[test]
fn a_budget_of_sessions_explains_itself_and_the_proposed_command_makes_room() {
    let scene = Both::set(|_| Act::Well);
    let few = tool(&scene, "few", &["--preset", "full", "--budget", "sessions=1"]);
    let token = scene.gateway.token(&few, ADDRESS);
    let _first = scene.gateway.imap_session(ADDRESS, &token);
    let mut last = Value::Null;
    for answer in [imap_log_in(&scene, ADDRESS, &token), smtp_log_in(&scene, &token), pop3_log_in(&scene, &token)] {
        last = walk(&scene, &answer, "few", "budget", "login", "end one of");
        assert_eq!(last["object"], "sessions=1", "{last}");
    }
    paste(&scene, &last);
    let token = scene.gateway.token(&few, ADDRESS);
    assert!(imap_log_in(&scene, ADDRESS, &token).starts_with("a OK"));
}

#[test]
fn a_mailbox_without_an_upstream_for_what_is_asked_explains_itself() {
    let dir = folder();
    let ca = Ca::create(&dir.path().join("ca"));
    let (imap, smtp) = (ScriptedImap::start(&ca), SmtpUpstream::start(&ca, |_| Act::Well));
    let gateway = Gateway::start(&ca);
    let (letters, archive) = ("letters@example.test", "archive@example.test");
    add_mailbox(&gateway, &ca, letters, smtp.port, "implicit").expect_ok("mailbox add");
    let reading = Upstream { imap: imap.port, smtp: None, starttls: false };
    gateway.add_mailbox(archive, PASSWORD, reading, &ca).expect_ok("mailbox add");
    let tokens = [letters, archive].map(|mailbox| gateway.token(&gateway.add_tool(mailbox, mailbox, "full"), mailbox));
    let told = |args: &[&str]| -> Value {
        let printed = gateway.manage_ok(&[&["grant", "explain"], args, &["--format", "json"]].concat(), b"");
        serde_json::from_str(&printed).expect("JSON")
    };

    let imap = gateway.imap().command("a", &format!("LOGIN {letters} {}", tokens[0])).pop().expect("an answer");
    assert!(imap.starts_with("a NO [NOPERM] "), "{imap}");
    let pop3 = Pop3::open(&gateway).ask(&format!("AUTH PLAIN {}", plain(letters, &tokens[0])));
    assert!(pop3.starts_with("-ERR [SYS/PERM] "), "{pop3}");
    let mut session = Wire::connect(gateway.port("smtps"), gateway.ca_file());
    session.reply();
    say(&mut session, &format!("AUTH PLAIN {}", plain(archive, &tokens[1])), "235");
    let smtp = say(&mut session, &format!("MAIL FROM:<{archive}>"), "550 5.7.1 ").pop().expect("a reply");
    for (answer, asked, mailbox) in
        [(&imap, "login", letters), (&pop3, "login", letters), (&smtp, "MAIL FROM", archive)]
    {
        let told = told(&["--verdict", &verdict(answer)]);
        assert_eq!((&told["rule"], &told["asked"]), (&json!("upstream"), &json!(asked)), "{told}");
        assert_eq!((&told["mailbox"], &told["roles"]), (&json!(mailbox), &json!(["admin"])), "{told}");
        assert!(told["remedy"].as_str().is_some_and(|text| text.contains("register")), "{told}");
    }
    for (mailbox, command) in [(letters, "FETCH 1 FLAGS"), (letters, "RETR 1"), (archive, "DATA")] {
        let told = told(&["--client", mailbox, "--mailbox", mailbox, "--command", command]);
        assert_eq!((&told["permitted"], &told["rule"]), (&json!(false), &json!("upstream")), "{command}: {told}");
    }
}

#[test]
fn ids_that_are_none_or_not_ours_are_told_apart() {
    let scene = Both::set(|_| Act::Well);
    for (id, words) in [
        ("nonsense", "a verdict id has the form vrd_"),
        ("ses_000000000000", "a verdict id has the form vrd_"),
        ("vrd_", "a verdict id has the form vrd_"),
        ("vrd_000000000000", "no such verdict here"),
    ] {
        let finished = scene.gateway.manage(&["grant", "explain", "--verdict", id], b"");
        assert!(finished.code == Some(2) && finished.stderr.contains(words), "{id}: {finished:?}");
    }
}
