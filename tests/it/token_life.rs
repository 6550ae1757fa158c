//! A token after it was issued: introspection (RFC 7662), revocation (RFC 7009), the operators' list, and what a tool may know of itself.

use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::gateway::{Gateway, Tool, base64};
use crate::support::http::{HERE, ask, basic, elsewhere, get, post, post_to};
use crate::support::stage::{ADDRESS, Stage};
use crate::support::wire::Answer;

const INACTIVE: &str = r#"{"active":false}"#;

fn introspect(gateway: &Gateway, tool: &Tool, token: &str) -> Answer {
    ask(gateway, HERE, post_to("/oauth/introspect", &basic(tool), &format!("token={token}")))
}

fn revoke(gateway: &Gateway, tool: &Tool, token: &str) -> Answer {
    ask(gateway, HERE, post_to("/oauth/revoke", &basic(tool), &format!("token={token}&token_type_hint=refresh_token")))
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn operator(gateway: &Gateway, role: &str) -> String {
    let printed = gateway.manage_ok(&["operator", "add", role, "--role", role, "--format", "json"], b"");
    let value: Value = serde_json::from_str(&printed).expect("JSON");
    value["operator_token"].as_str().expect("a token").to_owned()
}

fn me(gateway: &Gateway, header: &str) -> Answer {
    ask(gateway, HERE, get("/oauth/me").replace("\r\n\r\n", &format!("\r\n{header}\r\n")))
}

/// The records of single revocations.
fn revocations(gateway: &Gateway) -> usize {
    gateway.audit().iter().filter(|event| event["code"] == "token.revoked").count()
}

#[track_caller]
fn inactive(answer: &Answer) {
    assert_eq!((answer.status, answer.body.as_str()), (200, INACTIVE), "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
}

#[test]
fn int_01_a_caller_is_known_and_sees_its_own_tokens_only() {
    let stage = Stage::reading(|_| ());
    let gateway = &stage.gateway;
    let (tool, other) = (gateway.add_tool("one", ADDRESS, "backup"), gateway.add_tool("two", ADDRESS, "backup"));
    let token = gateway.token(&tool, ADDRESS);
    let answer = introspect(gateway, &tool, &token);
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{answer:?}");
    let told = answer.json();
    let issuer = format!("https://localhost:{}/oauth", gateway.port("https"));
    let (iat, exp) = (told["iat"].as_i64().expect("iat"), told["exp"].as_i64().expect("exp"));
    assert_eq!(exp - iat, 300);
    assert_eq!(
        told,
        json!({ "active": true, "iss": issuer, "sub": tool.id, "client_id": tool.id, "aud": format!("mailto:{ADDRESS}"),
            "scope": "mail.read", "iat": iat, "exp": exp, "jti": told["jti"], "token_type": "Bearer" })
    );
    assert_eq!(told["jti"].as_str().map(str::len), Some(22));
    inactive(&introspect(gateway, &other, &token));

    // Who is not known hears nothing, whatever it says it is.
    let wrong = Tool { id: tool.id.clone(), secret: other.secret.clone() };
    let form = format!("token={token}");
    for (at, header) in [String::new(), basic(&wrong), "Authorization: Basic !\r\n".into()].iter().enumerate() {
        let answer = ask(gateway, elsewhere(at), post_to("/oauth/introspect", header, &form));
        assert_eq!((answer.status, &answer.json()["error"]), (401, &"invalid_client".into()), "{answer:?}");
        assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Basic")), "{answer:?}");
        assert!(!answer.body.contains("active"));
    }
    // An access token is no operator token, and neither is garbage.
    let garbage = format!("mwo_{}", "A".repeat(49));
    for (at, shown) in [token.as_str(), &garbage, ""].iter().enumerate() {
        let answer = ask(gateway, elsewhere(at), post_to("/oauth/introspect", &bearer(shown), &form));
        assert!(answer.status == 401 && !answer.body.contains("active"), "{answer:?}");
        assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")), "{answer:?}");
    }
    for role in ["auditor", "security", "admin"] {
        let header = bearer(&operator(gateway, role));
        let answer = ask(gateway, HERE, post_to("/oauth/introspect", &header, &form));
        assert_eq!((answer.status, answer.json()), (200, told.clone()), "{role}");
        inactive(&ask(gateway, HERE, post_to("/oauth/introspect", &header, "token=garbage")));
    }
    // Many wrong secrets from one address make it wait here as at the token endpoint.
    let far = elsewhere(9);
    let statuses: Vec<_> =
        (0..30).map(|_| ask(gateway, far, post_to("/oauth/introspect", &basic(&wrong), &form)).status).collect();
    assert!(statuses.starts_with(&[401; 20]) && statuses.ends_with(&[429; 5]), "{statuses:?}");
    assert_eq!(ask(gateway, far, post_to("/oauth/revoke", &basic(&wrong), &form)).status, 429);
}

#[test]
fn int_02_an_inactive_answer_has_exactly_one_member() {
    let stage = Stage::reading(|_| ());
    let gateway = &stage.gateway;
    let (tool, other) = (gateway.add_tool("one", ADDRESS, "backup"), gateway.add_tool("two", ADDRESS, "backup"));
    let token = gateway.token(&tool, ADDRESS);
    let (head, signature) = token.rsplit_once('.').expect("a signature");
    for garbage in [
        "garbage".to_owned(),
        "%00".to_owned(),
        "%FF%FE".to_owned(),
        "..".to_owned(),
        format!("{head}."),
        format!("{head}.{}", signature.chars().rev().collect::<String>()),
        format!("{token}%20"),
        tool.secret.clone(),
        gateway.operator_token.clone(),
        "A".repeat(60_000),
    ] {
        inactive(&introspect(gateway, &tool, &garbage));
    }
    // Longer than any body may be: nothing of it is read.
    let answer = introspect(gateway, &tool, &"A".repeat(1_000_000));
    assert_eq!((answer.status, &answer.json()["error"]), (413, &"invalid_request".into()));
    inactive(&introspect(gateway, &other, &token));
    assert_eq!(revoke(gateway, &tool, &token).status, 200);
    inactive(&introspect(gateway, &tool, &token));

    let short = gateway.add_client("short");
    let grant = ["grant", "add", "--client", &short.id, "--mailbox", ADDRESS, "--preset", "backup", "--token-ttl", "1"];
    gateway.manage_ok(&grant, b"");
    let token = gateway.token(&short, ADDRESS);
    assert_eq!(introspect(gateway, &short, &token).json()["active"], true);
    crate::support::wait_for("the token to expire", crate::support::PATIENCE, || {
        (introspect(gateway, &short, &token).body == INACTIVE).then_some(())
    });
    // What a token stands on counts as well: the grant, the client, the mailbox.
    let grants: Value =
        serde_json::from_str(&gateway.manage_ok(&["grant", "list", "--format", "json"], b"")).expect("JSON");
    let theirs = |id: &str| {
        let all = grants["grants"].as_array().expect("grants");
        let found = all.iter().find(|grant| grant["client_id"] == id).expect("a grant");
        found["id"].as_str().expect("an id").to_owned()
    };
    let third = gateway.add_tool("three", ADDRESS, "backup");
    let tokens = [&tool, &other, &third].map(|tool| (tool, gateway.token(tool, ADDRESS)));
    let standing = || tokens.each_ref().map(|(tool, token)| introspect(gateway, tool, token).body != INACTIVE);
    assert_eq!(standing(), [true, true, true]);
    gateway.manage_ok(&["grant", "remove", &theirs(&other.id)], b"");
    assert_eq!(standing(), [true, false, true]);
    gateway.manage_ok(&["revoke", "--client", &third.id], b"");
    assert_eq!(standing(), [true, false, false]);
    gateway.manage_ok(&["revoke", "--mailbox", ADDRESS], b"");
    assert_eq!(standing(), [false, false, false]);
}

#[test]
fn int_03_a_client_revokes_its_own_tokens_only_and_learns_nothing_of_others() {
    let stage = Stage::reading(|_| ());
    let gateway = &stage.gateway;
    let (tool, other) = (gateway.add_tool("one", ADDRESS, "backup"), gateway.add_tool("two", ADDRESS, "backup"));
    let token = gateway.token(&tool, ADDRESS);
    let answers: Vec<Answer> =
        [token.as_str(), "garbage", "mwh_unknown"].iter().map(|foreign| revoke(gateway, &other, foreign)).collect();
    for answer in &answers {
        let without_date = |answer: &Answer| {
            answer.head.lines().filter(|line| !line.to_lowercase().starts_with("date:")).collect::<Vec<_>>().join("\n")
        };
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{answer:?}");
        assert_eq!(without_date(answer), without_date(&answers[0]), "an oracle");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    }
    assert_eq!(introspect(gateway, &tool, &token).json()["active"], true);
    assert_eq!(revocations(gateway), 0);

    let mut session = gateway.imap_session(ADDRESS, &token);
    for _ in 0..2 {
        assert_eq!(revoke(gateway, &tool, &token).status, 200);
    }
    assert!(session.rest().expect("the session ends").iter().any(|line| line.starts_with("* BYE")));
    assert_eq!(revocations(gateway), 1, "a second time changes nothing");
    let log = gateway.audit();
    let event = log.iter().find(|event| event["code"] == "token.revoked").expect("the record");
    assert_eq!((&event["actor"], &event["client_id"]), (&tool.id.clone().into(), &tool.id.clone().into()));
    inactive(&introspect(gateway, &tool, &token));
    assert_eq!(me(gateway, &bearer(&token)).status, 401);

    for (form, status, code) in [
        (String::new(), 400, "invalid_request"),
        ("token=".to_owned(), 400, "invalid_request"),
        ("token=a&token=b".to_owned(), 400, "invalid_request"),
        (format!("token=a&client_secret={}", tool.secret), 400, "invalid_request"),
    ] {
        for path in ["/oauth/revoke", "/oauth/introspect"] {
            let answer = ask(gateway, HERE, post_to(path, &basic(&tool), &form));
            assert_eq!((answer.status, &answer.json()["error"]), (status, &code.into()), "{path} {form}");
        }
    }
    let stranger = ask(gateway, elsewhere(1), post_to("/oauth/revoke", "", &format!("token={token}")));
    assert_eq!((stranger.status, &stranger.json()["error"]), (401, &"invalid_client".into()));
}

#[test]
fn operators_list_living_tokens_and_revoke_one() {
    let stage = Stage::reading(|_| ());
    let gateway = &stage.gateway;
    let (tool, other) = (gateway.add_tool("one", ADDRESS, "backup"), gateway.add_tool("two", ADDRESS, "archive"));
    let tokens = [gateway.token(&tool, ADDRESS), gateway.token(&tool, ADDRESS), gateway.token(&other, ADDRESS)];
    let ids: Vec<String> = tokens
        .iter()
        .zip([&tool, &tool, &other])
        .map(|(token, tool)| introspect(gateway, tool, token).json()["jti"].as_str().expect("a jti").to_owned())
        .collect();
    let api = Api::of(gateway);
    let auditor = operator(gateway, "auditor");
    let list = |query: &str| api.get(&format!("/api/v1/tokens{query}"), &auditor).json();
    let listed = |query: &str| -> Vec<(String, bool)> {
        let all = list(query)["tokens"].as_array().expect("tokens").clone();
        let id = |token: &Value| token["id"].as_str().expect("an id").to_owned();
        all.iter().map(|token| (id(token), token["active"] == true)).collect()
    };
    let all: Vec<_> = ids.iter().map(|id| (id.clone(), true)).collect();
    assert_eq!(listed(""), all);
    assert_eq!(listed("?client=one"), all[..2]);
    assert_eq!(listed(&format!("?client={}&mailbox={ADDRESS}", other.id)), all[2..]);
    let first = list("?limit=2");
    assert_eq!(first["tokens"].as_array().map(Vec::len), Some(2));
    assert_eq!(listed(&format!("?limit=2&after={}", first["next"])), all[2..]);
    let one = &list("")["tokens"][0];
    assert_eq!(
        (&one["client_id"], &one["scope"], &one["source"]),
        (&tool.id.clone().into(), &"mail.read".into(), &"127.0.0.1".into())
    );
    assert!(!list("").to_string().contains("eyJ"), "a token is in the list");
    api.get("/api/v1/tokens?client=nobody", &auditor).problem(404, "not-found");
    api.get("/api/v1/tokens?limit=0", &auditor).problem(400, "invalid");

    let path = format!("/api/v1/tokens/{}", ids[0]);
    api.json("DELETE", &path, &auditor, &json!({})).problem(403, "denied");
    let mut session = gateway.imap_session(ADDRESS, &tokens[0]);
    let mut bystander = gateway.imap_session(ADDRESS, &tokens[1]);
    gateway.manage_ok(&["revoke", "--token", &ids[0]], b"");
    assert!(session.rest().expect("the session ends").iter().any(|line| line.starts_with("* BYE")));
    bystander.command_ok("still", "NOOP");
    gateway.manage_ok(&["revoke", "--token", &ids[0]], b"");
    assert_eq!(revocations(gateway), 1);
    inactive(&introspect(gateway, &tool, &tokens[0]));
    assert_eq!(listed("?client=one"), [(ids[0].clone(), false), (ids[1].clone(), true)]);
    for nothing in ["AAAAAAAAAAAAAAAAAAAAAA", "______________________", "%25", "x"] {
        let path = format!("/api/v1/tokens/{nothing}");
        api.json("DELETE", &path, &gateway.operator_token, &json!({})).problem(404, "not-found");
    }
    gateway.manage_ok(&["revoke", "--client", "two"], b"");
    assert_eq!(listed("?client=two"), [(ids[2].clone(), false)]);
}

#[test]
fn a_tool_can_see_what_it_has_and_nothing_else() {
    let stage = Stage::reading(|_| ());
    let gateway = &stage.gateway;
    let tool = gateway.add_client("mine");
    let mut grant = vec!["grant", "add", "--client", &tool.id, "--mailbox", ADDRESS, "--preset", "backup"];
    grant.extend(["--folder", "INBOX", "--folder", "Archive/*"]);
    gateway.manage_ok(&grant, b"");
    let other = gateway.add_tool("other", ADDRESS, "full");
    gateway.manage_ok(&["client", "rotate-secret", &tool.id], b"");

    let answer = me(gateway, &basic(&tool));
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{answer:?}");
    let whole = answer.json();
    let place = |name: &str| format!("localhost:{}", gateway.port(name));
    assert_eq!((&whole["client_id"], &whole["name"]), (&tool.id.clone().into(), &"mine".into()));
    assert_eq!(whole["issuer"], format!("https://localhost:{}/oauth", gateway.port("https")));
    assert_eq!(
        whole["endpoints"],
        json!({ "imaps": place("imaps"), "imap": place("imap"), "smtps": place("smtps"), "submission": place("submission"),
                "pop3s": place("pop3s"), "pop3": place("pop3") })
    );
    let mailbox = &whole["mailboxes"][0];
    assert_eq!(whole["mailboxes"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        *mailbox,
        json!({ "address": ADDRESS, "resource": format!("mailto:{ADDRESS}"), "is_default": true, "grant_id": mailbox["grant_id"],
            "scope": "mail.read", "bounds": { "folders": ["INBOX", "Archive/*"] }, "token_ttl_secs": 300, "session_ttl_secs": 3600 })
    );
    let secrets = whole["secrets"].as_array().expect("secrets");
    assert!(secrets.len() == 2 && secrets.iter().filter(|secret| secret["expires_at"].is_string()).count() == 1);
    assert!(
        !answer.body.contains(&tool.secret) && !answer.body.contains(&other.id) && !answer.body.contains("mail.send")
    );

    // With a token it is what that token opens.
    let form =
        "grant_type=client_credentials&authorization_details=[{\"type\":\"mailbox\",\"folders\":[\"Archive/2026\"]}]";
    let token =
        ask(gateway, HERE, post(&basic(&tool), form)).json()["access_token"].as_str().expect("a token").to_owned();
    let narrow = me(gateway, &bearer(&token)).json();
    assert!(narrow.get("secrets").is_none(), "{narrow}");
    assert_eq!(narrow["mailboxes"][0]["bounds"], json!({ "folders": ["Archive/2026"] }));
    assert_eq!(narrow["mailboxes"][0]["address"], ADDRESS);

    let (head, _) = token.rsplit_once('.').expect("a signature");
    for (at, header) in [
        String::new(),
        bearer("garbage"),
        bearer(head),
        bearer(&gateway.operator_token),
        format!("Authorization: Basic {}\r\n", base64(format!("{}:wrong", tool.id).as_bytes())),
    ]
    .iter()
    .enumerate()
    {
        let request = get("/oauth/me").replace("\r\n\r\n", &format!("\r\n{header}\r\n"));
        let answer = ask(gateway, elsewhere(at), request);
        assert_eq!(answer.status, 401, "{header}: {answer:?}");
        assert!(answer.head.contains("Bearer realm=\"mailwarden\""), "{answer:?}");
        assert!(!answer.body.contains(ADDRESS));
    }
    let twice = format!("{}{}", bearer(&token), basic(&tool));
    assert_eq!(me(gateway, &twice).status, 400);
    gateway.manage_ok(&["revoke", "--client", &tool.id], b"");
    assert_eq!(me(gateway, &bearer(&token)).status, 401);
}
