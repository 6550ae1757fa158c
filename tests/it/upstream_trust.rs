//! Before whom the credential is shown: a verified certificate, TLS that nobody stripped, the mechanism that we chose. Else not.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use rustls::{ServerConnection, StreamOwned};
use tempfile::TempDir;

use crate::support::ca::{Ca, Leaf};
use crate::support::gateway::{Gateway, base64, plain};
use crate::support::smtp_upstream::{Act, SmtpUpstream, server_config};
use crate::support::stage::{ADDRESS, PASSWORD};
use crate::support::submission::{add_mailbox, add_mailbox_trusting};
use crate::support::{PATIENCE, folder};

const WELL: fn(&str) -> Act = |_| Act::Well;

/// A step, what is done wrong there, and a word of the refusal.
type Step = (&'static str, fn() -> Act, &'static str);

struct Scene {
    gateway: Gateway,
    ca: Ca,
    dir: TempDir,
}

impl Scene {
    fn set() -> Self {
        let dir = folder();
        let ca = Ca::create(&dir.path().join("ca"));
        Self { gateway: Gateway::start(&ca), ca, dir }
    }

    /// The mailbox is refused with this word, and the upstream saw no credential.
    fn refused(&self, upstream: &SmtpUpstream, tls: &str, word: &str) {
        let added = add_mailbox(&self.gateway, &self.ca, ADDRESS, upstream.port, tls);
        assert!(added.code == Some(2) && added.stderr.contains(word), "{word}: {added:?}");
        self.saw_nothing(upstream);
    }

    fn saw_nothing(&self, upstream: &SmtpUpstream) {
        let received = upstream.received();
        for secret in [PASSWORD, &base64(PASSWORD.as_bytes()), &plain(ADDRESS, PASSWORD), "AUTH "] {
            assert!(!received.contains(secret), "the upstream received {received:?}");
        }
        assert!(upstream.logins() == 0 && upstream.connections() > 0);
    }
}

#[test]
fn up_01_a_certificate_that_does_not_verify_sees_no_credential() {
    let scene = Scene::set();
    let stranger = Ca::create(&scene.dir.path().join("stranger"));
    let bad: [Leaf; 4] = [
        scene.ca.issue_expired("expired"),
        scene.ca.issue_for("elsewhere", &["mail.elsewhere.test"]),
        scene.ca.issue_for("address", &["127.0.0.1"]),
        stranger.issue("stranger"),
    ];
    for leaf in &bad {
        let upstream = SmtpUpstream::with_certificate(leaf, WELL);
        scene.refused(&upstream, "implicit", "certificate");
        assert!(upstream.encrypted().is_empty(), "something was said after a failed handshake");
    }
    let (leaf, with_list) = scene.ca.issue_revoked("revoked");
    let upstream = SmtpUpstream::with_certificate(&leaf, WELL);
    let added = add_mailbox_trusting(&scene.gateway, &with_list, ADDRESS, upstream.port, "implicit");
    assert!(added.code == Some(2) && added.stderr.contains("certificate"), "{added:?}");
    scene.saw_nothing(&upstream);
    let good = SmtpUpstream::start(&scene.ca, WELL);
    add_mailbox_trusting(&scene.gateway, &with_list, ADDRESS, good.port, "implicit")
        .expect_ok("a certificate not on the list");
}

#[test]
fn up_02_starttls_that_is_stripped_refused_or_followed_by_more_ends_the_login() {
    let scene = Scene::set();
    let clear = |step: &'static str, act: fn() -> Act| {
        SmtpUpstream::starttls(&scene.ca, move |line| if line.starts_with(step) { act() } else { Act::Well })
    };
    let cases: [Step; 7] = [
        ("CLEAR EHLO", || Act::say("250-upstream\r\n250 AUTH PLAIN LOGIN"), "no STARTTLS"),
        ("CLEAR EHLO", || Act::say("250-upstream\r\n250 XSTARTTLS"), "no STARTTLS"),
        ("CLEAR STARTTLS", || Act::say("454 not now"), "protocol"),
        ("CLEAR STARTTLS", || Act::say("250 fine, but no"), "protocol"),
        ("CLEAR STARTTLS", || Act::say("220 go ahead\r\n250-more\r\n250 AUTH PLAIN"), "upstream"),
        ("GREETING", || Act::say("235 you are in already"), "protocol"),
        ("GREETING", || Act::Cut, "upstream"),
    ];
    for (step, act, word) in cases {
        scene.refused(&clear(step, act), "starttls", word);
    }
    let good = SmtpUpstream::starttls(&scene.ca, WELL);
    add_mailbox(&scene.gateway, &scene.ca, ADDRESS, good.port, "starttls").expect_ok("STARTTLS as it should be");
}

#[test]
fn up_02_imap_starttls_that_is_stripped_refused_or_followed_by_more_ends_the_login() {
    let scene = Scene::set();
    for lines in [
        &["* PREAUTH you are in already\r\n", "w0 OK go ahead\r\n"][..],
        &["* BYE no\r\n"],
        &["* OK ready\r\n", "w0 BAD no such command\r\n"],
        &["* OK ready\r\n", "w0 NO not now\r\n"],
        &["* OK ready\r\n", "w0 OK go ahead\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nw1 OK done\r\n"],
        &["* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] ready\r\n", "+ go on\r\n", "w2 OK done\r\n"],
    ] {
        let (port, heard) = recite(None, lines);
        let added = scene.add_imap(port, "starttls");
        assert_eq!(added.code, Some(2), "{lines:?}: {added:?}");
        let heard = nothing_secret(&heard);
        // Who does not begin with OK hears not a word.
        assert!(lines[0].starts_with("* OK") || heard.is_empty(), "{lines:?}: {heard}");
    }
}

