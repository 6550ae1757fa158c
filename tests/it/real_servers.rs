//! Unchanged mail programs through the gateway, against a real Dovecot and a real Postfix.

use std::time::Duration;

use mailwarden::crypto::encoding::hex;
use mailwarden::crypto::hash::sha256;

use crate::support::gateway::plain;
use crate::support::process::Program;
use crate::support::stage::{ADDRESS, PASSWORD, Stage};
use crate::support::wire::Wire;
use crate::support::{PATIENCE, clients, maildir, wait_for};

const SENDS: usize = 100;

/// How much a backup has to carry: many small messages and a big one.
const MESSAGES: usize = 5000;
const BIG: usize = 20 << 20;

/// A gateway before a full mailbox, a tool with a `backup` grant and its token; `back_up` gives what it got, in order or sorted.
fn a_backup_gets_every_octet_and_changes_nothing(back_up: impl FnOnce(&Stage, &str) -> Vec<String>) {
    let mut seeded = Vec::new();
    let stage = Stage::reading(|dovecot| seeded = maildir::seed(&dovecot.maildir(ADDRESS), MESSAGES, BIG));
    let before = maildir::snapshot(&stage.maildir());
    let tool = stage.gateway.add_tool("backup", ADDRESS, "backup");
    let token = stage.gateway.token(&tool, ADDRESS);
    let mut copied = back_up(&stage, &token);
    let mut expected: Vec<String> = seeded.iter().map(|message| digest(message)).collect();
    copied.sort();
    expected.sort();
    assert_eq!(copied.len(), expected.len(), "messages copied");
    assert!(copied == expected, "the backup has other octets than the server");
    assert!(maildir::snapshot(&stage.maildir()) == before, "the backup changed the mailbox");
    stage.gateway.manage_ok(&["audit", "verify"], b"");
}

fn digest(message: &[u8]) -> String {
    hex(&sha256(message))
}

fn lines(printed: &str) -> Vec<String> {
    printed.lines().map(str::to_owned).collect()
}

#[test]
fn mbsync_backs_up_every_octet_and_changes_nothing() {
    a_backup_gets_every_octet_and_changes_nothing(|stage, token| {
        let target = stage.dir.path().join("copy");
        let (port, ca) = (stage.gateway.port("imaps"), stage.gateway.ca_file());
        clients::mbsync(port, ca, ADDRESS, token, &target).expect_ok("mbsync");
        maildir::mbsync_copy(&target).iter().map(|message| digest(message)).collect()
    });
}

#[test]
fn imaplib_backs_up_every_octet_and_changes_nothing() {
    a_backup_gets_every_octet_and_changes_nothing(|stage, token| {
        let args = ["localhost", &stage.gateway.port("imaps").to_string(), ADDRESS];
        lines(&clients::script("imap_read.py", stage.gateway.ca_file(), &args, token.as_bytes()).expect_ok("imaplib"))
    });
}

#[test]
fn imapflow_backs_up_every_octet_and_changes_nothing() {
    a_backup_gets_every_octet_and_changes_nothing(|stage, token| {
        let args = ["localhost", &stage.gateway.port("imaps").to_string(), ADDRESS];
        lines(&clients::script("backup.mjs", stage.gateway.ca_file(), &args, token.as_bytes()).expect_ok("imapflow"))
    });
}

#[test]
fn curl_backs_up_every_octet_and_changes_nothing() {
    a_backup_gets_every_octet_and_changes_nothing(|stage, token| {
        let target = stage.dir.path().join("copy");
        std::fs::create_dir(&target).expect("make the target");
        let last = MESSAGES + 1;
        let url = format!("imaps://localhost:{}/INBOX;MAILINDEX=[1-{last}]", stage.gateway.port("imaps"));
        let files = format!("{}/#1", target.display());
        let args = ["--oauth2-bearer", token, "--user", ADDRESS, "--output", &files, &url];
        clients::curl(stage.gateway.ca_file(), &args, b"").expect_ok("curl");
        let file = |number: usize| std::fs::read(target.join(number.to_string())).expect("read a copy");
        (1..=last).map(|number| digest(&file(number))).collect()
    });
}

#[test]
fn an_upstream_with_starttls_is_proven_and_used() {
    let stage = Stage::sending();
    let id = mailbox_id(&stage);
    stage.gateway.manage_ok(&["mailbox", "remove", &id], b"");
    stage.gateway.add_mailbox(ADDRESS, PASSWORD, stage.upstream_starttls(), &stage.ca).expect_ok("mailbox add");
    let tool = stage.gateway.add_tool("reader", ADDRESS, "backup");
    let mut imap = stage.gateway.imap_session(ADDRESS, &stage.gateway.token(&tool, ADDRESS));
    imap.command_ok("a", "EXAMINE INBOX");
    imap.command_ok("b", "LOGOUT");
}

