//! `apply`: what a file says comes about, once; what it does not say stays; a wrong file changes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::gateway::Tool;
use crate::support::process::Finished;
use crate::support::stage::{ADDRESS, PASSWORD, Stage};
use crate::support::wire::Wire;

const SECOND: &str = "sales@example.test";

/// Runs `apply` on a file of this text.
fn apply(stage: &Stage, name: &str, text: &str, args: &[&str]) -> Finished {
    apply_with(stage, name, text, args, b"")
}

fn apply_with(stage: &Stage, name: &str, text: &str, args: &[&str], input: &[u8]) -> Finished {
    let path = stage.dir.path().join(name);
    fs::write(&path, text).expect("write the file");
    let path = path.display().to_string();
    stage.gateway.manage(&[&["apply", &path], args].concat(), input)
}

/// What is there, as the API tells it.
fn state(stage: &Stage) -> Value {
    let api = Api::of(&stage.gateway);
    let get = |noun: &str| api.get(&format!("/api/v1/{noun}"), &stage.gateway.operator_token).json()[noun].clone();
    json!([get("mailboxes"), get("clients"), get("grants")])
}

/// The stage's mailbox, as a file says it.
fn mailbox(stage: &Stage, address: &str, more: &str) -> String {
    let port = stage.dovecot.imaps;
    format!(
        "[[mailboxes]]\naddress = \"{address}\"\nusername = \"{ADDRESS}\"\nimap = \"localhost:{port}\"\nca_file = \"ca.pem\"\n{more}\n"
    )
}

fn grant(client: &str, address: &str, more: &str) -> String {
    format!("[[grants]]\nclient = \"{client}\"\nmailbox = \"{address}\"\n{more}\n")
}

fn stage() -> Stage {
    let stage = Stage::reading(|_| ());
    fs::copy(stage.ca.file(), stage.dir.path().join("ca.pem")).expect("copy the CA");
    fs::write(stage.dir.path().join("password"), format!("{PASSWORD}\n")).expect("write the password");
    stage
}

/// It failed with 2, said `words`, and changed nothing.
#[track_caller]
fn refused(stage: &Stage, before: &Value, finished: &Finished, words: &[&str]) {
    assert_eq!(finished.code, Some(2), "{finished:?}");
    for word in words {
        assert!(finished.stderr.contains(word), "no {word:?} in {finished:?}");
    }
    assert!(!finished.stderr.contains("panicked") && finished.stderr.trim_end().lines().count() == 1, "{finished:?}");
    assert_eq!(state(stage), *before, "something was changed");
}

/// The tool that `apply` made, from what it printed and wrote.
fn made(dir: &Path, printed: &str, name: &str) -> Tool {
    let start = format!("client {name} id=");
    let line = printed.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_else(|| panic!("{printed}"));
    let id = line.split(' ').next().expect("an id").to_owned();
    let path = dir.join(format!("{id}.secret"));
    let secret = fs::read_to_string(&path).expect("read the secret").trim_end().to_owned();
    let mode = fs::metadata(&path).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "others can read it");
    assert!(!printed.contains(&secret), "the secret is on standard output");
    Tool { id, secret }
}

