//! The token endpoint from outside: what it takes, what it gives, and how it refuses.

use std::net::IpAddr;

use base64::Engine;

use crate::support::gateway::Tool;
use crate::support::http::{HERE, ask, basic, elsewhere, get, masked, post, post_to};
use crate::support::signer::Signer;
use crate::support::stage::{ADDRESS, PASSWORD, Stage};
use crate::support::wire::Answer;

const GRANT: &str = "grant_type=client_credentials";

/// A gateway with one mailbox and a tool that may read and send there.
struct Scene {
    stage: Stage,
    tool: Tool,
}

impl Scene {
    fn new() -> Self {
        let stage = Stage::reading(|_| ());
        let tool = stage.gateway.add_client("tool");
        let scopes = ["grant", "add", "--client", &tool.id, "--mailbox", ADDRESS, "--preset", "archive"];
        stage.gateway.manage_ok(&scopes, b"");
        Self { stage, tool }
    }

    fn ask(&self, source: IpAddr, request: impl AsRef<[u8]>) -> Answer {
        ask(&self.stage.gateway, source, request)
    }

    /// Asks with client_secret_basic.
    fn form(&self, form: &str) -> Answer {
        self.ask(HERE, post(&basic(&self.tool), form))
    }
}

fn error(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["error"].as_str().unwrap_or_default().to_owned())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// The answer is JSON that nobody may keep.
fn not_kept(answer: &Answer) {
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    assert!(answer.json().is_object());
}

#[test]
fn tok_01_only_post_is_served() {
    let scene = Scene::new();
    let (header, secret) = (basic(&scene.tool), &scene.tool.secret);
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let query = format!("{GRANT}&client_id={}&client_secret={secret}", scene.tool.id);
        let request = format!("{method} /oauth/token?{query} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n");
        let answer = scene.ask(HERE, request);
        assert_eq!(error(&answer), refused(405, "invalid_request"), "{method}");
        assert_eq!(answer.header("allow"), Some("POST"), "{answer:?}");
        not_kept(&answer);
        assert!(!answer.body.contains("access_token"));
    }
    assert!(!scene.stage.gateway.output().contains(secret.as_str()), "the query was logged");
}

#[test]
fn tok_02_no_credentials_in_the_url() {
    let scene = Scene::new();
    let (id, secret) = (&scene.tool.id, &scene.tool.secret);
    for query in
        [format!("client_secret={secret}"), format!("{GRANT}&client_id={id}&client_secret={secret}"), "x=1".into()]
    {
        for (header, body) in [
            (basic(&scene.tool), GRANT.to_owned()),
            (String::new(), format!("{GRANT}&client_id={id}&client_secret={secret}")),
            (String::new(), GRANT.to_owned()),
        ] {
            let request = post(&header, &body).replace("/oauth/token", &format!("/oauth/token?{query}"));
            assert_eq!(error(&scene.ask(HERE, request)), refused(400, "invalid_request"), "{query}");
        }
    }
    assert!(!scene.stage.gateway.output().contains(secret.as_str()), "the query was logged");
}

#[test]
fn tok_03_parameters_are_not_repeated() {
    let scene = Scene::new();
    let mailbox = format!("resource=mailto:{ADDRESS}");
    for (form, code) in [
        (format!("{GRANT}&{GRANT}"), "invalid_request"),
        (format!("{GRANT}&scope=mail.read&scope=mail.read"), "invalid_request"),
        (format!("{GRANT}&scope=&scope=mail.read"), "invalid_request"),
        (format!("{GRANT}&client_id={0}&client_id={0}", scene.tool.id), "invalid_request"),
        (format!("{GRANT}&{mailbox}&{mailbox}"), "invalid_target"),
        (format!("{GRANT}&{mailbox}&resource=mailto:other@example.test"), "invalid_target"),
    ] {
        assert_eq!(error(&scene.form(&form)), refused(400, code), "{form}");
    }
    // The same for the header that proves the client.
    let twice = format!("{0}{0}", basic(&scene.tool));
    assert_eq!(error(&scene.ask(HERE, post(&twice, GRANT))), refused(400, "invalid_request"));
}

