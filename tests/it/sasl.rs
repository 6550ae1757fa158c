//! Logging in, in every way there is, on all mail protocols: what works, how it fails, and that a failure stays where it is.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::support::gateway::{base64, plain, xoauth2};
use crate::support::pop3::Pop3;
use crate::support::smtp_upstream::Act;
use crate::support::stage::{ADDRESS, PASSWORD};
use crate::support::submission::{Both, begin, say};
use crate::support::wire::{Wire, without_verdict};

const WELL: fn(&str) -> Act = |_| Act::Well;

/// The messages that a mechanism sends, in base64.
pub(crate) fn messages(mechanism: &str, token: &str) -> Vec<String> {
    match mechanism {
        "PLAIN" => vec![plain(ADDRESS, token)],
        "LOGIN" => vec![base64(ADDRESS.as_bytes()), base64(token.as_bytes())],
        "XOAUTH2" => vec![xoauth2(ADDRESS, token)],
        "OAUTHBEARER" => vec![bearer(&format!("n,a={ADDRESS},\x01host=localhost\x01port=993\x01auth=Bearer {token}"))],
        other => panic!("no mechanism {other}"),
    }
}

fn bearer(text: &str) -> String {
    base64(format!("{text}\x01\x01").as_bytes())
}

pub(crate) const MECHANISMS: [&str; 4] = ["PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"];

/// A mail protocol, with the words in which it says what all of them say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Imap,
    Smtp,
    Pop3,
}

pub(crate) const PROTOCOLS: [Protocol; 3] = [Protocol::Imap, Protocol::Smtp, Protocol::Pop3];

impl Protocol {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Smtp => "smtp",
            Self::Pop3 => "pop3",
        }
    }

    fn command(self) -> &'static str {
        if self == Self::Imap { "a AUTHENTICATE" } else { "AUTH" }
    }

    fn go_on(self) -> &'static str {
        if self == Self::Smtp { "334 " } else { "+ " }
    }

    fn welcome(self) -> &'static str {
        match self {
            Self::Imap => "a OK",
            Self::Smtp => "235",
            Self::Pop3 => "+OK",
        }
    }

    pub(crate) fn refusal(self) -> &'static str {
        match self {
            Self::Imap => "a NO [AUTHENTICATIONFAILED]",
            Self::Smtp => "535 5.7.8",
            Self::Pop3 => "-ERR [AUTH]",
        }
    }
}

/// One connection of any protocol, not logged in.
pub(crate) struct Door {
    pub(crate) wire: Wire,
    protocol: Protocol,
}

impl Door {
    pub(crate) fn open(scene: &Both, protocol: Protocol) -> Self {
        let wire = match protocol {
            Protocol::Imap => scene.gateway.imap(),
            Protocol::Pop3 => Pop3::open(&scene.gateway).wire,
            Protocol::Smtp => {
                let mut wire = Wire::connect(scene.gateway.port("smtps"), scene.gateway.ca_file());
                wire.reply();
                say(&mut wire, "EHLO tool", "250");
                wire
            }
        };
        Self { wire, protocol }
    }

    /// Begins an exchange and sends `messages`, the first one at once where `initial`. Gives the line that follows the last.
    pub(crate) fn log_in(&mut self, mechanism: &str, messages: &[String], initial: bool) -> String {
        let (command, go_on) = (self.protocol.command(), self.protocol.go_on());
        let mut rest = messages.iter();
        let first = if initial { rest.next() } else { None };
        self.wire.send(first.map_or_else(
            || format!("{command} {mechanism}\r\n"),
            |first| format!("{command} {mechanism} {first}\r\n"),
        ));
        for message in rest {
            let asked = self.wire.line();
            assert!(asked.starts_with(go_on), "{mechanism}: {asked}");
            self.wire.send(format!("{message}\r\n"));
        }
        self.wire.line()
    }

    pub(crate) fn is_in(&self, answer: &str) -> bool {
        answer.starts_with(self.protocol.welcome())
    }

    /// The client's answer to a challenge, and what it then hears.
    pub(crate) fn answer(&mut self, text: &str) -> String {
        self.wire.send(format!("{text}\r\n"));
        self.wire.line()
    }
}

