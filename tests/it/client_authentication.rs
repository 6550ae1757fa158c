//! How a tool proves who it is, and what one that cannot hears.

use crate::support::ca::Ca;
use crate::support::folder;
use crate::support::gateway::{Gateway, Tool, base64, plain, xoauth2};
use crate::support::http::{GRANT, HERE, ask, basic, elsewhere, error, get, masked, post, refused};
use crate::support::signer::{Signer, add_client, asserted};
use crate::support::stage::{ADDRESS, Stage};
use crate::support::wire::{Answer, Wire};

/// A gateway without mailboxes, and a client.
fn prepared() -> (tempfile::TempDir, Gateway, Tool) {
    let dir = folder();
    let gateway = Gateway::start(&Ca::create(&dir.path().join("ca")));
    let tool = gateway.add_client("tool");
    (dir, gateway, tool)
}

fn in_body(tool: &Tool) -> String {
    format!("{GRANT}&client_id={}&client_secret={}", tool.id, tool.secret)
}

/// The client is known: what it lacks is a mailbox.
fn is_known(answer: &Answer) -> bool {
    error(answer) == refused(400, "invalid_target")
}

#[test]
fn ca_01_one_method_per_request() {
    let (_dir, gateway, tool) = prepared();
    let assertion =
        "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=x";
    for (headers, form) in [
        (basic(&tool), in_body(&tool)),
        (basic(&tool), format!("{GRANT}&{assertion}")),
        (String::new(), format!("{}&{assertion}", in_body(&tool))),
        (format!("{0}{0}", basic(&tool)), GRANT.to_owned()),
        (format!("{}Authorization: Bearer x\r\n", basic(&tool)), GRANT.to_owned()),
        ("Authorization: Bearer x\r\n".to_owned(), in_body(&tool)),
    ] {
        let answer = ask(&gateway, HERE, post(&headers, &form));
        assert_eq!(error(&answer), refused(400, "invalid_request"), "{headers}{form}");
    }
}

#[test]
fn ca_02_a_failure_is_401_and_names_the_scheme() {
    let (_dir, gateway, tool) = prepared();
    let wrong = Tool { secret: "wrong".to_owned(), ..tool.clone() };
    for (headers, form) in [
        (basic(&wrong), GRANT.to_owned()),
        (String::new(), in_body(&wrong)),
        (String::new(), GRANT.to_owned()),
        (String::new(), format!("{GRANT}&client_id={}", tool.id)),
        ("Authorization: Basic !!!\r\n".to_owned(), GRANT.to_owned()),
        ("Authorization: Bearer x\r\n".to_owned(), GRANT.to_owned()),
        ("Authorization: Basic\r\n".to_owned(), GRANT.to_owned()),
    ] {
        let answer = ask(&gateway, HERE, post(&headers, &form));
        assert_eq!(error(&answer), refused(401, "invalid_client"), "{headers}{form}");
        let challenge = answer.header("www-authenticate");
        assert_eq!(challenge, Some("Basic realm=\"mailwarden\", charset=\"UTF-8\""), "{answer:?}");
    }
    // Every octet of id and secret form-encoded is the same id and secret.
    let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let pair = format!("{}:{}", encoded(&tool.id), encoded(&tool.secret));
    let header = format!("Authorization: Basic {}\r\n", base64(pair.as_bytes()));
    assert!(is_known(&ask(&gateway, HERE, post(&header, GRANT))));
    assert!(is_known(&ask(&gateway, HERE, post(&basic(&tool), GRANT))));
}

#[test]
fn ca_03_a_secret_proves_nothing_beside_or_instead_of_another_method() {
    let (_dir, gateway, tool) = prepared();
    let jwt = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
    for form in [
        // The correct secret in the place of an assertion.
        format!("{GRANT}&client_id={}&{jwt}&client_assertion={}", tool.id, tool.secret),
        format!("{GRANT}&client_id={}&{jwt}", tool.id),
        format!("{GRANT}&client_id={}", tool.id),
    ] {
        assert_eq!(error(&ask(&gateway, HERE, post("", &form))), refused(401, "invalid_client"), "{form}");
    }
    let bearer = format!("Authorization: Bearer {}\r\n", tool.secret);
    let form = format!("{GRANT}&client_id={}", tool.id);
    assert_eq!(error(&ask(&gateway, HERE, post(&bearer, &form))), refused(401, "invalid_client"));
}