#[test]
fn tok_04_only_forms_are_read() {
    let scene = Scene::new();
    let header = basic(&scene.tool);
    let json = r#"{"grant_type":"client_credentials"}"#;
    for (content_type, body) in [
        ("Content-Type: application/json\r\n", json),
        ("Content-Type: text/plain\r\n", GRANT),
        ("Content-Type: multipart/form-data; boundary=x\r\n", GRANT),
        ("Content-Type: application/x-www-form-urlencodedx\r\n", GRANT),
        ("Content-Type:\r\n", GRANT),
        ("Content-Type: application/x-www-form-urlencoded\r\nContent-Type: application/json\r\n", GRANT),
    ] {
        let answer = scene.ask(HERE, post(&format!("{header}{content_type}"), body));
        assert_eq!(error(&answer), refused(400, "invalid_request"), "{content_type}");
    }
    for content_type in [
        "application/x-www-form-urlencoded;charset=utf-8",
        "application/x-www-form-urlencoded; charset=UTF-8",
        "Application/X-WWW-Form-URLEncoded",
    ] {
        let answer = scene.ask(HERE, post(&format!("{header}Content-Type: {content_type}\r\n"), GRANT));
        assert_eq!(answer.status, 200, "{content_type}: {answer:?}");
    }
}

#[test]
fn tok_05_unknown_parameters_are_ignored_and_empty_ones_absent() {
    let scene = Scene::new();
    let plain = scene.form(GRANT).json();
    assert_eq!(plain["scope"], "mail.read mail.append");
    for more in ["foo=1", "foo=1&foo=2&audience=x", "scope=", "resource=", "client_id=&client_assertion="] {
        let answer = scene.form(&format!("{GRANT}&{more}"));
        assert_eq!((answer.status, &answer.json()["scope"]), (200, &plain["scope"]), "{more}: {answer:?}");
    }
    assert_eq!(error(&scene.form("grant_type=")), refused(400, "invalid_request"));
}

#[test]
fn tok_06_no_answer_may_be_stored() {
    let scene = Scene::new();
    let wrong = Tool { secret: "wrong".to_owned(), ..scene.tool.clone() };
    let mut answers = vec![scene.form(GRANT), scene.form("grant_type=password")];
    while answers.last().is_some_and(|answer| answer.status != 429) {
        assert!(answers.len() < 150, "a source that fails is never slowed down");
        answers.push(scene.ask(HERE, post(&basic(&wrong), GRANT)));
    }
    scene.stage.gateway.sql("ALTER TABLE client_secrets RENAME TO elsewhere");
    answers.push(scene.ask(elsewhere(0), post(&basic(&scene.tool), GRANT)));
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.dedup();
    assert_eq!(statuses, [200, 400, 401, 429, 503]);
    for answer in &answers {
        not_kept(answer);
        assert_eq!(answer.header("pragma"), Some("no-cache"), "{answer:?}");
        let retry_after = answer.header("retry-after").and_then(|secs| secs.parse::<u32>().ok());
        assert_eq!(retry_after.is_some(), [429, 503].contains(&answer.status), "{answer:?}");
    }
}

#[test]
fn tok_07_password_and_implicit_grants_are_absent() {
    let scene = Scene::new();
    for other in ["password", "implicit", "authorization_code", "refresh_token", "CLIENT_CREDENTIALS", "x"] {
        let form = format!("grant_type={other}&username=a&password=b");
        assert_eq!(error(&scene.form(&form)), refused(400, "unsupported_grant_type"), "{other}");
    }
    let metadata = scene.ask(HERE, get("/.well-known/oauth-authorization-server/oauth")).json();
    assert_eq!(metadata["grant_types_supported"], serde_json::json!(["client_credentials"]));
    assert_eq!(metadata["response_types_supported"], serde_json::json!([]));
    assert!(metadata.get("authorization_endpoint").is_none());
    let authorize = scene.ask(HERE, get("/oauth/authorize?response_type=token&client_id=x"));
    assert_eq!(authorize.status, 404);
    assert_eq!(authorize.header("cache-control"), Some("no-store"));
}

#[test]
fn tok_08_a_grant_that_the_client_was_not_given_is_refused() {
    let scene = Scene::new();
    let exchange = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=x";
    assert_eq!(error(&scene.form(exchange)), refused(400, "unauthorized_client"));
    assert_eq!(error(&scene.ask(HERE, post("", exchange))), refused(401, "invalid_client"));
}

#[test]
fn tok_09_the_scope_that_was_given_is_named_and_never_more() {
    let scene = Scene::new();
    for (asked, given) in [
        ("mail.read", "mail.read"),
        ("mail.append mail.read mail.metadata", "mail.read mail.append"),
        ("mail.metadata", "mail.metadata"),
    ] {
        let answer = scene.form(&format!("{GRANT}&scope={}", asked.replace(' ', "+")));
        assert_eq!((answer.status, &answer.json()["scope"]), (200, &given.into()), "{asked}: {answer:?}");
        assert_eq!(claims(&answer)["scope"], given);
    }
    for wider in ["mail.delete", "mail.read mail.send", "mail.read mail.root", "MAIL.READ"] {
        let answer = scene.form(&format!("{GRANT}&scope={}", wider.replace(' ', "+")));
        assert_eq!(error(&answer), refused(400, "invalid_scope"), "{wider}");
    }
}

