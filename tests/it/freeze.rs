//! Freezes stop what their level says, for whom they name, at once and until they are over.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::api::Api;
use crate::support::frozen_scene::Scene;
use crate::support::gateway::{Upstream, base64, plain, xoauth2};
use crate::support::http::{HERE, ask, basic, post_to};
use crate::support::stage::{ADDRESS, PASSWORD};
use crate::support::submission::say;
use crate::support::wire::Wire;
use crate::support::{PATIENCE, wait_for};

/// What each level leaves: tokens, new sessions, changes, running sessions.
const LEVELS: [(&str, [bool; 4]); 4] = [
    ("no-new-tokens", [false, true, true, true]),
    ("read-only", [true, true, false, true]),
    ("drain", [false, false, true, true]),
    ("cut", [false, false, false, false]),
];

/// The last line of an answer begins with one of these.
#[track_caller]
fn last_is(lines: &[String], expected: &str) {
    assert!(lines.last().is_some_and(|line| line.starts_with(expected)), "no {expected:?} at the end of {lines:?}");
}

/// The connection's last word begins so, and it closes.
#[track_caller]
fn ended(wire: &mut Wire, last_word: &str) {
    wire.patience(Duration::from_secs(3));
    let lines = wire.rest().expect("the session went on after it was ended");
    last_is(&lines, last_word);
}

#[test]
fn each_level_stops_what_it_says_on_every_protocol() {
    let scene = Scene::set();
    let other = scene.gateway.add_tool("bystander", ADDRESS, "full");
    let mut bystander = scene.gateway.imap_session(ADDRESS, &scene.gateway.token(&other, ADDRESS));
    bystander.command_ok("open", "SELECT INBOX");
    for (level, [tokens, sessions, changes, running]) in LEVELS {
        let (mut imap, mut smtp) = (scene.imap_session(), scene.smtp_session());
        let id = scene.freeze(&["--client", &scene.tool.id, "--level", level]);
        // The token endpoint, in both forms.
        for protocol in [None, Some("imap"), Some("smtp")] {
            let answer = scene.ask(&scene.tool, protocol);
            assert_eq!(answer.status, if tokens { 200 } else { 400 }, "{level} {protocol:?}: {answer:?}");
            if !tokens {
                let body = answer.json();
                assert_eq!(body["error"], "access_denied", "{level}");
                assert!(body["error_description"].as_str().is_some_and(|text| text.contains(&id)), "{level}: {body}");
            }
        }
        // Sessions that run.
        if running {
            last_is(&imap.command("a", "FETCH 1 FLAGS"), "a OK");
            let store = imap.command("b", "STORE 1 +FLAGS (\\Seen)");
            last_is(&store, if changes { "b OK" } else { "b NO [UNAVAILABLE]" });
            assert_eq!(store.iter().any(|line| line.contains(&id)), !changes, "{level}: {store:?}");
            say(&mut smtp, &format!("MAIL FROM:<{ADDRESS}>"), if changes { "250" } else { "451 4.7.1" });
        } else {
            ended(&mut imap, "* BYE [CONTACTADMIN]");
            ended(&mut smtp, "421 4.7.0");
        }
        // Sessions to be.
        let mut door = scene.gateway.imap();
        let answer = door.command("c", &format!("AUTHENTICATE PLAIN {}", plain(ADDRESS, &scene.token)));
        last_is(&answer, if sessions { "c OK" } else { "c NO [UNAVAILABLE]" });
        say(
            &mut scene.smtp_door(),
            &format!("AUTH PLAIN {}", plain(ADDRESS, &scene.token)),
            if sessions { "235" } else { "454 4.7.0" },
        );
        // Somebody else.
        assert_eq!(scene.ask(&other, None).status, 200, "{level}");
        bystander.command_ok("d", "STORE 1 +FLAGS (\\Seen)");
        // And when it is over, all is as it was.
        assert_eq!(scene.freezes().len(), 1, "{level}");
        scene.gateway.manage_ok(&["thaw", &id], b"");
        assert_eq!(scene.ask(&scene.tool, None).status, 200, "{level}");
        scene.imap_session().command_ok("e", "STORE 1 +FLAGS (\\Seen)");
        if running {
            imap.command_ok("f", "STORE 1 +FLAGS (\\Seen)");
        }
    }
    let refused = scene.recorded("login.refused");
    assert!(refused.iter().all(|event| event["detail"]["reason"].as_str().is_some_and(|why| why.contains("frz_"))));
    assert_eq!(refused.len(), 4, "two protocols, two levels: {refused:?}");
    assert_eq!((scene.recorded("freeze.added").len(), scene.recorded("freeze.ended").len()), (4, 4));
}

