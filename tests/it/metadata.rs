//! What the service says of itself: the same to everybody, and true.

use crate::support::gateway::base64;
use crate::support::http::{GRANT, HERE, basic, get, post, post_to};
use crate::support::signer::Signer;
use crate::support::stage::ADDRESS;
use crate::support::token_scene::{Scene, not_kept};

#[test]
fn tok_20_metadata_never_depends_on_the_request() {
    let scene = Scene::new();
    let issuer = format!("https://localhost:{}/oauth", scene.stage.gateway.port("https"));
    for path in ["/.well-known/oauth-authorization-server/oauth", "/oauth/.well-known/openid-configuration"] {
        let plain = scene.ask(HERE, get(path));
        assert_eq!(plain.json()["issuer"], issuer);
        for (from, to) in [
            ("Host: localhost", "Host: evil.example"),
            ("Host: localhost", "Host: localhost\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: http"),
            ("Host: localhost", "Host: localhost\r\nForwarded: host=evil.example;proto=http"),
            ("Host: localhost", "Host: evil.example\r\nX-Original-URL: /evil\r\nX-Forwarded-Prefix: /evil"),
            ("HTTP/1.1", "HTTP/1.0"),
        ] {
            let answer = scene.ask(HERE, get(path).replace(from, to));
            assert_eq!((answer.status, &answer.body), (200, &plain.body), "{to}");
        }
        let answer = scene.ask(HERE, get(path).replace(path, &format!("https://evil.example{path}")));
        assert_eq!((answer.status, &answer.body), (200, &plain.body));
    }
}

#[test]
fn int_05_what_the_metadata_names_works_and_nothing_else_does() {
    let scene = Scene::new();
    let answer = scene.ask(HERE, get("/.well-known/oauth-authorization-server/oauth"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"), "{answer:?}");
    let metadata = answer.json();
    let base = format!("https://localhost:{}", scene.stage.gateway.port("https"));
    let path = |name: &str| {
        let url = metadata[name].as_str().unwrap_or_else(|| panic!("no {name}"));
        url.strip_prefix(&base).unwrap_or_else(|| panic!("{url} is elsewhere")).to_owned()
    };
    assert_eq!(path("token_endpoint"), "/oauth/token");
    let jwks = scene.ask(HERE, get(&path("jwks_uri")));
    assert_eq!((jwks.status, jwks.header("cache-control")), (200, Some("public, max-age=300")), "{jwks:?}");
    let (id, secret) = (&scene.tool.id, &scene.tool.secret);
    let signer = Signer::new();
    let signing = signer.register(&scene.stage.gateway, "signing", ADDRESS);
    assert_eq!(
        (path("introspection_endpoint"), path("revocation_endpoint")),
        ("/oauth/introspect".into(), "/oauth/revoke".into())
    );
    for endpoint in ["token", "introspection", "revocation"] {
        let named = metadata[format!("{endpoint}_endpoint_auth_methods_supported")].as_array().expect("methods");
        let path = path(&format!("{endpoint}_endpoint"));
        let assertion = signer.assertion(&scene.stage.gateway, &signing, endpoint);
        let kind = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
        let methods = [
            ("client_secret_basic", basic(&scene.tool), GRANT.to_owned()),
            ("client_secret_post", String::new(), format!("{GRANT}&client_id={id}&client_secret={secret}")),
            ("none", String::new(), format!("{GRANT}&client_id={id}")),
            (
                "private_key_jwt",
                String::new(),
                format!("{GRANT}&client_assertion={assertion}&client_assertion_type={kind}"),
            ),
            ("tls_client_auth", String::new(), format!("{GRANT}&client_id={id}&x=tls")),
        ];
        for (name, header, form) in &methods {
            let answer = scene.ask(HERE, post_to(&path, header, &format!("{form}&token=x")));
            assert_eq!(answer.status == 200, named.contains(&(*name).into()), "{name} at {path}: {answer:?}");
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
        }
        // The one that is left takes a connection that shows a certificate: `int_05_` in `mtls.rs`.
        assert!(named.contains(&"self_signed_tls_client_auth".into()) && named.len() == 4, "{named:?}");
    }
}

#[test]
fn int_05_the_metadata_names_nothing_that_is_not_served() {
    let scene = Scene::new();
    let metadata = scene.ask(HERE, get("/.well-known/oauth-authorization-server/oauth")).json();
    assert_eq!(metadata["authorization_details_types_supported"], serde_json::json!(["mailbox"]));
    for (kind, status) in [("mailbox", 200), ("payment_initiation", 400)] {
        let details = format!("authorization_details=[{{\"type\":\"{kind}\"}}]");
        assert_eq!(scene.form(&format!("{GRANT}&{details}")).status, status, "{kind}");
    }
    let algorithms = &metadata["token_endpoint_auth_signing_alg_values_supported"];
    assert_eq!(algorithms, &serde_json::json!(["PS256", "ES256", "EdDSA", "Ed25519", "RS256"]));
    let scopes = metadata["scopes_supported"].as_array().expect("scopes");
    assert_eq!(scopes.len(), 7);
    for scope in scopes {
        let other = scene.form(&format!("{GRANT}&scope={}", scope.as_str().expect("a word")));
        assert!(other.status == 200 || other.json()["error"] == "invalid_scope", "{scope}");
    }
    let mut names: Vec<_> = metadata.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    // Nothing that is not served.
    assert_eq!(
        names,
        [
            "authorization_details_types_supported",
            "dpop_signing_alg_values_supported",
            "grant_types_supported",
            "introspection_endpoint",
            "introspection_endpoint_auth_methods_supported",
            "issuer",
            "jwks_uri",
            "mailwarden_requested_token_types_supported",
            "response_types_supported",
            "revocation_endpoint",
            "revocation_endpoint_auth_methods_supported",
            "scopes_supported",
            "tls_client_certificate_bound_access_tokens",
            "token_endpoint",
            "token_endpoint_auth_methods_supported",
            "token_endpoint_auth_signing_alg_values_supported"
        ]
    );
    for absent in ["/oauth/authorize", "/oauth/userinfo", "/oauth/register"] {
        let answer = scene.ask(HERE, get(absent));
        assert_eq!((answer.status, answer.header("cache-control")), (404, Some("no-store")), "{absent}");
    }
    for (path, allowed) in [("/oauth/jwks", "GET,HEAD"), ("/oauth/.well-known/openid-configuration", "GET,HEAD")] {
        let answer = scene.ask(HERE, format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allowed)), "{answer:?}");
        not_kept(&answer);
    }
}

