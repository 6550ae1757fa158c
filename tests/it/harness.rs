//! The servers under the other tests work by themselves; what fails here is no fault of the gateway.

use std::time::Duration;

use crate::support::ca::Ca;
use crate::support::clients;
use crate::support::dovecot::Dovecot;
use crate::support::gateway::plain;
use crate::support::postfix::Postfix;
use crate::support::postgres::Postgres;
use crate::support::wire::Wire;
use crate::support::{PATIENCE, folder, maildir, wait_for};

const ADDRESS: &str = "support@example.test";
const PASSWORD: &str = "correct-horse-1";

#[test]
fn postgres_takes_connections() {
    let postgres = Postgres::start();
    assert!(postgres.dump().contains("PostgreSQL database dump"));
}

#[test]
fn mbsync_copies_a_dovecot_account_to_the_byte() {
    let dir = folder();
    let ca = Ca::create(dir.path());
    let dovecot = Dovecot::start(&ca, &[(ADDRESS, PASSWORD)]);
    let mut seeded = maildir::seed(&dovecot.maildir(ADDRESS), 20, 100_000);
    let target = dir.path().join("copy");
    clients::mbsync(dovecot.imaps, &ca.file(), ADDRESS, PASSWORD, &target).expect_ok("mbsync");
    seeded.sort();
    assert!(maildir::mbsync_copy(&target) == seeded, "mbsync copied something else");
}

#[test]
fn postfix_delivers_into_dovecot() {
    let dir = folder();
    let ca = Ca::create(dir.path());
    let dovecot = Dovecot::start(&ca, &[(ADDRESS, PASSWORD)]);
    let postfix = Postfix::start(&ca, &dovecot, &[ADDRESS]);
    let mut smtp = Wire::connect(postfix.smtps, &ca.file());
    smtp.reply();
    for (line, code) in [
        ("EHLO test", "250"),
        (&*format!("AUTH PLAIN {}", plain(ADDRESS, PASSWORD)), "235"),
        (&format!("MAIL FROM:<{ADDRESS}>"), "250"),
        (&format!("RCPT TO:<{ADDRESS}>"), "250"),
        ("DATA", "354"),
        ("Subject: hello\r\n\r\nHello\r\n.", "250"),
    ] {
        smtp.send(format!("{line}\r\n"));
        let reply = smtp.reply();
        assert!(reply[0].starts_with(code), "{line}: {reply:?}\n{}", postfix.log());
    }
    wait_for("the message to arrive", PATIENCE, || {
        (maildir::messages(&dovecot.maildir(ADDRESS)).len() == 1).then_some(())
    });
    let mut imap = Wire::connect(dovecot.imaps, &ca.file());
    imap.patience(Duration::from_secs(20));
    imap.line();
    imap.command_ok("a", &format!("AUTHENTICATE PLAIN {}", plain(ADDRESS, PASSWORD)));
    let listing = imap.command_ok("b", "EXAMINE INBOX");
    assert!(listing.iter().any(|line| line == "* 1 EXISTS"), "{listing:?}\n{}", dovecot.log());
}