#[test]
fn up_03_the_mechanism_is_ours_and_a_referral_leads_nowhere() {
    let scene = Scene::set();
    for offered in ["AUTH CRAM-MD5 DIGEST-MD5 NTLM", "AUTH ANONYMOUS EXTERNAL", "AUTH=PLAIN", "XAUTH PLAIN"] {
        let upstream = SmtpUpstream::start(&scene.ca, move |line| {
            if line.starts_with("EHLO") { Act::say(&format!("250-upstream\r\n250 {offered}")) } else { Act::Well }
        });
        scene.refused(&upstream, "implicit", "protocol");
    }
    let elsewhere = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind any port");
    elsewhere.set_nonblocking(true).expect("ask without waiting");
    let url = format!("imap://support;AUTH=*@127.0.0.1:{}/", elsewhere.local_addr().expect("an address").port());
    let leaf = scene.ca.issue("imap-upstream");
    let login = format!("w2 NO [REFERRAL {url}] try there\r\n");
    let lines =
        ["* OK ready\r\n", "* CAPABILITY IMAP4rev1 AUTH=PLAIN LOGIN-REFERRALS\r\nw1 OK done\r\n", "+ \r\n", &login];
    let (port, heard) = recite(Some(&leaf), &lines);
    let added = scene.add_imap(port, "implicit");
    assert_eq!(added.code, Some(2), "{added:?}");
    assert!(heard.recv_timeout(PATIENCE).expect("what was heard").contains(&plain(ADDRESS, PASSWORD)));
    assert!(elsewhere.accept().is_err(), "the referral was followed");
    // LOGINDISABLED without a mechanism of ours.
    let lines = ["* OK ready\r\n", "* CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=CRAM-MD5\r\nw1 OK done\r\n"];
    let (port, heard) = recite(Some(&leaf), &lines);
    assert_eq!(scene.add_imap(port, "implicit").code, Some(2));
    nothing_secret(&heard);
}

#[test]
fn up_06_the_credential_is_never_said_in_the_clear() {
    let scene = Scene::set();
    for tls in ["implicit", "starttls"] {
        let upstream = SmtpUpstream::clear(WELL);
        scene.refused(&upstream, tls, "");
    }
    for (port, heard) in [recite(None, &["* OK ready\r\n"; 5]), recite(None, &["* OK ready\r\n"; 5])] {
        assert_eq!(scene.add_imap(port, "implicit").code, Some(2));
        nothing_secret(&heard);
    }
    let upstream = SmtpUpstream::starttls(&scene.ca, WELL);
    add_mailbox(&scene.gateway, &scene.ca, ADDRESS, upstream.port, "starttls").expect_ok("STARTTLS as it should be");
    let clear = upstream.clear_text();
    assert!(
        clear.contains("STARTTLS") && !clear.contains("AUTH") && !clear.contains(&plain(ADDRESS, PASSWORD)),
        "{clear}"
    );
    assert!(upstream.encrypted().contains(&plain(ADDRESS, PASSWORD)), "the search finds what it looks for");
}

impl Scene {
    fn add_imap(&self, port: u16, tls: &str) -> crate::support::process::Finished {
        let (imap, ca) = (format!("localhost:{port}"), self.ca.file().display().to_string());
        let mut args = vec!["mailbox", "add", "--address", ADDRESS, "--username", ADDRESS, "--imap", &imap];
        args.extend(["--imap-tls", tls, "--ca-file", &ca, "--password-stdin"]);
        self.gateway.manage(&args, format!("{PASSWORD}\n").as_bytes())
    }
}

/// A peer for one connection: the first line at once, each other one after something was heard. What it heard arrives at its end.
fn recite(leaf: Option<&Leaf>, lines: &[&str]) -> (u16, mpsc::Receiver<String>) {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind any port");
    let port = socket.local_addr().expect("the bound address").port();
    let (tell, heard) = mpsc::channel();
    let lines: Vec<Vec<u8>> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
    let tls = leaf.map(server_config);
    std::thread::spawn(move || {
        let Ok((tcp, _)) = socket.accept() else { return };
        tcp.set_read_timeout(Some(Duration::from_secs(60))).expect("set the time limit");
        let heard = match tls {
            None => speak(tcp, &lines),
            Some(tls) => {
                let connection = ServerConnection::new(Arc::clone(&tls)).expect("TLS settings");
                speak(StreamOwned::new(connection, tcp), &lines)
            }
        };
        let _ = tell.send(String::from_utf8_lossy(&heard).into_owned());
    });
    (port, heard)
}

fn speak(mut stream: impl Read + Write, lines: &[Vec<u8>]) -> Vec<u8> {
    let mut heard = Vec::new();
    let mut lines = lines.iter();
    loop {
        if let Some(line) = lines.next()
            && stream.write_all(line).and_then(|()| stream.flush()).is_err()
        {
            return heard;
        }
        let mut chunk = [0; 8192];
        match stream.read(&mut chunk) {
            Ok(read @ 1..) => heard.extend_from_slice(&chunk[..read]),
            _ => return heard,
        }
    }
}

fn nothing_secret(heard: &mpsc::Receiver<String>) -> String {
    let heard = heard.recv_timeout(PATIENCE).expect("what was heard");
    for secret in [PASSWORD, &base64(PASSWORD.as_bytes()), &plain(ADDRESS, PASSWORD), "LOGIN", "AUTHENTICATE"] {
        assert!(!heard.contains(secret), "the upstream heard {heard:?}");
    }
    heard
}
