//! A day of the clock in the life of an idle tool: hourly sessions with fresh tokens, another signing key, an upstream that stops twice.

use std::fs;
use std::path::Path;

use crate::support::ca::Ca;
use crate::support::dovecot::Dovecot;
use crate::support::gateway::plain;
use crate::support::house::House;
use crate::support::link::Link;
use crate::support::process::Program;
use crate::support::stage::{ADDRESS, PASSWORD};
use crate::support::wire::Wire;
use crate::support::{PATIENCE, clients, folder, give_to_mail_user, wait_for};

/// Half an hour, and a moment more, so that two of them outlast an hour.
const HALF_AN_HOUR: u32 = 30 * 60 * 1000 + 500;

/// Delivers as a mail system does: a whole file, moved into place.
fn deliver(maildir: &Path, subject: &str) {
    let name = format!("1800000000.{subject}.test");
    let from = maildir.join("tmp").join(&name);
    fs::write(&from, format!("From: a@example.net\r\nSubject: {subject}\r\n\r\nText\r\n")).expect("write a message");
    give_to_mail_user(&from);
    fs::rename(from, maildir.join("new").join(name)).expect("move it into place");
}

/// Removes the first message, past the gateway.
fn remove_first(dovecot: &Dovecot, ca: &Ca) {
    let mut other = Wire::connect(dovecot.imaps, &ca.file());
    other.line();
    other.command_ok("a", &format!("AUTHENTICATE PLAIN {}", plain(ADDRESS, PASSWORD)));
    other.command_ok("b", "SELECT INBOX");
    other.command_ok("c", "STORE 1 +FLAGS.SILENT (\\Deleted)");
    other.command_ok("d", "EXPUNGE");
    other.command_ok("e", "LOGOUT");
}

fn printed(tool: &Program, word: &str) -> Vec<String> {
    tool.stdout().lines().filter_map(|line| line.strip_prefix(word)).map(str::to_owned).collect()
}

#[test]
fn im_12_an_idle_tool_misses_nothing_in_a_day_of_renewals_restarts_and_another_signing_key() {
    let dir = folder();
    let ca = Ca::create(&dir.path().join("ca"));
    let mut dovecot = Dovecot::start(&ca, &[(ADDRESS, PASSWORD)]);
    let maildir = dovecot.maildir(ADDRESS);
    // Dovecot's own processes outlive their master while a connection is open; those of a machine that restarts do not.
    let link = Link::to(dovecot.imaps);
    let house = House::start(&ca, dir.path(), link.port);
    let file = dir.path().join("token");
    // As a whole, since the tool may read at any moment.
    let renew_token = || {
        fs::write(dir.path().join("token.new"), house.token()).expect("write the token");
        fs::rename(dir.path().join("token.new"), &file).expect("move it into place");
    };
    renew_token();
    let args = ["localhost", &house.port.to_string(), ADDRESS, &file.display().to_string()];
    let mut tool = Program::start("imapflow", &mut clients::script_command("day.mjs", &ca.file(), &args));
    tool.wait_for_line("opened", PATIENCE);
    let mut uid = 0;
    let mut see = |tool: &mut Program, subject: &str| {
        uid += 1;
        tool.wait_for_line(&format!("seen {uid} {subject}"), PATIENCE);
    };
    for hour in 0..24 {
        let opened = printed(&tool, "opened").len();
        house.leap(HALF_AN_HOUR);
        let is_restart = hour == 5 || hour == 17;
        if is_restart {
            dovecot.stop();
            link.cut();
        }
        deliver(&maildir, &format!("half-past-{hour}"));
        if is_restart {
            dovecot.go_on();
            link.mend();
        }
        see(&mut tool, &format!("half-past-{hour}"));
        assert_eq!(
            printed(&tool, "opened").len(),
            opened,
            "hour {hour}: the session went on, whatever the upstream did"
        );
        if hour % 4 == 1 {
            remove_first(&dovecot, &ca);
        }
        if hour == 11 {
            house.rotate_signing_key();
        }
        renew_token();
        house.leap(HALF_AN_HOUR);
        deliver(&maildir, &format!("full-{hour}"));
        see(&mut tool, &format!("full-{hour}"));
        let is_renewed = || (printed(&tool, "opened").len() > opened).then_some(());
        wait_for("the next session", PATIENCE, is_renewed);
    }
    deliver(&maildir, "last");
    see(&mut tool, "last");
    assert!(tool.wait(PATIENCE).success(), "{}", tool.stdout());
    let output = tool.stdout();
    assert!(!output.contains("illegal") && !output.contains("trouble"), "{output}");
    let seen = printed(&tool, "seen ");
    assert_eq!(seen.len(), 49, "each message once: {output}");
    let expired = printed(&tool, "ended ");
    assert!(expired.len() == 24 && expired.iter().all(|end| end.starts_with("[EXPIRED]")), "{output}");
    let there: Vec<String> = (7..=49).map(|uid: u32| uid.to_string()).collect();
    assert_eq!(printed(&tool, "there "), [there.join(",")], "six were removed");
}
