//! A session lives by its grant: as long as `session_ttl` says, and no longer than the grant itself.

use std::time::{Duration, Instant};

use crate::support::frozen_scene::Scene;
use crate::support::gateway::{Tool, plain};
use crate::support::sockets::kept_alive;
use crate::support::stage::{ADDRESS, ScriptedStage};
use crate::support::submission::say;
use crate::support::wire::Wire;
use crate::support::{PATIENCE, wait_for};

/// How much later than its time a session may end.
const LATE: Duration = Duration::from_secs(10);

/// A tool whose grant carries these terms.
fn tool(scene: &Scene, name: &str, terms: &[&str]) -> Tool {
    let tool = scene.gateway.add_client(name);
    let grant = ["grant", "add", "--client", &tool.id, "--mailbox", ADDRESS, "--preset", "full"];
    scene.gateway.manage_ok(&[&grant, terms].concat(), b"");
    tool
}

/// A session in IDLE and one of submission, and when their token was asked for.
fn sessions(scene: &Scene, tool: &Tool) -> (Instant, Wire, Wire) {
    let asked = Instant::now();
    let token = scene.gateway.token(tool, ADDRESS);
    let mut imap = scene.gateway.imap_session(ADDRESS, &token);
    imap.command_ok("a", "EXAMINE INBOX");
    imap.send("b IDLE\r\n");
    assert!(imap.line().starts_with('+'));
    let mut smtp = scene.smtp_door();
    say(&mut smtp, &format!("AUTH PLAIN {}", plain(ADDRESS, &token)), "235");
    (asked, imap, smtp)
}

/// Both end with these words, between `due` and a little later.
fn both_end((began, imap, smtp): (Instant, Wire, Wire), due: Duration, word: &str) {
    for (mut wire, last_word) in [(imap, format!("* BYE [{word}]")), (smtp, "421 4.7.0".to_owned())] {
        wire.patience(due + LATE);
        let lines = wire.rest().expect("it ends");
        assert!(lines.last().is_some_and(|line| line.starts_with(&last_word)), "no {last_word}: {lines:?}");
        let lasted = began.elapsed();
        // Times in tokens are whole seconds.
        assert!(lasted + Duration::from_secs(1) >= due && lasted < due + LATE, "due at {due:?}, ended at {lasted:?}");
    }
}

#[test]
fn gw_10_a_session_ends_with_its_token_where_the_grant_says_so() {
    let scene = Scene::set();
    let tool = tool(&scene, "with its token", &["--token-ttl", "6", "--session-ttl", "0"]);
    both_end(sessions(&scene, &tool), Duration::from_secs(6), "EXPIRED");
}

#[test]
fn gw_10_a_session_outlives_its_token_up_to_the_session_ttl() {
    let scene = Scene::set();
    let tool = tool(&scene, "beyond its token", &["--token-ttl", "3", "--session-ttl", "12"]);
    both_end(sessions(&scene, &tool), Duration::from_secs(12), "EXPIRED");
}

#[test]
fn gw_10_a_session_ends_with_its_grant() {
    let scene = Scene::set();
    let end = mailwarden::domain::clock::Clock::system().now().plus_secs(8).to_rfc3339();
    let tool = tool(&scene, "with its grant", &["--expires", &end]);
    let (asked, imap, smtp) = sessions(&scene, &tool);
    both_end((asked, imap, smtp), Duration::from_secs(8).saturating_sub(Duration::from_secs(2)), "EXPIRED");
}

#[test]
fn gw_10_a_session_ends_at_once_when_its_grant_is_removed() {
    let scene = Scene::set();
    let tool = tool(&scene, "removed", &[]);
    let (_, imap, smtp) = sessions(&scene, &tool);
    let printed = scene.gateway.manage_ok(&["grant", "list", "--format", "json"], b"");
    let grants: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    let mut all = grants["grants"].as_array().expect("grants").iter();
    let grant = all.find(|grant| grant["client_id"] == tool.id.as_str()).expect("its grant");
    scene.gateway.manage_ok(&["grant", "remove", grant["id"].as_str().expect("an id")], b"");
    both_end((Instant::now(), imap, smtp), Duration::ZERO, "CONTACTADMIN");
}

#[test]
fn tool_and_upstream_are_asked_whether_they_are_there_when_nothing_is_said() {
    let stage = ScriptedStage::set();
    let token = stage.token("backup");
    let _session = stage.session(&token);
    for (whose, port) in [("the tool", stage.gateway.port("imaps")), ("the upstream", stage.upstream.port)] {
        wait_for(&format!("a connection to {whose} with keepalive"), PATIENCE, || (kept_alive(port) > 0).then_some(()));
    }
}
