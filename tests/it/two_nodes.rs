//! Two nodes on one PostgreSQL are one service.

use std::time::{Duration, Instant};

use crate::support::ca::Ca;
use crate::support::dovecot::Dovecot;
use crate::support::gateway::{Gateway, Tool, Upstream};
use crate::support::http::{HERE, ask, elsewhere, post_to};
use crate::support::postgres::Postgres;
use crate::support::signer::{Signer, asserted};
use crate::support::stage::{ADDRESS, PASSWORD};
use crate::support::upstream::imap::ScriptedImap;
use crate::support::wire::Wire;
use crate::support::{PATIENCE, folder, wait_for};

/// A session hears of what happened at another node within a second; this allows for a loaded machine.
const AT_ONCE: Duration = Duration::from_secs(3);

/// The last of five hundred sessions has ended by then (INT-04).
const MANY_AT_ONCE: Duration = Duration::from_secs(5);

/// Fields go in this order: the nodes end before the database of the first, and both before their upstream.
struct Pair<U = Dovecot> {
    second: Gateway,
    first: Gateway,
    tool: Tool,
    _upstream: U,
    _dir: tempfile::TempDir,
}

impl Pair {
    fn start() -> Self {
        Self::before(|ca| Dovecot::start(ca, &[(ADDRESS, PASSWORD)]), |dovecot| dovecot.imaps)
    }
}

impl<U> Pair<U> {
    /// Two nodes before an upstream that `start` starts, at this port of it.
    fn before(start: impl FnOnce(&Ca) -> U, port: impl FnOnce(&U) -> u16) -> Self {
        let dir = folder();
        let ca = Ca::create(&dir.path().join("ca"));
        let upstream = start(&ca);
        let mut first = Gateway::prepare_on(&ca, Some(Postgres::start()));
        first.serve();
        let second = first.second_node();
        let ports = Upstream { imap: port(&upstream), smtp: None, starttls: false };
        first.add_mailbox(ADDRESS, PASSWORD, ports, &ca).expect_ok("mailbox add");
        let tool = first.add_tool("backup", ADDRESS, "backup");
        Self { second, first, tool, _upstream: upstream, _dir: dir }
    }
}

/// The connection says BYE and closes.
fn ended(wire: &mut Wire, since: Instant) {
    wire.patience(AT_ONCE);
    let lines = wire.rest().expect("the session went on after it was ended");
    assert!(since.elapsed() < AT_ONCE, "it took {:?}", since.elapsed());
    assert!(lines.iter().any(|line| line.starts_with("* BYE")), "no last word: {lines:?}");
}

fn listed(node: &Gateway) -> Vec<serde_json::Value> {
    let printed = node.manage_ok(&["session", "list", "--format", "json"], b"");
    let value: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    value["sessions"].as_array().expect("sessions").clone()
}

#[test]
fn a_token_of_one_node_works_at_the_other_and_a_revocation_at_one_ends_sessions_at_both() {
    let pair = Pair::start();
    let token = pair.first.token(&pair.tool, ADDRESS);
    let mut there = pair.second.imap_session(ADDRESS, &token);
    there.command_ok("a", "EXAMINE INBOX");
    let mut here = pair.first.imap_session(ADDRESS, &token);
    here.command_ok("a", "EXAMINE INBOX");

    // A node writes a session down after it has looked at its grant: only the revocation makes it look again.
    wait_for("the other node's session to be listed", PATIENCE, || (listed(&pair.first).len() == 2).then_some(()));
    pair.first.manage_ok(&["revoke", "--client", &pair.tool.id], b"");
    let revoked = Instant::now();
    ended(&mut there, revoked);
    ended(&mut here, revoked);
    let mut late = pair.second.imap();
    let answer = late.command("c", &format!("LOGIN {ADDRESS} {token}"));
    assert!(answer.last().is_some_and(|line| line.starts_with("c NO")), "a revoked token still works: {answer:?}");
    let again = pair.second.token(&pair.tool, ADDRESS);
    pair.first.imap_session(ADDRESS, &again).command_ok("a", "LOGOUT");
}

#[test]
fn jwt_10_a_key_revoked_at_one_node_is_refused_at_the_other_at_once() {
    let pair = Pair::start();
    let token = pair.second.token(&pair.tool, ADDRESS);
    let mut there = pair.second.imap_session(ADDRESS, &token);
    there.command_ok("a", "EXAMINE INBOX");
    pair.first.manage_ok(&["key", "rotate", "--now", "--revoke"], b"");
    ended(&mut there, Instant::now());
    let answer = pair.second.imap().command("c", &format!("LOGIN {ADDRESS} {token}"));
    assert!(answer.last().is_some_and(|line| line.starts_with("c NO")), "its token still works: {answer:?}");
    // What either signs now, both take.
    for (signs, takes) in [(&pair.first, &pair.second), (&pair.second, &pair.first)] {
        let token = signs.token(&pair.tool, ADDRESS);
        takes.imap_session(ADDRESS, &token).command_ok("a", "LOGOUT");
    }
}

