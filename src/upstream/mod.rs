//! Upstreams: dial, log in, share and keep connections. What comes back is bounded in bytes and time; text from an upstream never reaches a log or a tool.

pub mod berths;
pub mod dial;
pub mod imap;
pub mod jwks;
#[cfg(test)]
pub(crate) mod key_host;
pub mod pop3;
pub mod smtp;
mod trust;
pub mod wire;

use std::time::Duration;

use zeroize::Zeroizing;

use crate::crypto::encoding::base64;
use crate::domain::fault::{Classify, Fault};
use crate::domain::mailbox::Upstream;
use crate::domain::secret::{Password, Secret};
use crate::upstream::wire::Wire;

pub use crate::upstream::dial::{DialPolicy, Dialer};

/// How long an upstream may be silent when it was asked something for a tool. A search of a large folder takes minutes.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Why an upstream could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// It said no to our credential.
    #[error("the upstream refused user name or password")]
    Refused,
    /// No connection.
    #[error("the upstream cannot be reached: check host and port")]
    Unreachable,
    /// The address lies in a network that is not allowed.
    #[error("the upstream's address is not public; list its network in [upstream] allow_networks")]
    NotAllowed,
    /// TLS failed: certificate, host name, or no TLS at all.
    #[error("the upstream's certificate is not trusted for this host name; give its CA with --ca-file")]
    Certificate,
    /// TLS by command is not offered.
    #[error("the upstream offers no STARTTLS on this port; use --imap-tls or --smtp-tls implicit")]
    NoStarttls,
    /// It does not speak the protocol as it must.
    #[error("the upstream does not speak the expected protocol on this port")]
    Protocol,
    /// Too slow.
    #[error("the upstream did not answer in time")]
    Timeout,
}

impl Classify for UpstreamError {
    fn fault(&self) -> Fault {
        match self {
            Self::NotAllowed => Fault::Denied,
            Self::Refused
            | Self::Unreachable
            | Self::Certificate
            | Self::NoStarttls
            | Self::Protocol
            | Self::Timeout => Fault::Upstream,
        }
    }
}

/// How logging in went, per protocol; `None` where the mailbox has no such endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginReport {
    /// Reading.
    pub imap: Option<Result<(), UpstreamError>>,
    /// Submission.
    pub smtp: Option<Result<(), UpstreamError>>,
}

impl LoginReport {
    /// The first failure.
    pub fn failure(&self) -> Option<UpstreamError> {
        [self.imap, self.smtp].into_iter().flatten().find_map(Result::err)
    }
}

/// Logs in at every endpoint, one after the other, and out again. After a refused password the second endpoint is not tried: two
/// wrong logins would count twice towards a lockout.
pub async fn prove(dialer: &Dialer, upstream: &Upstream, password: &Secret<Password>) -> LoginReport {
    let mut report = LoginReport { imap: None, smtp: None };
    if let Some(endpoint) = &upstream.imap {
        report.imap = Some(imap::login(dialer, endpoint, &upstream.username, password).await.map(drop));
    }
    if let Some(endpoint) = &upstream.smtp {
        report.smtp = Some(match report.imap {
            Some(Err(UpstreamError::Refused)) => Err(UpstreamError::Refused),
            _ => smtp::login(dialer, endpoint, &upstream.username, password).await.map(drop),
        });
    }
    report
}

/// Sends the message of SASL PLAIN (RFC 4616) behind `head`.
async fn send_plain(
    wire: &mut Wire,
    head: &str,
    username: &str,
    password: &Secret<Password>,
) -> Result<(), UpstreamError> {
    let message = Zeroizing::new(password.expose(|secret| {
        let message = Zeroizing::new([b"\0", username.as_bytes(), b"\0", secret].concat());
        base64(&message)
    }));
    Ok(wire.send_secret(Zeroizing::new(format!("{head}{}\r\n", message.as_str())).as_bytes()).await?)
}
