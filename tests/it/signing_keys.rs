//! Signing keys of a running service: rotated without anybody noticing, revoked at once, and whole after a crash.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::Value;

use crate::support::gateway::Gateway;
use crate::support::stage::{ADDRESS, Stage};
use crate::support::{PATIENCE, long_run, wait_for, wire};

fn manage(gateway: &Gateway, args: &[&str]) -> Value {
    let args: Vec<_> = args.iter().chain(&["--format", "json"]).copied().collect();
    serde_json::from_str(&gateway.manage_ok(&args, b"")).expect("JSON")
}

/// The EdDSA keys in a state.
fn keys(gateway: &Gateway, state: &str) -> Vec<Value> {
    let listed = manage(gateway, &["key", "list"]);
    let keys = listed["keys"].as_array().expect("keys").clone();
    keys.into_iter().filter(|key| key["alg"] == "EdDSA" && key["state"] == state).collect()
}

fn kid(key: &Value) -> String {
    key["kid"].as_str().expect("a name").to_owned()
}

/// The names of the keys in the JWKS.
fn shown(gateway: &Gateway) -> BTreeSet<String> {
    let answer = wire::https(gateway.port("https"), gateway.ca_file(), "GET /oauth/jwks HTTP/1.1", "");
    let jwks = answer.expect("an answer").json();
    jwks["keys"].as_array().expect("keys").iter().map(kid).collect()
}

#[test]
fn jwt_09_a_planned_rotation_is_shown_ahead_and_no_running_tool_notices() {
    let stage = Stage::reading(|_| ());
    let gateway = &stage.gateway;
    let tool = gateway.add_tool("backup", ADDRESS, "backup");
    let before = gateway.token(&tool, ADDRESS);
    let mut imap = gateway.imap_session(ADDRESS, &before);
    let active = kid(&keys(gateway, "active")[0]);
    assert_eq!(shown(gateway).len(), 2);

    let rotated = manage(gateway, &["key", "rotate"]);
    assert_eq!(rotated["state"], "published", "{rotated}");
    assert_eq!(kid(&keys(gateway, "active")[0]), active, "the old one signs on");
    assert!(shown(gateway).contains(&kid(&rotated)) && shown(gateway).contains(&active));
    imap.command_ok("a", "EXAMINE INBOX");
    for token in [&before, &gateway.token(&tool, ADDRESS)] {
        gateway.imap_session(ADDRESS, token).command_ok("a", "LOGOUT");
    }

    let at_once = manage(gateway, &["key", "rotate", "--now"]);
    assert_eq!(keys(gateway, "active").iter().map(kid).collect::<Vec<_>>(), [kid(&at_once)]);
    assert_eq!(keys(gateway, "retired").iter().map(kid).collect::<Vec<_>>(), [active]);
    assert!(!shown(gateway).contains(&kid(&rotated)), "it waits no more");
    imap.command_ok("b", "NOOP");
    for token in [&before, &gateway.token(&tool, ADDRESS)] {
        gateway.imap_session(ADDRESS, token).command_ok("a", "LOGOUT");
    }
    let usage = gateway.manage(&["key", "rotate", "--revoke"], b"");
    assert_eq!(usage.code, Some(1), "something must sign: {usage:?}");
}

#[test]
fn jwt_10_a_revoked_key_ends_its_tokens_and_all_sessions_at_once() {
    let stage = Stage::reading(|_| ());
    let gateway = &stage.gateway;
    let tool = gateway.add_tool("backup", ADDRESS, "backup");
    let stolen = gateway.token(&tool, ADDRESS);
    let mut imap = gateway.imap_session(ADDRESS, &stolen);
    let active = kid(&keys(gateway, "active")[0]);
    gateway.manage_ok(&["key", "revoke", &active], b"");
    assert!(imap.rest().expect("the session ends").iter().any(|line| line.starts_with("* BYE")));
    let refused = gateway.imap().command("a", &format!("LOGIN {ADDRESS} {stolen}"));
    assert!(refused.last().is_some_and(|line| line.starts_with("a NO")), "{refused:?}");
    assert!(!shown(gateway).contains(&active));
    assert_eq!(keys(gateway, "revoked").iter().map(kid).collect::<Vec<_>>(), std::slice::from_ref(&active));
    assert_eq!(keys(gateway, "active").len(), 1);
    gateway.imap_session(ADDRESS, &gateway.token(&tool, ADDRESS)).command_ok("a", "LOGOUT");
    gateway.manage_ok(&["key", "revoke", &active], b"");
    assert_eq!(gateway.manage(&["key", "revoke", "nobody"], b"").code, Some(2));
}

#[test]
fn a_kill_in_the_middle_of_a_rotation_leaves_exactly_one_key_that_signs() {
    let mut stage = Stage::reading(|_| ());
    let tool = stage.gateway.add_tool("backup", ADDRESS, "backup");
    for _ in 0..if long_run() { 50 } else { 3 } {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (port, ca) = (stage.gateway.port("https"), stage.gateway.ca_file().to_owned());
        let head = format!(
            "POST /api/v1/keys/rotate HTTP/1.1\r\nAuthorization: Bearer {}\r\nContent-Type: application/json",
            stage.gateway.operator_token
        );
        let worker = std::thread::spawn({
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            move || {
                while !stop.load(Ordering::SeqCst) {
                    let answer = wire::https(port, &ca, &head, r#"{"now":true,"revoke":true}"#);
                    done.fetch_add(usize::from(answer.is_some_and(|answer| answer.status == 201)), Ordering::SeqCst);
                }
            }
        });
        wait_for("rotations", PATIENCE, || (done.load(Ordering::SeqCst) >= 5).then_some(()));
        stage.gateway.kill();
        stop.store(true, Ordering::SeqCst);
        worker.join().expect("the worker ends well");
        stage.gateway.serve();
        assert_eq!(keys(&stage.gateway, "active").len(), 1);
        let token = stage.gateway.token(&tool, ADDRESS);
        let head = format!("GET /oauth/me HTTP/1.1\r\nAuthorization: Bearer {token}");
        let told = wire::https(stage.gateway.port("https"), stage.gateway.ca_file(), &head, "");
        assert_eq!(told.map(|answer| answer.status), Some(200), "the token is taken");
    }
    stage.gateway.imap_session(ADDRESS, &stage.gateway.token(&tool, ADDRESS)).command_ok("a", "LOGOUT");
    stage.gateway.manage_ok(&["audit", "verify"], b"");
}
