//! The demo, walked through with curl as its printed lines say.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::support::gateway::management;
use crate::support::process::{self, Finished, Program};
use crate::support::{PATIENCE, clients, folder, note_use_of};

struct Demo {
    program: Program,
    env: BTreeMap<String, String>,
    dir: TempDir,
}

impl Demo {
    fn start(dir: TempDir) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailwarden"));
        command.arg("dev").arg("--data").arg(dir.path().join("data")).current_dir(dir.path());
        command.args([
            "--https-port",
            "0",
            "--imaps-port",
            "0",
            "--smtps-port",
            "0",
            "--submission-port",
            "0",
            "--pop3s-port",
            "0",
        ]);
        let mut program = Program::start("mailwarden dev", &mut command);
        program.wait_for_line("ready", PATIENCE);
        let text = fs::read_to_string(dir.path().join("data/dev.env")).expect("read dev.env");
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        let env = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        note_use_of("demo");
        Self { program, env, dir }
    }

    fn get(&self, key: &str) -> &str {
        self.env.get(key).unwrap_or_else(|| panic!("dev.env has no {key}"))
    }

    fn curl(&self, args: &[&str], input: &[u8]) -> Finished {
        clients::curl(&PathBuf::from(self.get("MAILWARDEN_CA")), args, input)
    }

    fn token(&self, who: &str) -> String {
        let user = format!("{}:{}", self.get(&format!("DEMO_{who}_ID")), self.get(&format!("DEMO_{who}_SECRET")));
        let resource = format!("resource=mailto:{}", self.get("DEMO_MAILBOX"));
        let url = format!("{}/oauth/token", self.get("MAILWARDEN_URL"));
        let printed = self.curl(&["-u", &user, "-d", "grant_type=client_credentials", "-d", &resource, &url], b"");
        let answer: serde_json::Value = serde_json::from_str(&printed.expect_ok("the token request")).expect("JSON");
        answer["access_token"].as_str().unwrap_or_else(|| panic!("no token in {answer}")).to_owned()
    }

    fn imap(&self, token: &str, path: &str, more: &[&str]) -> Finished {
        let url = format!("imaps://{}/{path}", self.get("MAILWARDEN_IMAPS"));
        let mut args = vec!["-v", "--oauth2-bearer", token, "--user", self.get("DEMO_MAILBOX"), &url];
        args.extend(more);
        self.curl(&args, b"")
    }

    fn manage(&self, args: &[&str]) -> String {
        let ca = PathBuf::from(self.get("MAILWARDEN_CA"));
        let mut command = management(self.get("MAILWARDEN_URL"), &ca, self.get("MAILWARDEN_OPERATOR_TOKEN"));
        process::run(command.args(args), b"").expect_ok(&args.join(" "))
    }
}

#[test]
fn the_demo_does_what_it_prints() {
    let demo = Demo::start(folder());
    let printed = demo.program.stdout();
    let (_, lines) = printed.split_once("Paste in another terminal:").expect("lines to paste");
    // As a terminal would: each indented line as it stands, and the session goes on after a command that fails.
    let script: String =
        lines.lines().filter(|line| line.starts_with("  ")).map(|line| format!("{}\n", &line[2..])).collect();
    let mut bash = Command::new("bash");
    bash.args(["--noprofile", "--norc"]).current_dir(demo.dir.path());
    let pasted = process::run(&mut bash, script.as_bytes());
    let said = &pasted.stdout;
    assert_eq!(pasted.code, Some(0), "the last line is the verification of the chain: {pasted:?}");
    for part in ["INBOX", "Archive", "Subject: Order 1042 is late", "[NOPERM]", "mail.delete", "* SEARCH ", "whole"] {
        assert!(said.contains(part), "{part:?} is missing\n{script}\n{pasted:?}");
    }
    for code in ["token.issued", "credential.used", "command.denied", "message.submitted"] {
        assert!(said.contains(code), "no {code} in the audit log: {pasted:?}");
    }
    let found = said.lines().find_map(|line| line.strip_prefix("* SEARCH ")).expect("a SEARCH answer");
    assert!(!found.trim().is_empty(), "the sent message is not in INBOX: {pasted:?}");
    assert!(!pasted.stderr.contains("not found"), "{pasted:?}");
}

#[test]
fn a_reader_cannot_send() {
    let demo = Demo::start(folder());
    let reader = demo.token("READER");
    assert!(reader.len() < 2000, "the token has {} characters", reader.len());
    let (mailbox, url) = (demo.get("DEMO_MAILBOX"), format!("smtps://{}", demo.get("MAILWARDEN_SMTPS")));
    let args = ["--oauth2-bearer", &reader, "--user", mailbox, "--url", &url];
    let send = [&args[..], &["--mail-from", mailbox, "--mail-rcpt", mailbox, "--upload-file", "-"]].concat();
    let sent = demo.curl(&send, format!("From: <{mailbox}>\r\n\r\nx\r\n").as_bytes());
    assert_ne!(sent.code, Some(0), "a reader must not send");
}

#[test]
fn the_demo_keeps_its_state_between_runs() {
    let mut first = Demo::start(folder());
    assert!(first.program.stop().success(), "the demo ends with 0");
    let Demo { program, env, dir } = first;
    drop(program);
    let second = Demo::start(dir);
    for key in ["MAILWARDEN_OPERATOR_TOKEN", "DEMO_READER_ID", "DEMO_READER_SECRET", "DEMO_HELPDESK_SECRET"] {
        assert_eq!(second.get(key), env[key], "{key} changed");
    }
    let reader = second.token("READER");
    second.imap(&reader, "INBOX;MAILINDEX=1", &[]).expect_ok("the first message");
    second.manage(&["audit", "verify"]);
    drop(second.dir);
}
