//! Who has read a message: reads by real programs through the gateway before a real Dovecot, found again by Message-ID.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::gateway::{Gateway, Tool, plain};
use crate::support::pop3::Pop3;
use crate::support::smtp_upstream::Act;
use crate::support::stage::{ADDRESS, ScriptedStage, Stage};
use crate::support::submission::{Submission, say};
use crate::support::upstream::imap::Script;
use crate::support::wire::Wire;
use crate::support::{PATIENCE, clients, give_to_mail_user, wait_for};

/// Puts messages `<0@seeded.test>`, `<1@seeded.test>`, ... into an INBOX.
fn seed(maildir: &Path, count: usize) {
    for number in 0..count {
        let name = format!("{}.M{number}.test:2,", 1_700_000_000 + number);
        let text = format!("From: a@seeded.test\r\nMessage-ID:\r\n <{number}@seeded.test>\r\n\r\nmessage {number}\r\n");
        fs::write(maildir.join("cur").join(name), text).expect("write a message");
    }
    give_to_mail_user(maildir);
}

/// A gateway before an INBOX with those.
pub(crate) fn stage(count: usize) -> Stage {
    Stage::reading(|dovecot| seed(&dovecot.maildir(ADDRESS), count))
}

fn who_read(gateway: &Gateway, id: &str) -> Vec<Value> {
    let printed = gateway.manage_ok(&["audit", "who-read", id, "--format", "json"], b"");
    let answer: Value = serde_json::from_str(&printed).expect("JSON");
    answer["readings"].as_array().expect("readings").clone()
}

/// Client, folder, UID, what.
fn told(readings: &[Value]) -> Vec<(&str, &str, u64, &str)> {
    readings
        .iter()
        .map(|one| {
            let word = |name: &str| one[name].as_str().unwrap_or("-");
            (word("client"), word("folder"), one["uid"].as_u64().unwrap_or_default(), word("what"))
        })
        .collect()
}

fn session(stage: &Stage, tool: &Tool) -> Wire {
    let mut imap = stage.gateway.imap_session(ADDRESS, &stage.gateway.token(tool, ADDRESS));
    imap.command_ok("s", "EXAMINE INBOX");
    imap
}

#[test]
fn a_reading_names_client_session_folder_uid_what_and_octets_and_nobody_else() {
    let stage = stage(5);
    let tool = stage.gateway.add_tool("reader", ADDRESS, "backup");
    stage.gateway.add_tool("idler", ADDRESS, "backup");
    let mut imap = session(&stage, &tool);
    let direct = |lines: Vec<String>| lines.into_iter().filter(|line| line.contains("FETCH")).collect::<Vec<_>>();
    // By number: we ask for the UID, and the tool does not see it.
    assert_eq!(direct(imap.command("a", "FETCH 2 BODY[]")).len(), 1);
    assert!(direct(imap.command("a", "FETCH 2 BODY.PEEK[]")).iter().all(|line| !line.contains("UID")));
    assert!(direct(imap.command("a", "FETCH 2 (BODY[] UID)")).iter().any(|line| line.contains("UID 2")));
    imap.command_ok("b", "UID FETCH 3 BODY[HEADER.FIELDS (MESSAGE-ID)]");
    imap.command_ok("c", "UID FETCH 3 BODY[TEXT]");
    imap.command_ok("d", "UID FETCH 4 (ENVELOPE FLAGS RFC822.SIZE)");
    imap.command_ok("e", "LOGOUT");
    let readings = who_read(&stage.gateway, "<1@seeded.test>");
    assert_eq!(told(&readings), [("reader", "INBOX", 2, "body"); 3]);
    let size = "From: a@seeded.test\r\nMessage-ID:\r\n <1@seeded.test>\r\n\r\nmessage 1\r\n".len();
    for one in &readings {
        assert_eq!(
            (&one["bytes"], &one["source"], &one["mailbox"]),
            (&json!(size), &json!("127.0.0.1"), &json!(ADDRESS))
        );
        assert!(one["at"].is_string() && one["session_id"].as_str().is_some_and(|id| id.starts_with("ses_")), "{one}");
    }
    // A read without a header is found by where the message lies.
    let third = who_read(&stage.gateway, "2@seeded.test");
    assert_eq!(told(&third), [("reader", "INBOX", 3, "header"), ("reader", "INBOX", 3, "body")]);
    assert!(who_read(&stage.gateway, "<3@seeded.test>").is_empty(), "an envelope is no content");
    assert!(who_read(&stage.gateway, "<4@seeded.test>").is_empty(), "nobody read it");
    assert!(who_read(&stage.gateway, "<%@seeded.test>").is_empty());
    let table = stage.gateway.manage_ok(&["audit", "who-read", "<1@seeded.test>", "--mailbox", ADDRESS], b"");
    assert!(table.contains("CLIENT") && table.contains("reader") && table.contains("INBOX"), "{table}");
    // The Message-ID itself stands nowhere.
    let log = format!("{:?}", stage.gateway.audit());
    assert!(!log.contains("seeded.test"), "a Message-ID is in the log");
    let visit = stage.gateway.audit().into_iter().find(|event| event["code"] == "folder.visited").expect("a visit");
    assert_eq!((&visit["detail"]["folder"], &visit["detail"]["listed"]), (&json!("INBOX"), &json!("6")));
}

