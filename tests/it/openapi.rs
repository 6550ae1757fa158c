//! The document and the service say the same: routes, methods, roles, answers.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::api::{Api, operations};
use crate::support::ca::Ca;
use crate::support::gateway::{Gateway, Tool};
use crate::support::stage::{ADDRESS, PASSWORD, Stage};
use crate::support::{folder, process, setting};

fn running() -> (tempfile::TempDir, Gateway) {
    let dir = folder();
    let gateway = Gateway::start(&Ca::create(&dir.path().join("ca")));
    (dir, gateway)
}

/// Where a path's variables are filled with an id of nothing.
fn filled(path: &str) -> String {
    path.replace("{id}", "mbx_000000000000")
}

fn roles(operation: &Value) -> Option<Vec<&str>> {
    let roles = operation.get("x-mailwarden-roles")?.as_array()?;
    Some(roles.iter().map(|role| role.as_str().expect("a role is a word")).collect())
}

/// The token of a new operator.
fn operator(gateway: &Gateway, name: &str, role: &str) -> String {
    let printed = gateway.manage_ok(&["operator", "add", name, "--role", role, "--format", "json"], b"");
    let value: Value = serde_json::from_str(&printed).expect("JSON");
    value["operator_token"].as_str().expect("a token").to_owned()
}

#[test]
fn document_and_router_agree() {
    let (_dir, gateway) = running();
    let api = Api::of(&gateway);
    let document = api.document();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(api.send("GET", "/api/v1/openapi.json", &[], "").json(), document, "one document at two places");
    let token = gateway.operator_token.as_str();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let declared: Vec<String> = item.as_object().expect("methods").keys().map(|name| name.to_uppercase()).collect();
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"] {
            let answer = api.json(method, &filled(path), token, &json!({}));
            if declared.iter().any(|name| name == method) {
                assert_ne!(answer.status, 405, "{method} {path} is declared");
                let lost = answer.status == 404 && answer.body.contains("no such endpoint");
                assert!(!lost, "{method} {path} is declared: {answer:?}");
            } else {
                if path.starts_with("/oauth/") || path.starts_with("/.well-known/") {
                    assert_eq!((answer.status, answer.json()["error"].as_str()), (405, Some("invalid_request")));
                } else {
                    answer.problem(405, "method-not-allowed");
                }
                let mut allowed: Vec<&str> = answer.header("allow").split(',').filter(|name| *name != "HEAD").collect();
                allowed.sort_unstable();
                assert_eq!(allowed, declared, "{method} {path}");
            }
        }
    }
    for path in routes_in_source() {
        assert!(document["paths"].get(&path).is_some(), "{path} is served and not described");
    }
}

/// The paths that the sources route by hand; the API's own are made from its descriptions.
fn routes_in_source() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    let (mut open, mut found) = (vec![root], Vec::new());
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).expect("read a folder").map(|entry| entry.expect("an entry").path()));
            continue;
        }
        let text = fs::read_to_string(&path).expect("read a source file");
        // The listener for health and metrics is another one.
        let text = text.split("fn ops_router").next().unwrap_or_default();
        found.extend(text.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned));
    }
    assert!(found.iter().any(|path| path == "/oauth/token") && found.len() >= 7, "{found:?}");
    found
}

#[test]
fn ad_08_every_operation_asks_for_one_of_its_roles() {
    let (_dir, gateway) = running();
    let api = Api::of(&gateway);
    let tokens = ["admin", "security", "auditor"].map(|role| (role, operator(&gateway, &format!("a {role}"), role)));
    let for_tools = ["/oauth/token", "/oauth/introspect", "/oauth/revoke", "/oauth/me"];
    let mut protected = 0;
    for (at, (path, method, operation)) in operations(&api.document()).into_iter().enumerate() {
        let Some(roles) = roles(&operation) else {
            assert!(!path.starts_with("/api/v1/") || path.ends_with("/openapi.json"), "{path} names no role");
            assert_eq!(
                operation["security"].as_array().is_some_and(Vec::is_empty),
                !for_tools.contains(&&*path),
                "{path}"
            );
            continue;
        };
        protected += 1;
        assert!(roles.contains(&"admin"), "{method} {path} is closed to everybody");
        assert_eq!(operation["security"], json!([{ "operator_token": [] }]), "{method} {path}");
        // An address of its own for each, so that no refusal is throttled.
        let stranger = Api::from(&gateway, Ipv4Addr::new(127, 0, 8, u8::try_from(at + 1).expect("few operations")));
        let answer = stranger.send(&method, &filled(&path), &[("Content-Type", "application/json")], "{}");
        answer.problem(401, "unauthenticated");
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{answer:?}");
        let well_formed_by_chance = format!("mwo_{}", "A".repeat(49));
        for garbage in ["", "garbage", &well_formed_by_chance] {
            stranger.json(&method, &filled(&path), garbage, &json!({})).problem(401, "unauthenticated");
        }
        for (role, token) in &tokens {
            // Nothing is done: the id names nothing and the body is not what is asked for.
            let answer = api.json(&method, &filled(&path), token, &json!({ "unknown": true }));
            if roles.contains(role) {
                let may = [200, 400, 404];
                assert!(may.contains(&answer.status), "{role} may {method} {path}: {answer:?}");
            } else {
                answer.problem(403, "denied");
            }
        }
    }
    assert!(protected >= 27, "{protected} protected operations");
}

