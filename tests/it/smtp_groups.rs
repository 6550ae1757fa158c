//! An upstream that takes commands in groups (RFC 2920) hears of the sender with the first recipient. What the tool is told stays true.

use std::sync::Mutex;

use crate::support::smtp_upstream::Act;
use crate::support::stage::ADDRESS;
use crate::support::submission::{Submission, begin, say};

const RECIPIENT: &str = "RCPT TO:<customer@else.test>";

/// An upstream that offers PIPELINING and else follows `script`.
fn grouping(script: impl Fn(&str) -> Act + Send + Sync + 'static) -> Submission {
    Submission::set(move |line| match line {
        _ if line.starts_with("EHLO") => Act::say("250-upstream.example.test\r\n250-PIPELINING\r\n250 AUTH PLAIN"),
        _ => script(line),
    })
}

fn mail() -> String {
    format!("MAIL FROM:<{ADDRESS}>")
}

#[test]
fn the_sender_is_said_with_the_first_recipient_and_once() {
    let scene = grouping(|_| Act::Well);
    let mut smtp = scene.session();
    say(&mut smtp, &mail(), "250");
    assert!(!scene.upstream.encrypted().contains("MAIL"), "it waits for a recipient");
    say(&mut smtp, RECIPIENT, "250");
    say(&mut smtp, "RCPT TO:<second@else.test>", "250");
    say(&mut smtp, "DATA", "354");
    smtp.send(format!("From: {ADDRESS}\r\n\r\nhello\r\n"));
    say(&mut smtp, ".", "250");
    let heard = scene.upstream.encrypted();
    let group = format!("{}\r\n{RECIPIENT}\r\nRCPT TO:<second@else.test>\r\nDATA\r\n", mail());
    assert!(heard.contains(&group), "{heard}");
    assert_eq!(scene.upstream.messages().len(), 1);
}

#[test]
fn a_transaction_that_the_upstream_has_not_heard_of_ends_without_it() {
    let scene = grouping(|_| Act::Well);
    let mut smtp = scene.session();
    say(&mut smtp, &mail(), "250");
    say(&mut smtp, &mail(), "503");
    say(&mut smtp, "DATA", "554");
    say(&mut smtp, "RSET", "250");
    say(&mut smtp, RECIPIENT, "503");
    let heard = scene.upstream.encrypted();
    assert!(!heard.contains("MAIL") && !heard.contains("RSET"), "{heard}");
    begin(&mut smtp);
    say(&mut smtp, ".", "550");
    assert_eq!(scene.upstream.encrypted().matches("RSET").count(), 1, "of this one it had heard");
}

#[test]
fn a_sender_that_the_upstream_refuses_is_told_with_each_recipient_until_it_takes_it() {
    let refusals = Mutex::new(2);
    let scene = grouping(move |line| {
        let mut left = refusals.lock().expect("no panic");
        match line.split(' ').next() {
            Some("MAIL") if *left > 0 => Act::say("550 5.7.60 not as this sender"),
            Some("RCPT") if *left > 0 => {
                *left -= 1;
                Act::say("503 5.5.1 MAIL first")
            }
            _ => Act::Well,
        }
    });
    let mut smtp = scene.session();
    say(&mut smtp, &mail(), "250");
    for _ in 0..2 {
        let heard = say(&mut smtp, RECIPIENT, "550");
        assert!(!heard.concat().contains("5.7.60"), "{heard:?}");
        say(&mut smtp, "DATA", "554");
    }
    say(&mut smtp, RECIPIENT, "250");
    say(&mut smtp, "DATA", "354");
    smtp.send(format!("From: {ADDRESS}\r\n\r\nhello\r\n"));
    say(&mut smtp, ".", "250");
    assert_eq!(scene.upstream.messages().len(), 1);
}

#[test]
fn a_refused_recipient_leaves_the_transaction_as_it_is() {
    let scene = grouping(|line| if line.contains("nobody") { Act::say("550 no such user") } else { Act::Well });
    let mut smtp = scene.session();
    say(&mut smtp, &mail(), "250");
    say(&mut smtp, "RCPT TO:<nobody@else.test>", "550");
    say(&mut smtp, RECIPIENT, "250");
    assert_eq!(scene.upstream.encrypted().matches("MAIL").count(), 1);
}

#[test]
fn sm_09_an_upstream_that_takes_a_recipient_without_a_sender_is_given_up() {
    let scene = grouping(|line| if line.starts_with("MAIL") { Act::say("550 not you") } else { Act::Well });
    let mut smtp = scene.session();
    let logins = scene.upstream.logins();
    say(&mut smtp, &mail(), "250");
    say(&mut smtp, RECIPIENT, "451");
    say(&mut smtp, "DATA", "503");
    say(&mut smtp, &mail(), "250");
    assert!(scene.upstream.logins() > logins, "another connection");
    assert!(scene.upstream.messages().is_empty());
}
