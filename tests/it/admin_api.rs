//! What every answer of the HTTP listener carries, what the API refuses, and what it leaves no trace of.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::support::api::{Api, operations};
use crate::support::ca::Ca;
use crate::support::folder;
use crate::support::gateway::Gateway;
use crate::support::stage::{ADDRESS, Stage};
use crate::support::wire;

fn running() -> (tempfile::TempDir, Gateway) {
    let dir = folder();
    let gateway = Gateway::start(&Ca::create(&dir.path().join("ca")));
    (dir, gateway)
}

fn count(gateway: &Gateway, code: &str) -> usize {
    gateway.audit().iter().filter(|event| event["code"] == code).count()
}

#[test]
fn ad_06_every_answer_carries_the_security_headers() {
    let (_dir, gateway) = running();
    let api = Api::of(&gateway);
    let mut paths: Vec<(String, String)> =
        operations(&api.document()).into_iter().map(|(path, method, _)| (method, path)).collect();
    paths.extend(
        [("GET", "/nope"), ("GET", "/"), ("PATCH", "/api/v1/clients"), ("GET", "/api/v1/clients/%ff")].map(own),
    );
    let mut statuses = std::collections::BTreeSet::new();
    for (method, path) in paths {
        for token in ["", gateway.operator_token.as_str()] {
            let answer = api.json(&method, &path.replace("{id}", "x"), token, &json!({}));
            statuses.insert(answer.status);
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", "no-referrer"),
                ("x-frame-options", "DENY"),
                ("cross-origin-opener-policy", "same-origin"),
                ("cross-origin-resource-policy", "same-origin"),
                ("strict-transport-security", "max-age=31536000"),
                ("server", ""),
                ("x-powered-by", ""),
            ] {
                assert_eq!(answer.header(name), value, "{name} of {method} {path}");
            }
            let policy = answer.header("content-security-policy");
            for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"] {
                assert!(policy.contains(part), "{policy} of {method} {path}");
            }
            assert!(!policy.contains("unsafe"), "{policy}");
            let is_private = path.starts_with("/api/v1/") && !path.ends_with("/openapi.json");
            if is_private || answer.status >= 400 {
                assert_eq!(answer.header("cache-control"), "no-store", "{method} {path}");
            }
            let tells_version = answer.body.contains(env!("CARGO_PKG_VERSION"));
            assert!(!tells_version || answer.status == 200, "{answer:?}");
        }
    }
    for status in [200, 400, 401, 404, 405, 429] {
        assert!(statuses.contains(&status), "{status} was not among {statuses:?}");
    }
}

fn own((method, path): (&str, &str)) -> (String, String) {
    (method.to_owned(), path.to_owned())
}

#[test]
fn every_refusal_is_a_problem_document() {
    let (_dir, gateway) = running();
    let (api, token) = (Api::of(&gateway), gateway.operator_token.as_str());
    let bearer = format!("Bearer {token}");
    let post = |content_type: &str, body: String| {
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", content_type)];
        api.send("POST", "/api/v1/clients", &headers, body)
    };
    for path in ["/", "/nope", "/api/v1", "/api/v1/", "/api/v1/nope", "/api/v1/clients/", "/api/v1/clients/a/b/c"] {
        api.get(path, token).problem(404, "not-found");
    }
    let answer = api.send("PATCH", "/api/v1/clients", &[], "");
    answer.problem(405, "method-not-allowed");
    assert_eq!(answer.header("allow"), "GET,HEAD,POST");
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "multipart/form-data"] {
        post(media_type, r#"{"name":"x"}"#.to_owned()).problem(415, "unsupported-media-type");
    }
    for body in
        ["", "{", "[]", "null", "{\"name\":1}", "{\"name\":\"x\"} x", "{\"name\":\"x\",\"name\":\"y\"}", "\u{feff}{}"]
    {
        post("application/json; charset=utf-8", body.to_owned()).problem(400, "invalid");
    }
    let deep = "[".repeat(30_000);
    post("application/json", format!("{{\"name\":{deep}")).problem(400, "invalid");
    for length in [65_537, 1_000_000] {
        post("application/json", "x".repeat(length)).problem(413, "too-large");
    }
    for query in ["after=x", "after=99999999999999999999", "limit=-1", "limit=1&limit=2", "unknown=1", "after=%ff"] {
        api.get(&format!("/api/v1/audit?{query}"), token).problem(400, "invalid");
    }
    api.get("/api/v1/clients/%ff", token).problem(400, "invalid");
    for nothing in ["%00", "a%00b", "..%2f..", "%E2%80%AE", "mbx_000000000000", "'--", &"x".repeat(4000)] {
        for noun in ["clients", "mailboxes", "grants"] {
            api.get(&format!("/api/v1/{noun}/{nothing}"), token).problem(404, "not-found");
        }
    }
    assert_eq!(api.get("/api/v1/clients", token).json()["clients"], json!([]), "nothing was made");
}