#[test]
fn a_file_comes_about_from_nothing_and_a_second_run_changes_nothing() {
    let stage = stage();
    let file = [
        mailbox(&stage, ADDRESS, ""),
        mailbox(&stage, SECOND, "password = \"file:password\""),
        format!("[[clients]]\nname = \"night backup\"\ndefault_mailbox = \"{SECOND}\"\n"),
        "[[clients]]\nname = \"desk\"\ntoken_alg = \"ES256\"\n".to_owned(),
        grant("night backup", SECOND, "preset = \"backup\"\nexpires = 2099-01-01T00:00:00Z"),
        grant("desk", SECOND, "scopes = [\"mail.read\", \"mail.send\"]\nsession_ttl = 0\nbounds.folders = [\"INBOX\"]"),
    ]
    .concat();
    let before = state(&stage);
    let shown = apply(&stage, "all.toml", &file, &["--dry-run"]).expect_ok("a dry run");
    assert_eq!(state(&stage), before, "a dry run changed something");
    for line in [
        format!("+ grant night backup × {SECOND}: mail.read; expires 2099"),
        "+ client desk: token_alg ES256".to_owned(),
        format!("  night backup, {SECOND}, mail.read\n"),
        format!("  desk, {SECOND}, mail.send\n"),
        "5 to create, 0 to change, 0 to remove".to_owned(),
    ] {
        assert!(shown.contains(&line), "no {line:?} in\n{shown}");
    }
    assert!(!shown.contains(&format!("mailbox {ADDRESS}")), "what is as the file says is not in the plan:\n{shown}");

    refused(&stage, &before, &apply(&stage, "all.toml", &file, &["--yes"]), &["--secrets-dir", "--print-secrets"]);
    let dir = stage.dir.path().join("secrets");
    let to = dir.display().to_string();
    refused(&stage, &before, &apply(&stage, "all.toml", &file, &["--secrets-dir", &to]), &["--yes", "terminal"]);
    let printed = apply(&stage, "all.toml", &file, &["--yes", "--secrets-dir", &to]).expect_ok("apply");
    let tool = made(&dir, &printed, "night backup");
    made(&dir, &printed, "desk");
    assert_eq!(fs::read_dir(&dir).expect("list").count(), 2, "something is left over");
    stage.gateway.imap_session(SECOND, &stage.gateway.token(&tool, SECOND)).command_ok("a", "EXAMINE INBOX");

    let after = state(&stage);
    let events = stage.gateway.audit().len();
    let again = apply(&stage, "all.toml", &file, &[]).expect_ok("a second run");
    assert_eq!(again.trim(), "nothing to change");
    assert_eq!((state(&stage), stage.gateway.audit().len()), (after, events), "the second run changed something");
}

#[test]
fn the_same_in_yaml_as_data_with_the_secret_shown_when_asked_and_a_password_from_stdin() {
    let stage = stage();
    let file = format!(
        "mailboxes:\n  - address: {SECOND}\n    username: {ADDRESS}\n    imap: localhost:{}\n    ca_file: ca.pem\n    password: stdin\n\
         clients:\n  - name: tool\n\
         grants:\n  - client: tool\n    mailbox: {SECOND}\n    preset: helpdesk\n    bounds: {{ networks: [127.0.0.0/8] }}\n    \
         expires: 2099-01-01T00:00:00Z\n",
        stage.dovecot.imaps
    );
    let args = ["--yes", "--print-secrets", "--format", "json"];
    let input = format!("{PASSWORD}\n");
    let printed = apply_with(&stage, "all.yaml", &file, &args, input.as_bytes()).expect_ok("apply");
    let plan: Value = serde_json::from_str(&printed).expect("JSON and nothing else");
    assert_eq!(plan["changes"], 3);
    assert!(plan["steps"].as_array().expect("steps").iter().all(|step| step["done"] == true), "{plan}");
    assert_eq!(plan["reachable"].as_array().map(Vec::len), Some(5), "{plan}");
    assert_eq!(
        plan["reachable"][0],
        json!({ "client": "tool", "mailbox": SECOND, "scope": "mail.read", "why": "new" })
    );
    assert_eq!(plan["kept"], json!([format!("mailbox {ADDRESS}")]));
    let text = |member: &str| plan["clients"][0][member].as_str().expect(member).to_owned();
    let tool = Tool { id: text("client_id"), secret: text("client_secret") };
    stage.gateway.imap_session(SECOND, &stage.gateway.token(&tool, SECOND)).command_ok("a", "EXAMINE INBOX");
    let again = apply(&stage, "all.yaml", &file, &["--format", "json"]).expect_ok("a second run");
    assert_eq!(serde_json::from_str::<Value>(&again).expect("JSON")["changes"], 0);
}