#[test]
fn every_mechanism_opens_each_protocol_with_and_without_an_initial_response() {
    let scene = Both::set(WELL);
    for protocol in PROTOCOLS {
        for mechanism in MECHANISMS {
            for initial in [true, false] {
                let mut door = Door::open(&scene, protocol);
                let lower = mechanism.to_lowercase();
                let name = if initial { mechanism } else { &lower };
                let answer = door.log_in(name, &messages(mechanism, &scene.token), initial);
                assert!(door.is_in(&answer), "{mechanism}, {protocol:?}, initial {initial}: {answer}");
            }
            // An empty initial response is a response, and a wrong one: nobody waits for another.
            let mut door = Door::open(&scene, protocol);
            let mut answer = door.log_in(mechanism, &["=".to_owned()], true);
            if mechanism == "LOGIN" {
                answer = door.answer(&base64(scene.token.as_bytes()));
            } else if mechanism != "PLAIN" {
                answer = door.answer("AQ==");
            }
            assert!(answer.starts_with(protocol.refusal()), "{mechanism}: {answer}");
            let answer = door.log_in(mechanism, &messages(mechanism, &scene.token), false);
            assert!(door.is_in(&answer), "{mechanism} after an empty response: {answer}");
        }
        let mut door = Door::open(&scene, protocol);
        let answer = door.log_in("OAUTHBEARER", &[bearer(&format!("y,,\x01x=y\x01auth=bearer {}", scene.token))], true);
        assert!(door.is_in(&answer), "without a user name, with an unknown key: {answer}");
    }
}

#[test]
fn a_handle_opens_its_own_protocol_by_every_mechanism_and_no_other() {
    let scene = Both::set(WELL);
    let tool = scene.gateway.add_tool("short", ADDRESS, "helpdesk");
    let handles = ["imap", "smtp", "pop3"].map(|protocol| scene.gateway.handle(&tool, ADDRESS, protocol));
    let [imap, smtp, pop3] = &handles;
    for (protocol, own, other) in
        [(Protocol::Imap, imap, smtp), (Protocol::Smtp, smtp, pop3), (Protocol::Pop3, pop3, imap)]
    {
        for mechanism in MECHANISMS {
            let mut door = Door::open(&scene, protocol);
            let answer = door.log_in(mechanism, &messages(mechanism, own), true);
            assert!(door.is_in(&answer), "{mechanism}, {protocol:?}: {answer}");
            // A handle of the other protocol is refused as one that nobody ever gave out.
            let mut made_up = own.clone();
            made_up.replace_range(10..14, if own.get(10..14) == Some("AAAA") { "BBBB" } else { "AAAA" });
            let [refused, unknown] = [other, &made_up].map(|shown| {
                let mut door = Door::open(&scene, protocol);
                let mut answer = door.log_in(mechanism, &messages(mechanism, shown), true);
                if answer.starts_with("+ ") || answer.starts_with("334 ") {
                    answer.push_str(&door.answer("AQ=="));
                }
                assert!(!door.is_in(&answer), "{mechanism}, {protocol:?}: {answer}");
                without_verdict(&answer)
            });
            assert_eq!(refused, unknown, "{mechanism}, {protocol:?}");
        }
    }
    let mut command = scene.gateway.imap();
    command.command_ok("a", &format!("LOGIN {ADDRESS} {imap}"));
    command.command_ok("b", "SELECT INBOX");
    let mut elsewhere = scene.gateway.imap();
    let answer = elsewhere.command("a", &format!("LOGIN other@example.test {imap}"));
    assert!(answer.last().is_some_and(|line| line.starts_with("a NO [AUTHENTICATIONFAILED]")), "{answer:?}");
}

