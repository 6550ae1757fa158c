//! A grant that names SASL mechanisms: by any other, its tokens and handles open nothing.

use serde_json::{Value, json};

use crate::sasl::{Door, MECHANISMS, PROTOCOLS, Protocol, messages};
use crate::support::PATIENCE;
use crate::support::api::Api;
use crate::support::gateway::Tool;
use crate::support::smtp_upstream::Act;
use crate::support::stage::ADDRESS;
use crate::support::submission::Both;
use crate::support::wire::without_verdict;

/// Those that call a token a token.
const BEARER: [&str; 2] = ["OAUTHBEARER", "XOAUTH2"];

/// A tool whose tokens may be shown by [`BEARER`] mechanisms alone.
fn bearer_only(scene: &Both) -> Tool {
    let tool = scene.gateway.add_client("bearer only");
    let add = ["grant", "add", "--client", &tool.id, "--mailbox", ADDRESS, "--preset", "helpdesk"];
    let pinned = ["--mechanism", BEARER[0], "--mechanism", "xoauth2", "--format", "json"];
    let grant: Value =
        serde_json::from_str(&scene.gateway.manage_ok(&[&add[..], &pinned].concat(), b"")).expect("JSON");
    assert_eq!(grant["bounds"], json!({ "mechanisms": BEARER }));
    tool
}

/// What a login by `mechanism` with this token is answered, and whether it is in.
fn log_in(scene: &Both, protocol: Protocol, mechanism: &str, token: &str) -> (bool, String) {
    let mut door = Door::open(scene, protocol);
    let mut answer = door.log_in(mechanism, &messages(mechanism, token), true);
    if answer.starts_with("+ ") || answer.starts_with("334 ") {
        answer.push_str(&door.answer("AQ=="));
    }
    (door.is_in(&answer), answer)
}

fn refusals(scene: &Both) -> Vec<Value> {
    scene.gateway.audit().into_iter().filter(|event| event["code"] == "login.refused").collect()
}

#[test]
fn gw_05_while_bearer_only_a_token_or_handle_as_a_password_is_refused_like_garbage() {
    let scene = Both::set(|_| Act::Well);
    let tool = bearer_only(&scene);
    let token = scene.gateway.token(&tool, ADDRESS);
    for door in PROTOCOLS {
        let protocol = door.as_str();
        let handle = scene.gateway.handle(&tool, ADDRESS, protocol);
        for shown in [&token, &handle] {
            for mechanism in MECHANISMS {
                let before = refusals(&scene).len();
                let (is_in, answer) = log_in(&scene, door, mechanism, shown);
                assert_eq!(is_in, BEARER.contains(&mechanism), "{mechanism} at {protocol}: {answer}");
                let recorded = refusals(&scene).split_off(before);
                if is_in {
                    assert_eq!(recorded, Vec::<Value>::new());
                    continue;
                }
                let garbage = log_in(&scene, door, mechanism, "garbage").1;
                assert_eq!(without_verdict(&answer), without_verdict(&garbage), "{mechanism} at {protocol}");
                assert_eq!(recorded.len(), 1, "{recorded:?}");
                let reason = "the grant does not let this mechanism be used";
                let detail = json!({
                    "mechanism": mechanism, "protocol": protocol, "reason": reason, "asked": "login", "rule": "mechanism",
                    "object": mechanism, "mailbox": ADDRESS,
                });
                assert_eq!((&recorded[0]["detail"], &recorded[0]["client_id"]), (&detail, &json!(tool.id)));
            }
        }
    }
    // The command is the mechanism of its name.
    let mut command = scene.gateway.imap();
    let answer = command.command("a", &format!("LOGIN {ADDRESS} {token}"));
    assert!(answer.last().is_some_and(|line| line.starts_with("a NO [AUTHENTICATIONFAILED]")), "{answer:?}");
    let last = refusals(&scene).pop().expect("a record");
    assert_eq!((&last["detail"]["mechanism"], &last["client_id"]), (&json!("LOGIN"), &json!(tool.id)));
    // Nobody else is meant.
    assert!(log_in(&scene, Protocol::Imap, "PLAIN", &scene.token).0);
}

#[test]
fn gw_05_a_pin_ends_sessions_that_came_by_another_mechanism_and_leaves_the_others() {
    let scene = Both::set(|_| Act::Well);
    let (gateway, operator) = (&scene.gateway, scene.gateway.operator_token.as_str());
    let open = |mechanism: &str| {
        let mut door = Door::open(&scene, Protocol::Imap);
        let answer = door.log_in(mechanism, &messages(mechanism, &scene.token), true);
        assert!(door.is_in(&answer), "{answer}");
        door.wire
    };
    let (mut by_token, mut by_password) = (open("XOAUTH2"), open("PLAIN"));
    let grant = Api::of(gateway).get("/api/v1/grants", operator).json()["grants"][0].clone();
    let path = format!("/api/v1/grants/{}", grant["id"].as_str().expect("an id"));
    let change = |mechanisms: Value| {
        let terms = json!({ "scope": grant["scope"], "bounds": { "mechanisms": mechanisms } });
        Api::of(gateway).json("PUT", &path, operator, &terms)
    };
    for wrong in [json!(["CRAM-MD5"]), json!(["plain"]), json!("PLAIN"), json!(["XOAUTH2", 1])] {
        change(wrong).problem(400, "invalid");
    }
    assert_eq!(change(json!(BEARER)).status, 200);
    by_password.patience(PATIENCE);
    let lines = by_password.rest().expect("the session is ended in order");
    assert!(lines.iter().any(|line| line.starts_with("* BYE")), "{lines:?}");
    by_token.command_ok("still", "NOOP");
}

#[test]
fn gw_05_an_unknown_mechanism_is_refused_at_registration() {
    let scene = Both::set(|_| Act::Well);
    let gateway = &scene.gateway;
    let tool = gateway.add_client("new");
    let add = ["grant", "add", "--client", &tool.id, "--mailbox", ADDRESS, "--preset", "backup", "--mechanism"];
    let refused = gateway.manage(&[&add[..], &["SCRAM-SHA-256"]].concat(), b"");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(BEARER.iter().all(|known| refused.stderr.contains(known)), "it says which there are: {refused:?}");
    let file = gateway.dir().join("grants.toml");
    let bounds = |name: &str| {
        format!(
            "[[grants]]\nclient = \"new\"\nmailbox = \"{ADDRESS}\"\npreset = \"backup\"\nbounds.mechanisms = [\"{name}\"]\n"
        )
    };
    let apply = |text: String, args: &[&str]| {
        std::fs::write(&file, text).expect("write the file");
        gateway.manage(&[&["apply", &file.display().to_string()], args].concat(), b"")
    };
    assert_eq!(apply(bounds("SCRAM-SHA-256"), &["--yes"]).code, Some(2));
    let grants = Api::of(gateway).get("/api/v1/grants", &gateway.operator_token).json();
    assert_eq!(grants["grants"].as_array().map(Vec::len), Some(1), "that of the scene alone: {grants}");
    let planned = apply(bounds("XOAUTH2"), &["--dry-run"]);
    let printed = planned.expect_ok("apply");
    assert!(printed.contains("mechanisms XOAUTH2"), "{printed}");
}