#[test]
fn a_wider_grant_keeps_its_sessions_and_a_narrower_one_ends_them() {
    let stage = stage();
    let tool = stage.gateway.add_tool("tool", ADDRESS, "backup");
    let other = stage.gateway.add_tool("other", ADDRESS, "backup");
    let token = stage.gateway.token(&tool, ADDRESS);
    let mut session = stage.gateway.imap_session(ADDRESS, &token);
    let mut bystander = stage.gateway.imap_session(ADDRESS, &stage.gateway.token(&other, ADDRESS));

    let wider = grant("tool", ADDRESS, "scopes = [\"mail.read\", \"mail.flag\"]");
    let printed = apply(&stage, "a.toml", &wider, &["--yes"]).expect_ok("apply");
    assert!(
        printed.contains(&format!("~ grant tool × {ADDRESS}: scopes mail.read → mail.read mail.flag\n")),
        "{printed}"
    );
    assert!(
        printed.contains(&format!("  tool, {ADDRESS}, mail.flag\n")) && !printed.contains("mail.read\n"),
        "{printed}"
    );
    let mut judged = stage.gateway.imap_session(ADDRESS, &stage.gateway.token(&tool, ADDRESS));
    let narrower = grant("tool", ADDRESS, "preset = \"backup\"");
    apply(&stage, "a.toml", &narrower, &["--yes"]).expect_ok("apply");
    // What that one may do is no longer given; what the older one may, is.
    judged_ended(&mut judged);
    session.command_ok("still", "EXAMINE INBOX");

    let bounded = grant("tool", ADDRESS, "preset = \"backup\"\nbounds.folders = [\"INBOX\"]");
    let printed = apply(&stage, "a.toml", &bounded, &["--yes"]).expect_ok("apply");
    assert!(printed.contains("folders any → INBOX") && !printed.contains("newly"), "{printed}");
    judged_ended(&mut session);
    bystander.command_ok("still", "EXAMINE INBOX");
    let printed = apply(&stage, "a.toml", &narrower, &["--dry-run"]).expect_ok("a dry run");
    assert!(printed.contains(&format!("  tool, {ADDRESS}, mail.read (wider bounds)")), "{printed}");

    let changes: Vec<_> = stage.gateway.audit().into_iter().filter(|event| event["code"] == "grant.changed").collect();
    assert_eq!(changes.len(), 3);
    assert_eq!(changes[2]["detail"]["bounds"], "{\"folders\":[\"INBOX\"]}");
    assert_eq!(changes[2]["detail"]["bounds_before"], "{}");
}

/// The connection says BYE and closes, within the second that is promised and two for a loaded machine.
fn judged_ended(wire: &mut Wire) {
    let since = Instant::now();
    let limit = std::time::Duration::from_secs(3);
    wire.patience(limit);
    let lines = wire.rest().expect("the session went on under a narrower grant");
    assert!(since.elapsed() < limit && lines.iter().any(|line| line.starts_with("* BYE")), "{lines:?}");
}

#[test]
fn only_prune_removes_and_a_client_changes_in_place() {
    let stage = stage();
    let kept = stage.gateway.add_tool("kept", ADDRESS, "backup");
    let old = stage.gateway.add_tool("old", ADDRESS, "full");
    let mut session = stage.gateway.imap_session(ADDRESS, &stage.gateway.token(&old, ADDRESS));
    let file = [
        mailbox(&stage, ADDRESS, ""),
        "[[clients]]\nname = \"kept\"\ntoken_alg = \"ES256\"\n".to_owned(),
        grant("kept", ADDRESS, "preset = \"backup\""),
    ]
    .concat();
    let printed = apply(&stage, "a.toml", &file, &["--yes"]).expect_ok("apply");
    for line in ["~ client kept: token_alg EdDSA → ES256", "  client old: not in the file, kept", "  grant old × "] {
        assert!(printed.contains(line), "no {line:?} in\n{printed}");
    }
    session.command_ok("still", "NOOP");
    let token = stage.gateway.token(&kept, ADDRESS);
    stage.gateway.imap_session(ADDRESS, &token).command_ok("a", "LOGOUT");

    let printed = apply(&stage, "a.toml", &file, &["--yes", "--prune"]).expect_ok("apply");
    for line in ["- grant old × ", "- client old: ", "0 to create, 0 to change, 2 to remove"] {
        assert!(printed.contains(line), "no {line:?} in\n{printed}");
    }
    judged_ended(&mut session);
    let left = state(&stage);
    assert_eq!((left[1].as_array().map(Vec::len), left[2].as_array().map(Vec::len)), (Some(1), Some(1)), "{left}");
    let again = apply(&stage, "a.toml", &file, &["--prune"]).expect_ok("a second run");
    assert_eq!(again.trim(), "nothing to change");
}

