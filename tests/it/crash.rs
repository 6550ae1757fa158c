//! A crash at any instant: what was given out was recorded before, and the log is whole.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::gateway::{Tool, token_answer};
use crate::support::stage::{ADDRESS, Stage};
use crate::support::{PATIENCE, long_run, wait_for};

#[test]
fn au_07_every_token_given_out_before_a_kill_is_in_the_log() {
    let mut stage = Stage::reading(|_| ());
    let tool = stage.gateway.add_tool("backup", ADDRESS, "backup");
    let issued = Arc::new(Mutex::new(BTreeSet::new()));
    for round in 1..=if long_run() { 200 } else { 3 } {
        let stop = Arc::new(AtomicBool::new(false));
        let workers = (0..4).map(|_| worker(&stage, &tool, &issued, &stop)).collect::<Vec<_>>();
        let goal = round * 25;
        wait_for("enough tokens", PATIENCE, || {
            (issued.lock().expect("no worker panicked").len() >= goal).then_some(())
        });
        stage.gateway.kill();
        stop.store(true, Ordering::SeqCst);
        for worker in workers {
            worker.join().expect("the worker ends well");
        }
        stage.gateway.serve();
        stage.gateway.manage_ok(&["audit", "verify"], b"");
    }
    let log = stage.gateway.audit();
    let recorded =
        log.iter().filter(|event| event["code"] == "token.issued").map(ToString::to_string).collect::<Vec<_>>();
    for jti in issued.lock().expect("no worker panicked").iter() {
        assert!(
            recorded.iter().any(|event| event.contains(jti.as_str())),
            "token {jti} was given out and not recorded"
        );
    }
}

#[test]
fn a_second_start_after_an_orderly_stop_knows_everything() {
    let mut stage = Stage::reading(|_| ());
    let tool = stage.gateway.add_tool("backup", ADDRESS, "backup");
    let token = stage.gateway.token(&tool, ADDRESS);
    stage.gateway.stop();
    stage.gateway.serve();
    let mut imap = stage.gateway.imap_session(ADDRESS, &token);
    imap.command_ok("a", "LOGOUT");
    let codes = stage.gateway.audit().iter().map(|event| event["code"].to_string()).collect::<BTreeSet<_>>();
    assert!(codes.contains("\"service.stopped\"") && codes.contains("\"service.started\""), "{codes:?}");
    stage.gateway.manage_ok(&["audit", "verify"], b"");
}

fn worker(
    stage: &Stage,
    tool: &Tool,
    issued: &Arc<Mutex<BTreeSet<String>>>,
    stop: &Arc<AtomicBool>,
) -> std::thread::JoinHandle<()> {
    let (port, ca) = (stage.gateway.port("https"), stage.gateway.ca_file().to_owned());
    let (tool, issued, stop) = (tool.clone(), Arc::clone(issued), Arc::clone(stop));
    std::thread::spawn(move || {
        while !stop.load(Ordering::SeqCst) {
            let form = format!("grant_type=client_credentials&resource=mailto:{ADDRESS}");
            let Some(answer) = token_answer(port, &ca, &tool, &form) else { continue };
            if answer.status != 200 {
                continue;
            }
            // A cut-off body is a token that nobody got.
            let Ok(value) = serde_json::from_str::<serde_json::Value>(&answer.body) else { continue };
            let token = value["access_token"].as_str().expect("an access token");
            issued.lock().expect("no worker panicked").insert(jti(token));
        }
    })
}

fn jti(token: &str) -> String {
    use base64::Engine;
    let claims = token.split('.').nth(1).expect("claims");
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).expect("base64url");
    let claims: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    claims["jti"].as_str().expect("a jti").to_owned()
}