#[test]
fn ad_10_unknown_and_privileged_members_are_refused() {
    let stage = Stage::reading(|_| ());
    let api = Api::of(&stage.gateway);
    let token = stage.gateway.operator_token.as_str();
    let upstream =
        json!({ "connector": "imap", "username": "u", "imap": { "host": "localhost", "port": 1, "tls": "implicit" } });
    let with = |mut body: Value, at: &str, name: &str| {
        body.pointer_mut(at).and_then(Value::as_object_mut).expect("an object").insert(name.to_owned(), json!("owner"));
        body
    };
    let client = json!({ "name": "x" });
    let mailbox = json!({ "address": "a@example.test", "password": "p", "upstream": upstream });
    let grant = json!({ "client": "x", "mailbox": ADDRESS, "scope": "mail.read", "bounds": {} });
    for name in ["role", "tenant_id", "id", "client_id", "status", "created_at"] {
        for (method, path, body) in [
            ("POST", "/api/v1/clients", with(client.clone(), "", name)),
            ("POST", "/api/v1/clients/x/rotate-secret", with(json!({ "overlap_secs": 0 }), "", name)),
            ("POST", "/api/v1/grants", with(grant.clone(), "", name)),
            ("POST", "/api/v1/grants", with(grant.clone(), "/bounds", name)),
            ("POST", "/api/v1/mailboxes", with(mailbox.clone(), "", name)),
            ("POST", "/api/v1/mailboxes", with(mailbox.clone(), "/upstream", name)),
            ("POST", "/api/v1/mailboxes", with(mailbox.clone(), "/upstream/imap", name)),
            ("PUT", "/api/v1/mailboxes/support@example.test/credential", with(json!({ "password": "p" }), "", name)),
            ("POST", "/api/v1/operators", with(json!({ "name": "x", "role": "auditor" }), "", &format!("{name}s"))),
        ] {
            let detail = api.json(method, path, token, &body).problem(400, "invalid");
            assert!(detail.contains("unknown") && !detail.contains("owner"), "{path} {body}: {detail}");
        }
        for path in ["/api/v1/audit", "/api/v1/grants/explain"] {
            if name != "client_id" {
                api.get(&format!("{path}?{name}=1"), token).problem(400, "invalid");
            }
        }
    }
    let clients = api.get("/api/v1/clients", token).json();
    assert_eq!(clients["clients"].as_array().map(Vec::len), Some(0), "nothing was made: {clients}");
}

#[test]
fn vl_08_no_answer_in_any_role_shows_a_secret() {
    let mut stage = Stage::reading(|_| ());
    let tool = stage.gateway.add_tool("canary", ADDRESS, "backup");
    let access_token = stage.gateway.token(&tool, ADDRESS);
    let _session = stage.gateway.imap_session(ADDRESS, &access_token);
    let tokens = ["admin", "security", "auditor"].map(|role| operator(&stage.gateway, role, role));
    let kek = fs::read_to_string(stage.gateway.dir().join("data/kek")).expect("read the KEK");
    let first = stage.gateway.operator_token.clone();
    let mut secrets = vec![PASSWORD, &tool.secret, &access_token, kek.trim(), &first];
    secrets.extend(tokens.iter().map(String::as_str));
    let api = Api::of(&stage.gateway);
    let ids = known_ids(&stage.gateway, &tool);
    let (mut read, mut shown) = (0, String::new());
    for (path, method, _) in operations(&api.document()) {
        if method != "GET" {
            continue;
        }
        for token in &tokens {
            for id in ids.iter().filter(|_| path.contains("{id}")).chain((!path.contains("{id}")).then_some(&ids[0])) {
                let answer = api.get(&path.replace("{id}", id), token);
                read += usize::from(answer.status == 200);
                shown.push_str(&answer.body);
                for (number, secret) in secrets.iter().enumerate() {
                    let escaped = json!(secret).to_string();
                    let hidden = !answer.body.contains(secret) && !answer.body.contains(escaped.trim_matches('"'));
                    assert!(hidden, "secret {number} is shown by GET {path}");
                }
            }
        }
    }
    assert!(read > 40, "{read} answers held something");
    assert!(shown.contains(&tool.id) && shown.contains(ADDRESS), "what is no secret is shown");
    stage.gateway.stop();
}