#[test]
fn sessions_of_both_nodes_are_listed_and_ended_at_either() {
    let pair = Pair::start();
    let token = pair.second.token(&pair.tool, ADDRESS);
    let mut here = pair.first.imap_session(ADDRESS, &token);
    let id = listed(&pair.first)[0]["id"].as_str().expect("an id").to_owned();
    let mut there = pair.second.imap_session(ADDRESS, &token);
    for node in [&pair.first, &pair.second] {
        let both = wait_for("both sessions to be listed", PATIENCE, || Some(listed(node)).filter(|all| all.len() == 2));
        assert_ne!(both[0]["node"], both[1]["node"]);
        assert!(both.iter().all(|session| session["client_id"] == pair.tool.id.as_str()), "{both:?}");
    }
    pair.second.manage_ok(&["session", "kill", &id], b"");
    ended(&mut here, Instant::now());
    there.command_ok("still", "NOOP");
    wait_for("the ended session to leave the list", PATIENCE, || (listed(&pair.second).len() == 1).then_some(()));
    let again = pair.second.manage(&["session", "kill", &id], b"");
    assert_eq!(again.code, Some(2), "{again:?}");
}

#[test]
fn int_04_a_revoked_token_ends_its_idle_sessions_on_every_node() {
    let pair = Pair::before(ScriptedImap::start, |upstream| upstream.port);
    let token = pair.first.token(&pair.tool, ADDRESS);
    let idle = |node: &Gateway| {
        let mut imap = node.imap_session(ADDRESS, &token);
        imap.command_ok("a", "EXAMINE INBOX");
        imap.send("b IDLE\r\n");
        assert!(imap.line().starts_with('+'));
        imap
    };
    let idle = &idle;
    let mut idle: Vec<Wire> = std::thread::scope(|scope| {
        let both = [&pair.first, &pair.second].into_iter().cycle().take(10);
        let threads = both.map(|node| scope.spawn(move || (0..50).map(|_| idle(node)).collect::<Vec<_>>()));
        let threads: Vec<_> = threads.collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("sessions")).collect()
    });
    assert_eq!(idle.len(), 500);
    let other = pair.second.token(&pair.tool, ADDRESS);
    let mut bystander = pair.second.imap_session(ADDRESS, &other);
    let (id, secret) = (&pair.tool.id, &pair.tool.secret);
    let form = format!("client_id={id}&client_secret={secret}&token={token}");
    let answer = ask(&pair.first, HERE, post_to("/oauth/revoke", "", &form));
    let revoked = Instant::now();
    assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{answer:?}");
    for imap in &mut idle {
        imap.patience(MANY_AT_ONCE);
        let lines = imap.rest().expect("the session went on after it was ended");
        assert!(lines.iter().any(|line| line.starts_with("* BYE")), "no last word: {lines:?}");
    }
    let took = revoked.elapsed();
    assert!(took < MANY_AT_ONCE, "it took {took:?}");
    // The same client's other token stands, and so does its session.
    bystander.command_ok("still", "NOOP");
    for node in [&pair.first, &pair.second] {
        let mut late = node.imap();
        let answer = late.command("c", &format!("LOGIN {ADDRESS} {token}"));
        assert!(answer.last().is_some_and(|line| line.starts_with("c NO")), "a revoked token still works: {answer:?}");
        let form = |token: &str| format!("client_id={id}&client_secret={secret}&token={token}");
        let active = |token| ask(node, HERE, post_to("/oauth/introspect", "", &form(token))).json()["active"].clone();
        assert_eq!((active(&token), active(&other)), (false.into(), true.into()));
    }
}