#[test]
fn a_freeze_of_one_protocol_leaves_the_other_alone() {
    let scene = Scene::set();
    let (mut imap, mut smtp) = (scene.imap_session(), scene.smtp_session());
    scene.freeze(&["--protocol", "smtp", "--mailbox", ADDRESS, "--level", "cut"]);
    ended(&mut smtp, "421 4.7.0");
    imap.command_ok("a", "STORE 1 +FLAGS (\\Seen)");
    let status = |protocol| scene.ask(&scene.tool, protocol).status;
    // A signed token opens both protocols, so it is still to be had; a handle opens one.
    assert_eq!((status(None), status(Some("imap")), status(Some("smtp"))), (200, 200, 400));
    say(&mut scene.smtp_door(), &format!("AUTH PLAIN {}", plain(ADDRESS, &scene.token)), "454 4.7.0");
    // Of two, the strictest wins per question.
    scene.freeze(&["--all", "--level", "read-only"]);
    last_is(&imap.command("b", "STORE 1 +FLAGS (\\Seen)"), "b NO [UNAVAILABLE]");
    last_is(&imap.command("c", "FETCH 1 FLAGS"), "c OK");
    let printed = scene.gateway.manage_ok(&["thaw", "--all", "--format", "json"], b"");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).expect("JSON"), json!({ "ended": 2 }));
    imap.command_ok("d", "STORE 1 +FLAGS (\\Seen)");
    scene.smtp_session();
}

#[test]
fn what_is_under_way_when_reading_alone_is_left_is_not_finished() {
    let scene = Scene::set();
    let mut smtp = scene.smtp_session();
    crate::support::submission::begin(&mut smtp);
    smtp.send(format!("From: <{ADDRESS}>\r\nSubject: under way\r\n\r\n"));
    let mut imap = scene.imap_session();
    imap.send("a APPEND INBOX {40}\r\n");
    assert!(imap.line().starts_with('+'));
    imap.send("Subject: under way\r\n");
    let id = scene.freeze(&["--client", &scene.tool.id, "--level", "read-only"]);
    smtp.send("text\r\n.\r\n");
    last_is(&smtp.reply(), "451 4.7.1");
    assert!(scene.smtp.messages().is_empty(), "it was sent all the same");
    imap.send("\r\nthe end of it 1234\r\n");
    let lines = imap.rest().expect("it ends");
    assert!(lines.iter().any(|line| line.starts_with("a NO [UNAVAILABLE]") && line.contains(&id)), "{lines:?}");
    last_is(&lines, "* BYE [UNAVAILABLE]");
    assert!(!scene.imap.heard().iter().any(|command| command.is("APPEND")), "it was added all the same");
    assert!(scene.recorded("message.submitted").is_empty());
}

#[test]
fn a_freeze_ends_by_itself_when_its_time_is_over() {
    let scene = Scene::set();
    let mut imap = scene.imap_session();
    let began = Instant::now();
    scene.freeze(&["--client", "frozen", "--level", "read-only", "--for", "4s"]);
    let id = scene.freeze(&["--mailbox", ADDRESS, "--level", "no-new-tokens", "--for", "4s"]);
    last_is(&imap.command("a", "STORE 1 +FLAGS (\\Seen)"), "a NO [UNAVAILABLE]");
    assert_eq!(scene.ask(&scene.tool, None).status, 400);
    assert!(scene.freezes()[0]["thaws_at"].is_string());
    wait_for("tokens to be issued again", PATIENCE, || (scene.ask(&scene.tool, None).status == 200).then_some(()));
    assert!(began.elapsed() >= Duration::from_secs(4), "it ended after {:?}", began.elapsed());
    imap.command_ok("b", "STORE 1 +FLAGS (\\Seen)");
    let over = wait_for("the ends to be recorded", PATIENCE, || {
        Some(scene.recorded("freeze.ended")).filter(|events| events.len() == 2)
    });
    assert!(over.iter().all(|event| event["actor"] == "system" && event["detail"]["ended_by"] == "timer"), "{over:?}");
    assert!(scene.freezes().is_empty());
    let again = scene.gateway.manage(&["thaw", &id], b"");
    assert_eq!(again.code, Some(2), "{again:?}");
    assert_eq!(scene.gateway.number("SELECT COUNT(*) FROM freezes"), 0);
}