#[test]
fn tok_11_the_resource_is_one_known_mailbox_and_becomes_the_audience() {
    let scene = Scene::new();
    // Somebody else's mailbox; for the gateway's purposes it may as well log in like the first.
    let (upstream, ca) =
        (format!("localhost:{}", scene.stage.upstream().imap), scene.stage.ca.file().display().to_string());
    let other = ["mailbox", "add", "--address", "other@example.test", "--username", ADDRESS, "--imap", &upstream];
    let tls = ["--imap-tls", "implicit", "--ca-file", &ca, "--password-stdin"];
    scene.stage.gateway.manage_ok(&[&other[..], &tls].concat(), format!("{PASSWORD}\n").as_bytes());
    for wrong in [
        "support@example.test",
        "/support@example.test",
        "//example.test/support",
        "mailto:support",
        "mailto:support@example.test%23x",
        "mailto:a%23support@example.test",
        "mailto:support@example.test?subject=x",
        "mailto:support@example.test,other@example.test",
        "mailto:other@example.test",
        "mailto:nobody@example.test",
        "https://example.test/support",
        "mailto:",
        "%20mailto:support@example.test",
    ] {
        assert_eq!(error(&scene.form(&format!("{GRANT}&resource={wrong}"))), refused(400, "invalid_target"), "{wrong}");
    }
    for good in ["mailto:support@example.test", "MAILTO:Support@Example.Test", "mailto%3Asupport%40example.test", ""] {
        let answer = scene.form(&format!("{GRANT}&resource={good}"));
        assert_eq!(answer.status, 200, "{good}: {answer:?}");
        assert_eq!(claims(&answer)["aud"], "mailto:support@example.test", "{good}");
    }
}

#[test]
fn tok_13_the_lifetime_is_the_grants_and_a_request_cannot_change_it() {
    let scene = Scene::new();
    for more in ["", "&expires_in=999999", "&lifetime=999999&exp=9999999999&ttl=1"] {
        let answer = scene.form(&format!("{GRANT}{more}"));
        assert_eq!(answer.json()["expires_in"], 300, "{more}");
        let claims = claims(&answer);
        assert_eq!(claims["exp"].as_i64().zip(claims["iat"].as_i64()).map(|(exp, iat)| exp - iat), Some(300), "{more}");
    }
    let other = scene.stage.gateway.add_client("other");
    let grant = ["grant", "add", "--client", &other.id, "--mailbox", ADDRESS, "--preset", "backup", "--token-ttl"];
    let refused = scene.stage.gateway.manage(&[&grant[..], &["3601"]].concat(), b"");
    assert_eq!(refused.code, Some(2), "{refused:?}");
    scene.stage.gateway.manage_ok(&[&grant[..], &["3600"]].concat(), b"");
    let answer = scene.ask(HERE, post(&basic(&other), GRANT));
    assert_eq!(answer.json()["expires_in"], 3600, "{answer:?}");
}

#[test]
fn tok_14_there_is_no_refresh_token() {
    let scene = Scene::new();
    let answer = scene.form(&format!("{GRANT}&scope=mail.read&access_type=offline")).json();
    let mut names: Vec<_> = answer.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["access_token", "expires_in", "scope", "token_type"]);
}

