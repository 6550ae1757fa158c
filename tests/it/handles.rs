//! Handles: what the token endpoint gives, how little of it is kept, and what ends it.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::gateway::{Gateway, Tool};
use crate::support::http::{self, HERE, basic, post_to};
use crate::support::stage::{ADDRESS, ScriptedStage, Stage};
use crate::support::wire;
use crate::support::{PATIENCE, wait_for};

const ASKED: &str =
    "grant_type=client_credentials&requested_token_type=urn:mailwarden:params:oauth:token-type:handle&protocol=imap";

fn refused(gateway: &Gateway, handle: &str) -> bool {
    let mut imap = gateway.imap();
    let answer = imap.command("x", &format!("LOGIN {ADDRESS} {handle}"));
    answer.last().is_some_and(|line| line.starts_with("x NO [AUTHENTICATIONFAILED]"))
}

fn ask(gateway: &Gateway, tool: &Tool, more: &str) -> (u16, serde_json::Value) {
    let answer = gateway.token_answer(tool, &format!("{ASKED}{more}")).expect("an answer");
    (answer.status, answer.json())
}

#[test]
fn a_handle_is_given_by_the_words_of_rfc_8693_and_only_its_digest_is_kept() {
    let stage = ScriptedStage::set();
    let tool = stage.gateway.add_tool("short", ADDRESS, "helpdesk");
    let (status, answer) = ask(&stage.gateway, &tool, "&scope=mail.read");
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["token_type"], "handle");
    assert_eq!(answer["issued_token_type"], "urn:mailwarden:params:oauth:token-type:handle");
    assert_eq!((&answer["scope"], &answer["expires_in"]), (&"mail.read".into(), &300.into()));
    let handle = answer["access_token"].as_str().expect("a handle").to_owned();
    assert!(handle.starts_with("mwh_") && handle.len() == 42, "{handle}");
    let mut imap = stage.gateway.imap();
    imap.command_ok("a", &format!("LOGIN {ADDRESS} {handle}"));
    // The token endpoint's scope holds, not the grant's.
    imap.command_ok("b", "SELECT INBOX");
    let answer = imap.command("c", "STORE 1 +FLAGS (\\Flagged)");
    assert!(answer.last().is_some_and(|line| line.starts_with("c NO [NOPERM]")), "{answer:?}");
    let events = stage.gateway.audit();
    let of = |code: &str| {
        let event = events.iter().rfind(|event| event["code"] == code);
        event.unwrap_or_else(|| panic!("no {code}"))["detail"].clone()
    };
    let (issued, accepted) = (of("token.issued"), of("login.accepted"));
    assert_eq!((&issued["form"], &issued["protocol"]), (&"handle".into(), &"imap".into()));
    assert!(issued["jti"].as_str().is_some_and(|id| id.len() == 22) && issued["jti"] == accepted["jti"], "{accepted}");
    let everything = events.iter().map(ToString::to_string).collect::<String>();
    assert!(!everything.contains(&handle[4..]), "the handle is on record");
    if let Some(postgres) = stage.gateway.postgres() {
        let dump = postgres.dump();
        assert!(dump.contains("public.handles") && !dump.contains(&handle[4..36]), "the handle is in the database");
    } else {
        for name in ["mailwarden.db", "mailwarden.db-wal"] {
            let bytes = std::fs::read(stage.gateway.dir().join("data").join(name)).expect("read the database");
            let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
            assert!(!holds(&handle.as_bytes()[4..36]), "the handle is in {name}");
        }
    }
}