#[test]
fn a_freeze_that_somebody_changed_freezes_everything_and_raises_an_alarm() {
    let scene = Scene::set();
    let other = scene.gateway.add_client("other");
    for change in ["client_id = NULL, protocol = 'smtp'", "level = 'no-new-tokens'", "id = 'nothing'", "thaws_at = 1"] {
        let before = scene.recorded("tampering.detected").len();
        let mut imap = scene.imap_session();
        scene.freeze(&["--client", &other.id, "--level", "read-only"]);
        imap.command_ok("a", "STORE 1 +FLAGS (\\Seen)");
        scene.gateway.tamper(&format!("UPDATE freezes SET {change}"));
        ended(&mut imap, "* BYE [CONTACTADMIN]");
        let answer = scene.ask(&scene.tool, None);
        assert_eq!((answer.status, &answer.json()["error"]), (400, &"access_denied".into()), "{change}");
        let alarms = scene.recorded("tampering.detected").len();
        assert_eq!(alarms - before, 1, "{change}");
        let listed = scene.freezes();
        assert_eq!((listed.len(), &listed[0]["level"]), (1, &json!("cut")), "{change}: {listed:?}");
        scene.gateway.manage_ok(&["thaw", listed[0]["id"].as_str().expect("an id")], b"");
        assert!(scene.freezes().is_empty(), "{change}");
        assert_eq!(scene.ask(&scene.tool, None).status, 200, "{change}");
    }
}

#[test]
fn a_token_that_is_cut_off_everywhere_is_not_active_while_it_lasts() {
    let scene = Scene::set();
    let is_active = || {
        let request = post_to("/oauth/introspect", &basic(&scene.tool), &format!("token={}", scene.token));
        let told = ask(&scene.gateway, HERE, request).json();
        let active = told["active"].as_bool().expect("a word");
        assert!(active || told == json!({ "active": false }), "{told}");
        active
    };
    let client = ["--client", scene.tool.id.as_str()];
    for (level, target, expected) in [
        ("cut", &client[..], false),
        ("cut", &["--mailbox", ADDRESS], false),
        ("cut", &["--all"], false),
        ("cut", &["--client", &scene.tool.id, "--protocol", "imap"], true),
        ("drain", &client, true),
        ("read-only", &client, true),
        ("no-new-tokens", &client, true),
    ] {
        let id = scene.freeze(&[target, &["--level", level]].concat());
        assert_eq!(is_active(), expected, "{level} {target:?}");
        scene.gateway.manage_ok(&["thaw", &id], b"");
        assert!(is_active(), "after {level} {target:?}");
    }
}

#[test]
fn a_refusal_by_a_freeze_is_explained() {
    let scene = Scene::set();
    let mut imap = scene.imap_session();
    let id = scene.freeze(&["--client", &scene.tool.id, "--level", "read-only"]);
    let answer = imap.command("a", "STORE 1 +FLAGS (\\Seen)");
    let line = answer.last().expect("an answer");
    let verdict = line.split("(verdict ").nth(1).and_then(|rest| rest.strip_suffix(')')).expect("a verdict");
    let explain = |args: &[&str]| -> serde_json::Value {
        let args = [&["grant", "explain", "--format", "json"], args].concat();
        serde_json::from_str(&scene.gateway.manage_ok(&args, b"")).expect("JSON")
    };
    let told = explain(&["--verdict", verdict]);
    assert_eq!(told["rule"], "freeze", "{told}");
    assert!(told["text"].as_str().is_some_and(|text| text.contains(&id)), "{told}");
    for command in ["STORE 1 +FLAGS (\\Seen)", &format!("MAIL FROM:<{ADDRESS}>")] {
        let told = explain(&["--client", &scene.tool.id, "--mailbox", ADDRESS, "--command", command]);
        assert_eq!((&told["permitted"], &told["rule"]), (&json!(false), &json!("freeze")), "{told}");
        assert!(told["text"].as_str().is_some_and(|text| text.contains(&id)), "{told}");
    }
    let told = explain(&["--client", &scene.tool.id, "--mailbox", ADDRESS, "--command", "FETCH 1 BODY[]"]);
    assert_eq!(told["permitted"], true, "{told}");
}

