//! Revocation reaches running sessions at once, with a last word.

use std::time::{Duration, Instant};

use crate::support::stage::{ADDRESS, Stage};
use crate::support::wire::Wire;

const AT_ONCE: Duration = Duration::from_secs(2);

#[test]
fn revoking_a_client_ends_its_running_sessions() {
    let stage = Stage::reading(|_| ());
    let (tool, other) =
        (stage.gateway.add_tool("one", ADDRESS, "backup"), stage.gateway.add_tool("two", ADDRESS, "backup"));
    let token = stage.gateway.token(&tool, ADDRESS);
    let mut selected = stage.gateway.imap_session(ADDRESS, &token);
    selected.command_ok("a", "SELECT INBOX");
    let mut idle = stage.gateway.imap_session(ADDRESS, &token);
    idle.command_ok("a", "SELECT INBOX");
    idle.send("b IDLE\r\n");
    assert!(idle.line().starts_with('+'));
    let mut bystander = stage.gateway.imap_session(ADDRESS, &stage.gateway.token(&other, ADDRESS));
    let listed = stage.gateway.manage_ok(&["session", "list", "--format", "json"], b"");
    assert_eq!(listed.matches(&tool.id).count(), 2, "{listed}");

    stage.gateway.manage_ok(&["revoke", "--client", &tool.id], b"");
    let revoked = Instant::now();
    for wire in [&mut selected, &mut idle] {
        ended(wire, revoked);
    }
    bystander.command_ok("still", "NOOP");
    let mut late = stage.gateway.imap();
    let answer = late.command("c", &format!("LOGIN {ADDRESS} {token}"));
    assert!(answer.last().is_some_and(|line| line.starts_with("c NO")), "a revoked token still works: {answer:?}");
}

#[test]
fn removing_a_grant_ends_its_sessions() {
    let stage = Stage::reading(|_| ());
    let tool = stage.gateway.add_tool("one", ADDRESS, "backup");
    let mut imap = stage.gateway.imap_session(ADDRESS, &stage.gateway.token(&tool, ADDRESS));
    let printed = stage.gateway.manage_ok(&["grant", "list", "--format", "json"], b"");
    let grants: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    let id = grants["grants"][0]["id"].as_str().unwrap_or_else(|| panic!("no grant in {printed}")).to_owned();
    stage.gateway.manage_ok(&["grant", "remove", &id], b"");
    ended(&mut imap, Instant::now());
}

#[test]
fn killing_a_session_ends_that_one() {
    let stage = Stage::reading(|_| ());
    let tool = stage.gateway.add_tool("one", ADDRESS, "backup");
    let token = stage.gateway.token(&tool, ADDRESS);
    let mut first = stage.gateway.imap_session(ADDRESS, &token);
    let printed = stage.gateway.manage_ok(&["session", "list", "--format", "json"], b"");
    let sessions: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    let id = sessions["sessions"][0]["id"].as_str().unwrap_or_else(|| panic!("no session in {printed}")).to_owned();
    let mut second = stage.gateway.imap_session(ADDRESS, &token);
    stage.gateway.manage_ok(&["session", "kill", &id], b"");
    ended(&mut first, Instant::now());
    second.command_ok("still", "NOOP");
}

/// The connection says BYE and closes, within two seconds of `since`.
fn ended(wire: &mut Wire, since: Instant) {
    wire.patience(AT_ONCE);
    let lines = wire.rest().expect("the session went on after it was ended");
    assert!(since.elapsed() < AT_ONCE, "it took {:?}", since.elapsed());
    assert!(lines.iter().any(|line| line.starts_with("* BYE")), "no last word: {lines:?}");
}

#[test]
fn im_12_revocation_ends_an_idle_tool_at_once() {
    let stage = Stage::reading(|_| ());
    let tool = stage.gateway.add_tool("one", ADDRESS, "backup");
    let mut idle = stage.gateway.imap_session(ADDRESS, &stage.gateway.token(&tool, ADDRESS));
    idle.command_ok("a", "SELECT INBOX");
    idle.send("b IDLE\r\n");
    assert!(idle.line().starts_with('+'));
    stage.gateway.manage_ok(&["revoke", "--client", &tool.id], b"");
    ended(&mut idle, Instant::now());
}