#[test]
fn ca_04_a_secret_is_made_here_shown_once_and_kept_as_a_keyed_hash() {
    let (_dir, mut gateway, tool) = prepared();
    let other = gateway.add_client("other");
    for secret in [&tool.secret, &other.secret] {
        // A prefix, 256 random bits in 43 characters, a checksum.
        assert!(secret.starts_with("mws_") && secret.len() == 4 + 43 + 6, "{}", secret.len());
    }
    assert_ne!(tool.secret, other.secret);
    let chosen = format!("{{\"name\":\"mine\",\"client_secret\":\"{}\"}}", "x".repeat(53));
    let request = format!(
        "POST /api/v1/clients HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{chosen}",
        gateway.operator_token,
        chosen.len()
    );
    assert_eq!(ask(&gateway, HERE, request).status, 400, "nobody chooses a secret");
    let mut printed = String::new();
    for args in [&["client", "show", &tool.id][..], &["client", "list"], &["audit", "list", "--limit", "1000"]] {
        printed.push_str(&gateway.manage_ok(&[args, &["--format", "json"]].concat(), b""));
    }
    assert!(printed.contains(&tool.id) && !printed.contains(&tool.secret[4..]), "{printed}");
    let authorization = format!("\r\nAuthorization: Bearer {}\r\n\r\n", gateway.operator_token);
    let shown = ask(&gateway, HERE, get(&format!("/api/v1/clients/{}", tool.id)).replace("\r\n\r\n", &authorization));
    assert!(shown.status == 200 && !shown.body.contains("mws_"), "{shown:?}");
    gateway.stop();
    let stored = gateway.postgres().map_or_else(
        || {
            // With what is still in the write-ahead log.
            let files = std::fs::read_dir(gateway.dir().join("data")).expect("read the data folder");
            files.flat_map(|file| std::fs::read(file.expect("a file").path()).unwrap_or_default()).collect()
        },
        |postgres| postgres.dump().into_bytes(),
    );
    let stored = String::from_utf8_lossy(&stored);
    assert!(stored.contains(&tool.id), "the client lies in the database");
    assert!(!stored.contains(&tool.secret[4..]), "and so does the secret");
}

#[test]
fn ca_06_an_unknown_client_is_answered_like_a_known_one() {
    let (_dir, gateway, tool) = prepared();
    let gone = gateway.add_client("gone");
    gateway.manage_ok(&["client", "remove", &gone.id], b"");
    let wrong = |id: &str| Tool { id: id.to_owned(), secret: "wrong".to_owned() };
    let known = masked(&ask(&gateway, HERE, post(&basic(&wrong(&tool.id)), GRANT)));
    assert!(known.starts_with("HTTP/1.1 401"), "{known}");
    let well_formed = Tool { id: "cli_0123456789ab".to_owned(), secret: tool.secret.clone() };
    for other in [wrong("cli_0123456789ab"), wrong("nobody"), wrong("x' OR 1=1 --"), well_formed, gone] {
        assert_eq!(known, masked(&ask(&gateway, HERE, post(&basic(&other), GRANT))), "{}", other.id);
        assert_eq!(known, masked(&ask(&gateway, HERE, post("", &in_body(&other)))), "{}", other.id);
    }
}

#[test]
fn ca_06_an_assertion_of_an_unknown_client_is_answered_like_a_wrong_signature() {
    let (_dir, gateway, tool) = prepared();
    let (signer, stranger) = (Signer::new(), Signer::new());
    let file = signer.jwks_file(gateway.dir()).display().to_string();
    let signing = ["--auth", "private_key_jwt", "--jwks-file", &file];
    let [known, gone] = ["known", "gone"].map(|name| add_client(&gateway, &[&[name], &signing[..]].concat()));
    gateway.manage_ok(&["client", "remove", &gone], b"");
    let by =
        |signer: &Signer, id: &str| signer.assertion(&gateway, &Tool { id: id.to_owned(), secret: String::new() }, "a");
    let reference = masked(&ask(&gateway, elsewhere(0), asserted(&by(&stranger, &known))));
    assert!(reference.starts_with("HTTP/1.1 401"), "{reference}");
    for (at, id) in ["cli_0123456789ab", "nobody", "x' OR 1=1 --", &tool.id, &gone].into_iter().enumerate() {
        for signer in [&stranger, &signer] {
            let assertion = by(signer, id);
            assert_eq!(reference, masked(&ask(&gateway, elsewhere(at + 1), asserted(&assertion))), "{id}");
        }
    }
    assert!(is_known(&ask(&gateway, HERE, asserted(&by(&signer, &known)))));
}