#[test]
fn a_freeze_at_one_node_is_heeded_at_the_other_within_a_second() {
    let pair = Pair::before(ScriptedImap::start, |upstream| upstream.port);
    let tool = pair.first.add_tool("restorer", ADDRESS, "full");
    let token = pair.second.token(&tool, ADDRESS);
    let freeze = |level: &str| {
        let args = ["freeze", "--client", &tool.id, "--level", level, "--reason", "a drill"];
        pair.first.manage_ok(&args, b"");
        Instant::now()
    };
    let thaw = || pair.first.manage_ok(&["thaw", "--all"], b"");
    let status = || {
        let form = format!("grant_type=client_credentials&resource=mailto:{ADDRESS}");
        pair.second.token_answer(&tool, &form).expect("an answer").status
    };
    let mut there = pair.second.imap_session(ADDRESS, &token);
    there.command_ok("a", "SELECT INBOX");
    // A running session is narrowed, and widened again.
    let store = |imap: &mut Wire, is_ok: bool| {
        wait_for("the other node to follow", AT_ONCE, || {
            let answer = imap.command("b", "STORE 1 +FLAGS (\\Seen)");
            answer.last().is_some_and(|line| line.starts_with("b OK") == is_ok).then_some(())
        });
    };
    freeze("read-only");
    store(&mut there, false);
    thaw();
    store(&mut there, true);
    // No token slips out at the other node, and tokens come back.
    freeze("no-new-tokens");
    wait_for("the other node to refuse tokens", AT_ONCE, || (status() == 400).then_some(()));
    thaw();
    wait_for("the other node to issue tokens", AT_ONCE, || (status() == 200).then_some(()));
    // Its sessions end.
    let cut = freeze("cut");
    ended(&mut there, cut);
    let late = pair.second.imap().command("c", &format!("LOGIN {ADDRESS} {token}"));
    assert!(late.last().is_some_and(|line| line.starts_with("c NO [UNAVAILABLE]")), "{late:?}");
    thaw();
    // What ends by itself is recorded once.
    pair.second
        .manage_ok(&["freeze", "--client", &tool.id, "--level", "drain", "--for", "1s", "--reason", "a drill"], b"");
    let by_timer = || {
        let all = pair.first.audit();
        all.iter().filter(|event| event["code"] == "freeze.ended" && event["actor"] == "system").count()
    };
    wait_for("the end to be recorded", PATIENCE, || (by_timer() > 0).then_some(()));
    assert_eq!((by_timer(), status()), (1, 200));
}

#[test]
fn a_kill_by_client_at_one_node_reaches_the_sessions_of_both() {
    let pair = Pair::before(ScriptedImap::start, |upstream| upstream.port);
    let token = pair.first.token(&pair.tool, ADDRESS);
    let (mut here, mut there) = (pair.first.imap_session(ADDRESS, &token), pair.second.imap_session(ADDRESS, &token));
    wait_for("the other node's session to be listed", PATIENCE, || (listed(&pair.first).len() == 2).then_some(()));
    let printed = pair.first.manage_ok(&["session", "kill", "--client", &pair.tool.id, "--format", "json"], b"");
    let killed = Instant::now();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).expect("JSON")["told"], 2);
    ended(&mut here, killed);
    ended(&mut there, killed);
}

#[test]
fn the_audit_chain_that_two_nodes_write_is_whole() {
    let mut pair = Pair::start();
    std::thread::scope(|scope| {
        for node in [&pair.first, &pair.second] {
            for _ in 0..2 {
                scope.spawn(|| (0..25).for_each(|_| drop(node.token(&pair.tool, ADDRESS))));
            }
        }
    });
    let issued = pair.first.audit().iter().filter(|event| event["code"] == "token.issued").count();
    assert_eq!(issued, 100);
    pair.second.stop();
    let verified = pair.first.manage_ok(&["audit", "verify", "--format", "json"], b"");
    let verified: serde_json::Value = serde_json::from_str(&verified).expect("JSON");
    assert!(verified["checkpoints"].as_u64().is_some_and(|count| count > 0), "{verified}");
    let (export, key) = (pair.first.dir().join("export.jsonl"), verified["key"].as_str().expect("a key").to_owned());
    let export = export.display().to_string();
    pair.first.manage_ok(&["audit", "export", "--output", &export], b"");
    pair.first.manage_ok(&["audit", "verify", "--file", &export, "--key", &key], b"");
}

#[test]
fn ca_11_of_fifty_uses_of_one_assertion_at_two_nodes_one_gets_a_token() {
    let pair = Pair::start();
    let signer = Signer::new();
    let tool = signer.register(&pair.first, "signing", ADDRESS);
    for round in 0..3 {
        let request = asserted(&signer.assertion(&pair.first, &tool, &format!("round {round}")));
        let start = std::sync::Barrier::new(50);
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let uses: Vec<_> = (0..50)
                .map(|number| {
                    let (request, start) = (&request, &start);
                    let node = if number % 2 == 0 { &pair.first } else { &pair.second };
                    // From as many addresses, so that no refusal slows another use down.
                    let source = elsewhere(50 * round + number);
                    scope.spawn(move || {
                        start.wait();
                        ask(node, source, request).status
                    })
                })
                .collect();
            uses.into_iter().map(|one| one.join().expect("an answer")).collect()
        });
        let count = |status: u16| statuses.iter().filter(|other| **other == status).count();
        assert_eq!((count(200), count(401)), (1, 49), "{statuses:?}");
        for node in [&pair.first, &pair.second] {
            assert_eq!(ask(node, HERE, &request).status, 401, "later, at either node");
        }
    }
    let issued = pair.first.audit().into_iter().filter(|event| event["code"] == "token.issued").count();
    assert_eq!(issued, 3);
}
