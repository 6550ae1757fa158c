//! HTTP/1.1 requests written octet by octet, from any address of loopback.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::gateway::{Gateway, Tool, base64};
use super::wire::{self, Answer, Wire};

/// The least that a token request says.
pub(crate) const GRANT: &str = "grant_type=client_credentials";

/// Where most requests come from.
pub(crate) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The Nth other address of this machine: to the gateway it is another source.
pub(crate) fn elsewhere(number: usize) -> IpAddr {
    let [high, low] = u16::try_from(number + 2).expect("few addresses").to_be_bytes();
    Ipv4Addr::new(127, 0, high, low).into()
}

/// A connection to the gateway's HTTPS port from `source`.
pub(crate) fn connect(gateway: &Gateway, source: IpAddr) -> Wire {
    let stream = wire::tcp_from(source, gateway.port("https"));
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("set the time limit");
    Wire::over(stream, gateway.ca_file())
}

/// Sends one request on a connection that stays open, and reads its answer.
pub(crate) fn exchange(wire: &mut Wire, request: impl AsRef<[u8]>) -> Answer {
    wire.send(request);
    answer(wire)
}

/// Reads one answer, by its Content-Length.
pub(crate) fn answer(wire: &mut Wire) -> Answer {
    let mut lines = Vec::new();
    loop {
        let line = wire.line();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let status = lines[0].split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
    let mut answer = Answer { status, head: lines.join("\n"), body: String::new() };
    let length = answer.header("content-length").map_or(0, |length| length.parse().expect("a length"));
    answer.body = String::from_utf8(wire.octets(length)).expect("text");
    answer
}

/// Sends one request from `source` on a connection of its own.
pub(crate) fn ask(gateway: &Gateway, source: IpAddr, request: impl AsRef<[u8]>) -> Answer {
    exchange(&mut connect(gateway, source), request)
}

/// A request for a page without side effects.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// A token request with these further header lines (each ended) and this body.
pub(crate) fn post(headers: &str, body: &str) -> String {
    post_to("/oauth/token", headers, body)
}

/// A form for another endpoint.
pub(crate) fn post_to(path: &str, headers: &str, body: &str) -> String {
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let form = if headers.to_ascii_lowercase().contains("content-type:") { "" } else { form };
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{form}{headers}Content-Length: {length}\r\n\r\n{body}")
}

/// The header line of client_secret_basic.
pub(crate) fn basic(tool: &Tool) -> String {
    format!("Authorization: Basic {}\r\n", base64(format!("{}:{}", tool.id, tool.secret).as_bytes()))
}

/// Status, headers and body without what differs between any two answers: the date and the request id.
pub(crate) fn masked(answer: &Answer) -> String {
    let head = answer.head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("date:"));
    let head = head.collect::<Vec<_>>().join("\n");
    let mut body = answer.body.clone();
    if let Some(at) = body.find("\"req_") {
        body.replace_range(at + 5..at + 17, "............");
    }
    format!("{head}\n\n{body}")
}

/// What an answer refuses with.
pub(crate) fn error(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["error"].as_str().unwrap_or_default().to_owned())
}

/// The same, as it should be.
pub(crate) fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}
