//! Narrowed tokens (RFC 9396): a tool gets exactly the part of its grant that it asks for, and the mail doors hold it to that.

use base64::Engine;
use serde_json::{Value, json};

use crate::support::gateway::{Gateway, Tool, plain};
use crate::support::http::{HERE, ask, basic, post};
use crate::support::maildir;
use crate::support::smtp_upstream::Act;
use crate::support::stage::{ADDRESS, Stage};
use crate::support::submission::{Both, say};
use crate::support::wire::{Answer, Wire};

/// Asks for a token with these details.
fn narrowed(gateway: &Gateway, tool: &Tool, details: &str) -> Answer {
    let details: String = form_urlencoded(details);
    let form = format!("grant_type=client_credentials&authorization_details={details}");
    ask(gateway, HERE, post(&basic(tool), &form))
}

fn form_urlencoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a payload");
    let octets = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&octets).expect("JSON")
}

/// The token, after the echo in the answer and the claim in the token were found to be `granted`.
#[track_caller]
fn given(answer: &Answer, granted: &Value) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    let body = answer.json();
    assert_eq!(body["authorization_details"], *granted, "the echo");
    let token = body["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(claims(&token)["authorization_details"], *granted, "the claim");
    token
}

#[track_caller]
fn refused(answer: &Answer) {
    assert_eq!((answer.status, &answer.json()["error"]), (400, &"invalid_authorization_details".into()), "{answer:?}");
    assert!(!answer.body.contains("access_token"));
}

/// A client whose grant holds to some folders, senders and recipients.
fn bounded(gateway: &Gateway) -> Tool {
    let tool = gateway.add_client("bounded");
    let mut grant = vec!["grant", "add", "--client", &tool.id, "--mailbox", ADDRESS, "--preset", "helpdesk"];
    grant.extend(["--folder", "INBOX", "--folder", "Archive/*", "--recipient", "@else.test", "--protocol", "imap"]);
    gateway.manage_ok(&grant, b"");
    tool
}