#[test]
fn jwt_15_the_jwks_has_public_members_only_and_scheme_names_have_no_case() {
    let scene = Scene::new();
    let gateway = &scene.stage.gateway;
    let jwks = scene.ask(HERE, get("/oauth/jwks")).json();
    let keys = jwks["keys"].as_array().expect("keys");
    assert_eq!(keys.len(), 2);
    for key in keys {
        let names: Vec<_> = key.as_object().expect("an object").keys().map(String::as_str).collect();
        let public = ["alg", "crv", "kid", "kty", "use", "x", "y"];
        assert!(names.iter().all(|name| public.contains(name)), "{names:?}");
        assert_eq!(key["use"], "sig");
    }
    let odd = basic(&scene.tool).replace("Basic", "bAsIC");
    assert_eq!(scene.ask(HERE, post(&odd, GRANT)).status, 200);
    let token = gateway.token(&scene.tool, ADDRESS);
    for mechanism in ["XOAUTH2", "OAUTHBEARER"] {
        let message = if mechanism == "XOAUTH2" {
            format!("user={ADDRESS}\x01auth=bEARER {token}\x01\x01")
        } else {
            format!("n,a={ADDRESS},\x01auth=bEARER {token}\x01\x01")
        };
        let mut imap = gateway.imap();
        imap.command_ok("a", &format!("AUTHENTICATE {mechanism} {}", base64(message.as_bytes())));
    }
    let request = get("/api/v1/clients")
        .replace("\r\n\r\n", &format!("\r\nAuthorization: bEARER {}\r\n\r\n", gateway.operator_token));
    assert_eq!(scene.ask(HERE, request).status, 200);
}
