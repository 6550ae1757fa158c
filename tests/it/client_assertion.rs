//! Tools without a secret: how they are registered, and what their assertions open.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::ca::Ca;
use crate::support::folder;
use crate::support::gateway::{Gateway, Tool};
use crate::support::http::{HERE, ask, basic, elsewhere, masked, post};
use crate::support::signer::{Signer, add_client, asserted, issuer, now};
use crate::support::stage::{ADDRESS, Stage};
use crate::support::wire::Answer;

fn running() -> (tempfile::TempDir, Gateway) {
    let dir = folder();
    let gateway = Gateway::start(&Ca::create(&dir.path().join("ca")));
    (dir, gateway)
}

fn error(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["error"].as_str().unwrap_or_default().to_owned())
}

fn invalid_client() -> (u16, String) {
    (401, "invalid_client".to_owned())
}

fn shown(gateway: &Gateway, client: &str) -> Value {
    serde_json::from_str(&gateway.manage_ok(&["client", "show", client, "--format", "json"], b"")).expect("JSON")
}

#[test]
fn each_method_is_registered_and_shown_and_none_but_one_has_a_secret() {
    let (dir, gateway) = running();
    let (signer, leaf) = (Signer::new(), Ca::create(&dir.path().join("other")).issue("tool"));
    let keys = signer.jwks_file(dir.path()).display().to_string();
    let certificate = leaf.certificate.display().to_string();
    let platform = ["--auth", "workload_identity", "--issuer", "https://i.test", "--subject", "s"];
    let methods: BTreeMap<&str, (Vec<&str>, Value)> = [
        (
            "a",
            (
                vec!["--auth", "private_key_jwt", "--jwks-file", &keys],
                json!({ "method": "private_key_jwt", "keys": { "jwks": signer.jwks() }, "allow_rs256": false }),
            ),
        ),
        (
            "b",
            (
                vec!["--auth", "private_key_jwt", "--jwks-uri", "https://t.test/keys", "--allow-rs256"],
                json!({ "method": "private_key_jwt", "keys": { "jwks_uri": "https://t.test/keys" }, "allow_rs256": true }),
            ),
        ),
        (
            "c",
            (
                [&platform[..], &["--audience", "api://m", "--jwks-file", &keys]].concat(),
                json!({ "method": "workload_identity", "issuer": "https://i.test", "subject": "s",
                    "audience": "api://m", "keys": { "jwks": signer.jwks() } }),
            ),
        ),
        (
            "d",
            (
                vec!["--auth", "tls_client_auth", "--tls-san-uri", "spiffe://e.test/tool", "--required-binding", "mtls"],
                json!({ "method": "tls_client_auth", "subject": { "tls_client_auth_san_uri": "spiffe://e.test/tool" } }),
            ),
        ),
        (
            "e",
            (
                vec!["--auth", "self_signed_tls_client_auth", "--certificate-file", &certificate],
                json!({ "method": "self_signed_tls_client_auth", "thumbprints": [thumbprint(&leaf.certificate)] }),
            ),
        ),
    ]
    .into();
    for (name, (args, auth)) in &methods {
        let id = add_client(&gateway, &[&[*name], &args[..]].concat());
        let client = shown(&gateway, &id);
        let binding = if *name == "d" { "mtls" } else { "none" };
        assert_eq!((&client["auth"], &client["required_binding"]), (auth, &json!(binding)), "{name}");
        assert_eq!(client["secrets"], json!([]), "{name}");
        let answer = gateway.manage(&["client", "rotate-secret", &id], b"");
        assert_eq!(
            (answer.code, answer.stderr.contains("another method than a secret")),
            (Some(2), true),
            "{answer:?}"
        );
        let path = format!("/api/v1/clients/{id}/rotate-secret");
        let api = Api::of(&gateway);
        api.json("POST", &path, &gateway.operator_token, &json!({ "overlap_secs": 0 })).problem(409, "conflict");
    }
    let secretive = gateway.add_client("secretive");
    assert_eq!(shown(&gateway, &secretive.id)["auth"], json!({ "method": "client_secret" }));
    let list = gateway.manage_ok(&["client", "list"], b"");
    assert_eq!(list.lines().count(), methods.len() + 2, "{list}");
    let added = gateway.audit().into_iter().filter(|event| event["code"] == "client.added");
    assert_eq!(added.filter(|event| event["detail"]["auth"] == "private_key_jwt").count(), 2);
}

