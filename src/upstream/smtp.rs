//! Logging in at a submission upstream (RFC 6409, RFC 4954).

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::crypto::encoding::base64;
use crate::domain::mailbox::{Endpoint, TlsMode};
use crate::domain::secret::{Password, Secret};
use crate::upstream::dial::{Dialer, LOGIN_TIMEOUT};
use crate::upstream::wire::Wire;
use crate::upstream::{UpstreamError, send_plain};

/// Longest reply line taken.
const MAX_LINE: usize = 2048;
/// Most lines of one reply.
const MAX_LINES: usize = 100;

/// How long an upstream may take to answer MAIL, RCPT or RSET (RFC 5321 section 4.5.3.2).
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(300);
/// How long it may take to answer DATA.
pub const DATA_TIMEOUT: Duration = Duration::from_secs(120);
/// How long it may take to accept a piece of the message.
pub const BLOCK_TIMEOUT: Duration = Duration::from_secs(180);
/// How long it may take to answer the final dot.
pub const DOT_TIMEOUT: Duration = Duration::from_secs(600);

/// How long the upstream may take to answer RSET or NOOP between two sessions.
const PARTING_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection that is logged in, with no transaction begun.
#[derive(Debug)]
pub struct Connection {
    /// The connection.
    pub wire: Wire,
    /// What the upstream can do: EHLO keywords in upper case.
    pub keywords: Vec<String>,
}

impl Connection {
    /// Whether commands may be said without waiting for the answer to the one before (RFC 2920).
    pub fn takes_groups(&self) -> bool {
        self.keywords.iter().any(|keyword| keyword == "PIPELINING")
    }
}

/// A reply: its code, and its lines without codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// The text of each line.
    pub lines: Vec<String>,
}

/// Reads one reply, of one or more lines with the same code, within `limit`.
pub async fn reply(wire: &mut Wire, limit: Duration) -> Result<Reply, UpstreamError> {
    timeout(limit, lines(wire)).await.map_err(|_| UpstreamError::Timeout)?
}

async fn lines(wire: &mut Wire) -> Result<Reply, UpstreamError> {
    let mut lines = Vec::new();
    let mut first = None;
    for _ in 0..MAX_LINES {
        let line = wire.line(MAX_LINE).await?;
        let text = String::from_utf8_lossy(&line).into_owned();
        let (code, rest) = text.split_at_checked(3).ok_or(UpstreamError::Protocol)?;
        if !code.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(UpstreamError::Protocol);
        }
        let code: u16 = code.parse().map_err(|_| UpstreamError::Protocol)?;
        if !(200..600).contains(&code) || *first.get_or_insert(code) != code {
            return Err(UpstreamError::Protocol);
        }
        let is_last = match rest.chars().next() {
            None | Some(' ') => true,
            Some('-') => false,
            Some(_) => return Err(UpstreamError::Protocol),
        };
        lines.push(rest.get(1..).unwrap_or_default().to_owned());
        if is_last {
            return Ok(Reply { code, lines });
        }
    }
    Err(UpstreamError::Protocol)
}

/// Dials, starts TLS, says EHLO, logs in with AUTH PLAIN or LOGIN.
pub async fn login(
    dialer: &Dialer,
    endpoint: &Endpoint,
    username: &str,
    password: &Secret<Password>,
) -> Result<Connection, UpstreamError> {
    timeout(LOGIN_TIMEOUT, converse(dialer, endpoint, username, password)).await.map_err(|_| UpstreamError::Timeout)?
}