#[test]
fn tok_12_details_are_strictly_typed_and_echoed_as_granted() {
    let stage = Stage::reading(|_| ());
    let gateway = &stage.gateway;
    let tool = bounded(gateway);
    let asked = r#"[ {"type":"mailbox", "folders":["inbox","Archive/2026/*"], "recipients":["Boss@Else.TEST"]} ]"#;
    let granted =
        json!([{ "type": "mailbox", "folders": ["INBOX", "Archive/2026/*"], "recipients": ["boss@else.test"] }]);
    given(&narrowed(gateway, &tool, asked), &granted);
    given(&narrowed(gateway, &tool, r#"[{"type":"mailbox"}]"#), &json!([{ "type": "mailbox" }]));
    let plain = ask(gateway, HERE, post(&basic(&tool), "grant_type=client_credentials"));
    assert!(plain.status == 200 && plain.json().get("authorization_details").is_none(), "{plain:?}");
    for wrong in [
        "[]",
        "{}",
        "null",
        "mailbox",
        "[",
        r#"[{"type":"mailbox"}]x"#,
        r#"[{"type":"mailbox","type":"mailbox"}]"#,
        r#"[{"type":"mailbox"},{"type":"mailbox"}]"#,
        r#"[{"type":"Mailbox"}]"#,
        r#"[{"type":"payment_initiation"}]"#,
        r#"[{"folders":["INBOX"]}]"#,
        r#"[{"type":"mailbox","folders":["INBOX"],"folders":["INBOX"]}]"#,
        r#"[{"type":"mailbox","folder":["INBOX"]}]"#,
        r#"[{"type":"mailbox","budgets":{"messages_per_day":1}}]"#,
        r#"[{"type":"mailbox","networks":["127.0.0.0/8"]}]"#,
        r#"[{"type":"mailbox","actions":["read"]}]"#,
        r#"[{"type":"mailbox","folders":"INBOX"}]"#,
        r#"[{"type":"mailbox","folders":null}]"#,
        r#"[{"type":"mailbox","folders":[1]}]"#,
        r#"[{"type":"mailbox","folders":{"0":"INBOX"}}]"#,
        r#"[{"type":"mailbox","protocols":["pop3"]}]"#,
    ] {
        refused(&narrowed(gateway, &tool, wrong));
    }
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let long = format!(r#"[{{"type":"mailbox","folders":[{}"INBOX"]}}]"#, r#""INBOX","#.repeat(2000));
    for huge in [deep, long] {
        let form = format!("grant_type=client_credentials&authorization_details={huge}");
        refused(&ask(gateway, HERE, post(&basic(&tool), &form)));
    }
    // Past the bound of all bodies nothing is read any more.
    let form = format!("grant_type=client_credentials&authorization_details=[{}]", "{},".repeat(700_000));
    let answer = ask(gateway, HERE, post(&basic(&tool), &form));
    assert_eq!((answer.status, &answer.json()["error"]), (413, &"invalid_request".into()), "{answer:?}");
}

#[test]
fn tok_12_details_are_never_wider_than_the_grant() {
    let stage = Stage::reading(|_| ());
    let gateway = &stage.gateway;
    let tool = bounded(gateway);
    for within in [
        r#"[{"type":"mailbox","folders":["Archive/2026"]}]"#,
        r#"[{"type":"mailbox","folders":["Archive/*","INBOX"]}]"#,
        r#"[{"type":"mailbox","folders":[]}]"#,
        r#"[{"type":"mailbox","senders":["support@example.test"]}]"#,
        r#"[{"type":"mailbox","recipients":["@else.test","a@else.test"]}]"#,
        r#"[{"type":"mailbox","protocols":["imap"]}]"#,
    ] {
        given(&narrowed(gateway, &tool, within), &serde_json::from_str(within).expect("JSON"));
    }
    for wider in [
        r#"[{"type":"mailbox","folders":["*"]}]"#,
        r#"[{"type":"mailbox","folders":["Archive"]}]"#,
        r#"[{"type":"mailbox","folders":["INBOX","Secret"]}]"#,
        r#"[{"type":"mailbox","folders":["INBOX/*"]}]"#,
        r#"[{"type":"mailbox","senders":["@example.test"]}]"#,
        r#"[{"type":"mailbox","senders":["boss@example.test"]}]"#,
        r#"[{"type":"mailbox","recipients":["*"]}]"#,
        r#"[{"type":"mailbox","recipients":["a@else.test","a@sub.else.test"]}]"#,
        r#"[{"type":"mailbox","protocols":["imap","smtp"]}]"#,
    ] {
        refused(&narrowed(gateway, &tool, wider));
    }
}

#[test]
fn tok_12_the_mail_doors_hold_a_tool_to_what_its_token_was_narrowed_to() {
    let both = Both::set(|_| Act::Well);
    let gateway = &both.gateway;
    let root = both.dovecot.maildir(ADDRESS);
    maildir::seed(&root, 2, 0);
    for part in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(root.join(".Archive").join(part)).expect("make a folder");
    }
    crate::support::give_to_mail_user(&root);
    let tool = gateway.add_tool("narrow", ADDRESS, "helpdesk");
    let details = r#"[{"type":"mailbox","folders":["Archive"],"recipients":["@else.test"]}]"#;
    let token = given(&narrowed(gateway, &tool, details), &serde_json::from_str(details).expect("JSON"));

    let mut imap = gateway.imap_session(ADDRESS, &token);
    let listed = imap.command_ok("a", "LIST \"\" \"*\"");
    let names: Vec<_> = listed.iter().filter(|line| line.starts_with("* LIST")).collect();
    assert!(names.len() == 1 && names[0].contains("Archive"), "{listed:?}");
    imap.command_ok("b", "SELECT Archive");
    let answer = imap.command("c", "SELECT INBOX");
    assert!(answer.last().is_some_and(|line| line.starts_with("c NO")), "{answer:?}");
    let mut whole = gateway.imap_session(ADDRESS, &gateway.token(&tool, ADDRESS));
    whole.command_ok("a", "SELECT INBOX");

    let mut smtp = Wire::connect(gateway.port("smtps"), gateway.ca_file());
    smtp.reply();
    say(&mut smtp, "EHLO tool.example.test", "250");
    say(&mut smtp, &format!("AUTH PLAIN {}", plain(ADDRESS, &token)), "235");
    say(&mut smtp, &format!("MAIL FROM:<{ADDRESS}>"), "250");
    say(&mut smtp, "RCPT TO:<customer@other.test>", "550");
    say(&mut smtp, "RCPT TO:<customer@else.test>", "250");

    let details = r#"[{"type":"mailbox","protocols":["smtp"]}]"#;
    let token = given(&narrowed(gateway, &tool, details), &serde_json::from_str(details).expect("JSON"));
    let answer = gateway.imap().command("a", &format!("LOGIN {ADDRESS} {token}"));
    assert!(answer.last().is_some_and(|line| line.starts_with("a NO")), "{answer:?}");
}
