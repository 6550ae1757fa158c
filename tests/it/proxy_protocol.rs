//! The PROXY protocol at every listener: behind a listed proxy the tool's own address counts, and nobody else is believed.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::support::gateway::{Gateway, base64, xoauth2};
use crate::support::haproxy::{self, Haproxy};
use crate::support::http::exchange;
use crate::support::maildir::seed;
use crate::support::stage::{ADDRESS, ScriptedStage, Stage};
use crate::support::wire::{Wire, tcp, tcp_from};

/// Where the tool of these tests is, and where it is not.
const TOOL: &str = "127.0.0.77";
const ELSEWHERE: &str = "127.0.0.78";

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Starts the gateway anew with HAProxy's network listed.
fn list_proxies(gateway: &mut Gateway) {
    gateway.stop();
    gateway.edit_config("[listen]\n", "[listen]\nproxy_protocol_from = [\"127.0.9.0/24\"]\n");
    gateway.serve();
}

/// A connection from the listed network, as HAProxy makes it.
fn from_proxy(gateway: &Gateway, listener: &str) -> TcpStream {
    tcp_from(address(haproxy::ADDRESS), gateway.port(listener))
}

fn v1(source: &str) -> Vec<u8> {
    format!("PROXY TCP4 {source} 127.0.0.1 50000 993\r\n").into_bytes()
}

/// A header of version 2 with some of what proxies add behind the addresses.
fn v2(command: u8, source: [u8; 4]) -> Vec<u8> {
    let extra = [&[0x04, 0x00, 0x20][..], &[0; 32]].concat();
    let body = [&source[..], &[127, 0, 0, 1, 0xc3, 0x50, 0x03, 0xe1], &extra].concat();
    [SIGNATURE, &[command, 0x11, 0, u8::try_from(body.len()).expect("short")], &body].concat()
}

/// Everything that the peer says until it closes.
fn heard(stream: &mut TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    match stream.read_to_end(&mut heard) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("it was not closed: {error}"),
        _ => heard,
    }
}

/// One line of a clear connection.
fn line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    let mut octet = [0];
    while !line.ends_with(b"\r\n") && stream.read(&mut octet).expect("read") == 1 {
        line.push(octet[0]);
    }
    String::from_utf8(line).expect("text")
}

