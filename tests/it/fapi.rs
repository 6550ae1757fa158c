//! The modules of the FAPI 2.0 security profile's test plan for client credentials, signed assertions and DPoP, written from the
//! profile's text: what a tool in good order may do, and what the authorization server and the resource must refuse.

use std::fs;

use serde_json::json;

use crate::support::dpop::{Key, Proof, now};
use crate::support::dpop_scene::{ISSUER, Scene, header, nonce, shown};
use crate::support::gateway::Tool;
use crate::support::http::{HERE, ask, error, get, post, refused};
use crate::support::signer::add_client;
use crate::support::stage::ADDRESS;
use crate::support::wire::Answer;

/// Section 5.4: the algorithms of the profile.
const ALGS: [&str; 3] = ["PS256", "ES256", "EdDSA"];

/// A client that signs its assertions, and whose tokens must be bound.
struct Client {
    id: String,
    alg: &'static str,
    key: Key,
}

impl Client {
    fn new(scene: &Scene, alg: &'static str) -> Self {
        let (gateway, key) = (scene.gateway(), Key::new(alg));
        let file = gateway.dir().join("keys");
        fs::write(&file, key.jwks().to_string()).expect("write the keys");
        let file = file.display().to_string();
        let auth = ["--auth", "private_key_jwt", "--jwks-file", &file, "--required-binding", "dpop"];
        let id = add_client(gateway, &[&[alg], &auth[..]].concat());
        gateway.manage_ok(&["grant", "add", "--client", &id, "--mailbox", ADDRESS, "--preset", "backup"], b"");
        Self { id, alg, key }
    }

    fn assertion(&self) -> Proof<'_> {
        self.key.assertion(self.alg, &self.id, ISSUER)
    }

    /// Asks for a token with an assertion and a good proof, naming a client beside them or not.
    fn ask(&self, scene: &Scene, assertion: &Proof<'_>, named: &str) -> Answer {
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let form = format!(
            "grant_type=client_credentials&client_id={named}&client_assertion_type={kind}&client_assertion={}",
            assertion.signed()
        );
        let proof = scene.proof(&self.key, self.alg, None).signed();
        ask(scene.gateway(), HERE, post(&header(&proof), &form))
    }
}

