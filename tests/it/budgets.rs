//! What a grant lets be used up in an hour or day, and how many sessions at a time: exact across sessions, reconnects and nodes.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::ca::Ca;
use crate::support::gateway::{Gateway, Tool, Upstream, plain};
use crate::support::http::{HERE, ask, basic, get, post};
use crate::support::maildir;
use crate::support::postgres::Postgres;
use crate::support::smtp_upstream::{Act, SmtpUpstream};
use crate::support::stage::{ADDRESS, PASSWORD, ScriptedStage, Stage};
use crate::support::submission::{Submission, add_mailbox, say};
use crate::support::upstream::imap::{Script, ScriptedImap};
use crate::support::wire::Wire;
use crate::support::{PATIENCE, early_in_the_hour, folder, long_run, wait_for};

/// So many sessions at a time.
const MOST: usize = 6;

/// A tool with a grant of these budgets.
fn budgeted(gateway: &Gateway, name: &str, preset: &str, budgets: &[&str]) -> Tool {
    let tool = gateway.add_client(name);
    let mut grant = vec!["grant", "add", "--client", &tool.id, "--mailbox", ADDRESS, "--preset", preset];
    for budget in budgets {
        grant.extend(["--budget", budget]);
    }
    gateway.manage_ok(&grant, b"");
    tool
}

/// A session for submission.
fn smtp_session(gateway: &Gateway, token: &str) -> Wire {
    let mut smtp = Wire::connect(gateway.port("smtps"), gateway.ca_file());
    smtp.reply();
    say(&mut smtp, "EHLO tool.example.test", "250");
    say(&mut smtp, &format!("AUTH PLAIN {}", plain(ADDRESS, token)), "235");
    smtp
}

/// Checks that this is a refusal by a budget that is explained under its verdict id.
#[track_caller]
fn explained(gateway: &Gateway, line: &str, budget: &str) {
    assert!(line.contains(budget), "{budget} is not named: {line}");
    let verdict = line.split_once("(verdict ").and_then(|(_, rest)| rest.strip_suffix(')')).expect("a verdict");
    let told = gateway.manage_ok(&["grant", "explain", "--verdict", verdict, "--format", "json"], b"");
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["rule"], "budget", "{told}");
}

/// The records that a budget was used up.
fn exhausted(gateway: &Gateway) -> Vec<Value> {
    gateway.audit().into_iter().filter(|event| event["code"] == "budget.exhausted").collect()
}

/// Two nodes on one PostgreSQL before an upstream. Fields go in this order, so that nodes end first.
struct Nodes<U> {
    second: Gateway,
    first: Gateway,
    upstream: U,
    _dir: tempfile::TempDir,
}

impl<U> Nodes<U> {
    fn start(start: impl FnOnce(&Ca) -> U, register: impl FnOnce(&Gateway, &Ca, &U)) -> Self {
        let dir = folder();
        let ca = Ca::create(&dir.path().join("ca"));
        let upstream = start(&ca);
        let mut first = Gateway::prepare_on(&ca, Some(Postgres::start()));
        first.serve();
        let second = first.second_node();
        register(&first, &ca, &upstream);
        Self { second, first, upstream, _dir: dir }
    }
}