#[test]
fn ca_07_failures_by_one_method_count_for_the_other() {
    let (_dir, gateway, tool) = prepared();
    let wrong = Tool { secret: "wrong".to_owned(), ..tool.clone() };
    let failures = (0..150).map(|_| ask(&gateway, HERE, post(&basic(&wrong), GRANT)));
    let last = failures.take_while(|answer| answer.status == 401).count();
    assert!((1..=100).contains(&last), "{last} failures before it is slowed down");
    for id in [tool.id.clone(), tool.id.to_uppercase(), format!("+{}", tool.id), tool.id.replace('c', "%63")] {
        let form = in_body(&Tool { id, ..tool.clone() });
        assert_eq!(ask(&gateway, HERE, post("", &form)).status, 429, "{form}");
    }
    assert!(is_known(&ask(&gateway, elsewhere(0), post(&basic(&tool), GRANT))));
}

#[test]
fn jwt_01_each_kind_of_secret_works_at_its_own_door_only() {
    let stage = Stage::reading(|_| ());
    let gateway = &stage.gateway;
    let tool = gateway.add_tool("backup", ADDRESS, "backup");
    let token = gateway.token(&tool, ADDRESS);
    let secrets =
        [("access token", &token), ("client secret", &tool.secret), ("operator token", &gateway.operator_token)];
    for (kind, secret) in secrets {
        let mut imap = gateway.imap();
        let answer = imap.command("a", &format!("AUTHENTICATE PLAIN {}", plain(ADDRESS, secret)));
        assert_eq!(
            answer.last().is_some_and(|line| line.starts_with("a OK")),
            kind == "access token",
            "{kind} at IMAP"
        );
        let presented = Tool { secret: secret.clone(), ..tool.clone() };
        let answer = ask(gateway, HERE, post(&basic(&presented), GRANT));
        assert_eq!(answer.status, if kind == "client secret" { 200 } else { 401 }, "{kind} at the token endpoint");
        let authorization = format!("\r\nAuthorization: Bearer {secret}\r\n\r\n");
        let answer = ask(gateway, HERE, get("/api/v1/clients").replace("\r\n\r\n", &authorization));
        assert_eq!(answer.status, if kind == "operator token" { 200 } else { 401 }, "{kind} at the admin API");
    }
}

#[test]
fn jwt_04_a_token_opens_no_other_mailbox_and_no_other_protocol() {
    let stage = Stage::sending();
    let gateway = &stage.gateway;
    let tool = gateway.add_client("reader");
    let grant =
        ["grant", "add", "--client", &tool.id, "--mailbox", ADDRESS, "--preset", "helpdesk", "--protocol", "imap"];
    gateway.manage_ok(&grant, b"");
    let token = gateway.token(&tool, ADDRESS);
    let mut imap = gateway.imap();
    imap.command_ok("a", &format!("AUTHENTICATE XOAUTH2 {}", xoauth2(ADDRESS, &token)));
    for other in ["other@example.test", "support@example.test.example", "support"] {
        let mut imap = gateway.imap();
        let answer = imap.command("a", &format!("AUTHENTICATE PLAIN {}", plain(other, &token)));
        assert!(answer.last().is_some_and(|line| line.starts_with("a NO")), "{other}: {answer:?}");
    }
    let mut smtp = Wire::connect(gateway.port("smtps"), gateway.ca_file());
    smtp.reply();
    smtp.send("EHLO tool.example.test\r\n");
    smtp.reply();
    smtp.send(format!("AUTH PLAIN {}\r\n", plain(ADDRESS, &token)));
    let answer = smtp.reply();
    assert!(answer.last().is_some_and(|line| line.starts_with("535")), "an IMAP-only grant at SMTP: {answer:?}");
}
