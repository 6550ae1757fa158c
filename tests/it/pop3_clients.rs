//! Programs that people really use fetch mail by POP3: every message arrives octet for octet, and the mailbox is as it was.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::lmtp::Lmtp;
use crate::support::maildir::{messages, seed, snapshot};
use crate::support::pop3::Pop3;
use crate::support::process;
use crate::support::stage::{ADDRESS, Stage};
use crate::support::{clients, give_to_mail_user};

/// Messages that are hard to pass on: dots, ends of lines, and one of 20 MB.
fn awkward() -> Vec<Vec<u8>> {
    let head = |subject: &str| format!("From: a@example.net\r\nTo: {ADDRESS}\r\nSubject: {subject}\r\n\r\n");
    let mut all: Vec<Vec<u8>> = [
        ("dots", ".\r\n..\r\n.hidden\r\n...\r\n.\r\n"),
        ("the end of POP3 in it", "text\r\n.\r\n+OK\r\n.\r\nmore\r\n"),
        ("no end of line", "last"),
        ("a dot at the end", "last\r\n."),
        ("bare CR", "a\r.\rb\r\r\n.\r\r\n"),
        ("nothing", ""),
        ("a long line", &"x".repeat(200_000)),
        ("octets", "gr\u{fc}\u{df}e \u{1f4ee} \x01\x7f\r\n"),
    ]
    .iter()
    .map(|(subject, body)| format!("{}{body}", head(subject)).into_bytes())
    .collect();
    all.push(b"Subject: a header and nothing else\r\n".to_vec());
    all
}

/// A stage with `count` ordinary messages, the awkward ones where asked for, and a big one. Gives the messages in their order.
fn stage(count: usize, with_awkward: bool, big: usize) -> (Stage, Vec<Vec<u8>>) {
    let mut all = Vec::new();
    let stage = Stage::reading(|dovecot| {
        let maildir = dovecot.maildir(ADDRESS);
        all = seed(&maildir, count, big);
        for (number, message) in awkward().into_iter().enumerate().filter(|_| with_awkward) {
            fs::write(maildir.join("cur").join(format!("18000000{number:02}.M{number}.test:2,")), &message)
                .expect("write");
            all.push(message);
        }
        give_to_mail_user(&maildir);
    });
    (stage, all)
}

/// What a client has of a message: lines end in CRLF on the wire, the last one too.
fn on_the_wire(message: &[u8]) -> Vec<u8> {
    let mut sent = message.to_vec();
    if !sent.ends_with(b"\r\n") {
        sent.extend_from_slice(b"\r\n");
    }
    sent
}

#[test]
fn every_message_arrives_as_it_is_and_nothing_is_marked() {
    let (stage, all) = stage(20, true, 20 << 20);
    let before = snapshot(&stage.dovecot.mail_root());
    let tool = stage.gateway.add_tool("backup", ADDRESS, "backup");
    let token = stage.gateway.token(&tool, ADDRESS);
    let mut pop3 = Pop3::session(&stage.gateway, ADDRESS, &token);
    let ids = pop3.unique_ids();
    assert_eq!(ids.len(), all.len());
    for id in &ids {
        assert!(id.len() <= 70 && id.bytes().all(|byte| (0x21..=0x7e).contains(&byte)), "{id}");
    }
    let sizes = String::from_utf8(pop3.fetch("LIST")).expect("text");
    for ((number, message), size) in (1..).zip(&all).zip(sizes.lines()) {
        assert_eq!(size, format!("{number} {}", message.len()));
        let is_same = pop3.fetch(&format!("RETR {number}")) == on_the_wire(message);
        assert!(is_same, "message {number} changed: {:.100}", String::from_utf8_lossy(message));
        for lines in [0, 1, 3] {
            let whole = on_the_wire(message);
            let head = whole.windows(4).position(|window| window == b"\r\n\r\n").map_or(whole.len(), |at| at + 4);
            let body: Vec<u8> =
                whole[head..].split_inclusive(|byte| *byte == b'\n').take(lines).flatten().copied().collect();
            let expected = [&whole[..head], &body].concat();
            assert!(pop3.fetch(&format!("TOP {number} {lines}")) == expected, "TOP {number} {lines}");
        }
    }
    pop3.say("QUIT", "+OK");
    assert_eq!(snapshot(&stage.dovecot.mail_root()), before, "octet for octet and flag for flag");
    let mut again = Pop3::session(&stage.gateway, ADDRESS, &token);
    assert_eq!(again.unique_ids(), ids, "unique ids are the same in every session");
    // Twenty megabytes went through; they were never held.
    let peak = stage.gateway.peak_memory_kib();
    assert!(peak < 200 * 1024, "{peak} KiB");
}

