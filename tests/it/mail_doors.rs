//! Before the login: what a mail port shows to strangers, and how little they can do with it.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::support::gateway::{Gateway, base64, plain, xoauth2};
use crate::support::stage::{ADDRESS, ScriptedStage, Stage};
use crate::support::wire::{self, Wire, tcp, without_verdict};
use crate::support::{PATIENCE, ca::Ca, clients, folder, long_run, wait_for};

#[test]
fn gw_01_no_port_is_clear_unless_it_is_asked_for() {
    let dir = folder();
    let ca = Ca::create(&dir.path().join("ca"));
    let mut gateway = Gateway::prepare(&ca);
    // Ports with STARTTLS are switched off by an empty address, and no key takes TLS away from the others.
    gateway.edit_config("imap = \"127.0.0.1:0\"\n", "");
    gateway.edit_config("submission = \"127.0.0.1:0\"\n", "submission = \"\"\n");
    gateway.edit_config("pop3 = \"127.0.0.1:0\"\n", "");
    gateway.serve();
    for listener in ["https", "imaps", "smtps", "pop3s"] {
        let mut plain = tcp(gateway.port(listener));
        plain.write_all(b"a CAPABILITY\r\nEHLO x\r\nGET / HTTP/1.0\r\n\r\n").expect("send");
        let mut heard = Vec::new();
        let _ = plain.read_to_end(&mut heard);
        // At most a TLS alert.
        assert!(heard.is_empty() || heard[0] == 21, "{listener} spoke in the clear: {heard:?}");
    }
    assert!(!gateway.output().contains("listening imap "), "{}", gateway.output());
    assert!(!gateway.output().contains("listening pop3 "), "{}", gateway.output());
    assert!(!gateway.output().contains("listening submission "), "{}", gateway.output());
    gateway.stop();
    gateway.edit_config("[listen]\n", "[listen]\nplain_imap = \"127.0.0.1:0\"\n");
    let refused = gateway.run(&["serve"], b"");
    assert!(refused.code == Some(2) && refused.stderr.contains("plain_imap"), "{refused:?}");
}

#[test]
fn gw_02_bytes_behind_starttls_are_never_executed() {
    let stage = ScriptedStage::set();
    let ca = stage.gateway.ca_file();
    for (listener, injected, ok, probe, marks) in [
        ("imap", "a STARTTLS\r\nb CAPABILITY\r\n", "a OK", "c NOOP\r\n", "b OK"),
        ("submission", "EHLO x\r\nSTARTTLS\r\nVRFY injected\r\n", "220 2", "NOOP\r\n", "252"),
    ] {
        let mut plain = tcp(stage.gateway.port(listener));
        let mut chunk = [0; 4096];
        let _ = plain.read(&mut chunk).expect("the greeting");
        plain.write_all(injected.as_bytes()).expect("send");
        let mut answer = String::new();
        while !answer.contains(ok) {
            let read = plain.read(&mut chunk).expect("the answer");
            assert!(read > 0, "{listener} went away: {answer}");
            answer.push_str(&String::from_utf8_lossy(&chunk[..read]));
        }
        assert!(!answer.contains(marks), "{listener}: {answer}");
        let mut tls = Wire::over(plain, ca);
        // Whether the handshake was possible at all or not, nothing of what came before it is answered behind it.
        if tls.try_send(probe.as_bytes()).is_ok()
            && let Ok(Some(first)) = tls.try_line()
        {
            assert!(first.starts_with("c OK") || first.starts_with("250") || first.starts_with("503"), "{first}");
        }
    }
}

#[test]
fn gw_02_the_published_tester_finds_no_injection() {
    let stage = ScriptedStage::set();
    for (listener, protocol) in [("imap", "imap"), ("submission", "smtp")] {
        let port = stage.gateway.port(listener).to_string();
        let logs = stage.gateway.dir().join("logs").display().to_string();
        let (choice, choice_port) = (format!("--{protocol}"), format!("--{protocol}-port"));
        let args = [&*choice, &choice_port, &port, "--nocolor", "--logdir", &logs, "localhost"];
        let finished = clients::python_tool("command-injection-tester", &args);
        let said = format!("{}{}", finished.stdout, finished.stderr);
        let verdicts =
            ["Probably no command injection here!", "TLS handshake failed - Server probably closed the connection!"];
        assert!(said.contains("Sanity test done"), "{listener}: {said}");
        assert!(verdicts.iter().any(|verdict| said.contains(verdict)), "{listener}: {said}");
        assert!(
            !said.contains("ommand injection here.") && !said.contains("Command injection here"),
            "{listener}: {said}"
        );
    }
}

