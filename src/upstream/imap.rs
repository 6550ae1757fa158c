//! Logging in at an IMAP upstream.

use std::time::Duration;

use tokio::time::timeout;

use crate::domain::mailbox::{Endpoint, TlsMode};
use crate::domain::secret::{Password, Secret};
use crate::protocol::imap::response::{Kind, kind};
use crate::upstream::dial::{Dialer, LOGIN_TIMEOUT};
use crate::upstream::wire::{Wire, WireError};
use crate::upstream::{UpstreamError, send_plain};

/// Longest line taken during login.
const MAX_LINE: usize = 8192;
/// Most untagged lines taken per command during login.
const MAX_LINES: usize = 100;

/// How long the upstream may take to leave a folder when a session ends.
const PARTING_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection that is logged in, with nothing selected.
#[derive(Debug)]
pub struct Connection {
    /// The connection.
    pub wire: Wire,
    /// What the upstream can do, in upper case, asked for after login.
    pub capabilities: Vec<String>,
}

impl From<WireError> for UpstreamError {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Closed => Self::Unreachable,
            WireError::TooLong | WireError::BadLine => Self::Protocol,
        }
    }
}

/// Dials, starts TLS, logs in with AUTHENTICATE PLAIN or LOGIN, asks for the capabilities.
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
            greeting(&wire.line(MAX_LINE).await?)?;
            wire
        }
        TlsMode::Starttls => Wire::new(dialer.tls(endpoint, starttls(tcp).await?).await?),
    };
    let capabilities = capabilities(&mut wire).await?;
    let has = |name: &str| capabilities.iter().any(|capability| capability == name);
    let status = if has("AUTH=PLAIN") {
        wire.send(b"w2 AUTHENTICATE PLAIN\r\n").await?;
        if kind(&wire.line(MAX_LINE).await?) != Kind::Continuation {
            return Err(UpstreamError::Protocol);
        }
        send_plain(&mut wire, "", username, password).await?;
        tagged(&mut wire, "w2").await?
    } else if has("LOGINDISABLED") {
        return Err(UpstreamError::Protocol);
    } else {
        let user = quoted(username.as_bytes()).ok_or(UpstreamError::Protocol)?;
        let secret = zeroize::Zeroizing::new(password.expose(quoted).ok_or(UpstreamError::Protocol)?);
        let command = zeroize::Zeroizing::new([b"w2 LOGIN ", user.as_slice(), b" ", &secret, b"\r\n"].concat());
        wire.send_secret(&command).await?;
        tagged(&mut wire, "w2").await?
    };
    status?;
    let capabilities = self::capabilities(&mut wire).await?;
    Ok(Connection { wire, capabilities })
}

/// Leaves the folder that is open, so that whoever comes next finds none. `false` when the upstream cannot do that without expunging, or
/// does not say that it did.
pub async fn leave_folder(connection: &mut Connection, tag: &str) -> bool {
    let can = connection.capabilities.iter().any(|known| known == "UNSELECT");
    can && timeout(PARTING_TIMEOUT, is_done(&mut connection.wire, tag, "UNSELECT")).await.is_ok_and(|is_good| is_good)
}

/// Whether the upstream answers.
pub async fn noop(wire: &mut Wire, tag: &str) -> bool {
    is_done(wire, tag, "NOOP").await
}

/// Whether a command that nobody waits for ends well. News about a folder may come before that; they are dropped.
async fn is_done(wire: &mut Wire, tag: &str, command: &str) -> bool {
    if wire.send(format!("{tag} {command}\r\n").as_bytes()).await.is_err() {
        return false;
    }
    for _ in 0..MAX_LINES {
        let Ok(line) = wire.line(MAX_LINE).await else { return false };
        match kind(&line) {
            Kind::Tagged(found, status, _) => return found == tag && status.eq_ignore_ascii_case("OK"),
            Kind::Continuation | Kind::Malformed | Kind::Bye => return false,
            // What follows would not be a line.
            _ if line.ends_with(b"}") => return false,
            _ => (),
        }
    }
    false
}

