//! Settings: the compiled-in defaults, then the file, then the environment. Unknown keys refuse to start.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::Deserialize;
use zeroize::Zeroizing;

mod layers;

/// Everything that can be set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Names and places.
    pub server: Server,
    /// Our certificate.
    pub tls: Tls,
    /// Where state is kept.
    pub database: Database,
    /// The key encryption key.
    pub vault: Vault,
    /// Listeners.
    pub listen: Listen,
    /// Numbers that bound what strangers can use up.
    pub limits: Limits,
    /// What the mail gateways offer.
    pub gateway: Gateway,
    /// What upstreams may be.
    pub upstream: Upstream,
    /// Logs.
    pub log: Log,
}

/// Names and places.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// DNS name that tools use.
    pub hostname: String,
    /// OAuth issuer; [`Config::issuer`] fills in the default.
    pub issuer: String,
    /// Folder for state besides the database.
    pub data: PathBuf,
}

/// Our certificate.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the chain, leaf first.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub private_key: PathBuf,
    /// PEM file with the authorities whose certificates prove clients; empty: none.
    pub client_ca: PathBuf,
}

/// Where state is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// `sqlite:PATH` or `postgres://...` without a password.
    pub url: String,
    /// Reference to the password.
    pub password: String,
}

/// The key encryption key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vault {
    /// Reference to the KEK.
    pub kek: String,
}

/// Listeners; empty text switches one off.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// OAuth and admin API.
    pub https: String,
    /// IMAP, TLS from the first byte.
    pub imaps: String,
    /// IMAP with STARTTLS.
    pub imap: String,
    /// Submission, TLS from the first byte.
    pub smtps: String,
    /// Submission with STARTTLS.
    pub submission: String,
    /// POP3, TLS from the first byte.
    pub pop3s: String,
    /// POP3 with STLS.
    pub pop3: String,
    /// Health and readiness.
    pub ops: String,
    /// Who speaks the PROXY protocol at all of them but `ops`.
    pub proxy_protocol_from: Vec<IpNet>,
}

/// Numbers that bound what strangers can use up.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Mail connections open together.
    pub max_connections: usize,
    /// Those of them that one source may hold; 0: all.
    pub max_connections_per_source: usize,
    /// Largest submitted message in bytes.
    pub max_message_bytes: u64,
}

/// What the mail gateways offer.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// IMAP's SORT and THREAD.
    pub costly_search: bool,
    /// For how long a session whose upstream was lost tries to log in again.
    pub relogin_secs: u64,
    /// How often IDLE is begun anew upstream.
    pub idle_renewal_secs: u64,
}

/// What upstreams may be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Networks allowed although not public.
    pub allow_networks: Vec<IpNet>,
    /// PEM file with CA certificates trusted beside the public ones; empty: none.
    pub ca_file: PathBuf,
    /// Most connections for reading that a mailbox has at a time; 0: no limit.
    pub imap_connections: usize,
    /// Most connections for submission; 0: no limit.
    pub smtp_connections: usize,
    /// How long a connection rests between two sessions; 0: it does not.
    pub keep_seconds: u32,
    /// How many rest for a mailbox, of each kind.
    pub keep_connections: usize,
}

/// Logs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// tracing's EnvFilter syntax.
    pub filter: String,
    /// `text` or `json`.
    pub format: LogFormat,
}

/// The shape of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For collectors.
    Json,
}

/// What is wrong with the settings, in one line that says where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        reason: std::io::Error,
    },
    /// The text is not TOML, has an unknown key or a value of the wrong kind.
    #[error("{origin}: {message}")]
    Invalid {
        /// File, or environment variable.
        origin: String,
        /// What the parser says, without the value.
        message: String,
    },
    /// A key that has no default is not set.
    #[error("{key} must be set: {hint}")]
    Missing {
        /// The key, as `section.key`.
        key: &'static str,
        /// What to do.
        hint: &'static str,
    },
}

impl Config {
    /// Reads the layers. `environment` is looked through for `MAILWARDEN_SECTION_KEY`.
    pub fn load(file: Option<&Path>, environment: &[(String, String)]) -> Result<Self, ConfigError> {
        layers::merge(file, environment)
    }

    /// The same with the text of a file, which errors call `origin`.
    pub fn parse(text: &str, origin: &str, environment: &[(String, String)]) -> Result<Self, ConfigError> {
        layers::merge_text(Some((text, origin)), environment)
    }

    /// The issuer, filled in from host name and port when not set.
    pub fn issuer(&self, https: Option<SocketAddr>) -> String {
        if !self.server.issuer.is_empty() {
            return self.server.issuer.clone();
        }
        match https.map(|address| address.port()) {
            None | Some(443) => format!("https://{}/oauth", self.server.hostname),
            Some(port) => format!("https://{}:{port}/oauth", self.server.hostname),
        }
    }

    /// The database, filled in from the data folder when not set.
    pub fn database_url(&self) -> String {
        if self.database.url.is_empty() {
            format!("sqlite:{}", self.server.data.join("mailwarden.db").display())
        } else {
            self.database.url.clone()
        }
    }
}

/// The environment of this process: the one place that reads it.
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The variable that names the memory file with secrets that left the environment ([`secret`] reads it).
pub const LEFT_ENVIRONMENT: &str = "MAILWARDEN_SECRETS_FD";

/// The environment variable `name`, or what it held before it left the environment of this process.
pub fn secret(name: &str) -> Option<Zeroizing<String>> {
    let environment = environment();
    let find = |wanted: &str| environment.iter().find(|(known, _)| known == wanted).map(|(_, value)| value);
    if let Some(value) = find(name) {
        return Some(Zeroizing::new(value.clone()));
    }
    let kept = Zeroizing::new(std::fs::read_to_string(format!("/proc/self/fd/{}", find(LEFT_ENVIRONMENT)?)).ok()?);
    let mut records = kept.split('\0').filter_map(|record| record.split_once('='));
    records.find(|(known, _)| *known == name).map(|(_, value)| Zeroizing::new(value.to_owned()))
}

/// Where `--config` points when it is not given, if that file exists.
pub const DEFAULT_FILE: &str = "/etc/mailwarden/mailwarden.toml";