#[test]
fn gw_03_nothing_is_accepted_before_tls() {
    let stage = ScriptedStage::set();
    for listener in ["imap", "submission"] {
        let tool = stage.gateway.add_tool(listener, ADDRESS, "backup");
        let token = stage.gateway.token(&tool, ADDRESS);
        let line = match listener {
            "imap" => format!("a LOGIN {ADDRESS} {token}\r\n"),
            _ => format!("AUTH XOAUTH2 {}\r\n", xoauth2(ADDRESS, &token)),
        };
        let (greeting, refusal) = in_clear(stage.gateway.port(listener), line.as_bytes());
        assert!(!greeting.contains("AUTH="), "{greeting}");
        assert!(refusal.starts_with("538") || refusal.starts_with("a NO [PRIVACYREQUIRED]"), "{listener}: {refusal}");
        // What was shown without TLS is known to others and must not work any more.
        let mut imap = stage.gateway.imap();
        let answer = imap.command("b", &format!("LOGIN {ADDRESS} {token}"));
        assert!(answer.last().is_some_and(|line| line.starts_with("b NO")), "an exposed token still works: {answer:?}");
    }
    let (greeting, _) = in_clear(stage.gateway.port("imap"), b"a NOOP\r\n");
    assert!(greeting.contains("LOGINDISABLED") && greeting.contains("STARTTLS"), "{greeting}");
    let (_, offered) = in_clear(stage.gateway.port("submission"), b"EHLO x\r\n");
    assert!(offered.contains("STARTTLS") && !offered.contains("AUTH"), "{offered}");
    let exposed = stage.gateway.audit().iter().filter(|event| event.to_string().contains("exposed")).count();
    assert_eq!(exposed, 2, "each exposure is on record");
}

#[test]
fn gw_04_a_port_speaks_one_protocol_for_one_host() {
    let stage = ScriptedStage::set();
    let (ca, gateway) = (stage.gateway.ca_file(), &stage.gateway);
    let shake = |listener: &str, name: &str, alpn: &[&str]| Wire::handshake(gateway.port(listener), ca, name, alpn);
    let requests = ["GET /reflect-me HTTP/1.1\r\nHost: localhost\r\n\r\n", "POST / HTTP/1.1\r\nreflect-me: 1\r\n\r\n"];
    for (listener, good) in [("imaps", "imap"), ("smtps", "smtp"), ("pop3s", "pop3")] {
        shake(listener, "localhost", &[good]).expect("its own protocol");
        shake(listener, "localhost", &[]).expect("no protocol named");
        for wrong in ["http/1.1", "h2", "ftp", "imap", "smtp", "pop3"].into_iter().filter(|name| *name != good) {
            let error = shake(listener, "localhost", &[wrong]).expect_err(wrong).to_string();
            assert!(error.contains("NoApplicationProtocol"), "{listener} {wrong}: {error}");
        }
        let error = shake(listener, "other.example.test", &[good]).expect_err("another host").to_string();
        assert!(error.contains("alert"), "{listener}: {error}");
        for request in requests {
            let mut web = Wire::connect(gateway.port(listener), ca);
            web.line();
            let _ = web.try_send(request.as_bytes());
            let heard = web.rest().expect("the end of the connection").concat();
            assert_eq!(heard, "", "{listener}: a browser is answered");
        }
    }
    for listener in ["imap", "submission", "pop3"] {
        for request in requests {
            let mut web = tcp(gateway.port(listener));
            assert!(web.read(&mut [0; 4096]).expect("the greeting") > 0);
            web.write_all(request.as_bytes()).expect("send");
            let mut heard = Vec::new();
            // What it sent on may be lying there unread when the port hangs up: a reset then.
            let _ = web.read_to_end(&mut heard);
            assert_eq!(String::from_utf8_lossy(&heard), "", "{listener}: a browser is answered");
        }
    }
}