#[test]
fn a_handle_is_asked_for_in_full_and_never_wider_than_the_grant() {
    let stage = ScriptedStage::set();
    let tool = stage.gateway.add_client("near");
    let args = ["grant", "add", "--client", &tool.id, "--mailbox", ADDRESS, "--preset", "backup"];
    let bounds = ["--network", "127.0.0.0/8", "--protocol", "imap"];
    stage.gateway.manage_ok(&[&args[..], &bounds].concat(), b"");
    for (more, error) in [
        ("&networks=0.0.0.0/0", "invalid_request"),
        ("&networks=127.0.0.1", "invalid_request"),
        ("&protocol=smtp", "invalid_request"),
        ("&scope=mail.send", "invalid_scope"),
        ("&resource=mailto:other@example.test", "invalid_target"),
    ] {
        let (status, answer) = ask(&stage.gateway, &tool, more);
        assert_eq!((status, &answer["error"]), (400, &error.into()), "{more}: {answer}");
    }
    let smtp = ASKED.replace("protocol=imap", "protocol=smtp");
    let answer = stage.gateway.token_answer(&tool, &smtp).expect("an answer");
    assert_eq!(answer.json()["error"], "invalid_target", "the grant holds to IMAP: {answer:?}");
    let handle = |more: &str| {
        let (status, answer) = ask(&stage.gateway, &tool, more);
        assert_eq!(status, 200, "{answer}");
        answer["access_token"].as_str().expect("a handle").to_owned()
    };
    assert!(refused(&stage.gateway, &handle("&networks=127.9.0.0/16")), "shown from another network");
    let near = handle("&networks=127.9.0.0/16+127.0.0.0/24");
    stage.gateway.imap().command_ok("a", &format!("LOGIN {ADDRESS} {near}"));
}

