//! A client's secrets as operators see them: two at most, each with its last use, and a verdict when the older one can go.

use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::gateway::{Gateway, Tool};
use crate::support::stage::{ADDRESS, Stage};
use crate::support::{PATIENCE, wait_for};

fn secrets(gateway: &Gateway, tool: &Tool) -> Vec<Value> {
    let printed = gateway.manage_ok(&["client", "show", &tool.id, "--format", "json"], b"");
    let client: Value = serde_json::from_str(&printed).expect("JSON");
    client["secrets"].as_array().expect("secrets").clone()
}

#[test]
fn ca_17_two_secrets_at_most_each_with_its_last_use_and_a_third_is_a_conflict() {
    let mut stage = Stage::reading(|_| ());
    let gateway = &stage.gateway;
    let tool = gateway.add_tool("backup", ADDRESS, "backup");
    assert_eq!((&secrets(gateway, &tool)[0]["last_used_at"], secrets(gateway, &tool).len()), (&Value::Null, 1));
    gateway.token(&tool, ADDRESS);
    let (api, token) = (Api::of(gateway), gateway.operator_token.as_str());
    let path = format!("/api/v1/clients/{}/rotate-secret", tool.id);
    let rotated = api.json("POST", &path, token, &json!({ "overlap_secs": 7_776_000 }));
    assert_eq!(rotated.status, 200, "{rotated:?}");
    api.json("POST", &path, token, &json!({ "overlap_secs": 60 })).problem(409, "conflict");
    api.json("POST", &path, token, &json!({ "overlap_secs": 7_776_001 })).problem(400, "invalid");
    let newer = Tool { secret: rotated.json()["client_secret"].as_str().expect("a secret").to_owned(), ..tool.clone() };
    gateway.token(&tool, ADDRESS);
    let [older, newest] = &secrets(gateway, &tool)[..] else { panic!("two secrets") };
    assert!(older["last_used_at"].is_string() && older["expires_at"].is_string(), "{older}");
    assert_eq!((&older["last_used_from"], &newest["last_used_at"]), (&json!("127.0.0.1"), &Value::Null));
    assert_eq!((&older["safe_to_retire"], &newest["safe_to_retire"]), (&json!(false), &json!(false)));
    gateway.token(&newer, ADDRESS);
    let table = gateway.manage_ok(&["client", "show", &tool.id, "--quiet-for", "60"], b"");
    assert!(table.contains("SAFE_TO_RETIRE") && table.contains("127.0.0.1"), "{table}");
    let short = api.get(&format!("/api/v1/clients/{}?quiet_for_secs=59", tool.id), token);
    short.problem(400, "invalid");

    // What was seen outlives an orderly stop.
    let seen = secrets(gateway, &tool);
    stage.gateway.stop();
    stage.gateway.serve();
    assert_eq!(secrets(&stage.gateway, &tool), seen);
    // And, once it is written down, a kill.
    stage.gateway.token(&newer, ADDRESS);
    let seen = secrets(&stage.gateway, &tool);
    let written = "SELECT used_at FROM client_secret_uses ORDER BY used_at DESC LIMIT 1";
    let last = seen[1]["last_used_at"].as_str().expect("a time");
    wait_for("the use to be written down", PATIENCE, || {
        (stage.gateway.number(written) == mailwarden::domain::clock::Timestamp::parse_rfc3339(last)?.0).then_some(())
    });
    stage.gateway.kill();
    stage.gateway.serve();
    assert_eq!(secrets(&stage.gateway, &tool), seen);
}

#[test]
fn a_mailbox_is_tested_and_removed_by_its_address_and_a_refused_login_is_a_failure() {
    let stage = Stage::reading(|_| ());
    let gateway = &stage.gateway;
    gateway.manage_ok(&["mailbox", "test", ADDRESS], b"");
    stage.dovecot.set_password(ADDRESS, "another-one");
    // Dovecot takes a moment to see it.
    let test = wait_for("the login to be refused", PATIENCE, || {
        Some(gateway.manage(&["mailbox", "test", ADDRESS], b"")).filter(|test| !test.stdout.contains(" ok"))
    });
    assert_eq!(test.code, Some(2), "{test:?}");
    assert!(test.stdout.contains("imap") && test.stderr.contains("login"), "the report is printed: {test:?}");
    gateway.manage_ok(&["mailbox", "remove", ADDRESS], b"");
    assert_eq!(gateway.manage(&["mailbox", "show", ADDRESS], b"").code, Some(2));
}
