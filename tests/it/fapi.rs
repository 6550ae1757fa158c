//! The modules of the FAPI 2.0 security profile's test plan for client credentials and DPoP, written from the profile's text: what a
//! tool in good order may do, and what the authorization server and the resource must refuse.

use serde_json::json;

use crate::dpop::{ISSUER, Scene, error, header, nonce, refused, shown};
use crate::support::dpop::Key;
use crate::support::gateway::Tool;
use crate::support::http::{HERE, ask, get};

/// Section 5.4: the algorithms of the profile.
const ALGS: [&str; 3] = ["PS256", "ES256", "EdDSA"];

#[test]
fn happy_flow() {
    let scene = Scene::new();
    let metadata = ask(scene.gateway(), HERE, get("/.well-known/oauth-authorization-server/oauth")).json();
    let own = |name: &str| metadata[name].as_str().is_some_and(|url| url.starts_with(ISSUER));
    assert!(own("issuer") && own("token_endpoint") && own("jwks_uri"), "{metadata}");
    let named = metadata["dpop_signing_alg_values_supported"].as_array().expect("algorithms");
    assert!(ALGS.iter().all(|alg| named.contains(&json!(alg))) && !named.contains(&json!("RS256")), "{named:?}");
    for alg in ALGS {
        let key = Key::new(alg);
        let answer = scene.ask_token(&scene.bound, &header(&scene.proof(&key, alg, None).signed()));
        assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{alg}: {answer:?}");
        let body = answer.json();
        assert_eq!(body["token_type"], "DPoP");
        assert!(body["expires_in"].as_i64().is_some_and(|secs| (1..=3600).contains(&secs)), "{body}");
        assert!(body.get("refresh_token").is_none(), "{body}");
        let token = body["access_token"].as_str().expect("a token");
        assert!(token.len() >= 22, "128 bits at least");
        let proof = scene.proof(&key, alg, Some(token)).signed();
        let answer = scene.ask_resource(&shown(token, &proof));
        assert_eq!((answer.status, answer.json()["client_id"].as_str()), (200, Some(&*scene.bound.id)), "{alg}");
    }
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
}