#[test]
fn tok_16_nothing_that_was_sent_is_repeated() {
    let scene = Scene::new();
    let hostile = [
        "zqx%0D%0ASet-Cookie:+zqx=1",
        "zqx%22%5C%27",
        "zqx%00zqx",
        "%3Cscript%3Ezqx()%3C/script%3E",
        "%E2%80%AEzqx%E2%81%A6",
        "zqx%FF%FE",
        "zqx%C3%A4%1B[31m",
        "%25s%25nzqx${7*7}{{7*7}}",
    ];
    for (number, hostile) in hostile.iter().enumerate() {
        let source = elsewhere(number);
        let known = format!("client_id={}&client_secret={}", scene.tool.id, scene.tool.secret);
        for form in [
            format!("grant_type={hostile}&{known}"),
            format!("{GRANT}&client_id={hostile}&client_secret=x"),
            format!("{GRANT}&client_id={}&client_secret={hostile}", scene.tool.id),
            format!("{GRANT}&{known}&scope={hostile}"),
            format!("{GRANT}&{known}&resource={hostile}"),
            format!("{GRANT}&{known}&resource=mailto:{hostile}@example.test"),
            format!("{GRANT}&{known}&authorization_details={hostile}"),
            format!("{GRANT}&{known}&client_assertion={hostile}"),
            format!("{hostile}={hostile}&{known}"),
        ] {
            clean(&scene.ask(source, post("", &form)), &form);
        }
        let raw = hostile.replace('%', "");
        for header in [
            format!("Authorization: Basic {raw}\r\n"),
            format!("Authorization: {raw}\r\n"),
            format!("Content-Type: {raw}\r\n"),
        ] {
            clean(&scene.ask(source, post(&header, GRANT)), &header);
        }
        let request = post("", GRANT).replace("/oauth/token", &format!("/oauth/token?{hostile}"));
        clean(&scene.ask(source, request), hostile);
        let path = ask(&scene.stage.gateway, source, get(&format!("/oauth/{hostile}")));
        assert!(path.status == 404 && !format!("{path:?}").contains("zqx"), "{path:?}");
    }
}

/// A refusal in the character set of RFC 6749 section 5.2, with no header of the sender's making.
fn clean(answer: &Answer, sent: &str) {
    assert!((400..500).contains(&answer.status), "{sent}: {answer:?}");
    not_kept(answer);
    for name in ["error", "error_description"] {
        let text = answer.json()[name].as_str().unwrap_or_else(|| panic!("no {name}: {answer:?}")).to_owned();
        assert!(text.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\'), "{answer:?}");
    }
    assert!(!format!("{answer:?}").contains("zqx"), "{sent}: {answer:?}");
    assert!(answer.header("set-cookie").is_none());
}

#[test]
fn tok_17_what_was_removed_gives_no_token_at_once_and_looks_unknown() {
    let scene = Scene::new();
    let gateway = &scene.stage.gateway;
    let target = format!("{GRANT}&resource=mailto:{ADDRESS}");
    let unknown_mailbox = format!("{GRANT}&resource=mailto:nobody@example.test");
    let unknown_client = Tool { id: "cli_0123456789ab".to_owned(), ..scene.tool.clone() };
    assert_eq!(scene.form(&target).status, 200);
    let printed = gateway.manage_ok(&["grant", "list", "--format", "json"], b"");
    let grants: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    gateway.manage_ok(&["grant", "remove", grants["grants"][0]["id"].as_str().expect("an id")], b"");
    assert_eq!(error(&scene.form(&target)), refused(400, "invalid_target"));
    assert_eq!(masked(&scene.form(&target)), masked(&scene.form(&unknown_mailbox)), "no grant");
    gateway.manage_ok(&["grant", "add", "--client", &scene.tool.id, "--mailbox", ADDRESS, "--preset", "backup"], b"");
    assert_eq!(scene.form(&target).status, 200);
    let printed = gateway.manage_ok(&["mailbox", "show", ADDRESS, "--format", "json"], b"");
    let mailbox: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    gateway.manage_ok(&["mailbox", "remove", mailbox["id"].as_str().expect("an id")], b"");
    assert_eq!(error(&scene.form(&target)), refused(400, "invalid_target"));
    assert_eq!(masked(&scene.form(&target)), masked(&scene.form(&unknown_mailbox)), "no mailbox");
    gateway.manage_ok(&["client", "remove", &scene.tool.id], b"");
    assert_eq!(error(&scene.form(&target)), refused(401, "invalid_client"));
    let stranger = scene.ask(HERE, post(&basic(&unknown_client), &target));
    assert_eq!(masked(&scene.form(&target)), masked(&stranger), "no client");
}

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
        imap.command_ok(
            "a",
            &format!("AUTHENTICATE {mechanism} {}", crate::support::gateway::base64(message.as_bytes())),
        );
    }
    let request = get("/api/v1/clients")
        .replace("\r\n\r\n", &format!("\r\nAuthorization: bEARER {}\r\n\r\n", gateway.operator_token));
    assert_eq!(scene.ask(HERE, request).status, 200);
}

/// What a token says, not verified here.
fn claims(answer: &Answer) -> serde_json::Value {
    let token = answer.json()["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer:?}")).to_owned();
    let payload = token.split('.').nth(1).expect("a payload");
    let octets = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&octets).expect("JSON")
}