#[test]
fn gw_05_an_upstream_is_sent_nothing_but_its_own_credential() {
    let scene = Both::set(WELL);
    for round in 0..25 {
        for mechanism in MECHANISMS {
            let mut door = Door::open(&scene, Protocol::Smtp);
            let answer = door.log_in(mechanism, &messages(mechanism, &scene.token), round % 2 == 0);
            assert!(door.is_in(&answer), "{answer}");
            begin(&mut door.wire);
            door.wire.send(format!("From: {ADDRESS}\r\nDate: now\r\nMessage-ID: <1@x>\r\n\r\nhello\r\n"));
            say(&mut door.wire, ".", "250");
        }
    }
    let auth = format!("AUTH PLAIN {}", plain(ADDRESS, PASSWORD));
    let mail = format!("MAIL FROM:<{ADDRESS}>");
    let known = ["EHLO mailwarden", &auth, &mail, "RCPT TO:<customer@else.test>", "DATA", ".", "hello", ""];
    let encrypted = scene.smtp.encrypted();
    let logins = encrypted.lines().filter(|line| *line == auth).count();
    assert_eq!(logins, 101, "each session and the first proof");
    for line in encrypted.lines() {
        let is_header = ["Received: by localhost", "From: ", "Date: now", "Message-ID: <1@x>"]
            .iter()
            .any(|head| line.starts_with(head));
        assert!(known.contains(&line) || is_header && !line.contains(&scene.token), "the upstream was sent {line:?}");
    }
}

#[test]
fn gw_06_a_failed_bearer_login_is_a_challenge_an_answer_and_a_no() {
    let scene = Both::set(WELL);
    for protocol in PROTOCOLS {
        for mechanism in ["XOAUTH2", "OAUTHBEARER"] {
            for (client_line, initial) in [("AQ==", true), ("", false), ("*", true)] {
                let mut door = Door::open(&scene, protocol);
                let challenge = door.log_in(mechanism, &messages(mechanism, "not-a-token"), initial);
                let json = challenge.strip_prefix(protocol.go_on());
                let json: serde_json::Value =
                    serde_json::from_slice(&decoded(json.unwrap_or_else(|| panic!("{challenge}"))))
                        .unwrap_or_else(|error| panic!("{challenge}: {error}"));
                let status = if mechanism == "XOAUTH2" { "401" } else { "invalid_token" };
                assert_eq!(json["status"], status);
                let answer = door.answer(client_line);
                assert!(answer.starts_with(protocol.refusal()), "{mechanism}: {answer}");
                let answer = door.log_in(mechanism, &messages(mechanism, &scene.token), initial);
                assert!(door.is_in(&answer), "the connection goes on: {answer}");
            }
        }
        for mechanism in ["PLAIN", "LOGIN"] {
            let mut door = Door::open(&scene, protocol);
            let answer = door.log_in(mechanism, &messages(mechanism, "not-a-token"), true);
            assert!(answer.starts_with(protocol.refusal()), "{mechanism}: {answer}");
        }
    }
}

#[test]
fn gw_06_the_grammar_of_oauthbearer_is_kept() {
    let scene = Both::set(WELL);
    let token = &scene.token;
    let good = format!("n,a={ADDRESS},\x01auth=Bearer {token}");
    let wrong = [
        format!("{good}\x01auth=Bearer {token}"),
        format!("{good}\x01host=mail.elsewhere.test"),
        format!("{good}\x01host=localhost\x01host=localhost"),
        format!("{good}\x01port=0"),
        format!("{good}\x01port=99999"),
        format!("{good}\x01port=imap"),
        format!("n,a=other@example.test,\x01auth=Bearer {token}"),
        format!("n,{ADDRESS},\x01auth=Bearer {token}"),
        format!("p=tls-unique,a={ADDRESS},\x01auth=Bearer {token}"),
        format!("n,a={ADDRESS}\x01auth=Bearer {token}"),
        format!("n,a={ADDRESS},\x01auth=Basic {token}"),
        format!("n,a={ADDRESS},\x01auth={token}"),
        format!("n,a={ADDRESS},\x01host=localhost"),
        format!("n,a={ADDRESS},"),
    ];
    let mut all: Vec<String> = wrong.iter().map(|text| bearer(text)).collect();
    all.push(base64(format!("{good}\x01").as_bytes()));
    all.push(base64(good.as_bytes()));
    for protocol in PROTOCOLS {
        for message in &all {
            let mut door = Door::open(&scene, protocol);
            let challenge = door.log_in("OAUTHBEARER", std::slice::from_ref(message), true);
            assert!(challenge.starts_with(protocol.go_on()), "{challenge}");
            let answer = door.answer("AQ==");
            assert!(answer.starts_with(protocol.refusal()), "{answer}");
        }
        let mut door = Door::open(&scene, protocol);
        let answer = door.log_in("OAUTHBEARER", &[bearer(&format!("{good}\x01host=127.0.0.1\x01port=1993"))], true);
        assert!(door.is_in(&answer), "{answer}");
    }
}