#[test]
fn a_body_that_never_ends_is_given_up() {
    let (_dir, gateway) = running();
    let mut slow = wire::Wire::connect(gateway.port("https"), gateway.ca_file());
    slow.send("POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nx");
    assert_eq!(slow.line(), "HTTP/1.1 408 Request Timeout");
}

#[test]
fn ad_15_health_is_not_on_the_public_port() {
    let (_dir, gateway) = running();
    let api = Api::of(&gateway);
    for path in ["/healthz", "/readyz", "/metrics", "/debug/pprof"] {
        api.send("GET", path, &[], "").problem(404, "not-found");
    }
}

#[test]
fn ad_05_a_page_of_another_origin_cannot_write() {
    let (_dir, gateway) = running();
    let api = Api::of(&gateway);
    let bearer = format!("Bearer {}", gateway.operator_token);
    // What a browser sends without asking first: these three types, and no Authorization of its own.
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let headers = [("Content-Type", media_type), ("Origin", "null"), ("Authorization", &*bearer)];
        api.send("POST", "/api/v1/operators", &headers, r#"{"name":"x","role":"admin"}"#)
            .problem(415, "unsupported-media-type");
    }
    let preflight = api.send("OPTIONS", "/api/v1/operators", &[("Origin", "https://evil.example")], "");
    preflight.problem(405, "method-not-allowed");
    assert_eq!(preflight.header("access-control-allow-origin"), "");
    for verb in ["revoke", "rotate-secret", "retire-secrets"] {
        api.get(&format!("/api/v1/clients/x/{verb}"), &gateway.operator_token).problem(405, "method-not-allowed");
    }
    let operators = api.get("/api/v1/operators", &gateway.operator_token).json();
    assert_eq!(operators["operators"].as_array().map(Vec::len), Some(1), "{operators}");
}

#[test]
fn two_authorization_headers_are_refused() {
    let (_dir, gateway) = running();
    let api = Api::of(&gateway);
    let good = format!("Bearer {}", gateway.operator_token);
    for pair in [[&*good, "Bearer x"], ["Bearer x", &*good], [&*good, &*good], ["Basic eDp4", &*good]] {
        let headers = pair.map(|value| ("Authorization", value));
        let detail = api.send("GET", "/api/v1/clients", &headers, "").problem(400, "invalid");
        assert!(detail.contains("Authorization"), "{detail}");
    }
}

#[test]
fn refused_tokens_are_throttled_by_source_before_they_are_recorded() {
    let (_dir, gateway) = running();
    let bad = Api::from(&gateway, Ipv4Addr::new(127, 0, 9, 1));
    let mut throttled = 0;
    for attempt in 0..60 {
        let answer = bad.get("/api/v1/clients", &format!("wrong{attempt}"));
        if answer.status == 429 {
            answer.problem(429, "throttled");
            assert!(
                answer.header("retry-after").parse::<u64>().is_ok_and(|secs| (1..=60).contains(&secs)),
                "{answer:?}"
            );
            throttled += 1;
        } else {
            answer.problem(401, "unauthenticated");
        }
    }
    assert!(throttled >= 30, "{throttled} of 60 were throttled");
    assert_eq!(count(&gateway, "operator.refused"), 60 - throttled, "a throttled attempt costs no record");
    let other = Api::from(&gateway, Ipv4Addr::new(127, 0, 9, 2));
    other.get("/api/v1/clients", "wrong").problem(401, "unauthenticated");
    assert_eq!(bad.get("/api/v1/clients", &gateway.operator_token).status, 200, "a valid token is never kept out");
}

#[test]
fn killing_an_unknown_session_leaves_no_record() {
    let (_dir, gateway) = running();
    let (api, token) = (Api::of(&gateway), gateway.operator_token.as_str());
    for id in ["ses_000000000000", "nonsense"] {
        api.json("DELETE", &format!("/api/v1/sessions/{id}"), token, &json!({})).problem(404, "not-found");
    }
    assert_eq!(count(&gateway, "session.killed"), 0);
    let killed = gateway.manage(&["session", "kill", "ses_000000000000"], b"");
    assert!(killed.code == Some(2) && killed.stderr.contains("no such session"), "{killed:?}");
}

#[test]
fn a_broken_audit_chain_is_a_conflict_that_names_the_first_bad_record() {
    let (_dir, gateway) = running();
    for name in ["one", "two", "three"] {
        gateway.add_client(name);
    }
    let (api, token) = (Api::of(&gateway), gateway.operator_token.as_str());
    assert_eq!(api.get("/api/v1/audit/verify", token).json()["whole"], true);
    gateway.tamper("UPDATE audit_events SET actor = 'somebody else' WHERE seq = 3");
    let detail = api.get("/api/v1/audit/verify", token).problem(409, "conflict");
    assert!(detail.ends_with("first bad record is 3"), "{detail}");
    let verified = gateway.manage(&["audit", "verify"], b"");
    assert!(verified.code == Some(2) && verified.stderr.contains("first bad record is 3"), "{verified:?}");
}

