//! Tokens bound to a key of the tool (RFC 9449): how they come about with a nonce, where they open nothing, what the resource says.

use serde_json::{Value, json};

use crate::support::dpop::Key;
use crate::support::dpop_scene::{ISSUER, Scene, challenge, header, nonce, shown};
use crate::support::gateway::{base64, plain, xoauth2};
use crate::support::http::{GRANT, HERE, ask, basic, error, get, post, refused};
use crate::support::stage::ADDRESS;

#[test]
fn tok_21_a_nonce_is_asked_for_given_and_taken() {
    let scene = Scene::new();
    let key = Key::new("ES256");
    let url = format!("{ISSUER}/token");
    let without = || key.proof("ES256", "POST", &url);
    let answer = scene.ask_token(&scene.bound, &header(&without().signed()));
    assert_eq!(error(&answer), refused(400, "use_dpop_nonce"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let given = nonce(&answer);
    let answer = scene.ask_token(&scene.bound, &header(&without().claim("nonce", &*given).signed()));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!nonce(&answer).is_empty(), "the next one");
    let token = answer.json()["access_token"].as_str().expect("a token").to_owned();
    for other in [json!(""), json!("x"), json!(given.to_uppercase()), json!(given.clone() + "A"), json!(7), Value::Null]
    {
        for tool in [&scene.bound, &scene.free] {
            let answer = scene.ask_token(tool, &header(&without().claim("nonce", other.clone()).signed()));
            assert_eq!(error(&answer), refused(400, "use_dpop_nonce"), "{other}");
            assert!(!nonce(&answer).is_empty());
        }
    }
    // The resource asks too.
    let proof = || key.proof("ES256", "GET", &format!("{ISSUER}/me")).token(&token);
    let answer = scene.ask_resource(&shown(&token, &proof().signed()));
    assert_eq!(error(&answer), refused(401, "use_dpop_nonce"));
    assert!(challenge(&answer, "DPoP").contains("error=\"use_dpop_nonce\""), "{answer:?}");
    let answer = scene.ask_resource(&shown(&token, &proof().claim("nonce", nonce(&answer)).signed()));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!nonce(&answer).is_empty(), "the next one");
    // A tool that binds of its own will need not, and may.
    let answer = scene.ask_token(&scene.free, &header(&without().signed()));
    assert_eq!((answer.status, &answer.json()["token_type"]), (200, &json!("DPoP")), "{answer:?}");
    let answer = scene.ask_token(&scene.free, &header(&without().claim("nonce", nonce(&answer)).signed()));
    assert_eq!(answer.status, 200, "{answer:?}");
    // Asking for a nonce is no refusal that anybody has to look at.
    let recorded = scene.gateway().audit();
    assert!(!recorded.iter().any(|event| event.to_string().contains("use_dpop_nonce")));
    assert!(recorded.iter().any(|event| event["code"] == "token.issued" && event.to_string().contains("jkt")));
}

#[test]
fn jwt_12_a_bound_token_is_never_a_bearer_token() {
    let scene = Scene::new();
    let key = Key::new("ES256");
    for tool in [&scene.bound, &scene.free] {
        let token = scene.token(tool, &key, "ES256");
        let proof = scene.proof(&key, "ES256", Some(&token)).signed();
        for headers in [
            format!("Authorization: Bearer {token}\r\n"),
            format!("Authorization: Bearer {token}\r\n{}", header(&proof)),
            format!("Authorization: bEARER {token}\r\n"),
        ] {
            let answer = scene.ask_resource(&headers);
            assert_eq!(error(&answer), refused(401, "invalid_token"), "{headers}");
            assert!(challenge(&answer, "Bearer").contains("error=\"invalid_token\""), "{answer:?}");
            assert!(!challenge(&answer, "DPoP").contains("error="), "{answer:?}");
        }
        assert_eq!(scene.ask_path(HERE, &format!("/oauth/me?access_token={token}"), "").status, 401);
        let bearer = format!("n,a={ADDRESS},\x01auth=Bearer {token}\x01\x01");
        for login in [
            format!("AUTHENTICATE XOAUTH2 {}", xoauth2(ADDRESS, &token)),
            format!("AUTHENTICATE OAUTHBEARER {}", base64(bearer.as_bytes())),
            format!("AUTHENTICATE OAUTHBEARER {}", base64(bearer.replace("Bearer", "DPoP").as_bytes())),
            format!("AUTHENTICATE PLAIN {}", plain(ADDRESS, &token)),
            format!("LOGIN {ADDRESS} {token}"),
        ] {
            let mut imap = scene.gateway().imap();
            imap.send(format!("a {login}\r\n"));
            let mut line = imap.line();
            if line.starts_with("+ ") {
                imap.send("\r\n");
                line = imap.line();
            }
            assert!(line.starts_with("a NO ") || line.starts_with("a BAD "), "{login}: {line}");
        }
        assert_eq!(scene.ask_resource(&shown(&token, &proof)).status, 200, "the proof was good all the time");
    }
    // And a bearer token is not one that is bound.
    let token = scene.gateway().token(&scene.free, ADDRESS);
    assert_eq!(scene.ask_resource(&format!("Authorization: Bearer {token}\r\n")).status, 200);
    let proof = scene.proof(&key, "ES256", Some(&token)).signed();
    assert_eq!(error(&scene.ask_resource(&shown(&token, &proof))), refused(401, "invalid_token"));
}