#[test]
fn gw_07_bad_input_harms_only_the_one_who_sends_it() {
    let scene = Both::set(WELL);
    let good = plain(ADDRESS, &scene.token);
    let bad = [
        "!!!!".to_owned(),
        format!("{good}="),
        format!("\t{good}"),
        format!("{good}\t"),
        format!("{}\0", &good[..8]),
        "A".repeat(12_289),
        "A".repeat(70_000),
        "*".to_owned(),
        base64(&[0; 3000]),
        base64(b"\xff\xff\0\xff\0\xff"),
    ];
    std::thread::scope(|scope| {
        let goods = PROTOCOLS.map(|protocol| {
            let scene = &scene;
            scope.spawn(move || {
                for round in 0..50 {
                    let mut door = Door::open(scene, protocol);
                    let answer = door.log_in("PLAIN", &messages("PLAIN", &scene.token), round % 2 == 0);
                    assert!(door.is_in(&answer), "{answer}");
                }
            })
        });
        for protocol in PROTOCOLS {
            for message in &bad {
                for mechanism in MECHANISMS {
                    let mut door = Door::open(&scene, protocol);
                    door.wire.send(format!("{} {mechanism}\r\n", protocol.command()));
                    door.wire.line();
                    // The peer may close before it has taken all of it.
                    let _ = door.wire.try_send(format!("{message}\r\n").as_bytes());
                    if let Ok(Some(answer)) = door.wire.try_line() {
                        assert!(!door.is_in(&answer), "{mechanism} {message:.20}: {answer}");
                    }
                }
            }
        }
        for good in goods {
            good.join().expect("every good login succeeds");
        }
    });
    assert!(!scene.gateway.output().contains("panicked"));
}

#[test]
fn gw_08_failures_look_alike_and_the_third_is_the_last_on_smtp_and_pop3() {
    let scene = Both::set(WELL);
    let orphan = scene.gateway.add_tool("orphan", ADDRESS, "helpdesk");
    let revoked = scene.gateway.token(&orphan, ADDRESS);
    scene.gateway.manage_ok(&["revoke", "--client", &orphan.id], b"");
    let last = scene.token.chars().last().expect("a token has characters");
    let forged = format!("{}{}", &scene.token[..scene.token.len() - 1], if last == 'A' { 'Q' } else { 'A' });
    let attempts = [
        plain(ADDRESS, "nonsense"),
        plain("unknown@example.test", &scene.token),
        plain(ADDRESS, &revoked),
        plain(ADDRESS, &forged),
        plain(ADDRESS, PASSWORD),
    ];
    for (protocol, last_word) in [(Protocol::Smtp, "421"), (Protocol::Pop3, "-ERR too many failed logins")] {
        let before = refused(&scene);
        let answers: BTreeSet<String> = attempts
            .iter()
            .map(|attempt| Door::open(&scene, protocol).log_in("PLAIN", std::slice::from_ref(attempt), true))
            .map(|answer| without_verdict(&answer))
            .collect();
        assert!(
            answers.len() == 1 && answers.iter().all(|answer| answer.starts_with(protocol.refusal())),
            "{answers:?}"
        );
        assert_eq!(refused(&scene) - before, attempts.len());
        let mut door = Door::open(&scene, protocol);
        let started = Instant::now();
        for attempt in &attempts[..3] {
            let answer = door.log_in("PLAIN", std::slice::from_ref(attempt), true);
            assert!(answer.starts_with(protocol.refusal()), "{answer}");
        }
        let rest = door.wire.rest().expect("the connection is closed in order");
        assert!(rest.len() == 1 && rest[0].starts_with(last_word), "{rest:?}");
        // Half a second after the first failure, one after the second.
        assert!(started.elapsed() >= Duration::from_millis(1500), "no delay grew: {:?}", started.elapsed());
    }
}

fn refused(scene: &Both) -> usize {
    scene.gateway.audit().iter().filter(|event| event["code"] == "login.refused").count()
}

fn decoded(text: &str) -> Vec<u8> {
    use ::base64::Engine;
    ::base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}