#[test]
fn poplib_and_curl_read_what_is_there() {
    let (stage, all) = stage(5, true, 0);
    let before = snapshot(&stage.dovecot.mail_root());
    let tool = stage.gateway.add_tool("backup", ADDRESS, "backup");
    let token = stage.gateway.token(&tool, ADDRESS);
    let (ca, port) = (stage.gateway.ca_file(), stage.gateway.port("pop3s").to_string());
    for (kind, port) in [("pop3s", &port), ("stls", &stage.gateway.port("pop3").to_string())] {
        let read = clients::script("pop3_read.py", ca, &[kind, port, ADDRESS], format!("{token}\n").as_bytes());
        let listed: Vec<(String, String)> = serde_json::from_str(&read.expect_ok("poplib")).expect("JSON");
        assert_eq!(listed.len(), all.len());
        for ((id, message), original) in listed.iter().zip(&all) {
            assert!(!id.is_empty());
            assert!(hex(&on_the_wire(original)) == *message, "{kind}: {:.60}", String::from_utf8_lossy(original));
        }
    }
    for (number, original) in (1..).zip(&all) {
        let file = stage.dir.path().join("fetched");
        let url = format!("pop3s://localhost:{port}/{number}");
        let target = file.display().to_string();
        let login = ["--user", ADDRESS, "--oauth2-bearer", &token];
        clients::curl(ca, &[&login[..], &["--output", &target, &url]].concat(), b"").expect_ok("curl with a bearer");
        assert!(fs::read(&file).expect("read") == on_the_wire(original), "curl, {number}");
    }
    let login = format!("{ADDRESS}:{token}");
    for options in ["AUTH=PLAIN", "AUTH=LOGIN", "AUTH=*"] {
        let url = format!("pop3s://localhost:{port}/");
        let listed = clients::curl(ca, &["--user", &login, "--login-options", options, &url], b"").expect_ok("curl");
        assert_eq!(listed.lines().filter(|line| !line.is_empty()).count(), all.len(), "{options}: {listed}");
    }
    let refused =
        clients::curl(ca, &["--user", &login, "-v", "-X", "DELE 1", "-I", &format!("pop3s://localhost:{port}/")], b"");
    assert!(refused.stderr.contains("-ERR [SYS/PERM]"), "{refused:?}");
    assert_eq!(snapshot(&stage.dovecot.mail_root()), before);
}

#[test]
fn getmail_and_mpop_fetch_each_message_once() {
    let (stage, all) = stage(12, false, 300_000);
    let before = snapshot(&stage.dovecot.mail_root());
    let tool = stage.gateway.add_tool("backup", ADDRESS, "backup");
    let home = stage.dir.path().join("home");
    let (ca, port) = (stage.gateway.ca_file().display().to_string(), stage.gateway.port("pop3s"));
    let (received, copies) = (Lmtp::start(ADDRESS), home.join("mpop/mail"));
    for folder in ["getmail", "mpop/mail/cur", "mpop/mail/new", "mpop/mail/tmp"] {
        fs::create_dir_all(home.join(folder)).expect("make a folder");
    }
    for program in ["getmail", "mpop"] {
        let handle = stage.gateway.handle(&tool, ADDRESS, "pop3");
        let (path, destination) = (copies.display(), received.getmail_destination());
        let (settings, text) = match program {
            "getmail" => (
                "getmailrc",
                format!(
                    "[retriever]\ntype = SimplePOP3SSLRetriever\nserver = localhost\nport = {port}\nusername = {ADDRESS}\n\
                     password = {handle}\nca_certs = {ca}\n{destination}[options]\nread_all = false\n"
                ),
            ),
            _ => (
                "mpoprc",
                format!(
                    "account default\nhost localhost\nport {port}\ntls on\ntls_starttls off\ntls_trust_file {ca}\nuser {ADDRESS}\n\
                     auth user\npassword {handle}\nkeep on\nreceived_header off\ndelivery maildir {path}\nuidls_file {path}/../uidls\n"
                ),
            ),
        };
        let settings = home.join(program).join(settings);
        fs::write(&settings, text).expect("write the settings");
        fs::set_permissions(&settings, Permissions::from_mode(0o600)).expect("keep them to oneself");
        // By LMTP the message is the whole of it, as it was on the wire.
        let as_kept: fn(&[u8]) -> Vec<u8> = if program == "getmail" { <[u8]>::to_vec } else { with_lf };
        let sorted = |messages: &[Vec<u8>]| {
            let mut sorted: Vec<_> = messages.iter().map(|message| as_kept(message)).collect();
            sorted.sort();
            sorted
        };
        let expected = sorted(&all);
        for round in 0..2 {
            let mut command = fetch_command(program, &settings, &home);
            process::run(command.env("HOME", &home).env("SSL_CERT_FILE", &ca), b"").expect_ok(program);
            let fetched = sorted(&if program == "getmail" { received.messages() } else { messages(&copies) });
            assert_eq!(fetched.len(), all.len(), "{program}, round {round}: each once");
            for (message, original) in fetched.iter().zip(&expected) {
                assert!(message == original, "{program} changed: {:.2000}", String::from_utf8_lossy(message));
            }
        }
    }
    assert_eq!(snapshot(&stage.dovecot.mail_root()), before);
}

fn fetch_command(program: &str, settings: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    match program {
        "getmail" => command.arg("--getmaildir").arg(settings.parent().map_or_else(PathBuf::new, Path::to_owned)),
        _ => command.arg("--file").arg(settings).arg("--quiet"),
    };
    command.current_dir(home);
    command
}

/// As programs keep it on disk: lines end in LF, and fields that the program itself put in front are left out.
fn with_lf(message: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(message).replace("\r\n", "\n");
    let start = text.find("From: ").unwrap_or_default();
    text.as_bytes()[start..].to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
