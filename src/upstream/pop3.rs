//! Logging in by POP3: what the agent does at the gateway. Mailboxes themselves are reached by IMAP and SMTP only.

use tokio::time::timeout;

use crate::domain::mailbox::{Endpoint, TlsMode};
use crate::domain::secret::{Password, Secret};
use crate::upstream::dial::{Dialer, LOGIN_TIMEOUT};
use crate::upstream::wire::Wire;
use crate::upstream::{UpstreamError, send_plain};

/// Longest line taken during login. RFC 2449 section 4 allows 512.
const MAX_LINE: usize = 1024;

/// Dials with TLS and logs in with AUTH PLAIN. The maildrop is open then.
pub async fn login(
    dialer: &Dialer,
    endpoint: &Endpoint,
    username: &str,
    password: &Secret<Password>,
) -> Result<Wire, UpstreamError> {
    timeout(LOGIN_TIMEOUT, converse(dialer, endpoint, username, password)).await.map_err(|_| UpstreamError::Timeout)?
}

async fn converse(
    dialer: &Dialer,
    endpoint: &Endpoint,
    username: &str,
    password: &Secret<Password>,
) -> Result<Wire, UpstreamError> {
    if endpoint.tls != TlsMode::Implicit {
        return Err(UpstreamError::NoStarttls);
    }
    let tcp = dialer.tcp(endpoint).await?;
    let mut wire = Wire::new(dialer.tls(endpoint, tcp).await?);
    verdict(&wire.line(MAX_LINE).await?)?;
    wire.send(b"AUTH PLAIN\r\n").await?;
    if !wire.line(MAX_LINE).await?.starts_with(b"+ ") {
        return Err(UpstreamError::Protocol);
    }
    send_plain(&mut wire, "", username, password).await?;
    verdict(&wire.line(MAX_LINE).await?)?;
    Ok(wire)
}

/// What a status line says. Trouble that passes is no verdict on the password.
fn verdict(line: &[u8]) -> Result<(), UpstreamError> {
    if line == b"+OK" || line.starts_with(b"+OK ") {
        return Ok(());
    }
    let text = line.strip_prefix(b"-ERR").ok_or(UpstreamError::Protocol)?.to_ascii_uppercase();
    let is_passing = [&b" [SYS/TEMP]"[..], b" [IN-USE]", b" [LOGIN-DELAY]"].iter().any(|code| text.starts_with(code));
    Err(if is_passing { UpstreamError::Unreachable } else { UpstreamError::Refused })
}

#[cfg(test)]
mod tests {
    use super::verdict;
    use crate::upstream::UpstreamError;

    #[test]
    fn a_status_line_is_a_yes_a_no_a_not_now_or_nothing() {
        assert_eq!(verdict(b"+OK"), Ok(()));
        assert_eq!(verdict(b"+OK 3 messages"), Ok(()));
        for refused in [&b"-ERR"[..], b"-ERR [AUTH] no", b"-ERR [SYS/PERM] no"] {
            assert_eq!(verdict(refused), Err(UpstreamError::Refused));
        }
        for passing in [&b"-ERR [SYS/TEMP] later"[..], b"-ERR [in-use] locked"] {
            assert_eq!(verdict(passing), Err(UpstreamError::Unreachable));
        }
        for wrong in [&b""[..], b"+", b"+ go on", b"+OKAY", b"* OK"] {
            assert_eq!(verdict(wrong), Err(UpstreamError::Protocol));
        }
    }
}
