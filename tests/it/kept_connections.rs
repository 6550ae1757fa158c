//! Upstream connections between sessions: the next one goes on with what the last one left in good order, and with nothing else. How many
//! there are at a time, and who gets the next.

use std::net::Shutdown;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::ca::Ca;
use crate::support::dovecot::Dovecot;
use crate::support::gateway::{Gateway, Tool, Upstream, plain};
use crate::support::pop3::Pop3;
use crate::support::postfix::Postfix;
use crate::support::postgres::Postgres;
use crate::support::smtp_upstream::{Act, SmtpUpstream};
use crate::support::sockets::{AT_ONCE, established, left};
use crate::support::stage::{ADDRESS, PASSWORD};
use crate::support::submission::say;
use crate::support::upstream::imap::{CAPABILITIES, Script, ScriptedImap};
use crate::support::wire::Wire;
use crate::support::{PATIENCE, folder, wait_for};

/// Lets connections rest for longer than any test lasts.
const KEEP: (&str, &str) = ("MAILWARDEN_UPSTREAM_KEEP_SECONDS", "60");

/// A gateway whose upstreams are scripted. Fields go in this order, so the gateway ends first.
struct Scene {
    gateway: Gateway,
    imap: ScriptedImap,
    smtp: SmtpUpstream,
    tool: Tool,
    token: String,
    _dir: TempDir,
}