#[test]
fn sm_06_of_two_nodes_recipients_the_hundred_and_first_waits_for_the_next_hour() {
    let nodes = Nodes::start(
        |ca| SmtpUpstream::start(ca, |_| Act::Well),
        |node, ca, upstream| {
            add_mailbox(node, ca, ADDRESS, upstream.port, "implicit").expect_ok("mailbox add");
        },
    );
    let both = [&nodes.first, &nodes.second];
    let tool = budgeted(&nodes.first, "sender", "marketing", &["recipients=100/hour"]);
    let token = nodes.second.token(&tool, ADDRESS);
    early_in_the_hour();
    let taken = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for node in both.into_iter().cycle().take(4) {
            let (token, taken) = (&token, &taken);
            scope.spawn(move || {
                // Ten a session, each in a new one, until the first refusal.
                loop {
                    let mut smtp = smtp_session(node, token);
                    say(&mut smtp, &format!("MAIL FROM:<{ADDRESS}>"), "250");
                    for number in 0..10 {
                        smtp.send(format!("RCPT TO:<customer{number}@else.test>\r\n"));
                        let reply = smtp.reply();
                        if !reply[0].starts_with("250") {
                            assert!(reply[0].starts_with("452 4.5.3 "), "{reply:?}");
                            return;
                        }
                        taken.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert_eq!(taken.load(Ordering::SeqCst), 100);
    assert_eq!(nodes.upstream.received().matches("RCPT TO").count(), 100, "no more were asked upstream");
    for node in both {
        let mut smtp = smtp_session(node, &nodes.first.token(&tool, ADDRESS));
        say(&mut smtp, &format!("MAIL FROM:<{ADDRESS}>"), "250");
        let reply = say(&mut smtp, "RCPT TO:<customer@else.test>", "452 4.5.3 ");
        explained(node, &reply[0], "recipients=100/hour");
    }
    let told = exhausted(&nodes.first);
    assert_eq!(told.len(), 1, "told once: {told:?}");
    assert_eq!(told[0]["detail"], json!({ "budget": "recipients", "span": "hour", "limit": "100" }));
}

#[test]
fn sm_06_what_was_refused_upstream_is_not_counted_and_what_was_sent_is() {
    let scene = Submission::set(|step| match step {
        "RCPT TO:<nobody@else.test>" => Act::say("550 5.1.1 nobody"),
        _ => Act::Well,
    });
    let tool = budgeted(
        &scene.gateway,
        "counted",
        "marketing",
        &["recipients=3/day", "messages_sent=2/day", "bytes=1000/day"],
    );
    let token = scene.gateway.token(&tool, ADDRESS);
    early_in_the_hour();
    let message = format!("From: <{ADDRESS}>\r\nSubject: hello\r\n\r\nHello\r\n.");
    let mut smtp = smtp_session(&scene.gateway, &token);
    let mail = format!("MAIL FROM:<{ADDRESS}>");
    say(&mut smtp, &mail, "250");
    for _ in 0..5 {
        say(&mut smtp, "RCPT TO:<nobody@else.test>", "550");
    }
    say(&mut smtp, "RCPT TO:<one@else.test>", "250");
    say(&mut smtp, "DATA", "354");
    // Refused by us: it is no message sent.
    say(&mut smtp, "From: <boss@else.test>\r\n\r\nHello\r\n.", "550");
    for _ in 0..2 {
        say(&mut smtp, &mail, "250");
        say(&mut smtp, "RCPT TO:<two@else.test>", "250");
        say(&mut smtp, "DATA", "354");
        say(&mut smtp, &message, "250");
    }
    say(&mut smtp, "QUIT", "221");
    let mut smtp = smtp_session(&scene.gateway, &token);
    say(&mut smtp, &mail, "250");
    let reply = say(&mut smtp, "RCPT TO:<three@else.test>", "452 4.5.3 ");
    explained(&scene.gateway, &reply[0], "recipients=3/day");
    assert_eq!(scene.upstream.messages().len(), 2);
    let told =
        ask(&scene.gateway, HERE, get("/oauth/me").replace("\r\n\r\n", &format!("\r\n{}\r\n", basic(&tool)))).json();
    let left = &told["mailboxes"][0]["budgets_left"];
    assert_eq!((&left["recipients"]["day"], &left["messages_sent"]["day"]), (&json!(0), &json!(0)), "{told}");
    let octets = left["bytes"]["day"].as_u64().expect("a number");
    assert!((800..1000 - 2 * message.len() as u64 + 10).contains(&octets), "{told}");
}

#[test]
fn a_message_beyond_its_budget_is_refused_before_it_is_taken() {
    let scene = Submission::set(|_| Act::Well);
    early_in_the_hour();
    for (name, budget, goes_first) in
        [("few", "messages_sent=1/hour", true), ("none", "messages_sent=0/day", false), ("small", "bytes=10/day", true)]
    {
        let tool = budgeted(&scene.gateway, name, "marketing", &[budget]);
        let mut smtp = smtp_session(&scene.gateway, &scene.gateway.token(&tool, ADDRESS));
        let begin = |smtp: &mut Wire| {
            say(smtp, &format!("MAIL FROM:<{ADDRESS}>"), "250");
            say(smtp, "RCPT TO:<customer@else.test>", "250");
        };
        begin(&mut smtp);
        if goes_first {
            say(&mut smtp, "DATA", "354");
            say(&mut smtp, &format!("From: <{ADDRESS}>\r\n\r\nHello\r\n."), "250");
            begin(&mut smtp);
        }
        let reply = say(&mut smtp, "DATA", "450 4.7.1 ");
        explained(&scene.gateway, &reply[0], budget);
    }
    assert_eq!(scene.upstream.messages().len(), 2);
}

#[test]
fn a_tool_reads_no_more_messages_and_octets_than_its_budgets_hold() {
    let stage = Stage::reading(|dovecot| drop(maildir::seed(&dovecot.maildir(ADDRESS), 10, 0)));
    let gateway = &stage.gateway;
    early_in_the_hour();
    let limited = |imap: &mut Wire, command: &str, budget: &str| {
        let answer = imap.command("limit", command);
        assert!(answer[0].starts_with("limit NO [LIMIT] "), "{command}: {answer:?}");
        explained(gateway, &answer[0], budget);
    };
    let open = |tool: &Tool| {
        let mut imap = gateway.imap_session(ADDRESS, &gateway.token(tool, ADDRESS));
        imap.command_ok("open", "EXAMINE INBOX");
        imap
    };
    let cut_off = |imap: &mut Wire, command: &str, count: usize, budget: &str| {
        let answer = imap.command("cut", command);
        let delivered = answer.iter().filter(|line| line.contains("BODY[")).count();
        assert_eq!(delivered, count, "{command}: {answer:?}");
        let last = answer.last().expect("an answer");
        assert!(last.starts_with("cut NO [LIMIT] "), "{command}: {answer:?}");
        explained(gateway, last, budget);
        assert!(imap.line().starts_with("* BYE [LIMIT] "), "a session of which the upstream is not done ends");
    };
    let tool = budgeted(gateway, "reader", "backup", &["messages_read=4/hour"]);
    let mut imap = open(&tool);
    imap.command_ok("a", "FETCH 1:* (FLAGS ENVELOPE BODY.PEEK[HEADER.FIELDS (SUBJECT)])");
    imap.command_ok("b", "FETCH 1:2 BODY.PEEK[]");
    imap.command_ok("c", "FETCH 3 BODY.PEEK[TEXT]");
    drop(imap);
    let mut imap = open(&tool);
    // One is left, and nothing more is delivered whatever was asked for together.
    cut_off(&mut imap, "UID FETCH 1:* BODY.PEEK[]<0.10>", 1, "messages_read=4/hour");
    let mut imap = open(&tool);
    limited(&mut imap, "FETCH 1 BODY.PEEK[]", "messages_read=4/hour");
    limited(&mut open(&tool), "UID FETCH 1 (UID RFC822)", "messages_read=4/hour");
    imap.command_ok("e", "FETCH 1:* (FLAGS BODY.PEEK[HEADER])");
    assert_eq!(exhausted(gateway).len(), 1);

    let tool = budgeted(gateway, "bytes", "archive", &["bytes=1000/day"]);
    let mut imap = open(&tool);
    imap.send("a APPEND INBOX {1001}\r\n");
    let answer = imap.answer("a");
    assert!(answer[0].starts_with("a NO [LIMIT] "), "{answer:?}");
    let text = format!("Subject: x\r\n\r\n{}", "x".repeat(886));
    imap.send(format!("b APPEND INBOX {{900+}}\r\n{text}\r\n"));
    let answer = imap.answer("b");
    assert!(answer.last().is_some_and(|line| line.starts_with("b OK")), "{answer:?}");
    imap.send(format!("c APPEND INBOX {{900+}}\r\n{text}\r\n"));
    assert!(imap.answer("c")[0].starts_with("c NO [LIMIT] "));
    imap.command_ok("d", "FETCH 11 BODY.PEEK[]");
    limited(&mut imap, "FETCH 1 BODY.PEEK[]", "bytes=1000/day");
    limited(&mut imap, "FETCH 1 BODY.PEEK[HEADER]", "bytes=1000/day");
    imap.command_ok("e", "FETCH 1:* (UID FLAGS)");

    // Exactly as much as there is is no reason to be cut off.
    let mut imap = open(&budgeted(gateway, "whole", "backup", &["messages_read=11/hour"]));
    let whole = imap.command_ok("a", "FETCH 1:* BODY.PEEK[TEXT]");
    assert_eq!(whole.iter().filter(|line| line.contains("BODY[TEXT]")).count(), 11);
    limited(&mut imap, "FETCH 1 BODY.PEEK[]", "messages_read=11/hour");
    // Headers are octets too, and the one that goes beyond is the last.
    let mut imap = open(&budgeted(gateway, "octets", "backup", &["bytes=10/hour"]));
    cut_off(&mut imap, "FETCH 1:* BODY.PEEK[HEADER]", 1, "bytes=10/hour");
}

#[test]
fn a_tool_that_has_sent_on_hears_why_it_was_cut_off() {
    let stage = ScriptedStage::set();
    let tool = budgeted(&stage.gateway, "hasty", "backup", &["messages_read=1/hour"]);
    stage.upstream.plays(Script::answering(|peer, command| {
        // More than lies at the tool before it reads.
        let message = format!("FETCH (BODY[] {{400000}}\r\n{})", "x".repeat(400_000));
        command.is("FETCH")
            && peer.say(&[&format!("* 1 {message}"), &format!("* 2 {message}"), &format!("{} OK fetched", command.tag)])
    }));
    let mut imap = stage.session(&stage.gateway.token(&tool, ADDRESS));
    // More than anybody reads ahead.
    imap.send(format!("a FETCH 1:2 BODY.PEEK[]\r\n{}", "b NOOP\r\n".repeat(20_000)));
    let running = || stage.gateway.manage_ok(&["session", "list", "--format", "json"], b"").contains("ses_");
    wait_for("the session to end", PATIENCE, || (!running()).then_some(()));
    let heard = imap.rest().expect("all that was said");
    let told = heard.iter().position(|line| line.starts_with("a NO [LIMIT] "));
    assert!(heard[0].starts_with("* 1 FETCH ") && told.is_some(), "{} lines", heard.len());
    assert!(heard.last().is_some_and(|line| line.starts_with("* BYE [LIMIT] ")));
}

#[test]
fn a_tool_walks_no_more_folders_than_its_budget_holds() {
    let stage = Stage::reading(|_| ());
    let gateway = &stage.gateway;
    let helper = gateway.add_tool("helper", ADDRESS, "helpdesk");
    let mut imap = gateway.imap_session(ADDRESS, &gateway.token(&helper, ADDRESS));
    for name in ["One", "Two"] {
        imap.command_ok("make", &format!("CREATE {name}"));
    }
    early_in_the_hour();
    let tool = budgeted(gateway, "walker", "backup", &["folders=2/hour"]);
    let session = || gateway.imap_session(ADDRESS, &gateway.token(&tool, ADDRESS));
    let mut imap = session();
    for command in ["SELECT INBOX", "EXAMINE One", "EXAMINE inbox"] {
        imap.command_ok("a", command);
    }
    for mut imap in [imap, session()] {
        imap.command_ok("b", "EXAMINE One");
        let answer = imap.command("c", "EXAMINE Two");
        assert!(answer[0].starts_with("c NO [LIMIT] "), "{answer:?}");
        explained(gateway, &answer[0], "folders=2/hour");
        // RFC 3501 section 6.3.1: nothing is selected now.
        assert!(imap.command("d", "SEARCH ALL")[0].starts_with("d BAD"));
        imap.command_ok("e", "STATUS Two (MESSAGES)");
    }
    // What two sessions held ahead, or might have, is counted once.
    assert_eq!(gateway.number("SELECT CAST(SUM(used) AS BIGINT) FROM budget_uses WHERE what = 'folders'"), 2);
}

#[test]
fn gw_15_of_two_nodes_sessions_one_too_many_is_refused_and_none_leaks() {
    let mut nodes = Nodes::start(ScriptedImap::start, |node, ca, upstream| {
        let ports = Upstream { imap: upstream.port, smtp: None, starttls: false };
        node.add_mailbox(ADDRESS, PASSWORD, ports, ca).expect_ok("mailbox add");
    });
    let tool = budgeted(&nodes.first, "many", "backup", &["sessions=6"]);
    let token = nodes.first.token(&tool, ADDRESS);
    let attempt = |node: &Gateway| {
        let mut imap = node.imap();
        let answer = imap.command("a", &format!("LOGIN {ADDRESS} {token}"));
        let last = answer.last().expect("an answer").clone();
        if last.starts_with("a OK") {
            return Ok(imap);
        }
        assert!(last.starts_with("a NO [LIMIT] "), "{answer:?}");
        Err(last)
    };
    let full = |first: &Gateway, second: &Gateway| {
        let both = [first, second];
        let open: Vec<_> = both
            .into_iter()
            .cycle()
            .take(MOST)
            .map(|node| {
                // Another node's seats are given back within a second of the end of their sessions.
                wait_for("a seat", PATIENCE, || attempt(node).ok())
            })
            .collect();
        for node in both {
            assert!(attempt(node).is_err(), "one too many");
        }
        open
    };
    drop(full(&nodes.first, &nodes.second));
    let closes = if long_run() { 10_000 } else { 1_000 };
    let count = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for node in [&nodes.first, &nodes.second].into_iter().cycle().take(MOST) {
            let (attempt, count) = (&attempt, &count);
            scope.spawn(move || {
                while count.load(Ordering::SeqCst) < closes {
                    // Gone without a word.
                    if let Ok(imap) = attempt(node) {
                        drop(imap);
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    wait_for("all seats to be given back", PATIENCE, || {
        (nodes.first.number("SELECT COUNT(*) FROM session_seats") == 0).then_some(())
    });
    let open = full(&nodes.first, &nodes.second);
    // A node that dies has its seats taken away after a while; those of the other stay.
    nodes.second.kill();
    let again: Vec<_> =
        (0..MOST / 2).map(|_| wait_for("a dead node's seat", PATIENCE, || attempt(&nodes.first).ok())).collect();
    assert!(attempt(&nodes.first).is_err(), "one too many");
    drop((open, again));
    let refused = nodes.first.audit().into_iter().filter(|event| event["code"] == "login.refused").collect::<Vec<_>>();
    // Of so many, most are told of together.
    let of_budget = |event: &Value| event["detail"]["reason"] == "the grant's budget sessions=6 is used up";
    assert!(refused.iter().all(|event| of_budget(event) || event["detail"]["rule"] == "slowed"), "{refused:?}");
}

#[test]
fn a_login_that_finds_no_seat_does_not_use_its_token_up() {
    let stage = Stage::reading(|_| ());
    let gateway = &stage.gateway;
    let tool = gateway.add_client("once");
    let grant = ["grant", "add", "--client", &tool.id, "--mailbox", ADDRESS, "--preset", "backup"];
    gateway.manage_ok(&[&grant[..], &["--budget", "sessions=1", "--pin-once"]].concat(), b"");
    let (first, second) = (gateway.token(&tool, ADDRESS), gateway.token(&tool, ADDRESS));
    let mut open = gateway.imap_session(ADDRESS, &first);
    let log_in = |token: &str| {
        let mut imap = gateway.imap();
        imap.command("a", &format!("LOGIN {ADDRESS} {token}")).pop().expect("an answer")
    };
    assert!(log_in(&second).starts_with("a NO [LIMIT] "), "the only seat is taken");
    open.command_ok("l", "LOGOUT");
    drop(open);
    let is_in = |answer: &String| answer.starts_with("a OK");
    wait_for("the seat", PATIENCE, || Some(log_in(&second)).filter(is_in));
    wait_for("its end, and that one use was enough", PATIENCE, || {
        Some(log_in(&second)).filter(|answer| answer.starts_with("a NO [AUTHENTICATIONFAILED]"))
    });
}

#[test]
fn a_token_has_less_than_its_grant_or_as_much() {
    let scene = Submission::set(|_| Act::Well);
    let gateway = &scene.gateway;
    let tool = budgeted(gateway, "narrowed", "marketing", &["recipients=5/day", "sessions=2"]);
    early_in_the_hour();
    let details = |budgets: &str| {
        let text = format!(r#"[{{"type":"mailbox","budgets":{budgets}}}]"#);
        let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let form = format!("grant_type=client_credentials&authorization_details={encoded}");
        ask(gateway, HERE, post(&basic(&tool), &form))
    };
    for wider in [r#"{"recipients":{"day":6}}"#, r#"{"sessions":3}"#, r#"{"recipients":{"day":4},"sessions":3}"#] {
        let answer = details(wider);
        assert_eq!((answer.status, &answer.json()["error"]), (400, &"invalid_authorization_details".into()), "{wider}");
    }
    let answer = details(r#"{"recipients":{"day":2},"messages_sent":{"hour":1}}"#);
    assert_eq!(answer.status, 200, "{answer:?}");
    let narrowed = answer.json()["access_token"].as_str().expect("a token").to_owned();
    let recipients = |token: &str| {
        let mut smtp = smtp_session(gateway, token);
        say(&mut smtp, &format!("MAIL FROM:<{ADDRESS}>"), "250");
        let mut taken = 0;
        loop {
            smtp.send("RCPT TO:<customer@else.test>\r\n");
            let reply = smtp.reply();
            if !reply[0].starts_with("250") {
                return (taken, reply[0].clone());
            }
            taken += 1;
        }
    };
    let (taken, last) = recipients(&narrowed);
    assert_eq!(taken, 2);
    explained(gateway, &last, "recipients=2/day");
    // They count on the grant's own counter.
    let (taken, last) = recipients(&gateway.token(&tool, ADDRESS));
    assert_eq!(taken, 3);
    explained(gateway, &last, "recipients=5/day");
}

#[test]
fn wrong_budgets_are_refused_with_one_clear_line() {
    let scene = Submission::set(|_| Act::Well);
    let gateway = &scene.gateway;
    let tool = gateway.add_client("wrong");
    let add = ["grant", "add", "--client", &tool.id, "--mailbox", ADDRESS, "--preset", "marketing"];
    for wrong in [
        "recipients",
        "recipients=5",
        "recipients=x/hour",
        "recipients=5/week",
        "moons=5/hour",
        "sessions=-1",
        "bytes=9007199254740992/day",
    ] {
        let finished = gateway.manage(&[&add[..], &["--budget", wrong]].concat(), b"");
        assert_eq!(finished.code, Some(1), "{wrong}: {finished:?}");
    }
    let twice = gateway.manage(&[&add[..], &["--budget", "bytes=1/day", "--budget", "bytes=2/day"]].concat(), b"");
    assert!(twice.code != Some(0) && twice.stderr.contains("--budget says twice"), "{twice:?}");
    for wrong in [
        json!({ "moons": { "hour": 1 } }),
        json!({ "recipients": { "week": 1 } }),
        json!({ "recipients": { "hour": -1 } }),
        json!({ "recipients": { "hour": null } }),
        json!({ "bytes": { "day": 9_007_199_254_740_992_u64 } }),
        json!({ "sessions": { "hour": 1 } }),
        json!({ "on_exhausted": "thaw" }),
    ] {
        let body =
            json!({ "client": tool.id, "mailbox": ADDRESS, "scope": "mail.send", "bounds": { "budgets": wrong } });
        let answer = Api::of(gateway).json("POST", "/api/v1/grants", &gateway.operator_token, &body);
        assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
    }
    gateway.manage_ok(
        &[&add[..], &["--budget", "recipients=0/hour", "--budget", "recipients=9/day", "--budget", "sessions=2"]]
            .concat(),
        b"",
    );
    let listed: Value =
        serde_json::from_str(&gateway.manage_ok(&["grant", "list", "--format", "json"], b"")).expect("JSON");
    let grants = listed["grants"].as_array().expect("grants");
    let grant = grants.iter().find(|grant| grant["client_id"] == tool.id.as_str()).expect("the grant");
    assert_eq!(grant["bounds"]["budgets"], json!({ "recipients": { "hour": 0, "day": 9 }, "sessions": 2 }));
    let shown = gateway.manage_ok(&["grant", "show", grant["id"].as_str().expect("an id")], b"");
    assert!(shown.contains("budgets=(recipients=(day=9 hour=0) sessions=2)"), "{shown}");
}

#[test]
fn a_used_up_budget_cuts_its_client_off_where_the_grant_says_so() {
    early_in_the_hour();
    let stage = Stage::reading(|dovecot| drop(maildir::seed(&dovecot.maildir(ADDRESS), 3, 0)));
    let gateway = &stage.gateway;
    let tool = budgeted(gateway, "frozen", "backup", &["messages_read=1/day", "on_exhausted=freeze"]);
    let other = budgeted(gateway, "other", "backup", &["messages_read=1/day"]);
    let token = gateway.token(&tool, ADDRESS);
    let mut bystander = gateway.imap_session(ADDRESS, &gateway.token(&other, ADDRESS));
    bystander.command_ok("a", "SELECT INBOX");
    let mut idle = gateway.imap_session(ADDRESS, &token);
    let mut reader = gateway.imap_session(ADDRESS, &token);
    reader.command_ok("a", "SELECT INBOX");
    reader.command_ok("b", "FETCH 1 BODY[]");
    reader.send("c FETCH 2 BODY[]\r\n");
    let said = reader.rest().expect("the session went on").join("\n");
    assert!(!said.contains("BODY[]") && said.contains("* BYE [CONTACTADMIN]"), "{said}");
    assert!(idle.says_goodbye(), "its other session is cut off too");
    let frozen: Vec<_> = gateway.audit().into_iter().filter(|event| event["code"] == "freeze.added").collect();
    let [freeze] = frozen.as_slice() else { panic!("{frozen:?}") };
    assert_eq!((&freeze["actor"], &freeze["client_id"]), (&json!("system"), &json!(tool.id)));
    assert_eq!(freeze["detail"]["level"], "cut", "{freeze}");
    bystander.command_ok("b", "FETCH 2 BODY[]");
    let refused = bystander.command("c", "FETCH 3 BODY[]");
    assert!(refused.last().is_some_and(|line| line.starts_with("c NO [LIMIT]")), "{refused:?}");
    bystander.command_ok("d", "NOOP");
    gateway.manage_ok(&["thaw", freeze["detail"]["freeze"].as_str().expect("an id")], b"");
    let mut again = gateway.imap_session(ADDRESS, &token);
    again.command_ok("a", "SELECT INBOX");
    let refused = again.command("b", "FETCH 2 BODY[]");
    assert!(
        refused.last().is_some_and(|line| line.starts_with("b NO [LIMIT]")),
        "thawed, and as empty as before: {refused:?}"
    );
    again.command_ok("c", "NOOP");
}
