//! The scene for submission: a gateway before an SMTP upstream that does as it is told.

use std::path::Path;

use tempfile::TempDir;

use super::ca::Ca;
use super::dovecot::Dovecot;
use super::folder;
use super::gateway::{Gateway, Upstream, plain};
use super::process::Finished;
use super::smtp_upstream::{Act, SmtpUpstream};
use super::stage::{ADDRESS, PASSWORD};
use super::wire::Wire;

/// The scene. Fields go in this order, so the gateway ends before its upstream.
pub(crate) struct Submission {
    pub(crate) gateway: Gateway,
    pub(crate) upstream: SmtpUpstream,
    pub(crate) ca: Ca,
    pub(crate) token: String,
    _dir: TempDir,
}

impl Submission {
    /// A gateway with one mailbox at an upstream that follows `script`, and a tool that may send from it.
    pub(crate) fn set(script: impl Fn(&str) -> Act + Send + Sync + 'static) -> Self {
        Self::set_with(|_| (), script)
    }

    /// The same, with the gateway's configuration edited before it starts.
    pub(crate) fn set_with(edit: impl FnOnce(&Gateway), script: impl Fn(&str) -> Act + Send + Sync + 'static) -> Self {
        let dir = folder();
        let ca = Ca::create(&dir.path().join("ca"));
        let upstream = SmtpUpstream::start(&ca, script);
        let mut gateway = Gateway::prepare(&ca);
        edit(&gateway);
        gateway.serve();
        add_mailbox(&gateway, &ca, ADDRESS, upstream.port, "implicit").expect_ok("mailbox add");
        let tool = gateway.add_tool("sender", ADDRESS, "marketing");
        let token = gateway.token(&tool, ADDRESS);
        Self { gateway, upstream, ca, token, _dir: dir }
    }

    /// A connection past the greeting.
    pub(crate) fn connect(&self) -> Wire {
        let mut smtp = Wire::connect(self.gateway.port("smtps"), self.gateway.ca_file());
        assert_eq!(smtp.reply()[0].get(..3), Some("220"));
        smtp
    }

    /// A connection that is logged in.
    pub(crate) fn session(&self) -> Wire {
        let mut smtp = self.connect();
        say(&mut smtp, "EHLO tool.example.test", "250");
        say(&mut smtp, &format!("AUTH PLAIN {}", plain(ADDRESS, &self.token)), "235");
        smtp
    }

    /// A connection that has been told to go on with the message.
    pub(crate) fn at_data(&self) -> Wire {
        let mut smtp = self.session();
        begin(&mut smtp);
        smtp
    }
}

/// A gateway before a Dovecot for reading and an upstream for sending that does as it is told. Fields go in this order.
pub(crate) struct Both {
    pub(crate) gateway: Gateway,
    pub(crate) smtp: SmtpUpstream,
    pub(crate) dovecot: Dovecot,
    pub(crate) token: String,
    _dir: TempDir,
}

impl Both {
    /// The scene, with a tool that may read and send.
    pub(crate) fn set(script: impl Fn(&str) -> Act + Send + Sync + 'static) -> Self {
        let dir = folder();
        let ca = Ca::create(&dir.path().join("ca"));
        let dovecot = Dovecot::start(&ca, &[(ADDRESS, PASSWORD)]);
        let smtp = SmtpUpstream::start(&ca, script);
        let gateway = Gateway::start(&ca);
        let upstream = Upstream { imap: dovecot.imaps, smtp: Some(smtp.port), starttls: false };
        gateway.add_mailbox(ADDRESS, PASSWORD, upstream, &ca).expect_ok("mailbox add");
        let tool = gateway.add_tool("both", ADDRESS, "helpdesk");
        let token = gateway.token(&tool, ADDRESS);
        Self { gateway, smtp, dovecot, token, _dir: dir }
    }
}

/// Sends one line; the reply must begin with `code`.
#[track_caller]
pub(crate) fn say(smtp: &mut Wire, line: &str, code: &str) -> Vec<String> {
    smtp.send(format!("{line}\r\n"));
    let reply = smtp.reply();
    assert!(reply.last().is_some_and(|last| last.starts_with(code)), "{line:?} was answered {reply:?}, not {code}");
    reply
}

/// A transaction up to the 354.
#[track_caller]
pub(crate) fn begin(smtp: &mut Wire) {
    say(smtp, &format!("MAIL FROM:<{ADDRESS}>"), "250");
    say(smtp, "RCPT TO:<customer@else.test>", "250");
    say(smtp, "DATA", "354");
}

/// Registers a mailbox with a submission endpoint alone.
pub(crate) fn add_mailbox(gateway: &Gateway, ca: &Ca, address: &str, port: u16, tls: &str) -> Finished {
    add_mailbox_trusting(gateway, &ca.file(), address, port, tls)
}

/// The same with these authorities.
pub(crate) fn add_mailbox_trusting(gateway: &Gateway, ca: &Path, address: &str, port: u16, tls: &str) -> Finished {
    let (smtp, ca_file) = (format!("localhost:{port}"), ca.display().to_string());
    let mut args = vec!["mailbox", "add", "--address", address, "--username", address];
    args.extend(["--smtp", &smtp, "--smtp-tls", tls, "--ca-file", &ca_file, "--password-stdin"]);
    gateway.manage(&args, format!("{PASSWORD}\n").as_bytes())
}