#[test]
fn a_tool_is_told_of_the_freezes_that_hold_for_it_and_of_no_other() {
    let scene = Scene::set();
    let api = Api::of(&scene.gateway);
    let bearer = format!("Bearer {}", scene.token);
    let proof = format!("Basic {}", base64(format!("{}:{}", scene.tool.id, scene.tool.secret).as_bytes()));
    // With a token and with its own proof, whatever is frozen.
    let told = || {
        let [token, whole] = [&bearer, &proof].map(|shown| {
            let answer = api.send("GET", "/oauth/me", &[("Authorization", shown)], "");
            assert_eq!(answer.status, 200, "{answer:?}");
            assert!(!answer.body.contains("a drill") && !answer.body.contains("made_by"), "{answer:?}");
            answer.json()["mailboxes"][0]["freezes"].clone()
        });
        assert_eq!(token, whole);
        token
    };
    assert_eq!(told(), json!(null));
    let client = ["--client", scene.tool.id.as_str()];
    for (level, _) in LEVELS {
        for target in [&client[..], &["--mailbox", ADDRESS], &["--all"]] {
            let id = scene.freeze(&[target, &["--level", level]].concat());
            assert_eq!(told(), json!([{ "id": id, "level": level }]), "{target:?}");
            scene.gateway.manage_ok(&["thaw", &id], b"");
            assert_eq!(told(), json!(null), "{level} {target:?}");
        }
    }
    // Of several the strictest comes first, and each has its end and its protocol.
    let mild = scene.freeze(&["--all", "--level", "no-new-tokens", "--for", "2h"]);
    let strict = scene.freeze(&[&client[..], &["--protocol", "smtp", "--level", "drain"]].concat());
    let middle = scene.freeze(&["--mailbox", ADDRESS, "--level", "read-only"]);
    let end = scene.freezes().iter().find(|one| one["id"] == mild).expect("it")["thaws_at"].clone();
    assert!(end.is_string());
    let three = json!([
        { "id": strict, "level": "drain", "protocol": "smtp" },
        { "id": middle, "level": "read-only" },
        { "id": mild, "level": "no-new-tokens", "thaws_at": end },
    ]);
    assert_eq!(told(), three);
    // What reaches somebody else, or another mailbox, is not told.
    let other = scene.gateway.add_client("bystander");
    scene.freeze(&["--client", &other.id, "--level", "cut"]);
    let elsewhere = Upstream { imap: scene.imap.port, smtp: None, starttls: false };
    scene.gateway.add_mailbox("else@example.test", PASSWORD, elsewhere, &scene.ca).expect_ok("mailbox add");
    scene.freeze(&["--mailbox", "else@example.test", "--level", "cut"]);
    assert_eq!(told(), three);
    // Nor what stops a protocol that its grant does not let be spoken.
    scene.gateway.manage_ok(&["thaw", "--all"], b"");
    let imap = scene.gateway.add_client("imap");
    let add = ["grant", "add", "--client", &imap.id, "--mailbox", ADDRESS, "--preset", "full", "--protocol", "imap"];
    scene.gateway.manage_ok(&add, b"");
    let bearer = format!("Bearer {}", scene.gateway.token(&imap, ADDRESS));
    let ids = ["smtp", "imap"].map(|protocol| scene.freeze(&["--protocol", protocol, "--level", "read-only"]));
    let answer = api.send("GET", "/oauth/me", &[("Authorization", &bearer)], "").json();
    let expected = json!([{ "id": ids[1], "level": "read-only", "protocol": "imap" }]);
    assert_eq!(answer["mailboxes"][0]["freezes"], expected);
    // It hears the same id where it is refused.
    let mut session = scene.gateway.imap_session(ADDRESS, bearer.trim_start_matches("Bearer "));
    session.command_ok("a", "SELECT INBOX");
    let refused = session.command("b", "STORE 1 +FLAGS (\\Seen)");
    assert!(refused.last().is_some_and(|line| line.contains(&ids[1])), "{refused:?}");
}

