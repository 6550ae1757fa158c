//! `mailwarden doctor`: looks at all that must be right before and while the service runs, and changes nothing.

use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpListener;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::app::{edges, load, services};
use crate::audit::Audit;
use crate::config::Config;
use crate::crypto::random;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::mailbox::{Endpoint, TlsMode};
use crate::gateway::tls::Identity;
use crate::registry::Registry;
use crate::store::{Store, sql};
use crate::upstream::dial::Dialer;
use crate::vault::Vault;

/// What was looked at, and what was found.
#[derive(Debug)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// What is right about it, or wrong.
    pub outcome: anyhow::Result<String>,
}

impl Check {
    fn new(name: impl Into<String>, outcome: anyhow::Result<String>) -> Self {
        Self { name: name.into(), outcome }
    }
}

/// Looks at settings, KEK, certificate, listening addresses, database, and the endpoints of all mailboxes (without login).
pub async fn doctor(file: Option<PathBuf>) -> Vec<Check> {
    let config = match load(file) {
        Ok(config) => config,
        Err(error) => return vec![Check::new("settings", Err(error))],
    };
    let mut checks = vec![
        Check::new("settings", Ok("can be read".to_owned())),
        Check::new("kek", services::load_kek(&config).map(|_| "can be read".to_owned())),
        Check::new("certificate", certificate(&config, Clock::system().now())),
    ];
    match edges::client_ca(&config) {
        Err(error) => checks.push(Check::new("client authorities", Err(error))),
        Ok(Some(_)) => checks.push(Check::new("client authorities", Ok("can be read".to_owned()))),
        Ok(None) => {}
    }
    match edges::addresses(&config) {
        Err(error) => checks.push(Check::new("listen", Err(error))),
        Ok(addresses) => {
            for (port, address) in addresses {
                checks.push(Check::new(format!("listen {}", port.as_str()), listen(address).await));
            }
        }
    }
    match database(&config).await {
        Err(error) => checks.push(Check::new("database", Err(error))),
        Ok(store) => {
            checks.push(Check::new("database", Ok("answers, and its schema is this version's".to_owned())));
            upstreams(&config, store, &mut checks).await;
        }
    }
    checks
}

fn certificate(config: &Config, now: Timestamp) -> anyhow::Result<String> {
    let path = &config.tls.certificate;
    let identity = Identity::load(path, &config.tls.private_key)?;
    let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let leaf = CertificateDer::pem_slice_iter(&pem).next().context("the file holds no certificate")??;
    let (_, leaf) = X509Certificate::from_der(&leaf).map_err(|_| anyhow!("the certificate cannot be read"))?;
    if !identity.is_for(&config.server.hostname) {
        bail!("the certificate is not for {} (server.hostname)", config.server.hostname);
    }
    let end = Timestamp::from_secs(leaf.validity().not_after.timestamp());
    if now < Timestamp::from_secs(leaf.validity().not_before.timestamp()) {
        bail!("the certificate is not valid yet");
    }
    if end <= now {
        bail!("the certificate ended at {}", end.to_rfc3339());
    }
    Ok(format!("is for {}, until {}", config.server.hostname, end.to_rfc3339()))
}

async fn listen(address: std::net::SocketAddr) -> anyhow::Result<String> {
    match TcpListener::bind(address).await {
        Ok(_) => Ok(format!("{address} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Ok(format!("{address} is in use: by the service, if it runs"))
        }
        Err(error) => Err(error).with_context(|| format!("cannot listen at {address}")),
    }
}

async fn database(config: &Config) -> anyhow::Result<Store> {
    if let Some(path) = config.database_url().strip_prefix("sqlite:")
        && !std::path::Path::new(path.strip_prefix("//").unwrap_or(path)).exists()
    {
        bail!("{path} is not there: run `mailwarden init`");
    }
    let store = services::open_store_reading(config).await?;
    for statement in sql::ALL {
        let prepared = store.prepare(*statement).await;
        prepared.context("the schema is not this version's: run `mailwarden migrate`")?;
    }
    Ok(store)
}

async fn upstreams(config: &Config, store: Store, checks: &mut Vec<Check>) {
    let dialer = match services::dialer(config) {
        Ok(dialer) => dialer,
        Err(error) => return checks.push(Check::new("upstream", Err(error))),
    };
    let mailboxes = match registry(config, store, &dialer).await {
        Ok(registry) => registry.list_mailboxes().await.map_err(anyhow::Error::from),
        Err(error) => Err(error),
    };
    let mailboxes = match mailboxes {
        Ok(mailboxes) => mailboxes,
        Err(error) => return checks.push(Check::new("vault", Err(error))),
    };
    checks.push(Check::new("vault", Ok("opens with this KEK".to_owned())));
    for mailbox in mailboxes {
        for (name, endpoint) in [("imap", &mailbox.upstream.imap), ("smtp", &mailbox.upstream.smtp)] {
            if let Some(endpoint) = endpoint {
                let name = format!("{name} of {}", mailbox.address.as_str());
                checks.push(Check::new(name, reach(&dialer, endpoint).await));
            }
        }
    }
}

async fn registry(config: &Config, store: Store, dialer: &Dialer) -> anyhow::Result<Registry> {
    let (clock, entropy) = (Clock::system(), random::system());
    let vault = Vault::unlock(store.clone(), services::load_kek(config)?, clock.clone(), entropy.clone()).await?;
    let audit = Audit::start(store.clone(), clock.clone(), vault.audit_key()).await?;
    Ok(Registry::new(store, vault, audit, dialer.clone(), clock, entropy))
}

async fn reach(dialer: &Dialer, endpoint: &Endpoint) -> anyhow::Result<String> {
    let place = format!("{}:{}", endpoint.host, endpoint.port);
    let stream = dialer.tcp(endpoint).await.with_context(|| place.clone())?;
    match endpoint.tls {
        TlsMode::Implicit => {
            dialer.tls(endpoint, stream).await.with_context(|| place.clone())?;
            Ok(format!("{place} answers, and its certificate is good"))
        }
        TlsMode::Starttls => Ok(format!("{place} answers")),
    }
}