#[test]
fn content_is_found_whichever_part_of_a_message_is_asked_for_and_the_tool_sees_nothing_of_our_question() {
    let asked = [
        ("FETCH # BODY.PEEK[TEXT]", "body"),
        ("UID FETCH # BODY[1]", "body"),
        ("FETCH # (BODY.PEEK[]<1.20> FLAGS)", "body"),
        ("UID FETCH # BINARY.PEEK[1]", "body"),
        ("FETCH # BODY.PEEK[HEADER.FIELDS (SUBJECT)]", "header"),
        ("FETCH # (ENVELOPE RFC822.TEXT)", "body"),
        ("FETCH # (UID BODY.PEEK[1]<0.3>)", "body"),
    ];
    let stage = stage(asked.len());
    let tool = stage.gateway.add_tool("reader", ADDRESS, "backup");
    let mut imap = session(&stage, &tool);
    for (number, (command, _)) in (1..).zip(asked) {
        let answer = imap.command_ok("a", &command.replace('#', &number.to_string()));
        let told = answer.join("\n").to_ascii_uppercase();
        assert_eq!(told.matches("FETCH (").count(), 1, "{command}: {answer:?}");
        assert!(!told.contains("MESSAGE-ID"), "{command}: {answer:?}");
        assert_eq!(told.contains("UID "), command.contains("UID"), "{command}: {answer:?}");
    }
    imap.command_ok("b", "LOGOUT");
    for (number, (command, what)) in (1..).zip(asked) {
        let readings = who_read(&stage.gateway, &format!("<{}@seeded.test>", number - 1));
        assert_eq!(told(&readings), [("reader", "INBOX", number, what)], "{command}");
    }
}

#[test]
fn only_what_tells_no_message_id_is_asked_for_it_too() {
    let stage = ScriptedStage::set();
    let mut imap = stage.session(&stage.token("backup"));
    let id = "BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]";
    for (said, heard) in [
        ("FETCH 1 FLAGS", "FETCH 1 FLAGS".to_owned()),
        ("UID FETCH 1 (ENVELOPE BODYSTRUCTURE)", "UID FETCH 1 (ENVELOPE BODYSTRUCTURE)".to_owned()),
        ("UID FETCH 1 BODY.PEEK[HEADER]", "UID FETCH 1 BODY.PEEK[HEADER]".to_owned()),
        ("FETCH 1 (UID BODY.PEEK[])", "FETCH 1 (UID BODY.PEEK[])".to_owned()),
        ("UID FETCH 1 BODY.PEEK[TEXT]", format!("UID FETCH 1 (BODY.PEEK[TEXT] {id})")),
        ("FETCH 1 BODY.PEEK[2]", format!("FETCH 1 (BODY.PEEK[2] UID {id})")),
        ("UID FETCH 1 BODY.PEEK[]<0.9>", format!("UID FETCH 1 (BODY.PEEK[]<0.9> {id})")),
        // The tool's own question, of which it gets the answer.
        (
            "UID FETCH 1 (BODY.PEEK[1] BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])",
            format!("UID FETCH 1 (BODY.PEEK[1] {id})"),
        ),
    ] {
        imap.command_ok("a", said);
        assert_eq!(stage.upstream.heard().last().expect("a command").as_text(), heard, "{said}");
    }
    // It answers what was not asked for, out of order, twice, at length, and breaks no answer by it.
    let (filler, hidden) = ("x".repeat(1 << 20), "BODY[HEADER.FIELDS (\"Message-Id\")]");
    let answer = format!(
        "* 1 FETCH ({hidden} {{{}}}\r\n{filler} UID 7 {hidden} NIL BODY[1] {{3}}\r\nabc {hidden} {{26}}\r\nMessage-ID: <odd@x.test>\r\n)\r\n\
         * 2 FETCH (UID 8 {hidden} \"\")\r\n",
        filler.len()
    );
    stage.upstream.plays(Script::answering(move |peer, command| {
        command.is("FETCH") && peer.send(&answer) && peer.say(&[&format!("{} OK fetched", command.tag)])
    }));
    let mut imap = stage.session(&stage.token("archive"));
    assert_eq!(imap.command("a", "FETCH 1 BODY.PEEK[1]"), ["* 1 FETCH (BODY[1] {3}", "abc)", "a OK fetched"]);
    imap.command_ok("b", "LOGOUT");
    assert_eq!(told(&who_read(&stage.gateway, "odd@x.test")), [("archive", "INBOX", 7, "body")]);
}