async fn converse(
    dialer: &Dialer,
    endpoint: &Endpoint,
    username: &str,
    password: &Secret<Password>,
) -> Result<Connection, UpstreamError> {
    let tcp = dialer.tcp(endpoint).await?;
    let mut wire = match endpoint.tls {
        TlsMode::Implicit => {
            let mut wire = Wire::new(dialer.tls(endpoint, tcp).await?);
            expect(reply(&mut wire, LOGIN_TIMEOUT).await?, 220)?;
            wire
        }
        TlsMode::Starttls => Wire::new(dialer.tls(endpoint, starttls(tcp).await?).await?),
    };
    let keywords = ehlo(&mut wire).await?;
    let offers = |mechanism: &str| {
        keywords.iter().any(|line| line.starts_with("AUTH ") && line.split(' ').any(|word| word == mechanism))
    };
    let outcome = if offers("PLAIN") {
        send_plain(&mut wire, "AUTH PLAIN ", username, password).await?;
        reply(&mut wire, LOGIN_TIMEOUT).await?
    } else if offers("LOGIN") {
        wire.send(b"AUTH LOGIN\r\n").await?;
        expect(reply(&mut wire, LOGIN_TIMEOUT).await?, 334)?;
        wire.send(format!("{}\r\n", base64(username.as_bytes())).as_bytes()).await?;
        expect(reply(&mut wire, LOGIN_TIMEOUT).await?, 334)?;
        let response = zeroize::Zeroizing::new(password.expose(base64));
        wire.send_secret(&zeroize::Zeroizing::new(format!("{}\r\n", response.as_str()).into_bytes())).await?;
        reply(&mut wire, LOGIN_TIMEOUT).await?
    } else {
        return Err(UpstreamError::Protocol);
    };
    match outcome.code {
        235 => Ok(Connection { wire, keywords }),
        535 | 534 => Err(UpstreamError::Refused),
        400..500 => Err(UpstreamError::Unreachable),
        _ => Err(UpstreamError::Protocol),
    }
}

/// Ends whatever transaction there may be, when a session ends. `false` when the upstream does not say that it did.
pub async fn clear(wire: &mut Wire) -> bool {
    is_done(wire, "RSET", PARTING_TIMEOUT).await
}

/// Whether the upstream answers.
pub async fn noop(wire: &mut Wire) -> bool {
    is_done(wire, "NOOP", PARTING_TIMEOUT).await
}

async fn is_done(wire: &mut Wire, command: &str, limit: Duration) -> bool {
    let answer = async {
        wire.send(format!("{command}\r\n").as_bytes()).await?;
        lines(wire).await
    };
    matches!(timeout(limit, answer).await, Ok(Ok(Reply { code: 250, .. })))
}

async fn ehlo(wire: &mut Wire) -> Result<Vec<String>, UpstreamError> {
    wire.send(b"EHLO mailwarden\r\n").await?;
    let answer = expect(reply(wire, LOGIN_TIMEOUT).await?, 250)?;
    Ok(answer.lines.into_iter().skip(1).map(|line| line.to_ascii_uppercase()).collect())
}

/// TLS by command, with nothing after the upstream's go-ahead (UP-02). The clear connection is read octet by octet, so that nothing
/// beyond a line is taken from the stream that TLS is about to own.
async fn starttls(mut tcp: TcpStream) -> Result<TcpStream, UpstreamError> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let conversation = [(None, "220"), (Some(&b"EHLO mailwarden\r\n"[..]), "250"), (Some(b"STARTTLS\r\n"), "220")];
    let mut offers = false;
    for (command, expected) in conversation {
        if let Some(command) = command {
            if command == b"STARTTLS\r\n" && !offers {
                return Err(UpstreamError::NoStarttls);
            }
            tcp.write_all(command).await.map_err(|_| UpstreamError::Unreachable)?;
        }
        for row in 0.. {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.push(tcp.read_u8().await.map_err(|_| UpstreamError::Unreachable)?);
                if line.len() > MAX_LINE || row > MAX_LINES {
                    return Err(UpstreamError::Protocol);
                }
            }
            if !line.starts_with(expected.as_bytes()) {
                return Err(UpstreamError::Protocol);
            }
            offers |= line.get(4..12).is_some_and(|word| word.eq_ignore_ascii_case(b"STARTTLS"));
            if line.get(3) != Some(&b'-') {
                break;
            }
        }
    }
    Ok(tcp)
}

fn expect(reply: Reply, code: u16) -> Result<Reply, UpstreamError> {
    if reply.code == code { Ok(reply) } else { Err(UpstreamError::Protocol) }
}
