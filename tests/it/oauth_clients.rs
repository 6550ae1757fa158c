//! OAuth and JWT libraries that people really use, run unchanged: discovery, a token by each method, its check by our keys, its
//! introspection and its end; and tokens bound to a key.

use std::path::Path;

use crate::support::clients::{library_script, script};
use crate::support::gateway::Tool;
use crate::support::process::Finished;
use crate::support::signer::add_client;
use crate::support::stage::{ADDRESS, Stage};

const METHODS: [&str; 2] = ["client_secret_basic", "client_secret_post"];

type Runner = fn(&str, &Path, &[&str], &[u8]) -> Finished;

/// One client for each algorithm.
fn tools(stage: &Stage) -> [(Tool, &'static str); 2] {
    ["EdDSA", "ES256"].map(|algorithm| {
        let args = ["client", "add", algorithm, "--token-alg", algorithm, "--format", "json"];
        let printed = stage.gateway.manage_ok(&args, b"");
        let value: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
        let text = |key: &str| value[key].as_str().unwrap_or_else(|| panic!("no {key}")).to_owned();
        let tool = Tool { id: text("client_id"), secret: text("client_secret") };
        let grant = ["grant", "add", "--client", &tool.id, "--mailbox", ADDRESS, "--preset", "backup"];
        stage.gateway.manage_ok(&grant, b"");
        (tool, algorithm)
    })
}

fn each_library_gets_a_token(libraries: &[&str], name: &str, run: Runner) {
    let stage = Stage::reading(|_| ());
    let issuer = format!("https://localhost:{}/oauth", stage.gateway.port("https"));
    let audience = format!("mailto:{ADDRESS}");
    for (tool, algorithm) in tools(&stage) {
        for library in libraries {
            for method in METHODS {
                let args = [library, method, &issuer, &tool.id, &audience, algorithm];
                let ca = stage.gateway.ca_file();
                let finished = run(name, ca, &args, tool.secret.as_bytes());
                let printed = finished.expect_ok(&format!("{library} with {method} and {algorithm}"));
                let claims: serde_json::Value = serde_json::from_str(&printed).expect("the claims");
                assert_eq!((claims["sub"].as_str(), claims["scope"].as_str()), (Some(&*tool.id), Some("mail.read")));
                let wrong = run(name, ca, &args, b"mws_wrong");
                let named = ["invalid_client", "WWWAuthenticateChallengeError"];
                assert!(wrong.code != Some(0) && wrong.stdout.is_empty(), "{library}: {wrong:?}");
                assert!(named.iter().any(|name| wrong.stderr.contains(name)), "{library}: {wrong:?}");
            }
        }
    }
}

#[test]
fn python_libraries_get_and_check_tokens() {
    each_library_gets_a_token(&["authlib", "requests-oauthlib"], "oauth_token.py", library_script);
}

#[test]
fn node_libraries_get_and_check_tokens() {
    each_library_gets_a_token(&["openid-client", "oauth4webapi"], "oauth_token.mjs", script);
}

/// A key pair of a tool: the private half, and the set with the public one.
fn key_pair(ca: &Path, algorithm: &str) -> (String, serde_json::Value) {
    let printed = script("make_key.mjs", ca, &[algorithm], b"").expect_ok("make_key.mjs");
    let pair: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    (pair["private"].to_string(), serde_json::json!({ "keys": [pair["public"]] }))
}

fn each_library_signs(libraries: &[&str], name: &str, run: Runner) {
    let stage = Stage::reading(|_| ());
    let (gateway, ca) = (&stage.gateway, stage.gateway.ca_file());
    let issuer = format!("https://localhost:{}/oauth", gateway.port("https"));
    let audience = format!("mailto:{ADDRESS}");
    for algorithm in ["EdDSA", "ES256", "PS256", "RS256"] {
        let (private, public) = key_pair(ca, algorithm);
        let (stranger, _) = key_pair(ca, algorithm);
        let file = gateway.dir().join(algorithm);
        std::fs::write(&file, public.to_string()).expect("write the keys");
        let file = file.display().to_string();
        let mut add = vec![algorithm, "--auth", "private_key_jwt", "--jwks-file", &file];
        if algorithm == "RS256" {
            add.push("--allow-rs256");
        }
        let id = add_client(gateway, &add);
        gateway.manage_ok(&["grant", "add", "--client", &id, "--mailbox", ADDRESS, "--preset", "backup"], b"");
        for library in libraries {
            let args = [library, "private_key_jwt", &issuer, &id, &audience, "EdDSA"];
            let finished = run(name, ca, &args, private.as_bytes());
            let printed = finished.expect_ok(&format!("{library} with {algorithm}"));
            let claims: serde_json::Value = serde_json::from_str(&printed).expect("the claims");
            assert_eq!((claims["sub"].as_str(), claims["scope"].as_str()), (Some(&*id), Some("mail.read")));
            let wrong = run(name, ca, &args, stranger.as_bytes());
            let named = ["invalid_client", "WWWAuthenticateChallengeError"];
            assert!(wrong.code != Some(0) && wrong.stdout.is_empty(), "{library}: {wrong:?}");
            assert!(named.iter().any(|name| wrong.stderr.contains(name)), "{library}: {wrong:?}");
        }
    }
}

#[test]
fn python_libraries_sign_assertions() {
    each_library_signs(&["authlib"], "oauth_token.py", library_script);
}

#[test]
fn node_libraries_sign_assertions() {
    each_library_signs(&["openid-client", "oauth4webapi"], "oauth_token.mjs", script);
}

#[test]
fn ca_12_rs256_is_taken_where_it_is_registered_only() {
    let stage = Stage::reading(|_| ());
    let (gateway, ca) = (&stage.gateway, stage.gateway.ca_file());
    let issuer = format!("https://localhost:{}/oauth", gateway.port("https"));
    let (private, public) = key_pair(ca, "RS256");
    let file = gateway.dir().join("keys");
    // Not said to be for RS256, so that the key may serve PS256.
    let mut anonymous = public.clone();
    anonymous["keys"][0].as_object_mut().expect("a key").remove("alg");
    std::fs::write(&file, anonymous.to_string()).expect("write the keys");
    let file = file.display().to_string();
    let id = add_client(gateway, &["signing", "--auth", "private_key_jwt", "--jwks-file", &file]);
    gateway.manage_ok(&["grant", "add", "--client", &id, "--mailbox", ADDRESS, "--preset", "backup"], b"");
    let audience = format!("mailto:{ADDRESS}");
    let args = ["oauth4webapi", "private_key_jwt", &issuer, &id, &audience, "EdDSA"];
    let refused = script("oauth_token.mjs", ca, &args, private.as_bytes());
    assert!(refused.code != Some(0) && refused.stderr.contains("WWWAuthenticateChallengeError"), "{refused:?}");
    let other = private.replace("RS256", "PS256");
    script("oauth_token.mjs", ca, &args, other.as_bytes()).expect_ok("the same key with PS256");
}

#[test]
fn node_libraries_bind_tokens_to_a_key_and_send_the_nonce_that_is_asked_for() {
    let stage = Stage::reading(|_| ());
    let gateway = &stage.gateway;
    let issuer = format!("https://localhost:{}/oauth", gateway.port("https"));
    for (binding, nonces) in [("dpop", 1), ("none", 0)] {
        let add = ["client", "add", binding, "--required-binding", binding, "--format", "json"];
        let printed: serde_json::Value = serde_json::from_str(&gateway.manage_ok(&add, b"")).expect("JSON");
        let text = |key: &str| printed[key].as_str().unwrap_or_else(|| panic!("no {key}")).to_owned();
        let tool = Tool { id: text("client_id"), secret: text("client_secret") };
        gateway.manage_ok(&["grant", "add", "--client", &tool.id, "--mailbox", ADDRESS, "--preset", "backup"], b"");
        for library in ["openid-client", "oauth4webapi"] {
            for algorithm in ["ES256", "PS256", "Ed25519"] {
                let args = [library, &issuer, &tool.id, &format!("{issuer}/me"), algorithm];
                let finished = script("dpop_token.mjs", gateway.ca_file(), &args, tool.secret.as_bytes());
                let printed = finished.expect_ok(&format!("{library} with {algorithm}"));
                let seen: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
                assert_eq!((seen["status"].as_u64(), seen["me"]["client_id"].as_str()), (Some(200), Some(&*tool.id)));
                assert!(seen["token_type"].as_str().is_some_and(|name| name.eq_ignore_ascii_case("dpop")), "{seen}");
                assert_eq!((seen["jkt"].as_str().map(str::len), seen["nonces"].as_u64()), (Some(43), Some(nonces)));
            }
        }
    }
}