#[test]
fn real_programs_are_found_and_reading_much_takes_few_records() {
    let count = 600;
    let stage = stage(count);
    let (port, ca) = (stage.gateway.port("imaps"), stage.gateway.ca_file());
    let [python, curl, sync] = ["python", "curl", "sync"].map(|name| stage.gateway.add_tool(name, ADDRESS, "backup"));
    let token = |tool: &Tool| stage.gateway.token(tool, ADDRESS);
    let args = ["localhost", &port.to_string(), ADDRESS];
    let read = clients::script("imap_read.py", ca, &args, token(&python).as_bytes()).expect_ok("imaplib");
    assert_eq!(read.lines().count(), count);
    let url = format!("imaps://localhost:{port}/INBOX/;UID=7");
    let user = format!("{ADDRESS}:{}", token(&curl));
    clients::curl(ca, &["--user", &user, &url], b"").expect_ok("curl");
    clients::mbsync(port, ca, ADDRESS, &token(&sync), &stage.dir.path().join("copy")).expect_ok("mbsync");
    // curl says LOGOUT and does not wait for what it is told.
    let readers = wait_for("all records", PATIENCE, || {
        let mut readers: Vec<String> = told(&who_read(&stage.gateway, "<6@seeded.test>"))
            .iter()
            .map(|(client, ..)| (*client).to_owned())
            .collect();
        readers.sort();
        (readers.len() == 3).then_some(readers)
    });
    assert_eq!(readers, ["curl", "python", "sync"]);
    let log = stage.gateway.audit();
    let records = log.iter().filter(|event| event["code"] == "messages.read").count();
    // Two tools read all; a slow machine makes a record a second.
    assert!(records < count / 4, "{records} records for {count} messages read one by one");
    let counted: u64 = log
        .iter()
        .filter(|event| event["code"] == "messages.read")
        .map(|event| event["detail"]["count"].as_str().expect("a count").parse::<u64>().expect("a number"))
        .sum();
    assert_eq!(counted, 2 * count as u64 + 1);
    stage.gateway.manage_ok(&["audit", "verify"], b"");
}

#[test]
fn what_an_open_session_has_read_is_recorded_within_a_second_or_so_and_survives_a_kill() {
    let mut stage = stage(2);
    let tool = stage.gateway.add_tool("reader", ADDRESS, "backup");
    let mut imap = session(&stage, &tool);
    imap.command_ok("a", "FETCH 1 BODY[]");
    wait_for("the record", PATIENCE, || (!who_read(&stage.gateway, "<0@seeded.test>").is_empty()).then_some(()));
    stage.gateway.kill();
    stage.gateway.serve();
    assert_eq!(told(&who_read(&stage.gateway, "<0@seeded.test>")), [("reader", "INBOX", 1, "body")]);
    // A session that is killed in the middle leaves what it delivered.
    let mut imap = session(&stage, &tool);
    imap.command_ok("a", "FETCH 2 RFC822.HEADER");
    drop(imap);
    wait_for("the last record", PATIENCE, || (!who_read(&stage.gateway, "<1@seeded.test>").is_empty()).then_some(()));
}