#[test]
fn gw_06_a_bearer_is_read_by_the_letter_and_refused_in_three_steps() {
    let stage = ScriptedStage::set();
    let token = stage.token("backup");
    let good = format!("n,a={ADDRESS},\x01host=localhost\x01port=993\x01auth=Bearer {token}\x01\x01");
    let authenticate = |message: &str| {
        let mut imap = stage.gateway.imap();
        imap.send(format!("a AUTHENTICATE OAUTHBEARER {}\r\n", base64(message.as_bytes())));
        (imap.line(), imap)
    };
    for right in [good.clone(), good.replace("n,a=", "y,a="), good.replace(&format!("a={ADDRESS}"), "")] {
        let (answer, _) = authenticate(&right);
        assert!(answer.starts_with("a OK"), "{right:?}: {answer}");
    }
    let wrong_token = good.replace(&token, &token[..token.len() - 4]);
    for wrong in [
        wrong_token,
        good.replace("\x01\x01", &format!("\x01auth=Bearer {token}\x01\x01")),
        good.replace("\x01\x01", "\x01"),
        good.replace("\x01\x01", ""),
        good.replace("support@", "other@"),
        good.replace("n,", "p=tls-unique,"),
        good.replace("Bearer", "Basic"),
        format!("n,a={ADDRESS},\x01host=localhost\x01\x01"),
        format!("n\x01auth=Bearer {token}\x01\x01"),
    ] {
        let (challenge, mut imap) = authenticate(&wrong);
        let json = challenge.strip_prefix("+ ").unwrap_or_else(|| panic!("{wrong:?}: {challenge}"));
        assert!(json.starts_with("eyJ"), "no JSON: {json}");
        imap.send("AQ==\r\n");
        let answer = imap.line();
        assert!(answer.starts_with("a NO [AUTHENTICATIONFAILED]"), "{wrong:?}: {answer}");
    }
}

#[test]
fn gw_07_bad_sasl_input_harms_only_itself() {
    let stage = ScriptedStage::set();
    let token = stage.token("backup");
    let long = "A".repeat(12_289);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    stage.gateway.imap_session(ADDRESS, &token).command_ok("a", "NOOP");
                }
            });
        }
        for bad in ["not base64!", "\tAAAA", "AA\0AA", &long, "*", "=", "", "AAAA="] {
            for mechanism in ["PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"] {
                let mut imap = stage.gateway.imap();
                imap.send(format!("a AUTHENTICATE {mechanism}\r\n"));
                assert!(imap.line().starts_with('+'));
                let _ = imap.try_send(format!("{bad}\r\n").as_bytes());
                let _ = imap.try_send(b"\r\n\r\nb LOGOUT\r\n");
                let heard = imap.rest().unwrap_or_default();
                assert!(!heard.iter().any(|line| line.starts_with("a OK")), "{mechanism} {bad:?}: {heard:?}");
            }
        }
    });
}

#[test]
fn gw_08_every_failure_looks_the_same_and_three_are_enough() {
    let stage = ScriptedStage::set();
    let gateway = &stage.gateway;
    let (tool, gone) = (gateway.add_tool("one", ADDRESS, "backup"), gateway.add_tool("two", ADDRESS, "backup"));
    let (token, revoked) = (gateway.token(&tool, ADDRESS), gateway.token(&gone, ADDRESS));
    gateway.manage_ok(&["revoke", "--client", &gone.id], b"");
    let short = gateway.add_client("short");
    let args = ["grant", "add", "--client", &short.id, "--mailbox", ADDRESS, "--preset", "backup"];
    gateway.manage_ok(&[&args[..], &["--token-ttl", "1"]].concat(), b"");
    let expired = gateway.token(&short, ADDRESS);
    let login = |user: &str, secret: &str| gateway.imap().command("a", &format!("LOGIN {user} {secret}"));
    wait_for("the token to expire", PATIENCE, || login(ADDRESS, &expired)[0].starts_with("a NO").then_some(()));
    let answers = [
        ("unknown mailbox", "nobody@example.test", token.as_str()),
        ("no grant", ADDRESS, &revoked),
        ("an expired token", ADDRESS, &expired),
        ("no token", ADDRESS, "password"),
        ("another's signature", ADDRESS, &format!("{}AAAA", &token[..token.len() - 4])),
        ("empty", ADDRESS, "\"\""),
    ]
    .map(|(what, user, secret)| (what, without_verdict(&login(user, secret).concat())));
    for (what, answer) in &answers {
        assert_eq!(answer, &answers[0].1, "{what}");
    }
    let mut imap = gateway.imap();
    let started = Instant::now();
    imap.send("a LOGIN x y\r\n".repeat(4));
    let heard = imap.rest().expect("an end");
    let refused = heard.iter().filter(|line| line.starts_with("a NO [AUTHENTICATIONFAILED]")).count();
    assert!(refused == 3 && heard.last().is_some_and(|line| line.starts_with("* BYE")), "{heard:?}");
    // Half a second after the first failure, one after the second.
    assert!(started.elapsed() >= Duration::from_millis(1500), "no delay grew: {:?}", started.elapsed());
}