#[test]
fn jwt_13_a_client_whose_tokens_must_be_bound_gets_no_other() {
    let scene = Scene::new();
    let tool = &scene.bound;
    let in_body = format!("{GRANT}&client_id={}&client_secret={}", tool.id, tool.secret);
    for request in [post(&basic(tool), GRANT), post("", &in_body), post(&basic(tool), &format!("{GRANT}&dpop_jkt=x"))] {
        let answer = ask(scene.gateway(), HERE, request);
        assert_eq!(error(&answer), refused(400, "invalid_dpop_proof"));
        assert!(!answer.body.contains("access_token") && !nonce(&answer).is_empty(), "{answer:?}");
    }
    let answer = scene.ask_token(&scene.free, "");
    assert_eq!((answer.status, &answer.json()["token_type"]), (200, &json!("Bearer")), "{answer:?}");
    let wrong = ["client", "add", "x", "--required-binding", "rope"];
    assert_eq!(scene.gateway().manage(&wrong, b"").code, Some(1));
}

#[test]
fn jwt_15_the_scheme_of_a_shown_token_has_no_case() {
    let scene = Scene::new();
    let (key, plain) = (Key::new("ES256"), scene.gateway().token(&scene.free, ADDRESS));
    let bound = scene.token(&scene.bound, &key, "ES256");
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        assert_eq!(scene.ask_resource(&format!("Authorization: {scheme} {plain}\r\n")).status, 200, "{scheme}");
    }
    for scheme in ["DPoP", "dpop", "DPOP", "dPoP"] {
        let proof = scene.proof(&key, "ES256", Some(&bound)).signed();
        let headers = format!("Authorization: {scheme} {bound}\r\n{}", header(&proof));
        assert_eq!(scene.ask_resource(&headers).status, 200, "{scheme}");
    }
}

#[test]
fn int_06_the_resource_says_what_it_takes_and_where_that_is_written() {
    let scene = Scene::new();
    let wanted =
        format!("resource_metadata=\"{}\"", "https://mail.example.test/.well-known/oauth-protected-resource/oauth/me");
    let bare = ["", "Authorization: Basic YTpi\r\n", "Authorization: Bearer\r\n", "Authorization:\r\n"];
    for headers in bare {
        let answer = scene.ask_resource(headers);
        assert_eq!((answer.status, answer.header("cache-control")), (401, Some("no-store")), "{headers}");
        assert_eq!(challenge(&answer, "Bearer"), format!("Bearer realm=\"mailwarden\", {wanted}"));
        assert_eq!(challenge(&answer, "DPoP"), format!("DPoP algs=\"EdDSA Ed25519 ES256 PS256\", {wanted}"));
    }
    for (scheme, other) in [("Bearer", "DPoP"), ("DPoP", "Bearer")] {
        for token in ["x", "a.b.c", "mws_x"] {
            let answer = scene.ask_resource(&format!("Authorization: {scheme} {token}\r\n"));
            assert_eq!(error(&answer), refused(401, "invalid_token"), "{scheme} {token}");
            let said = challenge(&answer, scheme);
            assert!(said.contains("error=\"invalid_token\"") && said.contains(&wanted), "{said}");
            assert!(!challenge(&answer, other).contains("error="), "{answer:?}");
            assert!(challenge(&answer, other).contains(&wanted), "{answer:?}");
        }
    }
    let token = scene.gateway().token(&scene.free, ADDRESS);
    let twice = format!("Authorization: Bearer {token}\r\n").repeat(2);
    assert_eq!(error(&scene.ask_resource(&twice)), refused(400, "invalid_request"));
    // The document, whatever host is asked for.
    let path = "/.well-known/oauth-protected-resource/oauth/me";
    for host in ["localhost", "evil.example"] {
        let answer = ask(scene.gateway(), HERE, get(path).replace("localhost", host));
        assert_eq!((answer.status, answer.header("cache-control")), (200, Some("public, max-age=300")), "{answer:?}");
        let document = answer.json();
        assert_eq!(document["resource"], format!("{ISSUER}/me"), "the URL that was asked");
        assert_eq!(document["authorization_servers"], json!([ISSUER]));
        assert_eq!(document["bearer_methods_supported"], json!(["header"]));
        assert_eq!(document["dpop_signing_alg_values_supported"], json!(["EdDSA", "Ed25519", "ES256", "PS256"]));
        assert_eq!(document["scopes_supported"].as_array().map(Vec::len), Some(7));
    }
    let server = ask(scene.gateway(), HERE, get("/.well-known/oauth-authorization-server/oauth")).json();
    assert_eq!(server["issuer"], ISSUER);
    // What was revoked opens nothing here either.
    assert_eq!(scene.ask_resource(&format!("Authorization: Bearer {token}\r\n")).status, 200);
    scene.gateway().manage_ok(&["revoke", "--client", &scene.free.id], b"");
    let answer = scene.ask_resource(&format!("Authorization: Bearer {token}\r\n"));
    assert_eq!(error(&answer), refused(401, "invalid_token"));
}