#[test]
fn a_sent_message_shows_who_sent_it_and_of_its_recipients_what_the_grant_says() {
    let stage = Stage::sending();
    let mut log_before = stage.gateway.audit().len();
    for (setting, expected) in
        [("full", Some(ADDRESS)), ("domain", Some("@example.test")), ("none", None), ("digest", None), ("", None)]
    {
        let name = format!("sender-{setting}");
        let tool = stage.gateway.add_client(&name);
        let mut add = vec!["grant", "add", "--client", &tool.id, "--mailbox", ADDRESS, "--preset", "marketing"];
        if !setting.is_empty() {
            add.extend(["--audit-recipients", setting]);
        }
        stage.gateway.manage_ok(&add, b"");
        let mut smtp = Wire::connect(stage.gateway.port("smtps"), stage.gateway.ca_file());
        smtp.reply();
        let auth = format!("AUTH PLAIN {}", plain(ADDRESS, &stage.gateway.token(&tool, ADDRESS)));
        say(&mut smtp, &auth, "235");
        say(&mut smtp, &format!("MAIL FROM:<{ADDRESS}>"), "250");
        say(&mut smtp, &format!("RCPT TO:<{ADDRESS}>"), "250");
        say(&mut smtp, "DATA", "354");
        say(&mut smtp, &format!("From: {ADDRESS}\r\nMessage-ID: <{setting}@sent.test>\r\n\r\nhello\r\n."), "250");
        let readings = who_read(&stage.gateway, &format!("{setting}@sent.test"));
        assert_eq!(told(&readings), [(name.as_str(), "-", 0, "sent")]);
        let log = stage.gateway.audit().split_off(log_before);
        log_before += log.len();
        let event = log.iter().find(|event| event["code"] == "message.submitted").expect("a record");
        let to = event["detail"]["to"].as_str().expect("a list");
        match (setting, expected) {
            (_, Some(expected)) => assert_eq!(to, expected, "{setting}"),
            ("none", None) => assert_eq!(to, ""),
            (_, None) => assert!(to.len() == 32 && to.bytes().all(|byte| byte.is_ascii_hexdigit()), "{setting}: {to}"),
        }
        assert_eq!(event["detail"]["recipients"], "1");
    }
}

#[test]
fn every_recipient_of_a_message_to_many_is_recorded() {
    let scene = Submission::set(|_| Act::Well);
    let mut smtp = scene.session();
    say(&mut smtp, &format!("MAIL FROM:<{ADDRESS}>"), "250");
    for number in 0..700 {
        say(&mut smtp, &format!("RCPT TO:<customer{number}@else.test>"), "250");
    }
    say(&mut smtp, "DATA", "354");
    say(&mut smtp, &format!("From: {ADDRESS}\r\nMessage-ID: <many@sent.test>\r\n\r\nhello\r\n."), "250");
    let log = scene.gateway.audit();
    let sent: Vec<_> = log.iter().filter(|event| event["code"] == "message.submitted").collect();
    let detail = |event: &Value, name: &str| event["detail"][name].as_str().unwrap_or_default().to_owned();
    let parts: Vec<_> = sent.iter().map(|event| detail(event, "part")).collect();
    assert_eq!(parts, ["1/2", "2/2"]);
    let mut told: Vec<_> =
        sent.iter().flat_map(|event| detail(event, "to").split(' ').map(str::to_owned).collect::<Vec<_>>()).collect();
    told.sort();
    told.dedup();
    assert!(told.len() == 700 && told.iter().all(|digest| digest.len() == 32), "{} digests", told.len());
    assert_eq!(who_read(&scene.gateway, "many@sent.test").len(), 1, "it was sent once");
}

#[test]
fn who_read_is_for_those_who_may_read_the_log_and_reads_its_question_strictly() {
    let stage = stage(1);
    let (gateway, operator) = (&stage.gateway, stage.gateway.operator_token.as_str());
    let get = |path: &str, token: &str| Api::of(gateway).get(path, token);
    let added = gateway.manage_ok(&["operator", "add", "guard", "--role", "auditor", "--format", "json"], b"");
    let added: Value = serde_json::from_str(&added).expect("JSON");
    let auditor = added["operator_token"].as_str().expect("a token");
    assert_eq!(get("/api/v1/audit/who-read?message_id=a@b", auditor).json(), json!({ "readings": [] }));
    assert_eq!(get("/api/v1/audit/who-read?message_id=a@b", "mwo_nobody").status, 401);
    for (query, status) in [
        ("", 400),
        ("?message_id=", 400),
        ("?message_id=%3C%3E", 400),
        ("?message_id=a@b&limit=0", 400),
        ("?message_id=a@b&limit=1001", 400),
        ("?message_id=a@b&more=1", 400),
        ("?message_id=a@b&mailbox=nobody@example.test", 404),
    ] {
        assert_eq!(get(&format!("/api/v1/audit/who-read{query}"), operator).status, status, "{query}");
    }
}