/// As openssl computes it.
fn thumbprint(certificate: &std::path::Path) -> String {
    use base64::Engine;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let der = CertificateDer::from_pem_file(certificate).expect("a certificate");
    let digest = ring::digest::digest(&ring::digest::SHA256, &der);
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest)
}

#[test]
fn what_could_never_work_is_not_registered() {
    let (dir, gateway) = running();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).expect("write");
        path.display().to_string()
    };
    let public = Signer::new().jwks();
    let mut private = public.clone();
    private["keys"][0]["d"] = json!("hidden-half");
    let keys = file("keys", &public.to_string());
    let private = file("private", &private.to_string());
    let text = file("text", "no keys");
    for (args, word) in [
        (vec!["--auth", "private_key_jwt"], "--jwks-file"),
        (vec!["--auth", "private_key_jwt", "--jwks-file", &private], "private"),
        (vec!["--auth", "private_key_jwt", "--jwks-file", &text], "JSON"),
        (vec!["--auth", "private_key_jwt", "--jwks-file", "/nowhere"], "/nowhere"),
        (vec!["--auth", "private_key_jwt", "--jwks-uri", "http://t.test/"], "https"),
        (vec!["--auth", "private_key_jwt", "--jwks-file", &keys, "--issuer", "i"], "--issuer"),
        (vec!["--auth", "workload_identity", "--subject", "s", "--jwks-file", &keys], "--issuer"),
        (vec!["--auth", "tls_client_auth"], "--tls-subject-dn"),
        (vec!["--auth", "self_signed_tls_client_auth"], "--certificate-file"),
        (vec!["--auth", "self_signed_tls_client_auth", "--certificate-file", &text], "certificate"),
        (vec!["--jwks-file", &keys], "--jwks-file"),
    ] {
        let outcome = gateway.manage(&[&["client", "add", "x"], &args[..]].concat(), b"");
        assert!(outcome.code.is_some_and(|code| code != 0) && outcome.stderr.contains(word), "{args:?}: {outcome:?}");
        assert!(!outcome.stderr.contains("hidden-half"), "{outcome:?}");
    }
    let api = Api::of(&gateway);
    for auth in [
        json!({ "method": "private_key_jwt", "keys": { "jwks": { "keys": [] } } }),
        json!({ "method": "private_key_jwt", "keys": { "jwks": { "keys": [{ "kty": "oct", "k": "AAAA" }] } } }),
        json!({ "method": "private_key_jwt", "keys": { "jwks_uri": "http://t.test/" } }),
        json!({ "method": "private_key_jwt", "keys": { "jwks_uri": "https://t.test/" }, "secret": "x" }),
        json!({ "method": "private_key_jwt" }),
        json!({ "method": "none" }),
        json!({}),
    ] {
        let body = json!({ "name": "x", "auth": auth });
        api.json("POST", "/api/v1/clients", &gateway.operator_token, &body).problem(400, "invalid");
    }
    let clients = api.get("/api/v1/clients", &gateway.operator_token).json();
    assert_eq!(clients["clients"], json!([]));
}

#[test]
fn ca_11_an_assertion_that_was_used_before_a_crash_stays_used() {
    let mut stage = Stage::reading(|_| ());
    let signer = Signer::new();
    let tool = signer.register(&stage.gateway, "signing", ADDRESS);
    let (used, fresh) =
        (signer.assertion(&stage.gateway, &tool, "used"), signer.assertion(&stage.gateway, &tool, "fresh"));
    assert_eq!(ask(&stage.gateway, HERE, asserted(&used)).status, 200);
    let again = ask(&stage.gateway, HERE, asserted(&used));
    assert_eq!(error(&again), invalid_client());
    assert!(again.header("www-authenticate").is_some() && again.header("cache-control") == Some("no-store"));
    stage.gateway.kill();
    stage.gateway.serve();
    assert_eq!(error(&ask(&stage.gateway, HERE, asserted(&used))), invalid_client());
    let answer = ask(&stage.gateway, HERE, asserted(&fresh));
    assert_eq!(answer.status, 200, "{answer:?}");
    let token = answer.json()["access_token"].as_str().expect("a token").to_owned();
    stage.gateway.imap_session(ADDRESS, &token).command_ok("a", "EXAMINE INBOX");
}