#[test]
fn gw_09_strangers_have_a_small_budget() {
    let stage = ScriptedStage::set();
    let (idle, before) = (if long_run() { 4000 } else { 200 }, stage.gateway.peak_memory_kib());
    let pair = "\"a\" \"b\" ";
    let id = |pairs: usize| format!("a ID ({})\r\n", pair.repeat(pairs).trim_end());
    let tag = |length: usize| format!("{} NOOP\r\n", "t".repeat(length));
    for (what, line, goes_on) in [
        ("a line of 8192", format!("a NOOP{}\r\n", " ".repeat(8192 - 6)), true),
        ("a line of 8193", format!("a NOOP{}\r\n", " ".repeat(8193 - 6)), false),
        ("a tag of 126", tag(126), true),
        ("a tag of 127", tag(127), true),
        ("30 pairs", id(30), true),
        ("31 pairs", id(31), true),
        ("10,000 pairs", id(10_000), false),
        ("a list in a list", "a ID ((\"a\" \"b\"))\r\n".to_owned(), true),
        ("open lists", format!("a ID {}\r\n", "(".repeat(1 << 20)), false),
        ("open lists without an end", "(".repeat(1 << 25), false),
    ] {
        let mut imap = stage.gateway.imap();
        let _ = imap.try_send(line.as_bytes());
        let _ = imap.try_send(b"z LOGOUT\r\n");
        // A reset by a peer that would not read on is an end as well.
        let heard = imap.rest().unwrap_or_default();
        assert_eq!(heard.iter().any(|line| line.starts_with("z OK")), goes_on, "{what}: {heard:?}");
        let taken = heard.iter().any(|line| line.starts_with("a OK") || line.ends_with(" OK done") && line.len() > 50);
        assert_eq!(taken, ["a tag of 126", "30 pairs"].contains(&what), "{what}: {heard:?}");
    }
    let waiting = (0..idle).map(|_| tcp(stage.gateway.port("imap"))).collect::<Vec<_>>();
    stage.gateway.imap_session(ADDRESS, &stage.token("backup")).command_ok("a", "NOOP");
    let (after, count) = (stage.gateway.peak_memory_kib(), u64::try_from(waiting.len()).expect("a number"));
    let most = 8 * 1024 + count * 64;
    assert!(after - before < most, "memory rose from {before} to {after} KiB for {count} connections");
}

#[test]
fn gw_13_strangers_learn_no_version_and_no_name() {
    let stage = Stage::sending();
    let gateway = &stage.gateway;
    let tool = gateway.add_tool("full", ADDRESS, "full");
    let token = gateway.token(&tool, ADDRESS);
    let mut seen = Vec::new();
    for listener in ["imaps", "smtps", "pop3s"] {
        let mut wire = Wire::connect(gateway.port(listener), gateway.ca_file());
        seen.push(wire.line());
        if listener == "pop3s" {
            wire.send("CAPA\r\nXTND\r\n");
            wire.send(format!("AUTH PLAIN {}\r\nCAPA\r\nHELP\r\nNOOP\r\nQUIT\r\n", plain(ADDRESS, &token)));
            seen.extend(wire.rest().expect("the end"));
            assert!(seen.iter().any(|line| line == "+OK see you"), "{seen:?}");
            continue;
        }
        if listener == "imaps" {
            seen.extend(wire.command("a", "CAPABILITY"));
            seen.extend(wire.command("b", "ID NIL"));
            seen.extend(wire.command_ok("c", &format!("AUTHENTICATE PLAIN {}", plain(ADDRESS, &token))));
            seen.extend(wire.command("d", "ID (\"name\" \"x\")"));
            seen.extend(wire.command("e", "SELECT INBOX"));
            seen.extend(wire.command("f", "CAPABILITY"));
            seen.extend(wire.command("g", "NAMESPACE"));
            seen.extend(wire.command("h", "LOGOUT"));
        } else {
            for line in ["EHLO x", &format!("AUTH PLAIN {}", plain(ADDRESS, &token)), "EHLO x", "NOOP", "HELP", "QUIT"]
            {
                wire.send(format!("{line}\r\n"));
                seen.extend(wire.reply());
            }
        }
    }
    let web = wire::https(gateway.port("https"), gateway.ca_file(), "GET /oauth/jwks HTTP/1.1", "");
    seen.push(web.expect("an answer").head);
    let said = seen.join("\n").to_lowercase();
    for word in
        ["mailwarden", "dovecot", "postfix", "debian", "rust", "hyper", "axum", env!("CARGO_PKG_VERSION"), "server:"]
    {
        assert!(!said.contains(word), "{word} in {said}");
    }
}

/// The greeting of a port without TLS, and its answer to `bytes`.
fn in_clear(port: u16, bytes: &[u8]) -> (String, String) {
    let mut stream = tcp(port);
    let mut chunk = [0; 4096];
    let read = stream.read(&mut chunk).expect("the greeting");
    let greeting = String::from_utf8_lossy(&chunk[..read]).into_owned();
    stream.write_all(bytes).expect("send");
    let read = stream.read(&mut chunk).expect("the answer");
    (greeting, String::from_utf8_lossy(&chunk[..read]).into_owned())
}