#[test]
fn a_step_that_fails_stops_the_rest_and_a_further_run_goes_on() {
    let stage = stage();
    let file = |password: &str| {
        [
            mailbox(&stage, SECOND, &format!("password = \"file:{password}\"")),
            "[[clients]]\nname = \"tool\"\n".to_owned(),
            grant("tool", SECOND, "preset = \"backup\""),
        ]
        .concat()
    };
    fs::write(stage.dir.path().join("wrong"), "not-the-password\n").expect("write a password");
    let before = state(&stage);
    let args = ["--yes", "--print-secrets"];
    let failed = apply(&stage, "a.toml", &file("wrong"), &args);
    refused(&stage, &before, &failed, &["stopped at mailbox", "0 of 3 done", "login at the upstream failed"]);
    assert!(!format!("{failed:?}").contains("not-the-password"), "{failed:?}");
    apply(&stage, "a.toml", &file("password"), &args).expect_ok("apply");
    let again = apply(&stage, "a.toml", &file("nowhere"), &[]).expect_ok("the reference is not needed any more");
    assert_eq!(again.lines().last(), Some("nothing to change"), "{again}");
}

#[test]
fn a_wrong_file_is_refused_with_what_is_wrong_and_where() {
    let stage = stage();
    let before = state(&stage);
    let other = mailbox(&stage, SECOND, "");
    let cell = grant("c", ADDRESS, "preset = \"backup\"");
    let client = "[[clients]]\nname = \"c\"\n";
    let elsewhere = mailbox(&stage, ADDRESS, "").replace("localhost", "127.0.0.1");
    for (name, text, words) in [
        ("a.toml", "\n[[clients]]\nname = \"c\"\nsecret = \"x\"\n", &["a.toml: line 4", "secret"][..]),
        ("a.yaml", "clients:\n  - name: c\n    secret: x\n", &["a.yaml: ", "line 3", "secret"]),
        (
            "a.toml",
            "[[grants]]\nclient = \"c\"\nmailbox = \"a@b.example\"\npreset = \"backups\"\n",
            &["line 4", "backups", "helpdesk"],
        ),
        (
            "a.yaml",
            "grants:\n  - client: c\n    mailbox: a@b.example\n    scopes: [mail.everything]\n",
            &["line 4", "mail.everything"],
        ),
        (
            "a.toml",
            "[[grants]]\nclient = \"c\"\nmailbox = \"a@b.example\"\nbounds = { moon = 1 }\npreset = \"full\"",
            &["line 4", "moon"],
        ),
        ("a.toml", &format!("{client}{cell}{cell}"), &["entries 1 and 2", "c × support@example.test"]),
        ("a.toml", &format!("{client}{client}"), &["clients", "entries 1 and 2"]),
        ("a.toml", &cell, &["no client of this name"]),
        (
            "a.toml",
            &format!("{client}{}", grant("c", "nobody@example.test", "preset = \"full\"")),
            &["no mailbox nobody@"],
        ),
        ("a.toml", &format!("{client}{}", grant("c", ADDRESS, "")), &["a preset or scopes"]),
        ("a.toml", &format!("{client}{}", grant("c", ADDRESS, "preset = \"full\"\ntoken_ttl = 3601")), &["token_ttl"]),
        (
            "a.toml",
            &format!("{client}{}", grant("c", ADDRESS, "preset = \"full\"\nexpires = 2001-01-01T00:00:00Z")),
            &["end has passed"],
        ),
        ("a.toml", &other, &[SECOND, "file:PATH", "stdin"]),
        ("a.toml", &mailbox(&stage, SECOND, "password = \"file:nowhere\""), &["nowhere"]),
        ("a.toml", &mailbox(&stage, SECOND, "password = \"env:MAILWARDEN_NO_SUCH\""), &["MAILWARDEN_NO_SUCH"]),
        ("a.toml", &elsewhere, &["upstream differs", "mailwarden mailbox remove"]),
        ("a.yaml", "clients:\n  - &tool\n    name: c\n  - *tool\n", &["a.yaml", "anchor"]),
        ("a.yaml", "clients:\n  - name: c\n    name: d\n", &["line 3", "name"]),
        ("a.yaml", "clients: []\n---\nclients: []\n", &["document"]),
        ("a.toml", "clients = 1\nclients = 2\n", &["line 2", "duplicate"]),
        ("a.json", "{}", &[".toml", ".yaml"]),
        ("a.toml", &"#".repeat(2 << 20), &["larger than 1048576"]),
    ] {
        let finished = apply(&stage, name, text, &["--yes", "--print-secrets"]);
        refused(&stage, &before, &finished, words);
    }
}

