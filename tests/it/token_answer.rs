//! What the token endpoint gives, never more than was granted, and how it refuses: nothing of what was sent comes back.

use base64::Engine;

use crate::support::gateway::Tool;
use crate::support::http::{GRANT, HERE, ask, basic, elsewhere, error, get, masked, post, refused};
use crate::support::stage::{ADDRESS, PASSWORD};
use crate::support::token_scene::{Scene, not_kept};
use crate::support::wire::Answer;

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

/// What a token says, not verified here.
fn claims(answer: &Answer) -> serde_json::Value {
    let token = answer.json()["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer:?}")).to_owned();
    let payload = token.split('.').nth(1).expect("a payload");
    let octets = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&octets).expect("JSON")
}
