//! A tool's token that is refused on HTTP: recorded, counted by its source, and no hindrance to anybody's good token.

use serde_json::Value;

use crate::support::gateway::Gateway;
use crate::support::http::{HERE, ask, basic, elsewhere, get, post};
use crate::support::stage::{ADDRESS, Stage};
use crate::support::wire::Answer;

const GRANT: &str = "grant_type=client_credentials";

/// Shows a token at `/oauth/me`, or nothing.
fn show(gateway: &Gateway, source: std::net::IpAddr, token: Option<&str>) -> Answer {
    let header = token.map(|token| format!("\r\nAuthorization: Bearer {token}")).unwrap_or_default();
    ask(gateway, source, get("/oauth/me").replace("\r\n\r\n", &format!("{header}\r\n\r\n")))
}

/// The records of what was refused.
fn refusals(gateway: &Gateway) -> Vec<Value> {
    gateway.audit().into_iter().filter(|event| event["code"] == "token.refused").collect()
}

#[test]
fn a_refused_token_is_recorded_with_its_source_and_its_client_if_that_is_known() {
    let stage = Stage::reading(|_| ());
    let gateway = &stage.gateway;
    let tool = gateway.add_tool("backup", ADDRESS, "backup");
    let token = gateway.token(&tool, ADDRESS);
    assert_eq!(show(gateway, HERE, Some(&token)).status, 200);
    for _ in 0..3 {
        let answer = show(gateway, elsewhere(0), None);
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    assert_eq!(refusals(gateway), Vec::<Value>::new(), "who shows nothing is asked for a token, and did nothing wrong");
    assert_eq!(show(gateway, elsewhere(0), Some("garbage")).status, 401);
    gateway.manage_ok(&["revoke", "--client", &tool.id], b"");
    let answer = show(gateway, elsewhere(1), Some(&token));
    assert_eq!((answer.status, &answer.json()["error"]), (401, &"invalid_token".into()), "{answer:?}");
    let records = refusals(gateway);
    let told: Vec<_> = records
        .iter()
        .map(|event| (event["source"].as_str(), event["client_id"].as_str(), event["detail"]["error"].as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (Some(&*elsewhere(0).to_string()), None, Some("invalid_token")),
            (Some(&*elsewhere(1).to_string()), Some(tool.id.as_str()), Some("invalid_token")),
        ]
    );
    assert_eq!(records[1]["request_id"], answer.json()["request_id"]);
    assert!(records.iter().all(|event| event["actor"] == "anonymous" && event["outcome"] == "denied"), "{records:?}");
}

#[test]
fn many_refused_tokens_slow_their_source_and_neither_a_good_token_nor_the_token_endpoint() {
    let stage = Stage::reading(|_| ());
    let gateway = &stage.gateway;
    let tool = gateway.add_tool("backup", ADDRESS, "backup");
    let token = gateway.token(&tool, ADDRESS);
    let far = elsewhere(0);
    let mut refused = 0;
    let slowed = loop {
        let answer = show(gateway, far, Some("garbage"));
        if answer.status != 401 {
            break answer;
        }
        refused += 1;
        assert!(refused <= 100, "nothing slows it");
    };
    assert_eq!((slowed.status, &slowed.json()["error"]), (429, &"slow_down".into()), "{slowed:?}");
    let wait = slowed.header("retry-after").and_then(|secs| secs.parse::<u32>().ok());
    assert!(wait.is_some_and(|wait| (1..=60).contains(&wait)), "{slowed:?}");
    assert!(refused >= 20, "{refused} refusals are few");
    assert_eq!(refusals(gateway).len(), refused, "what is not looked at costs no record");
    assert_eq!(show(gateway, far, Some(&token)).status, 200, "a good token from the same address");
    assert_eq!(ask(gateway, far, post(&basic(&tool), GRANT)).status, 200, "no secret was wrong");
    assert_eq!(show(gateway, elsewhere(1), Some("garbage")).status, 401, "another address");
}