#[test]
fn a_password_in_the_file_is_refused_and_not_repeated() {
    let stage = stage();
    let before = state(&stage);
    for value in ["\"hunter2-canary\"", "4711471147", "true", "[\"hunter2-canary\"]"] {
        let toml = mailbox(&stage, SECOND, &format!("password = {value}"));
        let yaml = format!("mailboxes:\n  - address: {SECOND}\n    imap: localhost:1\n    password: {value}\n");
        for (name, text) in [("a.toml", toml), ("a.yaml", yaml)] {
            let finished = apply(&stage, name, &text, &["--yes"]);
            refused(&stage, &before, &finished, &["line "]);
            let said = format!("{finished:?}");
            assert!(!said.contains("hunter2") && !said.contains("4711471147"), "{said}");
        }
    }
}

#[test]
fn ad_12_a_change_of_what_has_changed_meanwhile_is_refused() {
    let stage = stage();
    let tool = stage.gateway.add_tool("tool", ADDRESS, "backup");
    let (api, token) = (Api::of(&stage.gateway), stage.gateway.operator_token.as_str());
    let grants = api.get("/api/v1/grants", token).json();
    let grant = format!("/api/v1/grants/{}", grants["grants"][0]["id"].as_str().expect("an id"));
    let authorization = format!("Bearer {token}");
    let put = |path: &str, etag: &str, body: &Value| {
        let headers = [("Authorization", &*authorization), ("Content-Type", "application/json"), ("If-Match", etag)];
        api.send("PUT", path, &headers, body.to_string())
    };
    for (path, body, other) in [
        (grant, json!({ "scope": "mail.metadata" }), json!({ "scope": "mail.send" })),
        (format!("/api/v1/clients/{}", tool.id), json!({ "name": "second" }), json!({ "name": "third" })),
    ] {
        let first = api.get(&path, token);
        let etag = first.header("etag").to_owned();
        assert_eq!(etag, format!("\"{}\"", first.json()["version"].as_str().expect("a version")));
        let changed = put(&path, &format!("\"elsewhere\", {etag}"), &body);
        assert_eq!(changed.status, 200, "{changed:?}");
        assert_ne!(changed.header("etag"), etag);
        put(&path, &etag, &other).problem(412, "stale");
        for malformed in ["", "elsewhere", "\"a\", b"] {
            put(&path, malformed, &other).problem(400, "invalid");
        }
        assert_eq!(api.get(&path, token).header("etag"), changed.header("etag"), "nothing was changed");
        assert_eq!(put(&path, "*", &other).status, 200);
    }
    let events = stage.gateway.audit();
    let count = |code: &str| events.iter().filter(|event| event["code"] == code).count();
    assert_eq!((count("grant.changed"), count("client.changed")), (2, 2));
}