#[test]
fn a_store_that_fails_is_not_taken_for_no_grant() {
    let stage = Stage::reading(|_| ());
    let tool = stage.gateway.add_client("nightly");
    let (api, token) = (Api::of(&stage.gateway), stage.gateway.operator_token.as_str());
    let path = format!("/api/v1/grants/explain?client={}&mailbox={ADDRESS}&command=NOOP", tool.id);
    let answer = api.get(&path, token).json();
    assert_eq!((answer["permitted"].as_bool(), answer["rule"].as_str()), (Some(false), Some("grant")), "{answer}");
    stage.gateway.tamper("ALTER TABLE grants RENAME TO grants_lost");
    let answer = api.get(&path, token);
    answer.problem(503, "unavailable");
    assert_eq!(answer.header("retry-after"), "5");
}

#[test]
fn the_command_line_sends_the_token_to_https_origins_only() {
    let (_dir, gateway) = running();
    let port = gateway.port("https");
    for (url, word) in [
        (format!("http://localhost:{port}"), "clear"),
        (format!("https://x:hunter2@localhost:{port}"), "password"),
        (format!("https://localhost:{port}/api/v1"), "behind"),
        ("localhost".to_owned(), "URL"),
    ] {
        let mut command = crate::support::gateway::management(&url, gateway.ca_file(), &gateway.operator_token);
        let finished = crate::support::process::run(command.args(["client", "list"]), b"");
        assert_eq!(finished.code, Some(2), "{finished:?}");
        assert_eq!(finished.stderr.lines().count(), 1, "{finished:?}");
        assert!(finished.stderr.contains("MAILWARDEN_URL") && finished.stderr.contains(word), "{finished:?}");
        assert!(
            !finished.stderr.contains("hunter2") && !finished.stderr.contains(&gateway.operator_token),
            "{finished:?}"
        );
    }
}

#[test]
fn every_listing_is_a_table_or_json() {
    let stage = Stage::reading(|_| ());
    let tool = stage.gateway.add_tool("nightly backup", ADDRESS, "backup");
    let _session = stage.gateway.imap_session(ADDRESS, &stage.gateway.token(&tool, ADDRESS));
    for (noun, key, held) in [
        ("mailbox", "mailboxes", ADDRESS),
        ("client", "clients", "nightly backup"),
        ("grant", "grants", "mail.read"),
        ("session", "sessions", ADDRESS),
        ("operator", "operators", "admin"),
        ("key", "keys", "EdDSA"),
        ("audit", "events", "token.issued"),
    ] {
        let table = stage.gateway.manage_ok(&[noun, "list"], b"");
        let rows = table.lines().count() - 1;
        assert!(table.lines().next().is_some_and(|head| head == head.to_uppercase()), "{table}");
        assert!(table.contains(held), "{table}");
        let json: Value =
            serde_json::from_str(&stage.gateway.manage_ok(&[noun, "list", "--format", "json"], b"")).expect("JSON");
        assert_eq!(json[key].as_array().map(Vec::len), Some(rows), "{noun}: {json}\n{table}");
        assert!(json.to_string().contains(held), "{json}");
    }
}

#[test]
fn the_doctor_names_what_is_wrong_and_where() {
    let mut stage = Stage::reading(|_| ());
    let healthy = stage.gateway.run(&["doctor"], b"").expect_ok("doctor");
    for name in ["settings", "kek", "certificate", "listen imaps", "database", "vault", &format!("imap of {ADDRESS}")] {
        assert!(healthy.lines().any(|line| line.starts_with(&format!("ok    {name}: "))), "no {name} in {healthy}");
    }
    stage.gateway.stop();
    let wrong = |stage: &Stage, name: &str| {
        let found = stage.gateway.run(&["doctor"], b"");
        assert_eq!(found.code, Some(2), "{found:?}");
        assert!(found.stdout.lines().any(|line| line.starts_with(&format!("wrong {name}"))), "no {name} in {found:?}");
    };
    stage.gateway.edit_config("hostname = \"localhost\"", "hostname = \"elsewhere.example\"");
    wrong(&stage, "certificate: the certificate is not for elsewhere.example");
    stage.gateway.edit_config("hostname = \"elsewhere.example\"", "hostname = \"localhost\"");
    stage.gateway.edit_config("allow_networks = [\"127.0.0.0/8\", \"::1/128\"]", "allow_networks = []");
    wrong(&stage, &format!("imap of {ADDRESS}: localhost:"));
    stage.gateway.tamper("ALTER TABLE grants RENAME TO grants_lost");
    wrong(&stage, "database: the schema is not this version's");
    let kek = stage.gateway.dir().join("data/kek");
    std::fs::remove_file(kek).expect("remove the KEK");
    wrong(&stage, "kek");
}