/// An assertion that was changed like one of these is refused, and the same one unchanged is taken.
fn only_unchanged(changes: &[fn(Proof<'_>) -> Proof<'_>]) {
    let scene = Scene::new();
    for alg in ALGS {
        let client = Client::new(&scene, alg);
        let good = client.assertion();
        for (at, change) in changes.iter().enumerate() {
            for named in ["", &client.id] {
                let answer = client.ask(&scene, &change(good.clone()), named);
                assert_eq!(error(&answer), refused(401, "invalid_client"), "{alg}, change {at}");
            }
        }
        let answer = client.ask(&scene, &good, "");
        assert_eq!(answer.status, 200, "{alg}: {answer:?}");
    }
}

#[test]
fn happy_flow() {
    let scene = Scene::new();
    let metadata = ask(scene.gateway(), HERE, get("/.well-known/oauth-authorization-server/oauth")).json();
    let own = |name: &str| metadata[name].as_str().is_some_and(|url| url.starts_with(ISSUER));
    assert!(own("issuer") && own("token_endpoint") && own("jwks_uri"), "{metadata}");
    let named = metadata["dpop_signing_alg_values_supported"].as_array().expect("algorithms");
    assert!(ALGS.iter().all(|alg| named.contains(&json!(alg))) && !named.contains(&json!("RS256")), "{named:?}");
    let named = metadata["token_endpoint_auth_signing_alg_values_supported"].as_array().expect("algorithms");
    assert!(ALGS.iter().all(|alg| named.contains(&json!(alg))), "{named:?}");
    assert!(
        metadata["token_endpoint_auth_methods_supported"]
            .as_array()
            .expect("methods")
            .contains(&json!("private_key_jwt"))
    );
    for alg in ALGS {
        let client = Client::new(&scene, alg);
        let answer = client.ask(&scene, &client.assertion(), "");
        assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{alg}: {answer:?}");
        let body = answer.json();
        assert_eq!(body["token_type"], "DPoP");
        assert!(body["expires_in"].as_i64().is_some_and(|secs| (1..=3600).contains(&secs)), "{body}");
        assert!(body.get("refresh_token").is_none(), "{body}");
        let token = body["access_token"].as_str().expect("a token");
        assert!(token.len() >= 22, "128 bits at least");
        let proof = scene.proof(&client.key, alg, Some(token)).signed();
        let answer = scene.ask_resource(&shown(token, &proof));
        assert_eq!((answer.status, answer.json()["client_id"].as_str()), (200, Some(&*client.id)), "{alg}");
    }
}

#[test]
fn a_client_assertion_that_is_over_is_refused() {
    only_unchanged(&[|assertion| assertion.claim("iat", now() - 600).claim("exp", now() - 300)]);
}

#[test]
fn a_client_assertion_without_sub_is_refused() {
    only_unchanged(&[|assertion| assertion.without("sub")]);
}

#[test]
fn a_client_assertion_for_a_wrong_aud_is_refused() {
    only_unchanged(&[
        |assertion| assertion.claim("aud", "https://other.example.test/oauth"),
        |assertion| assertion.claim("aud", format!("{ISSUER}/token")),
    ]);
}

#[test]
fn a_client_assertion_with_an_aud_array_is_refused() {
    only_unchanged(&[
        |assertion| assertion.claim("aud", json!([ISSUER])),
        |assertion| assertion.claim("aud", json!([ISSUER, "https://other.example.test/oauth"])),
    ]);
}

#[test]
fn the_case_of_the_scheme_does_not_matter() {
    let scene = Scene::new();
    let key = Key::new("PS256");
    let token = scene.token(&scene.bound, &key, "PS256");
    for scheme in ["dpop", "DPOP", "dPOp"] {
        let proof = scene.proof(&key, "PS256", Some(&token)).signed();
        let headers = format!("Authorization: {scheme} {token}\r\n{}", header(&proof));
        assert_eq!(scene.ask_resource(&headers).status, 200, "{scheme}");
    }
}

#[test]
fn dpop_negative_tests() {
    let scene = Scene::new();
    let (key, other) = (Key::new("PS256"), Key::new("PS256"));
    let token = scene.token(&scene.bound, &key, "PS256");
    // One proof of everything: a proof for one endpoint, method, token or key is none for another.
    let for_token = scene.proof(&key, "PS256", None).signed();
    let for_resource = scene.proof(&key, "PS256", Some(&token)).signed();
    assert_eq!(error(&scene.ask_token(&scene.bound, &header(&for_resource))), refused(400, "invalid_dpop_proof"));
    let second = scene.token(&scene.bound, &key, "PS256");
    for (shown_token, proof, code) in [
        (&token, for_token, "invalid_dpop_proof"),
        (&second, for_resource.clone(), "invalid_dpop_proof"),
        (&token, scene.proof(&other, "PS256", Some(&token)).signed(), "invalid_token"),
        (&token, token.clone(), "invalid_dpop_proof"),
    ] {
        assert_eq!(error(&scene.ask_resource(&shown(shown_token, &proof))), refused(401, code));
    }
    // None of these used the proof up, and one use does.
    assert_eq!(scene.ask_resource(&shown(&token, &for_resource)).status, 200);
    assert_eq!(error(&scene.ask_resource(&shown(&token, &for_resource))), refused(401, "invalid_dpop_proof"));
    let changed = format!("{token}A");
    let proof = scene.proof(&key, "PS256", Some(&changed)).signed();
    assert_eq!(error(&scene.ask_resource(&shown(&changed, &proof))), refused(401, "invalid_token"));
}

#[test]
fn a_clock_that_is_ten_seconds_off_is_no_obstacle() {
    let scene = Scene::new();
    let client = Client::new(&scene, "ES256");
    for secs in [-10, 10] {
        let answer = client.ask(&scene, &client.assertion().off_by(secs).claim("nbf", now() + secs), "");
        assert_eq!(answer.status, 200, "{secs}: {answer:?}");
    }
    let key = Key::new("ES256");
    for tool in [&scene.bound, &scene.free] {
        for secs in [-10, 10] {
            // With and without a nonce, where that is free.
            let proof = scene.proof(&key, "ES256", None).off_by(secs);
            let answer = scene.ask_token(tool, &header(&proof.signed()));
            assert_eq!(answer.status, 200, "{secs}: {answer:?}");
            let token = answer.json()["access_token"].as_str().expect("a token").to_owned();
            let proof = scene.proof(&key, "ES256", Some(&token)).off_by(secs);
            assert_eq!(scene.ask_resource(&shown(&token, &proof.signed())).status, 200, "{secs}");
            if tool.id == scene.free.id {
                let proof = scene.proof(&key, "ES256", Some(&token)).off_by(secs).without("nonce");
                assert_eq!(scene.ask_resource(&shown(&token, &proof.signed())).status, 200, "{secs}, no nonce");
            }
        }
    }
}

#[test]
fn a_token_needs_its_holder_of_the_key() {
    let scene = Scene::new();
    let key = Key::new("ES256");
    assert_eq!(error(&scene.ask_token(&scene.bound, "")), refused(400, "invalid_dpop_proof"));
    let token = scene.token(&scene.bound, &key, "ES256");
    for (headers, code) in [
        (format!("Authorization: DPoP {token}\r\n"), "invalid_dpop_proof"),
        (format!("Authorization: Bearer {token}\r\n"), "invalid_token"),
    ] {
        let answer = scene.ask_resource(&headers);
        assert_eq!(error(&answer), refused(401, code), "{headers}");
        assert!(answer.headers("www-authenticate").iter().any(|value| value.starts_with("DPoP ")), "{answer:?}");
    }
}

#[test]
fn another_clients_id_gets_nothing() {
    let scene = Scene::new();
    let key = Key::new("ES256");
    for wrong in [
        Tool { id: scene.free.id.clone(), ..scene.bound.clone() },
        Tool { id: "cli_0123456789ab".to_owned(), ..scene.bound.clone() },
    ] {
        let answer = scene.ask_token(&wrong, &header(&scene.proof(&key, "ES256", None).signed()));
        assert_eq!(error(&answer), refused(401, "invalid_client"));
        assert!(!nonce(&answer).is_empty() && !answer.body.contains("access_token"), "{answer:?}");
    }
    // The same of clients that sign: the key of the one never speaks for the other.
    let [one, two] = [Client::new(&scene, "ES256"), Client::new(&scene, "EdDSA")];
    let good = one.assertion();
    let of_the_other = one.key.assertion(one.alg, &two.id, ISSUER);
    for (assertion, named) in
        [(&of_the_other, ""), (&of_the_other, &one.id), (&of_the_other, &two.id), (&good, &two.id)]
    {
        assert_eq!(error(&one.ask(&scene, assertion, named)), refused(401, "invalid_client"), "{named}");
    }
    assert_eq!(one.ask(&scene, &good, &one.id).status, 200);
}

#[test]
fn rs256_is_refused() {
    let scene = Scene::new();
    let key = Key::new("RS256");
    let answer = scene.ask_token(&scene.bound, &header(&scene.proof(&key, "RS256", None).signed()));
    assert_eq!(error(&answer), refused(400, "invalid_dpop_proof"));
    // It is the algorithm, not the key.
    let token = scene.token(&scene.bound, &key, "PS256");
    let answer = scene.ask_resource(&shown(&token, &scene.proof(&key, "RS256", Some(&token)).signed()));
    assert_eq!(error(&answer), refused(401, "invalid_dpop_proof"));
    // Nor does it prove a client.
    let client = Client::new(&scene, "PS256");
    let good = client.assertion();
    let answer = client.ask(&scene, &good.clone().header("alg", "RS256"), "");
    assert_eq!(error(&answer), refused(401, "invalid_client"));
    assert_eq!(client.ask(&scene, &good, "").status, 200);
}
