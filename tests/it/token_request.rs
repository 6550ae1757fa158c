//! What the token endpoint takes: one way to ask, read strictly.

use crate::support::http::{GRANT, HERE, basic, error, get, post, refused};
use crate::support::stage::ADDRESS;
use crate::support::token_scene::{Scene, not_kept};

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
