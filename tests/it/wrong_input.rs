//! Wrong input is answered with what is wrong and where, with exit code 2, and leaves nothing behind.

use std::fs;
use std::net::TcpListener;

use crate::support::ca::Ca;
use crate::support::folder;
use crate::support::gateway::{Gateway, Upstream};
use crate::support::process::Finished;
use crate::support::stage::{ADDRESS, PASSWORD, Stage};

fn prepared() -> (tempfile::TempDir, Ca, Gateway) {
    let dir = folder();
    let ca = Ca::create(&dir.path().join("ca"));
    let gateway = Gateway::prepare(&ca);
    (dir, ca, gateway)
}

/// It failed with 2, said one of `words` (in any case), and panicked nowhere.
fn failed(finished: &Finished, words: &[&str]) {
    let said = finished.stderr.to_lowercase();
    assert_eq!(finished.code, Some(2), "{finished:?}");
    assert!(words.iter().any(|word| said.contains(word)), "none of {words:?} in {finished:?}");
    assert!(!said.contains("panicked"), "{finished:?}");
}

#[test]
fn an_unknown_key_stops_the_start_and_is_named() {
    let (_dir, _ca, gateway) = prepared();
    gateway.edit_config("[upstream]", "[upstream]\nallow_netwroks = []");
    failed(&gateway.run(&["serve"], b""), &["allow_netwroks"]);
}

#[test]
fn another_kek_stops_the_start() {
    let (_dir, _ca, gateway) = prepared();
    let kek = gateway.dir().join("data/kek");
    let mut bytes = fs::read(&kek).expect("read the KEK");
    let at = bytes.len() / 2;
    // A digit that differs in every spelling of the key.
    bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
    fs::write(&kek, bytes).expect("write the KEK");
    failed(&gateway.run(&["serve"], b""), &["kek", "key encryption key"]);
}

#[test]
fn a_missing_kek_stops_the_start() {
    let (_dir, _ca, gateway) = prepared();
    fs::remove_file(gateway.dir().join("data/kek")).expect("remove the KEK");
    failed(&gateway.run(&["serve"], b""), &["kek", "key encryption key"]);
}

#[test]
fn a_kek_that_others_can_read_stops_the_start() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, _ca, gateway) = prepared();
    let kek = gateway.dir().join("data/kek");
    fs::set_permissions(&kek, fs::Permissions::from_mode(0o644)).expect("open the KEK");
    failed(&gateway.run(&["serve"], b""), &["0600", "permission", "readable", "mode"]);
}

#[test]
fn a_second_init_changes_nothing() {
    let (_dir, _ca, gateway) = prepared();
    let kek = fs::read(gateway.dir().join("data/kek")).expect("read the KEK");
    let again = gateway.run(&["init"], b"");
    assert_eq!(again.code, Some(2), "{again:?}");
    assert_eq!(fs::read(gateway.dir().join("data/kek")).expect("read the KEK"), kek);
}

#[test]
fn an_occupied_port_is_named() {
    let (_dir, _ca, gateway) = prepared();
    let held = TcpListener::bind("127.0.0.1:0").expect("bind any port");
    let port = held.local_addr().expect("the address").port().to_string();
    gateway.edit_config("imaps = \"127.0.0.1:0\"", &format!("imaps = \"127.0.0.1:{port}\""));
    failed(&gateway.run(&["serve"], b""), &[&port]);
}

#[test]
fn a_mailbox_is_stored_only_when_its_login_works() {
    let stage = Stage::reading(|_| ());
    let other = Ca::create(&stage.dir.path().join("other-ca"));
    let (gateway, good) = (&stage.gateway, stage.upstream());
    let closed = Upstream { imap: crate::support::free_port(), ..good };
    for (case, password, upstream, ca, words) in [
        ("wrong password", "wrong-password", good, &stage.ca, &["refused", "password", "login"][..]),
        ("nobody listens", PASSWORD, closed, &stage.ca, &["reach", "connect"]),
        ("unknown CA", PASSWORD, good, &other, &["certificate", "tls"]),
    ] {
        let answer = gateway.add_mailbox("second@example.test", password, upstream, ca);
        failed(&answer, words);
        assert!(!format!("{answer:?}").contains(password), "{case}: the password is shown");
        let listed = gateway.manage_ok(&["mailbox", "list"], b"");
        assert!(!listed.contains("second@example.test"), "{case}: the mailbox was stored all the same");
    }
}

#[test]
fn a_second_mailbox_of_the_same_address_is_refused() {
    let stage = Stage::reading(|_| ());
    let again = stage.gateway.add_mailbox(ADDRESS, PASSWORD, stage.upstream(), &stage.ca);
    failed(&again, &["exist", "already", "registered", "taken"]);
}

#[test]
fn the_token_endpoint_names_what_is_wrong() {
    let stage = Stage::reading(|_| ());
    let gateway = &stage.gateway;
    let tool = gateway.add_tool("backup", ADDRESS, "backup");
    let stranger = gateway.add_client("stranger");
    let mut wrong = tool.clone();
    wrong.secret = stranger.secret.clone();
    let grant = "grant_type=client_credentials";
    let mailbox = format!("resource=mailto:{ADDRESS}");
    for (tool, form, status, error) in [
        (&tool, format!("{grant}&{mailbox}&scope=mail.everything"), 400, "invalid_scope"),
        (&tool, format!("{grant}&{mailbox}&scope=mail.delete"), 400, "invalid_scope"),
        (&tool, format!("{grant}&resource=mailto:nobody@example.test"), 400, "invalid_target"),
        (&tool, format!("{grant}&resource=nonsense"), 400, "invalid_target"),
        (&tool, format!("grant_type=password&{mailbox}"), 400, "unsupported_grant_type"),
        (&tool, mailbox.clone(), 400, "invalid_request"),
        (&tool, format!("{grant}&{grant}&{mailbox}"), 400, "invalid_request"),
        (&wrong, format!("{grant}&{mailbox}"), 401, "invalid_client"),
        (&stranger, format!("{grant}&{mailbox}"), 400, "invalid_target"),
    ] {
        let answer = gateway.token_answer(tool, &form).expect("an answer");
        assert_eq!((answer.status, answer.json()["error"].as_str()), (status, Some(error)), "{form}: {answer:?}");
        assert!(answer.head.to_lowercase().contains("cache-control: no-store"), "{answer:?}");
    }
}

#[test]
fn wrong_tokens_are_refused_at_the_mail_port() {
    let stage = Stage::reading(|_| ());
    let tool = stage.gateway.add_tool("backup", ADDRESS, "backup");
    let token = stage.gateway.token(&tool, ADDRESS);
    let (head, tail) = token.rsplit_once('.').expect("a signature");
    let none = format!("{}.{}.", "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0", token.split('.').nth(1).expect("claims"));
    let mut flipped = tail.to_owned();
    flipped.replace_range(0..1, if tail.starts_with('A') { "B" } else { "A" });
    for wrong in [format!("{head}.{flipped}"), none, format!("{head}."), PASSWORD.to_owned(), "x".repeat(8000)] {
        let mut imap = stage.gateway.imap();
        imap.send(format!("a AUTHENTICATE PLAIN {}\r\n", crate::support::gateway::plain(ADDRESS, &wrong)));
        let answer = imap.answer("a");
        assert!(answer.last().is_some_and(|line| line.starts_with("a NO")), "{answer:?}");
    }
    let mut imap = stage.gateway.imap();
    let answer = imap.command("a", &format!("LOGIN other@example.test {token}"));
    assert!(answer.last().is_some_and(|line| line.starts_with("a NO")), "another user's name: {answer:?}");
}