#[test]
fn a_handle_is_nothing_to_the_http_endpoints() {
    let stage = ScriptedStage::set();
    let tool = stage.gateway.add_tool("short", ADDRESS, "backup");
    let handle = stage.gateway.handle(&tool, ADDRESS, "imap");
    for scheme in ["Bearer", "handle"] {
        let head = format!("GET /api/v1/mailboxes HTTP/1.1\r\nAuthorization: {scheme} {handle}");
        let answer = wire::https(stage.gateway.port("https"), stage.gateway.ca_file(), &head, "").expect("an answer");
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    let as_secret = Tool { secret: handle, ..tool };
    let (status, answer) = ask(&stage.gateway, &as_secret, "");
    assert_eq!((status, &answer["error"]), (401, &"invalid_client".into()));
}

#[test]
fn int_01_a_handle_is_looked_at_and_revoked_by_its_own_client_alone() {
    let stage = ScriptedStage::set();
    let gateway = &stage.gateway;
    let (tool, other) = (gateway.add_tool("short", ADDRESS, "helpdesk"), gateway.add_tool("other", ADDRESS, "backup"));
    let (status, answer) = ask(gateway, &tool, "&scope=mail.read");
    assert_eq!(status, 200, "{answer}");
    let handle = answer["access_token"].as_str().expect("a handle");
    let form = |path: &str, header: &str, handle: &str| {
        http::ask(gateway, HERE, post_to(path, header, &format!("token={handle}")))
    };
    let active = |tool: &Tool, handle: &str| form("/oauth/introspect", &basic(tool), handle).json();
    let inactive = json!({ "active": false });
    let told = active(&tool, handle);
    let issuer = format!("https://localhost:{}/oauth", gateway.port("https"));
    let (iat, exp) = (told["iat"].as_i64().expect("iat"), told["exp"].as_i64().expect("exp"));
    assert_eq!(exp - iat, 300);
    assert_eq!(
        told,
        json!({ "active": true, "iss": issuer, "sub": tool.id, "client_id": tool.id, "aud": format!("mailto:{ADDRESS}"),
            "scope": "mail.read", "iat": iat, "exp": exp, "jti": told["jti"], "token_type": "handle" })
    );
    let issued = gateway.audit().into_iter().rfind(|event| event["code"] == "token.issued").expect("a record");
    assert_eq!(told["jti"], issued["detail"]["jti"]);
    assert_eq!(active(&other, handle), inactive);
    let mut made_up = handle.to_owned();
    made_up.replace_range(10..14, if handle.get(10..14) == Some("AAAA") { "BBBB" } else { "AAAA" });
    assert_eq!(active(&tool, &made_up), inactive);
    let operator = format!("Authorization: Bearer {}\r\n", gateway.operator_token);
    assert_eq!(form("/oauth/introspect", &operator, handle).json(), told);

    assert_eq!(form("/oauth/revoke", &basic(&other), handle).status, 200, "as for garbage");
    assert_eq!(active(&tool, handle), told, "another client revokes nothing");
    assert_eq!(form("/oauth/revoke", &basic(&tool), handle).status, 200);
    assert_eq!(active(&tool, handle), inactive);
    assert!(refused(gateway, handle));
    // Whoever may get tokens no more has no active handle either.
    let second = gateway.handle(&tool, ADDRESS, "imap");
    assert_eq!(active(&tool, &second)["active"], true);
    gateway.manage_ok(&["revoke", "--mailbox", ADDRESS], b"");
    assert_eq!(active(&tool, &second), inactive);
}

#[test]
fn revocation_ends_a_handle_and_its_session() {
    let stage = Stage::reading(|_| ());
    for name in ["client", "mailbox"] {
        let tool = stage.gateway.add_tool(name, ADDRESS, "backup");
        let handle = stage.gateway.handle(&tool, ADDRESS, "imap");
        let args = ["revoke", &format!("--{name}"), if name == "client" { &tool.id } else { ADDRESS }];
        let mut imap = stage.gateway.imap();
        imap.command_ok("a", &format!("LOGIN {ADDRESS} {handle}"));
        stage.gateway.manage_ok(&args, b"");
        let since = Instant::now();
        imap.patience(Duration::from_secs(2));
        let lines = imap.rest().expect("the session went on after it was ended");
        assert!(lines.iter().any(|line| line.starts_with("* BYE")), "{name}, {:?}: {lines:?}", since.elapsed());
        assert!(refused(&stage.gateway, &handle), "a handle of a revoked {name} still works");
    }
}

#[test]
fn gw_03_a_handle_shown_in_the_clear_is_dead_whatever_port_saw_it() {
    let stage = ScriptedStage::set();
    for (listener, protocol) in [("imap", "imap"), ("imap", "smtp")] {
        let tool = stage.gateway.add_tool(&format!("{listener} {protocol}"), ADDRESS, "helpdesk");
        let imap = stage.gateway.handle(&tool, ADDRESS, "imap");
        stage.gateway.imap().command_ok("a", &format!("LOGIN {ADDRESS} {imap}"));
        let shown = stage.gateway.handle(&tool, ADDRESS, protocol);
        let mut clear = wire::tcp(stage.gateway.port(listener));
        std::io::Write::write_all(&mut clear, format!("a LOGIN {ADDRESS} {shown}\r\nb LOGOUT\r\n").as_bytes())
            .expect("send");
        let mut heard = String::new();
        std::io::Read::read_to_string(&mut clear, &mut heard).expect("the answer");
        assert!(heard.contains("a NO [PRIVACYREQUIRED]"), "{heard}");
        assert!(refused(&stage.gateway, &imap), "a handle of a client that showed one in the clear still works");
    }
}

#[test]
fn vl_12_a_handle_that_was_changed_in_the_database_opens_nothing() {
    let stage = ScriptedStage::set();
    let tool = stage.gateway.add_tool("short", ADDRESS, "helpdesk");
    let handle = stage.gateway.handle(&tool, ADDRESS, "smtp");
    assert!(refused(&stage.gateway, &handle), "the other protocol");
    stage.gateway.tamper("UPDATE handles SET protocol = 'imap'");
    assert!(refused(&stage.gateway, &handle), "a forged row opens the mailbox");
    let found = || stage.gateway.audit().into_iter().find(|event| event["code"] == "tampering.detected");
    let event = wait_for("an alarm", PATIENCE, found);
    assert_eq!(event["detail"]["table"], "handles");
}