#[test]
fn a_malformed_freeze_is_refused_with_what_is_wrong() {
    let scene = Scene::set();
    let api = Api::of(&scene.gateway);
    let (admin, good) = (&scene.gateway.operator_token, json!({ "level": "cut", "all": true, "reason": "a drill" }));
    let with = |name: &str, value: serde_json::Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    for (body, status, word, says) in [
        (with("level", json!("frozen")), 400, "invalid", "form"),
        (with("all", json!(false)), 400, "invalid", "name a client"),
        (with("protocol", json!("imap")), 400, "invalid", "name a client"),
        (with("reason", json!("")), 400, "invalid", "reason"),
        (with("reason", json!("two\nlines")), 400, "invalid", "reason"),
        (with("reason", json!("x".repeat(301))), 400, "invalid", "reason"),
        (with("thaw_after_secs", json!(0)), 400, "invalid", "30 days"),
        (with("thaw_after_secs", json!(2_592_001)), 400, "invalid", "30 days"),
        (with("thaw_after_secs", json!(-1)), 400, "invalid", "30 days"),
        (with("until", json!("tomorrow")), 400, "invalid", "unknown"),
        (json!({ "level": "cut", "client": "nobody", "reason": "a drill" }), 404, "not-found", "client"),
        (json!({ "level": "cut", "mailbox": "nobody@example.test", "reason": "a drill" }), 404, "not-found", "mailbox"),
    ] {
        let detail = api.json("POST", "/api/v1/freezes", admin, &body).problem(status, word);
        assert!(detail.contains(says), "{body}: {detail}");
    }
    for id in ["frz_000000000000", "frz_x", "ses_000000000000"] {
        let bearer = format!("Bearer {admin}");
        api.send("DELETE", &format!("/api/v1/freezes/{id}"), &[("Authorization", &bearer)], "")
            .problem(404, "not-found");
    }
    for (path, says) in [("", "name a client"), ("?all=false", "name a client"), ("?protocol=ftp", "form")] {
        let bearer = format!("Bearer {admin}");
        let answer = api.send("DELETE", &format!("/api/v1/sessions{path}"), &[("Authorization", &bearer)], "");
        assert!(answer.problem(400, "invalid").contains(says), "{path}");
    }
    for args in [
        &["freeze", "--all", "--level", "frozen", "--reason", "x"][..],
        &["freeze", "--level", "cut", "--reason", "x"],
        &["freeze", "--all", "--client", "x", "--level", "cut", "--reason", "x"],
        &["freeze", "--all", "--reason", "x"],
        &["freeze", "--all", "--level", "cut"],
        &["freeze", "--all", "--level", "cut", "--reason", "x", "--for", "soon"],
        &["thaw"],
        &["thaw", "--all", "frz_000000000000"],
        &["session", "kill"],
        &["session", "kill", "ses_000000000000", "--all"],
    ] {
        let refused = scene.gateway.manage(args, b"");
        assert_eq!(refused.code, Some(1), "{args:?}: {refused:?}");
    }
    assert!(scene.freezes().is_empty() && scene.recorded("freeze.added").is_empty());
    assert_eq!(scene.ask(&scene.tool, None).status, 200);
}

#[test]
fn a_kill_by_client_mailbox_or_protocol_says_how_many_were_told() {
    let scene = Scene::set();
    let other = scene.gateway.add_tool("bystander", ADDRESS, "full");
    let token = scene.gateway.token(&other, ADDRESS);
    let mut bystander = scene.gateway.imap_session(ADDRESS, &token);
    let told = |args: &[&str]| -> u64 {
        let args = [&["session", "kill", "--format", "json"], args].concat();
        let answer: serde_json::Value = serde_json::from_str(&scene.gateway.manage_ok(&args, b"")).expect("JSON");
        answer["told"].as_u64().expect("a number")
    };
    for (args, both) in [
        (&["--protocol", "smtp"][..], false),
        (&["--client", &scene.tool.id], true),
        (&["--client", &scene.tool.id, "--protocol", "smtp", "--mailbox", ADDRESS], false),
    ] {
        let (mut imap, mut smtp) = (scene.imap_session(), scene.smtp_session());
        assert_eq!(told(args), if both { 2 } else { 1 }, "{args:?}");
        ended(&mut smtp, "421 4.7.0");
        if both {
            ended(&mut imap, "* BYE [CONTACTADMIN]");
        } else {
            imap.command_ok("a", "NOOP");
            imap.command_ok("b", "LOGOUT");
        }
        wait_for("the sessions to be off the list", PATIENCE, || {
            let printed = scene.gateway.manage_ok(&["session", "list", "--format", "json"], b"");
            (printed.matches("\"id\"").count() == 1).then_some(())
        });
    }
    bystander.command_ok("a", "NOOP");
    // It keeps nobody out.
    let mut again = scene.gateway.imap();
    again.command_ok("a", &format!("AUTHENTICATE XOAUTH2 {}", xoauth2(ADDRESS, &scene.token)));
    assert_eq!(told(&["--all"]), 2);
    ended(&mut bystander, "* BYE [CONTACTADMIN]");
    assert_eq!(told(&["--mailbox", ADDRESS]), 0);
}