#[test]
fn a_reader_by_pop3_is_named_as_one_by_imap_is() {
    let mut stage = stage(4);
    let [python, hand, idler] = ["python", "hand", "idler"].map(|name| stage.gateway.add_tool(name, ADDRESS, "backup"));
    let size = "From: a@seeded.test\r\nMessage-ID:\r\n <1@seeded.test>\r\n\r\nmessage 1\r\n".len();
    let header = size - "message 1\r\n".len();
    // It lists, and reads nothing.
    let mut pop3 = Pop3::session(&stage.gateway, ADDRESS, &stage.gateway.token(&idler, ADDRESS));
    assert_eq!(pop3.unique_ids().len(), 4);
    pop3.say("RETR 9", "-ERR");
    pop3.say("QUIT", "+OK");
    let mut pop3 = Pop3::session(&stage.gateway, ADDRESS, &stage.gateway.token(&hand, ADDRESS));
    pop3.fetch("TOP 2 0");
    pop3.fetch("TOP 2 1");
    pop3.fetch("RETR 2");
    // While the session goes on.
    let readings = wait_for("the record", PATIENCE, || {
        let readings = who_read(&stage.gateway, "<1@seeded.test>");
        (readings.len() == 3).then_some(readings)
    });
    let hand_read = [("hand", "INBOX", 2, "header"), ("hand", "INBOX", 2, "body"), ("hand", "INBOX", 2, "body")];
    assert_eq!(told(&readings), hand_read);
    let octets: Vec<_> = readings.iter().map(|one| one["bytes"].as_u64().expect("a number")).collect();
    assert_eq!(octets, [header as u64, size as u64, size as u64]);
    // The last command before QUIT is recorded before the goodbye.
    pop3.fetch("RETR 4");
    pop3.say("QUIT", "+OK");
    assert_eq!(told(&who_read(&stage.gateway, "<3@seeded.test>")), [("hand", "INBOX", 4, "body")]);
    let (ca, port) = (stage.gateway.ca_file(), stage.gateway.port("pop3s").to_string());
    let token = stage.gateway.token(&python, ADDRESS);
    clients::script("pop3_read.py", ca, &["pop3s", &port, ADDRESS], format!("{token}\n").as_bytes())
        .expect_ok("poplib");
    let both = who_read(&stage.gateway, "<0@seeded.test>");
    assert_eq!(told(&both)[0], ("python", "INBOX", 1, "body"), "{both:?}");
    assert!(both.iter().all(|one| one["client"] == "python" && one["uid"] == 1), "{both:?}");
    // By IMAP it is the same place: what was read without its header is found too.
    let mut imap = session(&stage, &idler);
    imap.command_ok("a", "UID FETCH 2 BODY[TEXT]");
    imap.command_ok("b", "LOGOUT");
    assert!(told(&who_read(&stage.gateway, "<1@seeded.test>")).contains(&("idler", "INBOX", 2, "body")));
    let visits: Vec<_> = stage.gateway.audit().into_iter().filter(|event| event["code"] == "folder.visited").collect();
    assert_eq!((&visits[0]["detail"]["listed"], &visits[0]["detail"]["folder"]), (&json!("4"), &json!("INBOX")));
    stage.gateway.kill();
    stage.gateway.serve();
    assert_eq!(told(&who_read(&stage.gateway, "<3@seeded.test>"))[0], ("hand", "INBOX", 4, "body"));
}

#[test]
fn what_pop3_removes_is_recorded_and_what_it_hides_is_no_change() {
    let stage = stage(6);
    let remover = stage.gateway.add_tool("remover", ADDRESS, "full");
    let hider = stage.gateway.add_client("hider");
    let add = ["grant", "add", "--client", &hider.id, "--mailbox", ADDRESS, "--preset", "backup"];
    stage.gateway.manage_ok(&[&add[..], &["--pop3-delete", "virtual"]].concat(), b"");
    for (tool, numbers) in [(&hider, &[1][..]), (&remover, &[2, 3, 5])] {
        let mut pop3 = Pop3::session(&stage.gateway, ADDRESS, &stage.gateway.token(tool, ADDRESS));
        for number in numbers {
            pop3.say(&format!("DELE {number}"), "+OK");
        }
        pop3.say("QUIT", "+OK");
    }
    // Marked, and never removed.
    let mut pop3 = Pop3::session(&stage.gateway, ADDRESS, &stage.gateway.token(&remover, ADDRESS));
    pop3.say("DELE 1", "+OK");
    pop3.say("RSET", "+OK");
    pop3.say("QUIT", "+OK");
    let log = stage.gateway.audit();
    let changes: Vec<_> = log.iter().filter(|event| event["code"] == "messages.changed").collect();
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!((&changes[0]["client_id"], &changes[0]["outcome"]), (&json!(remover.id), &json!("success")));
    let validity = changes[0]["detail"]["uidvalidity"].as_str().expect("a number");
    let expected = json!({ "command": "DELE", "folder": "INBOX", "uids": "2:3,5", "uidvalidity": validity });
    assert_eq!(changes[0]["detail"], expected);
    stage.gateway.manage_ok(&["audit", "verify"], b"");
}