impl Scene {
    /// With these settings of the gateway beside the harness's.
    fn set(settings: &[(&'static str, &str)]) -> Self {
        Self::with(settings, |_| Act::Well)
    }

    fn keeping() -> Self {
        Self::set(&[KEEP])
    }

    fn with(settings: &[(&'static str, &str)], smtp: fn(&str) -> Act) -> Self {
        let dir = folder();
        let ca = Ca::create(&dir.path().join("ca"));
        let (imap, smtp) = (ScriptedImap::start(&ca), SmtpUpstream::start(&ca, smtp));
        let gateway = start(Gateway::prepare(&ca), settings);
        let upstream = Upstream { imap: imap.port, smtp: Some(smtp.port), starttls: false };
        gateway.add_mailbox(ADDRESS, PASSWORD, upstream, &ca).expect_ok("mailbox add");
        let tool = gateway.add_tool("first", ADDRESS, "full");
        let token = gateway.token(&tool, ADDRESS);
        Self { gateway, imap, smtp, tool, token, _dir: dir }
    }

    fn session(&self) -> Wire {
        self.gateway.imap_session(ADDRESS, &self.token)
    }

    fn smtp_session(&self) -> Wire {
        smtp_session(&self.gateway, &self.token)
    }

    /// How many of this many sessions had a connection that had rested, and how many a new one.
    fn had(&self, sessions: usize) -> (usize, usize) {
        let ended = wait_for("the records of the ends", PATIENCE, || {
            let ended = self.gateway.audit().into_iter().filter(|event| event["code"] == "session.ended");
            Some(ended.collect::<Vec<_>>()).filter(|ended| ended.len() == sessions)
        });
        let count = |word| ended.iter().filter(|event| event["detail"]["upstream"] == word).count();
        (count("kept"), count("new"))
    }
}

fn start(mut gateway: Gateway, settings: &[(&'static str, &str)]) -> Gateway {
    gateway.environment.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
    gateway.serve();
    gateway
}

fn smtp_session(gateway: &Gateway, token: &str) -> Wire {
    let mut smtp = Wire::connect(gateway.port("smtps"), gateway.ca_file());
    assert_eq!(smtp.reply()[0].get(..3), Some("220"));
    say(&mut smtp, "EHLO tool.example.test", "250");
    say(&mut smtp, &format!("AUTH PLAIN {}", plain(ADDRESS, token)), "235");
    smtp
}

/// Sends the mailbox a message and says QUIT.
fn send(mut smtp: Wire) {
    say(&mut smtp, &format!("MAIL FROM:<{ADDRESS}>"), "250");
    say(&mut smtp, &format!("RCPT TO:<{ADDRESS}>"), "250");
    say(&mut smtp, "DATA", "354");
    say(&mut smtp, &format!("From: <{ADDRESS}>\r\nSubject: kept\r\n\r\nhello\r\n."), "250");
    quit(smtp);
}

fn quit(mut smtp: Wire) {
    smtp.send("QUIT\r\n");
    smtp.rest().expect("an end");
}

/// What a session does before it ends.
type Use = fn(&mut Wire);

/// Says LOGOUT and waits for the end: then the connection rests, or is gone.
fn leave(mut imap: Wire) {
    imap.command_ok("bye", "LOGOUT");
    imap.rest().expect("an end");
}

#[test]
fn the_next_session_of_a_mailbox_needs_no_login_upstream() {
    let scene = Scene::keeping();
    let other = scene.gateway.add_tool("second", ADDRESS, "backup");
    let other = scene.gateway.token(&other, ADDRESS);
    let before = scene.imap.logins();
    let mut first = scene.session();
    first.command_ok("a", "SELECT INBOX");
    leave(first);
    // Another tool goes on with it, and finds no folder open.
    let mut second = scene.gateway.imap_session(ADDRESS, &other);
    let refused = second.command("a", "FETCH 1 FLAGS");
    assert!(refused.last().is_some_and(|line| line.starts_with("a BAD")), "{refused:?}");
    second.command_ok("b", "STATUS INBOX (MESSAGES)");
    leave(second);
    let mut pop3 = Pop3::session(&scene.gateway, ADDRESS, &other);
    pop3.say("QUIT", "+OK");
    pop3.wire.rest().expect("an end");
    leave(scene.session());
    assert_eq!(scene.imap.logins(), before + 1, "one login for four sessions");
    let heard: Vec<String> = scene.imap.heard().iter().map(crate::support::upstream::imap::Command::as_text).collect();
    let words: Vec<&str> = heard.iter().map(|text| text.split(' ').next().expect("a word")).collect();
    assert_eq!(words, ["SELECT", "UNSELECT", "STATUS", "EXAMINE", "UID", "UNSELECT"], "{heard:?}");

    let before = scene.smtp.logins();
    for _ in 0..3 {
        send(scene.smtp_session());
    }
    assert_eq!((scene.smtp.logins() - before, scene.smtp.messages().len()), (1, 3));
    assert_eq!(scene.smtp.encrypted().matches("\r\nRSET\r\n").count(), 3, "each leaves no transaction behind");
    assert_eq!(scene.had(7), (5, 2), "the end of each is on record with what it had");
    let audit = scene.gateway.audit();
    assert_eq!(audit.iter().filter(|event| event["code"] == "credential.used").count(), 2);
    scene.gateway.manage_ok(&["audit", "verify"], b"");
}

#[test]
fn what_a_session_left_otherwise_than_it_found_it_is_not_handed_on() {
    let scene = Scene::keeping();
    let capable = format!("{CAPABILITIES} ENABLE CONDSTORE QRESYNC");
    let can = |capabilities: &str| Script { capabilities: capabilities.to_owned(), ..Script::default() };
    // What is said to UNSELECT; TAG stands for its tag.
    let says = |lines: &'static [&'static str]| {
        Script::answering(move |peer, command| {
            let lines: Vec<_> = lines.iter().map(|line| line.replace("TAG", &command.tag)).collect();
            command.is("UNSELECT") && peer.say(&lines.iter().map(String::as_str).collect::<Vec<_>>())
        })
    };
    let open: Use = |imap| drop(imap.command("a", "EXAMINE INBOX"));
    let cases: [(&str, Script, Use); 9] = [
        ("ENABLE", can(&capable), |imap| drop(imap.command("a", "ENABLE CONDSTORE"))),
        ("SELECT with CONDSTORE", can(&capable), |imap| drop(imap.command("a", "SELECT INBOX (CONDSTORE)"))),
        ("HIGHESTMODSEQ", can(&capable), |imap| drop(imap.command("a", "STATUS INBOX (HIGHESTMODSEQ)"))),
        ("no UNSELECT", can(&CAPABILITIES.replace(" UNSELECT", "")), open),
        ("UNSELECT refused", says(&["TAG NO not now"]), open),
        ("another answer to UNSELECT", says(&["x OK done"]), open),
        ("no answer to UNSELECT", says(&[]), open),
        ("something unasked", says(&["TAG OK done", "* OK by the way"]), open),
        ("news with a literal", says(&["* 1 FETCH {6}", "* 2 OK", "TAG OK done"]), open),
    ];
    for (what, script, work) in cases {
        scene.imap.plays(script);
        let before = scene.imap.logins();
        let mut imap = scene.session();
        work(&mut imap);
        leave(imap);
        leave(scene.session());
        let logins = scene.imap.logins() - before;
        assert_eq!(logins, 2, "{what}");
        // What the second one left rests; a change of policy ends that.
        scene.gateway.add_client(what);
    }
    // In the middle of a command, or gone without a word.
    scene.imap.plays(Script::default());
    let before = scene.imap.logins();
    let mut half = scene.session();
    half.send("a APPEND INBOX {10}\r\n");
    assert!(half.line().starts_with('+'));
    half.send("half");
    drop(half);
    drop(scene.session());
    left(scene.imap.port, 0, Instant::now());
    leave(scene.session());
    assert_eq!(scene.imap.logins() - before, 3);
    let unwilling = Scene::with(&[KEEP], |line| if line == "RSET" { Act::say("500 no") } else { Act::Well });
    let before = unwilling.smtp.logins();
    for _ in 0..2 {
        send(unwilling.smtp_session());
    }
    assert_eq!(unwilling.smtp.logins() - before, 2, "RSET refused");
}

#[test]
fn a_resting_connection_that_the_upstream_has_left_is_not_given_to_a_tool() {
    let scene = Scene::keeping();
    let (tells, told) = mpsc::channel();
    scene
        .imap
        .plays(Script::answering(move |peer, command| command.is("SELECT") && tells.send(peer.socket()).is_err()));
    let before = scene.imap.logins();
    let mut imap = scene.session();
    imap.command_ok("a", "SELECT INBOX");
    leave(imap);
    assert_eq!(established(scene.imap.port), 1);
    told.recv().expect("the connection").shutdown(Shutdown::Both).expect("close");
    let mut imap = scene.session();
    imap.command_ok("b", "STATUS INBOX (MESSAGES)");
    leave(imap);
    assert_eq!(scene.imap.logins() - before, 2);
    assert_eq!(scene.had(2), (0, 2), "nobody had it after the first");
}

#[test]
fn gw_11_nothing_rests_after_a_kill_a_cut_or_a_change_of_credential() {
    let mut scene = Scene::keeping();
    let new = format!("{PASSWORD}-new\n");
    let id = scene.gateway.manage_ok(&["mailbox", "list", "--format", "json"], b"");
    let id: serde_json::Value = serde_json::from_str(&id).expect("JSON");
    let id = id["mailboxes"][0]["id"].as_str().expect("an id").to_owned();
    let client = scene.tool.id.clone();
    let kill = ["session", "kill", "--client", &client];
    leave(scene.session());
    assert_eq!(established(scene.imap.port), 1);
    scene.gateway.manage_ok(&kill, b"");
    left(scene.imap.port, 0, Instant::now());
    let audit = scene.gateway.audit();
    let accepted = audit.iter().find(|event| event["code"] == "login.accepted").expect("the login");
    let jti = accepted["detail"]["jti"].as_str().expect("the token's id");
    let cases: [(&[&str], &str); 6] = [
        (&kill, ""),
        (&["mailbox", "set-credential", &id, "--password-stdin"], &new),
        (&["client", "add", "another"], ""),
        (&["revoke", "--token", jti], ""),
        (&["freeze", "--client", &client, "--level", "cut", "--reason", "a drill"], ""),
        (&["mailbox", "remove", &id], ""),
    ];
    for (args, input) in cases {
        let is_frozen = args[0] == "mailbox" && args[1] == "remove";
        if is_frozen {
            scene.gateway.manage_ok(&["thaw", "--all"], b"");
        }
        // One rests, one is at work.
        let (resting, mut working) = (scene.session(), scene.session());
        leave(resting);
        send(scene.smtp_session());
        working.command_ok("a", "SELECT INBOX");
        assert_eq!((established(scene.imap.port), established(scene.smtp.port)), (2, 1), "{args:?}");
        scene.gateway.manage_ok(args, input.as_bytes());
        let kept = usize::from(["set-credential", "add"].contains(&args[1]));
        left(scene.imap.port, kept, Instant::now());
        left(scene.smtp.port, 0, Instant::now());
        if kept == 1 {
            // The session goes on with the connection that it has; nobody else does.
            leave(working);
            left(scene.imap.port, 0, Instant::now());
        }
        if args[0] == "revoke" {
            scene.token = scene.gateway.token(&scene.tool, ADDRESS);
        }
    }
}

#[test]
fn a_resting_connection_ends_after_its_time_and_at_the_stop() {
    let mut scene = Scene::set(&[("MAILWARDEN_UPSTREAM_KEEP_SECONDS", "2")]);
    leave(scene.session());
    assert_eq!(established(scene.imap.port), 1);
    wait_for("the end of the rest", PATIENCE, || (established(scene.imap.port) == 0).then_some(()));
    leave(scene.session());
    scene.gateway.stop();
    assert_eq!(established(scene.imap.port), 0);
    // It closed after it had said goodbye; the upstream's thread may hear it a moment later.
    let goodbyes = || String::from_utf8_lossy(&scene.imap.everything()).matches("w9 LOGOUT").count();
    wait_for("both goodbyes", PATIENCE, || (goodbyes() == 2).then_some(()));
}

/// Two nodes that keep connections, with a mailbox and a token for it. The last change was made at the second.
fn two_nodes(ca: &Ca, imap: &ScriptedImap) -> (Gateway, Gateway, String) {
    let first = start(Gateway::prepare_on(ca, Some(Postgres::start())), &[KEEP]);
    first.edit_config("keep_seconds = 0", "keep_seconds = 60");
    let second = first.second_node();
    let upstream = Upstream { imap: imap.port, smtp: None, starttls: false };
    first.add_mailbox(ADDRESS, PASSWORD, upstream, ca).expect_ok("mailbox add");
    let token = first.token(&second.add_tool("tool", ADDRESS, "backup"), ADDRESS);
    (first, second, token)
}

#[test]
fn gw_11_a_change_of_policy_at_one_node_closes_what_rests_at_another() {
    let dir = folder();
    let ca = Ca::create(&dir.path().join("ca"));
    let imap = ScriptedImap::start(&ca);
    let (first, second, token) = two_nodes(&ca, &imap);
    leave(second.imap_session(ADDRESS, &token));
    assert_eq!(established(imap.port), 1);
    first.add_client("another");
    left(imap.port, 0, Instant::now());
    // And only once for each change.
    let before = imap.logins();
    leave(second.imap_session(ADDRESS, &token));
    leave(second.imap_session(ADDRESS, &token));
    assert_eq!(imap.logins(), before + 1);
}

#[test]
fn a_credential_set_at_another_node_is_heeded_at_the_next_login() {
    let dir = folder();
    let ca = Ca::create(&dir.path().join("ca"));
    let imap = ScriptedImap::start(&ca);
    let (first, second, token) = two_nodes(&ca, &imap);
    leave(second.imap_session(ADDRESS, &token));
    let before = imap.logins();
    leave(second.imap_session(ADDRESS, &token));
    assert_eq!(imap.logins(), before, "it was kept");
    let new = format!("{PASSWORD}-new\n");
    let listed: serde_json::Value =
        serde_json::from_str(&first.manage_ok(&["mailbox", "list", "--format", "json"], b"")).expect("JSON");
    let id = listed["mailboxes"][0]["id"].as_str().expect("an id");
    first.manage_ok(&["mailbox", "set-credential", id, "--password-stdin"], new.as_bytes());
    let before = imap.logins();
    leave(second.imap_session(ADDRESS, &token));
    assert_eq!(imap.logins(), before + 1, "the old one serves nobody");
}

#[test]
fn a_greedy_tool_leaves_the_last_connection_and_who_asked_in_vain_hears_limit() {
    let scene = Scene::set(&[("MAILWARDEN_UPSTREAM_IMAP_CONNECTIONS", "3")]);
    let other = scene.gateway.add_tool("second", ADDRESS, "backup");
    let other = scene.gateway.token(&other, ADDRESS);
    let held = (scene.session(), scene.session());
    let began = Instant::now();
    let mut third = scene.gateway.imap();
    third.patience(Duration::from_secs(60));
    third.send(format!("a AUTHENTICATE PLAIN {}\r\n", plain(ADDRESS, &scene.token)));
    // It waits, and the place is there for another.
    let theirs = scene.gateway.imap_session(ADDRESS, &other);
    assert_eq!(established(scene.imap.port), 3);
    let answer = third.answer("a");
    let answer = answer.last().expect("an answer");
    assert!(answer.starts_with("a NO [LIMIT] "), "{answer}");
    let verdict = answer.split("(verdict ").nth(1).and_then(|rest| rest.split(')').next()).expect("a verdict");
    let told = scene.gateway.manage_ok(&["grant", "explain", "--verdict", verdict, "--format", "json"], b"");
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(
        (&told["rule"], &told["asked"], &told["who"]),
        (&"connections".into(), &"login".into(), &"keeper".into())
    );
    assert!(began.elapsed() >= Duration::from_secs(15), "it was turned away after {:?}", began.elapsed());
    // Two wait, the greedy one first: what gets free goes to who has none.
    let newest = scene.gateway.add_tool("third", ADDRESS, "backup");
    let newest = scene.gateway.token(&newest, ADDRESS);
    let (mut greedy, mut modest) = (scene.gateway.imap(), scene.gateway.imap());
    greedy.send(format!("a AUTHENTICATE PLAIN {}\r\n", plain(ADDRESS, &scene.token)));
    modest.send(format!("a AUTHENTICATE PLAIN {}\r\n", plain(ADDRESS, &newest)));
    let waiting = || scene.gateway.manage_ok(&["session", "list", "--format", "json"], b"").matches("ses_").count();
    wait_for("both to wait", PATIENCE, || (waiting() == 5).then_some(()));
    drop(theirs);
    let answer = modest.answer("a");
    assert!(answer.last().is_some_and(|line| line.starts_with("a OK")), "{answer:?}");
    // A tool that goes away waits no longer, and one that is killed is told so.
    drop(greedy);
    wait_for("it to be gone", AT_ONCE, || (waiting() == 3).then_some(()));
    let mut killed = scene.gateway.imap();
    killed.send(format!("a AUTHENTICATE PLAIN {}\r\n", plain(ADDRESS, &scene.token)));
    wait_for("it to wait", PATIENCE, || (waiting() == 4).then_some(()));
    let listed: serde_json::Value =
        serde_json::from_str(&scene.gateway.manage_ok(&["session", "list", "--format", "json"], b"")).expect("JSON");
    let newest = listed["sessions"].as_array().and_then(|all| all.last()).expect("a session");
    scene.gateway.manage_ok(&["session", "kill", newest["id"].as_str().expect("an id")], b"");
    let answer = killed.answer("a");
    assert!(answer.last().is_some_and(|line| line.starts_with("a NO [UNAVAILABLE]")), "{answer:?}");
    drop(held);
}

#[test]
fn submission_and_pop3_hear_in_their_own_words_that_no_place_is_free() {
    let one = [("MAILWARDEN_UPSTREAM_IMAP_CONNECTIONS", "1"), ("MAILWARDEN_UPSTREAM_SMTP_CONNECTIONS", "1")];
    let scene = Scene::set(&one);
    let from = format!("MAIL FROM:<{ADDRESS}>");
    let reading = scene.session();
    let mut sending = scene.smtp_session();
    say(&mut sending, &from, "250");
    let (mut waiting, mut pop3) = (scene.smtp_session(), Pop3::open(&scene.gateway));
    for wire in [&waiting, &pop3.wire] {
        wire.patience(Duration::from_secs(60));
    }
    waiting.send(format!("{from}\r\n"));
    pop3.wire.send(format!("AUTH PLAIN {}\r\n", plain(ADDRESS, &scene.token)));
    let answer = waiting.reply();
    assert!(answer[0].starts_with("451 4.7.1 "), "{answer:?}");
    let answer = pop3.wire.line();
    assert!(answer.starts_with("-ERR [SYS/TEMP] "), "{answer}");
    // Once there is one, it goes to who asks again.
    quit(sending);
    wait_for("the place", PATIENCE, || (established(scene.smtp.port) == 0).then_some(()));
    say(&mut waiting, &from, "250");
    leave(reading);
    wait_for("the place", PATIENCE, || (established(scene.imap.port) == 0).then_some(()));
    drop(Pop3::session(&scene.gateway, ADDRESS, &scene.token));
}

#[test]
fn real_servers_take_what_rested_for_a_session_like_any_other() {
    let dir = folder();
    let ca = Ca::create(&dir.path().join("ca"));
    let dovecot = Dovecot::start(&ca, &[(ADDRESS, PASSWORD)]);
    let postfix = Postfix::start(&ca, &dovecot, &[ADDRESS]);
    let gateway = start(Gateway::prepare(&ca), &[KEEP]);
    let upstream = Upstream { imap: dovecot.imaps, smtp: Some(postfix.smtps), starttls: false };
    gateway.add_mailbox(ADDRESS, PASSWORD, upstream, &ca).expect_ok("mailbox add");
    let token = gateway.token(&gateway.add_tool("tool", ADDRESS, "full"), ADDRESS);
    let logins = || dovecot.log().matches("imap-login: Info: Login").count();
    let connects = || postfix.log().matches(": connect from ").count();
    let before = (logins(), connects());
    for number in 0..3_u32 {
        let began = Instant::now();
        send(smtp_session(&gateway, &token));
        let mut imap = gateway.imap_session(ADDRESS, &token);
        wait_for("the message", PATIENCE, || {
            let opened = imap.command_ok("a", "SELECT INBOX");
            opened.iter().any(|line| *line == format!("* {} EXISTS", number + 1)).then_some(())
        });
        leave(imap);
        // Long enough for the upstream to be asked whether it is there.
        if number == 1 {
            wait_for("a while", PATIENCE, || (began.elapsed() > Duration::from_secs(4)).then_some(()));
        }
    }
    assert_eq!(logins() - before.0, 1, "{}", dovecot.log());
    assert_eq!(connects() - before.1, 1, "{}", postfix.log());
    assert_eq!((established(dovecot.imaps), established(postfix.smtps)), (1, 1));
}