/// Where each event of `code` came from.
fn sources(gateway: &Gateway, code: &str) -> Vec<String> {
    let events = gateway.audit().into_iter().filter(|event| event["code"] == code);
    events.map(|event| event["source"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn gw_14_behind_haproxy_the_tools_own_address_counts() {
    let mut stage = Stage::reading(|dovecot| drop(seed(&dovecot.maildir(ADDRESS), 1, 0)));
    list_proxies(&mut stage.gateway);
    let gateway = &stage.gateway;
    let tool = gateway.add_client("bound to its network");
    let grant = ["grant", "add", "--client", &tool.id, "--mailbox", ADDRESS, "--preset", "full"];
    gateway.manage_ok(&[&grant[..], &["--network", &format!("{TOOL}/32")]].concat(), b"");
    let doors = [
        ("https", "send-proxy-v2"),
        ("imaps", "send-proxy"),
        ("imaps", "send-proxy-v2"),
        ("imap", "send-proxy-v2"),
        ("smtps", "send-proxy"),
        ("submission", "send-proxy-v2"),
        ("pop3s", "send-proxy-v2"),
        ("pop3", "send-proxy"),
    ];
    let haproxy = Haproxy::start(&doors.map(|(listener, how)| (gateway.port(listener), how)));
    let ca = gateway.ca_file();

    let basic = base64(format!("{}:{}", tool.id, tool.secret).as_bytes());
    let form = format!("grant_type=client_credentials&resource=mailto:{ADDRESS}");
    let length = form.len();
    let request = format!(
        "POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {basic}\r\nX-Forwarded-For: {ELSEWHERE}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{form}"
    );
    let mut https = Wire::over(tcp_from(address(TOOL), haproxy.ports[0]), ca);
    let answer = exchange(&mut https, &request);
    assert_eq!(answer.status, 200, "{answer:?}");
    let token = answer.json()["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(sources(gateway, "token.issued"), [TOOL]);

    for (source, expected) in [(TOOL, true), (ELSEWHERE, false)] {
        for ((listener, how), port) in doors.iter().zip(&haproxy.ports).skip(1) {
            let message = xoauth2(ADDRESS, &token);
            let stream = tcp_from(address(source), *port);
            let mut wire = match *listener {
                "imap" => start_tls(stream, ca, &["a STARTTLS"]),
                "submission" => start_tls(stream, ca, &["EHLO tool.example.test", "STARTTLS"]),
                "pop3" => start_tls(stream, ca, &["STLS"]),
                _ => Wire::over(stream, ca),
            };
            if !["imap", "submission", "pop3"].contains(listener) {
                wire.line();
            }
            let answer = match *listener {
                "imaps" | "imap" => {
                    wire.send(format!("a AUTHENTICATE XOAUTH2 {message}\r\n"));
                    after_challenge(&mut wire, "+ ")
                }
                "pop3s" | "pop3" => {
                    wire.send(format!("AUTH XOAUTH2 {message}\r\n"));
                    after_challenge(&mut wire, "+ ")
                }
                _ => {
                    wire.send("EHLO tool.example.test\r\n");
                    wire.reply();
                    wire.send(format!("AUTH XOAUTH2 {message}\r\n"));
                    after_challenge(&mut wire, "334 ")
                }
            };
            let is_in = ["a OK", "+OK", "235"].iter().any(|good| answer.starts_with(good));
            assert_eq!(is_in, expected, "{listener} by {how} from {source}: {answer}");
        }
    }
    assert_eq!(sources(gateway, "login.accepted"), [TOOL; 7]);
    assert_eq!(sources(gateway, "login.refused"), [ELSEWHERE; 7]);
    // Without the proxy it is somewhere else.
    let mut direct = gateway.imap();
    let refused = direct.command("a", &format!("LOGIN {ADDRESS} {token}"));
    assert!(refused.last().is_some_and(|line| line.starts_with("a NO")), "{refused:?}");
}

/// Greeting, commands, and TLS once the last of them was granted.
fn start_tls(mut stream: TcpStream, ca: &std::path::Path, commands: &[&str]) -> Wire {
    line(&mut stream);
    for command in commands {
        stream.write_all(format!("{command}\r\n").as_bytes()).expect("send");
        while line(&mut stream).as_bytes().get(3) == Some(&b'-') {}
    }
    Wire::over(stream, ca)
}

/// The answer to a login; a refusal of XOAUTH2 is told in a challenge first.
fn after_challenge(wire: &mut Wire, mark: &str) -> String {
    let first = wire.line();
    if !first.starts_with(mark) {
        return first;
    }
    wire.send("\r\n");
    wire.line()
}

#[test]
fn gw_14_who_is_not_listed_and_says_whose_connection_it_is_is_closed() {
    let mut stage = ScriptedStage::set();
    for round in ["nobody is listed", "others are listed"] {
        if round == "others are listed" {
            list_proxies(&mut stage.gateway);
        }
        for listener in ["https", "imaps", "smtps", "pop3s", "imap", "submission", "pop3"] {
            for header in [v1(TOOL), b"PROXY UNKNOWN\r\n".to_vec(), v2(0x21, [127, 0, 0, 77]), v2(0x20, [0; 4])] {
                for at_once in [true, false] {
                    let mut stream = tcp(stage.gateway.port(listener));
                    if ["imap", "submission", "pop3"].contains(&listener) {
                        assert!(line(&mut stream).contains("localhost"), "{listener} greets");
                    }
                    let pieces: Vec<&[u8]> = if at_once { vec![&header] } else { header.chunks(1).collect() };
                    for piece in pieces {
                        // It may be closed before the last octet has gone.
                        if stream.write_all(piece).is_err() {
                            break;
                        }
                    }
                    let _ = stream.write_all(b"a CAPABILITY\r\nEHLO x\r\nCAPA\r\n");
                    let heard = String::from_utf8_lossy(&heard(&mut stream)).into_owned();
                    let is_served = ["a OK", "250", "+OK", "CAPABILITY"].iter().any(|word| heard.contains(word));
                    assert!(!is_served, "{round}, {listener}, {header:?}: {heard:?}");
                    // Of octets that come one by one, the first may be answered before the rest is there: as no TLS, or as no command.
                    let is_refused = |word| heard.starts_with(word);
                    let answered = ["\u{15}", "* BAD", "502", "-ERR"].into_iter().any(is_refused);
                    assert!(heard.is_empty() || (!at_once && answered), "{round}, {listener}: {heard:?}");
                }
            }
        }
    }
    assert!(stage.gateway.output().contains("not listed in proxy_protocol_from"), "the operator is told");
    // A tag that is called so is nobody's header.
    let mut imap = tcp(stage.gateway.port("imap"));
    line(&mut imap);
    imap.write_all(b"PROXY NOOP\r\n").expect("send");
    assert!(line(&mut imap).starts_with("PROXY OK"));
    assert_eq!(stage.gateway.imap().command_ok("PROXY", "NOOP"), ["PROXY OK done"]);
}

#[test]
fn gw_14_a_listed_proxy_must_tell_and_in_time() {
    let mut stage = ScriptedStage::set();
    list_proxies(&mut stage.gateway);
    let gateway = &stage.gateway;
    let long = [SIGNATURE, &[0x21, 0x11, 0x02, 0x09], &[0; 521]].concat();
    for wrong in [
        &b"a CAPABILITY\r\n"[..],
        b"PROXY TCP4 mail.example.test 127.0.0.1 50000 993\r\n",
        b"PROXY TCP4 127.0.0.77 127.0.0.1 50000 993\n",
        &[b"PROXY UNKNOWN ", &[b'x'; 200][..], b"\r\n"].concat(),
        &long,
        &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03, 0x00, 0x00],
    ] {
        for listener in ["https", "imaps", "imap", "submission", "pop3"] {
            let mut stream = from_proxy(gateway, listener);
            let _ = stream.write_all(wrong);
            assert_eq!(heard(&mut stream), b"", "{listener}: {:?}", String::from_utf8_lossy(wrong));
        }
    }
    // Nothing, or an octet now and then, is waited for a few seconds, and no greeting comes before the header.
    let began = Instant::now();
    let mut silent = ["https", "imaps", "imap"].map(|listener| from_proxy(gateway, listener));
    let mut slow = from_proxy(gateway, "submission");
    slow.write_all(&v1(TOOL)[..20]).expect("send");
    for stream in silent.iter_mut().chain([&mut slow]) {
        assert_eq!(heard(stream), b"");
    }
    assert!(began.elapsed() < Duration::from_secs(30));
    assert!(gateway.output().contains("a proxy of proxy_protocol_from is refused"), "the operator is told");

    // The proxy's own connections, and those whose origin it does not know, come from itself; what follows a header is not lost.
    let token = stage.token("backup");
    for (header, source) in [
        (v2(0x20, [0; 4]), haproxy::ADDRESS),
        (b"PROXY UNKNOWN\r\n".to_vec(), haproxy::ADDRESS),
        (v2(0x21, [127, 0, 0, 77]), TOOL),
    ] {
        let mut clear = from_proxy(gateway, "imap");
        clear.write_all(&[&header[..], b"a NOOP\r\n"].concat()).expect("send");
        assert!(line(&mut clear).starts_with("* OK") && line(&mut clear).starts_with("a OK"));
        let mut stream = from_proxy(gateway, "imaps");
        stream.write_all(&header).expect("send");
        let mut imap = Wire::over(stream, gateway.ca_file());
        imap.line();
        imap.command_ok("a", &format!("LOGIN {ADDRESS} {token}"));
        assert_eq!(sources(gateway, "login.accepted").pop().as_deref(), Some(source));
    }
}

#[test]
fn gw_14_a_source_behind_a_proxy_has_its_own_share_of_the_places() {
    let mut stage = ScriptedStage::set();
    stage.gateway.edit_config("[upstream]\n", "[limits]\nmax_connections_per_source = 2\n[upstream]\n");
    list_proxies(&mut stage.gateway);
    let connect = |source: &str| {
        let mut stream = from_proxy(&stage.gateway, "imap");
        stream.write_all(&v1(source)).expect("send");
        let greeting = line(&mut stream);
        greeting.starts_with("* OK").then_some(stream)
    };
    let held: Vec<_> = (0..2).map(|_| connect(TOOL).expect("a place")).collect();
    assert!(connect(TOOL).is_none(), "the source has its share");
    let others: Vec<_> = (0..2).map(|_| connect(ELSEWHERE).expect("a place of another source")).collect();
    drop((held, others));
}