#[test]
fn ca_03_a_signing_client_has_no_second_way_in_and_every_failure_looks_alike() {
    let (_dir, gateway) = running();
    let (signer, stranger) = (Signer::new(), Signer::new());
    let file = signer.jwks_file(gateway.dir()).display().to_string();
    let id = add_client(&gateway, &["signing", "--auth", "private_key_jwt", "--jwks-file", &file]);
    let tool = Tool { id, secret: gateway.add_client("other").secret };
    let now = now();
    let good = json!({ "iss": tool.id, "sub": tool.id, "aud": issuer(&gateway), "exp": now + 60, "jti": "a" });
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        signer.sign(&claims)
    };
    let reference = masked(&ask(&gateway, elsewhere(1), post(&basic(&tool), "grant_type=client_credentials")));
    assert!(reference.starts_with("HTTP/1.1 401"), "{reference}");
    let in_body = format!("grant_type=client_credentials&client_id={}&client_secret={}", tool.id, tool.secret);
    let mut requests = vec![post("", &in_body)];
    let wrong = [
        stranger.sign(&good),
        with("aud", json!([issuer(&gateway)])),
        with("aud", json!(format!("{}/token", issuer(&gateway)))),
        with("exp", json!(now - 300)),
        with("exp", json!(now + 620)),
        with("sub", json!("cli_0123456789ab")),
        with("jti", json!("x".repeat(129))),
        "a.b.c".to_owned(),
        "x".to_owned(),
        "x".repeat(20_000),
    ];
    requests.extend(wrong.iter().map(|assertion| asserted(assertion)));
    let other_kind = asserted(&signer.sign(&good)).replace("jwt-bearer", "saml2-bear");
    requests.push(other_kind);
    for (at, request) in requests.iter().enumerate() {
        let answer = ask(&gateway, elsewhere(at + 2), request);
        assert_eq!(masked(&answer), reference, "request {at}");
    }
    // None of them has used the good one up; the client is known, and lacks a grant.
    let answer = ask(&gateway, HERE, asserted(&signer.sign(&good)));
    assert_eq!(error(&answer), (400, "invalid_target".to_owned()));
}

#[test]
fn ca_14_an_address_of_this_machine_is_not_asked_for_keys() {
    let dir = folder();
    let mut gateway = Gateway::prepare(&Ca::create(&dir.path().join("ca")));
    gateway.edit_config("allow_networks = [\"127.0.0.0/8\", \"::1/128\"]", "allow_networks = []");
    gateway.serve();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.set_nonblocking(true).expect("look without waiting");
    let port = listener.local_addr().expect("an address").port();
    let signer = Signer::new();
    for (number, host) in ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]", "2130706433"].into_iter().enumerate() {
        let url = format!("https://{host}:{port}/");
        let id = add_client(&gateway, &[&format!("t{number}"), "--auth", "private_key_jwt", "--jwks-uri", &url]);
        let assertion = signer.assertion(&gateway, &Tool { id, secret: String::new() }, "a");
        assert_eq!(error(&ask(&gateway, HERE, asserted(&assertion))), invalid_client(), "{host}");
    }
    assert!(listener.accept().is_err(), "somebody was asked");
}

#[test]
fn ca_19_a_client_that_is_named_like_an_operator_or_a_mailbox_is_neither() {
    let stage = Stage::reading(|_| ());
    let gateway = &stage.gateway;
    let list: Value =
        serde_json::from_str(&gateway.manage_ok(&["operator", "list", "--format", "json"], b"")).expect("JSON");
    let operator = list["operators"][0].clone();
    let text = |name: &str| operator[name].as_str().expect("a text").to_owned();
    for name in [text("name"), text("id"), ADDRESS.to_owned(), "admin".to_owned()] {
        let tool = gateway.add_tool(&name, ADDRESS, "backup");
        assert!(tool.id.starts_with("cli_"), "{}", tool.id);
        let answer = gateway.token_answer(&tool, "grant_type=client_credentials").expect("an answer");
        let token = answer.json()["access_token"].as_str().expect("a token").to_owned();
        let claims: Value = {
            use base64::Engine;
            let part = token.split('.').nth(1).expect("claims");
            let octets = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).expect("base64url");
            serde_json::from_slice(&octets).expect("JSON")
        };
        assert_eq!((&claims["sub"], &claims["client_id"]), (&json!(tool.id), &json!(tool.id)));
        Api::of(gateway).get("/api/v1/clients", &token).problem(401, "unauthenticated");
        // Neither does the name open the token endpoint in the place of the id.
        let named = Tool { id: name.clone(), secret: tool.secret.clone() };
        assert_eq!(error(&ask(gateway, HERE, post(&basic(&named), "grant_type=client_credentials"))), invalid_client());
    }
}