/// TLS by command, on a clear connection: refused when it is not offered, when the upstream says PREAUTH, or when anything follows
/// its OK before the handshake (UP-02).
async fn starttls(tcp: tokio::net::TcpStream) -> Result<tokio::net::TcpStream, UpstreamError> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut tcp = tcp;
    let line = async |tcp: &mut tokio::net::TcpStream| -> Result<Vec<u8>, UpstreamError> {
        let mut line = Vec::new();
        // Octet by octet, so that nothing beyond the line is taken from the stream that TLS is about to own.
        while !line.ends_with(b"\r\n") {
            line.push(tcp.read_u8().await.map_err(|_| UpstreamError::Unreachable)?);
            if line.len() > MAX_LINE {
                return Err(UpstreamError::Protocol);
            }
        }
        line.truncate(line.len() - 2);
        Ok(line)
    };
    greeting(&line(&mut tcp).await?)?;
    tcp.write_all(b"w0 STARTTLS\r\n").await.map_err(|_| UpstreamError::Unreachable)?;
    for _ in 0..MAX_LINES {
        let answer = line(&mut tcp).await?;
        match kind(&answer) {
            Kind::Tagged("w0", status, _) if status.eq_ignore_ascii_case("OK") => return Ok(tcp),
            Kind::Tagged(..) => return Err(UpstreamError::NoStarttls),
            Kind::Status => (),
            _ => return Err(UpstreamError::Protocol),
        }
    }
    Err(UpstreamError::Protocol)
}

fn greeting(line: &[u8]) -> Result<(), UpstreamError> {
    match line.get(..5) {
        Some(head) if head.eq_ignore_ascii_case(b"* OK ") => Ok(()),
        // It is stopping, or has too much to do.
        _ if kind(line) == Kind::Bye => Err(UpstreamError::Unreachable),
        _ => Err(UpstreamError::Protocol),
    }
}

async fn capabilities(wire: &mut Wire) -> Result<Vec<String>, UpstreamError> {
    wire.send(b"w1 CAPABILITY\r\n").await?;
    let mut found = Vec::new();
    for _ in 0..MAX_LINES {
        let line = wire.line(MAX_LINE).await?;
        match kind(&line) {
            Kind::Tagged(tag, status, _) => {
                let is_ok = tag == "w1" && status.eq_ignore_ascii_case("OK");
                return if is_ok && !found.is_empty() { Ok(found) } else { Err(UpstreamError::Protocol) };
            }
            Kind::Bye => return Err(UpstreamError::Unreachable),
            Kind::Continuation | Kind::Malformed => return Err(UpstreamError::Protocol),
            _ => (),
        }
        let text = String::from_utf8_lossy(&line).to_ascii_uppercase();
        if let Some(list) = text.strip_prefix("* CAPABILITY ") {
            found = list.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        }
    }
    Err(UpstreamError::Protocol)
}

/// The outcome of a login. A NO that speaks of load or trouble is no verdict on the password: it must not count towards the breaker.
async fn tagged(wire: &mut Wire, expected: &str) -> Result<Result<(), UpstreamError>, UpstreamError> {
    for _ in 0..MAX_LINES {
        let line = wire.line(MAX_LINE).await?;
        match kind(&line) {
            Kind::Tagged(tag, status, text) if tag == expected => {
                let passing = [
                    &b"[UNAVAILABLE]"[..],
                    b"[LIMIT]",
                    b"[INUSE]",
                    b"[SERVERBUG]",
                    b"[REFERRAL",
                    b"SERVER UNAVAILABLE",
                ];
                let text = text.to_ascii_uppercase();
                return Ok(match status.to_ascii_uppercase().as_str() {
                    "OK" => Ok(()),
                    "NO" if passing.iter().any(|code| text.starts_with(code)) => Err(UpstreamError::Unreachable),
                    "NO" => Err(UpstreamError::Refused),
                    _ => Err(UpstreamError::Protocol),
                });
            }
            Kind::Bye => return Err(UpstreamError::Unreachable),
            Kind::Tagged(..) | Kind::Continuation | Kind::Malformed => return Err(UpstreamError::Protocol),
            _ => (),
        }
    }
    Err(UpstreamError::Protocol)
}

/// A quoted string; `None` for what cannot stand in one.
fn quoted(text: &[u8]) -> Option<Vec<u8>> {
    if text.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n' | 0x80..)) {
        return None;
    }
    let mut out = vec![b'"'];
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
    Some(out)
}