#[test]
fn imapflow_sees_a_new_message_while_idle() {
    let stage = Stage::sending();
    let tool = stage.gateway.add_tool("helpdesk", ADDRESS, "helpdesk");
    let token = stage.gateway.token(&tool, ADDRESS);
    let port = stage.gateway.port("imaps").to_string();
    let file = stage.dir.path().join("token");
    std::fs::write(&file, &token).expect("write the token");
    let args = ["localhost", &port, ADDRESS, &file.display().to_string()];
    let mut idle = Program::start("imapflow", &mut clients::script_command("idle.mjs", stage.gateway.ca_file(), &args));
    idle.wait_for_line("idle", PATIENCE);
    send(&stage, &token, 1, "smtp_send.py", "smtps", "implicit");
    idle.wait_for_line("exists 1", Duration::from_secs(20));
    assert!(idle.wait(PATIENCE).success(), "imapflow ends well");
}

#[test]
fn imapflow_follows_a_folder_by_qresync() {
    let stage = Stage::reading(|dovecot| {
        maildir::seed(&dovecot.maildir(ADDRESS), 4, 0);
        for part in ["cur", "new", "tmp"] {
            std::fs::create_dir_all(dovecot.maildir(ADDRESS).join(".Archive").join(part)).expect("make a folder");
        }
        crate::support::give_to_mail_user(&dovecot.maildir(ADDRESS));
    });
    let tool = stage.gateway.add_tool("helpdesk", ADDRESS, "helpdesk");
    let file = stage.dir.path().join("token");
    std::fs::write(&file, stage.gateway.token(&tool, ADDRESS)).expect("write the token");
    let args = ["localhost", &stage.gateway.port("imaps").to_string(), ADDRESS, &file.display().to_string()];
    let mut client =
        Program::start("imapflow", &mut clients::script_command("resync.mjs", stage.gateway.ca_file(), &args));
    client.wait_for_line("folder Archive \\Archive 0", PATIENCE);
    client.wait_for_line("changed 2 true", PATIENCE);
    client.wait_for_line("watching", PATIENCE);
    let mut other = Wire::connect(stage.dovecot.imaps, &stage.ca.file());
    other.line();
    other.command_ok("a", &format!("AUTHENTICATE PLAIN {}", plain(ADDRESS, PASSWORD)));
    other.command_ok("b", "SELECT INBOX");
    other.command_ok("c", "UID STORE 3 +FLAGS.SILENT (\\Deleted)");
    other.command_ok("d", "UID EXPUNGE 3");
    client.wait_for_line("gone 3 true", Duration::from_secs(60));
    assert!(client.wait(PATIENCE).success(), "imapflow ends well");
}

#[test]
fn smtplib_sends_a_hundred_messages() {
    let stage = Stage::sending();
    let tool = stage.gateway.add_tool("marketing", ADDRESS, "marketing");
    let token = stage.gateway.token(&tool, ADDRESS);
    send(&stage, &token, SENDS, "smtp_send.py", "smtps", "implicit");
    arrived(&stage, SENDS);
    send(&stage, &token, 3, "smtp_send.py", "submission", "starttls");
    arrived(&stage, SENDS + 3);
    let dots = b"\r\n.a line that starts with a dot\r\n.\r\nNumber 7\r\n";
    let lone = b"\n.a line that starts with a dot\n.\nNumber 7\n";
    let holds = |message: &[u8], part: &[u8]| message.windows(part.len()).any(|window| window == part);
    let messages = maildir::messages(&stage.maildir());
    assert!(messages.iter().any(|message| holds(message, dots) || holds(message, lone)), "leading dots were lost");
}

#[test]
fn nodemailer_sends_a_hundred_messages() {
    let stage = Stage::sending();
    let tool = stage.gateway.add_tool("marketing", ADDRESS, "marketing");
    let token = stage.gateway.token(&tool, ADDRESS);
    send(&stage, &token, SENDS, "send.mjs", "smtps", "implicit");
    arrived(&stage, SENDS);
}

fn send(stage: &Stage, token: &str, count: usize, script: &str, listener: &str, tls: &str) {
    let port = stage.gateway.port(listener).to_string();
    let args = ["localhost", &port, ADDRESS, &count.to_string(), ADDRESS, tls];
    clients::script(script, stage.gateway.ca_file(), &args, token.as_bytes()).expect_ok(script);
}

fn arrived(stage: &Stage, count: usize) {
    let limit = Duration::from_secs(120);
    wait_for("all messages to arrive", limit, || (maildir::messages(&stage.maildir()).len() >= count).then_some(()));
    assert_eq!(maildir::messages(&stage.maildir()).len(), count, "each message once");
}

fn mailbox_id(stage: &Stage) -> String {
    let printed = stage.gateway.manage_ok(&["mailbox", "show", ADDRESS, "--format", "json"], b"");
    let value: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    value["id"].as_str().unwrap_or_else(|| panic!("no id in {printed}")).to_owned()
}
