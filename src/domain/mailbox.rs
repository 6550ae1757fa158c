//! A shared mailbox and where its upstream is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::address::MailAddress;
use crate::domain::client::Status;
use crate::domain::clock::Timestamp;
use crate::domain::id::MailboxId;
use crate::domain::session::Protocol;

/// A registered shared mailbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mailbox {
    /// Its id.
    pub id: MailboxId,
    /// Its address: what tools name, in `resource` and as user name.
    pub address: MailAddress,
    /// Whether it may be used.
    pub status: Status,
    /// Whether the upstream still takes our credential.
    pub health: Health,
    /// How we reach and log in to it.
    pub upstream: Upstream,
    /// Tokens issued up to here are refused.
    pub tokens_valid_after: Timestamp,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// Whether the upstream takes the current credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// As far as we know it does.
    Good,
    /// It refused the credential too often: nobody logs in until a person acts or the next probe succeeds (UP-08).
    Quarantined,
}

impl Health {
    /// The word in SQL and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Quarantined => "quarantined",
        }
    }

    /// Reads the word; `None` for any other.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Good, Self::Quarantined].into_iter().find(|health| health.as_str() == text)
    }
}

/// The provider's endpoints and the name that we log in with. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// The code that speaks to it.
    pub connector: Connector,
    /// The user name at the upstream; may differ from the mailbox's address.
    pub username: String,
    /// Where mail is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imap: Option<Endpoint>,
    /// Where mail is submitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smtp: Option<Endpoint>,
}

impl Upstream {
    /// Where tools' `protocol` leads; POP3 is served from IMAP.
    pub fn endpoint(&self, protocol: Protocol) -> Option<&Endpoint> {
        match protocol {
            Protocol::Imap | Protocol::Pop3 => self.imap.as_ref(),
            Protocol::Smtp => self.smtp.as_ref(),
        }
    }
}

/// The code for one kind of upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Connector {
    /// Any IMAP/SMTP server, with a password.
    Imap,
}

/// One host and how to speak TLS to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// DNS name or address literal; also the name that the certificate must carry.
    pub host: String,
    /// TCP port.
    #[schema(maximum = 65535)]
    pub port: u16,
    /// How TLS starts.
    pub tls: TlsMode,
    /// PEM text of the CA certificates that vouch for it instead of the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
}

/// How TLS starts. There is no third way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// From the first byte (RFC 8314).
    Implicit,
    /// By command; refused when the upstream does not offer it (UP-02).
    Starttls,
}