/// What can be asked for by id: a client, a mailbox, a grant.
fn known_ids(gateway: &Gateway, tool: &Tool) -> Vec<String> {
    let printed = gateway.manage_ok(&["grant", "list", "--format", "json"], b"");
    let grants: Value = serde_json::from_str(&printed).expect("JSON");
    let grant = grants["grants"][0]["id"].as_str().expect("a grant").to_owned();
    vec![tool.id.clone(), ADDRESS.to_owned(), grant]
}

#[test]
fn ad_11_no_input_makes_the_service_fail_or_answer_what_it_does_not_document() {
    let stage = Stage::reading(|_| ());
    let gateway = &stage.gateway;
    let tool = gateway.add_tool("fuzzed", ADDRESS, "backup");
    let dir = stage.dir.path();
    let api = Api::of(gateway);
    fs::write(dir.join("openapi.json"), api.document().to_string()).expect("write the document");
    // A login that an upstream refuses is answered with 502: no failure of the service.
    let settings = r#"
[auth.openapi.operator_token]
bearer = "${MAILWARDEN_OPERATOR_TOKEN}"
[auth.openapi.client_secret]
username = "${CLIENT_ID}"
password = "${CLIENT_SECRET}"
[auth.openapi.access_token]
bearer = "${ACCESS_TOKEN}"
[[operations]]
include-path = ["/api/v1/mailboxes", "/api/v1/mailboxes/{id}/credential"]
checks.not_a_server_error.expected-statuses = ["2xx", "4xx", 502]
"#;
    fs::write(dir.join("schemathesis.toml"), settings).expect("write the settings");
    let program = setting("MAILWARDEN_SCHEMATHESIS").unwrap_or_else(|| "schemathesis".to_owned());
    let mut command = Command::new(program);
    command.current_dir(dir).env("MAILWARDEN_OPERATOR_TOKEN", &gateway.operator_token);
    command.env("ACCESS_TOKEN", gateway.token(&tool, ADDRESS));
    command.env("CLIENT_ID", &tool.id).env("CLIENT_SECRET", &tool.secret);
    command.args(["--config-file", "schemathesis.toml", "run", "openapi.json", "--no-color"]);
    command.arg("--url").arg(format!("https://localhost:{}", gateway.port("https")));
    command.arg("--tls-verify").arg(gateway.ca_file());
    command.args(["--phases", "examples,coverage,fuzzing", "--max-examples", "25", "--seed", "20261124"]);
    command.args(["--generation-database", "none", "--checks"]).arg(
        "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
         unsupported_method,allow_header_conformance,negative_data_rejection",
    );
    // It uses ids that it has read, and would remove the operator that it is.
    command.args(["--exclude-operation-id", "operator_remove"]);
    let finished = process::run(&mut command, b"");
    let printed = finished.expect_ok("schemathesis");
    let cases = printed.lines().find_map(|line| line.trim().split_once(" generated, "));
    let cases: u32 = cases.and_then(|(number, _)| number.parse().ok()).unwrap_or(0);
    let reached = !printed.contains("Authentication failed") && !printed.contains("Rate limited");
    assert!(cases > 800 && reached, "{printed}");
    // On a connection of its own: the one from before may have idled for too long.
    assert_eq!(Api::of(gateway).get("/api/v1/audit/verify", &gateway.operator_token).json()["whole"], true);
}

#[test]
fn the_page_is_readable_without_script_or_anything_from_elsewhere() {
    let (_dir, gateway) = running();
    let api = Api::of(&gateway);
    let page = api.send("GET", "/openapi", &[], "");
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("style-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    for foreign in ["<script", "http://", "https://", "style=", " on"] {
        let inside = page.body.match_indices('<').filter_map(|(at, _)| page.body[at..].split('>').next());
        assert!(!inside.into_iter().any(|tag| tag.contains(foreign)), "{foreign} in a tag");
    }
    for (path, method, operation) in operations(&api.document()) {
        assert!(page.body.contains(&format!("<code>{method} {path}</code>")), "{method} {path} is not on the page");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{method} {path} has no summary");
    }
}
