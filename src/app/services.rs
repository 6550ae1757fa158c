//! Services from settings, each made once.

use std::time::Duration;

use anyhow::Context;

use crate::audit::Audit;
use crate::config::{self, Config};
use crate::crypto::random;
use crate::domain::clock::Clock;
use crate::domain::entropy::Entropy;
use crate::domain::event::{Actor, AuditEvent, EventCode, Outcome};
use crate::domain::secret::{Kek, Secret};
use crate::registry::Registry;
use crate::store::Store;
use crate::upstream::berths::Settings;
use crate::upstream::dial::{DialPolicy, Dialer};
use crate::vault::{Vault, kek};

/// Layer 2 of the house.
#[derive(Debug, Clone)]
pub(super) struct Services {
    pub(super) store: Store,
    pub(super) registry: Registry,
    pub(super) vault: Vault,
    pub(super) audit: Audit,
    pub(super) dialer: Dialer,
    pub(super) clock: Clock,
    pub(super) entropy: Entropy,
}

/// Opens what `init` made. Refuses when the KEK is missing or another installation's (VL-03, VL-04); nothing is changed before.
pub(super) async fn start(config: &Config) -> anyhow::Result<Services> {
    let clock = Clock::system();
    let entropy = random::system();
    let kek = load_kek(config)?;
    let store = open_store(config).await?;
    let vault = Vault::unlock(store.clone(), kek, clock.clone(), entropy.clone()).await?;
    store.migrate().await?;
    let audit = Audit::start(store.clone(), clock.clone(), vault.audit_key()).await?;
    let audit = audit.with_checkpoints(vault.checkpoint_signer().await?);
    let dialer = dialer(config)?;
    let registry =
        Registry::new(store.clone(), vault.clone(), audit.clone(), dialer.clone(), clock.clone(), entropy.clone());
    let registry = registry.with_berths(berths(config));
    if store.is_exclusive() {
        registry.clear_dead_slots().await?;
        registry.clear_dead_seats().await?;
    }
    let event = AuditEvent::new(EventCode::ServiceStarted, Actor::System, Outcome::Success)
        .detail("version", env!("CARGO_PKG_VERSION"));
    audit.record(event).await?;
    Ok(Services { store, registry, vault, audit, dialer, clock, entropy })
}

/// How many connections there may be at upstreams, as the settings allow.
fn berths(config: &Config) -> Settings {
    let upstream = &config.upstream;
    Settings {
        imap: upstream.imap_connections,
        smtp: upstream.smtp_connections,
        keep: Duration::from_secs(upstream.keep_seconds.into()),
        keep_most: upstream.keep_connections,
    }
}

/// What dials upstreams, as the settings allow.
pub(super) fn dialer(config: &Config) -> anyhow::Result<Dialer> {
    let dialer = Dialer::new(DialPolicy { allow_networks: config.upstream.allow_networks.clone() });
    let file = &config.upstream.ca_file;
    if file.as_os_str().is_empty() {
        return Ok(dialer);
    }
    let pem =
        std::fs::read_to_string(file).with_context(|| format!("cannot read upstream.ca_file {}", file.display()))?;
    dialer.trusting(&pem).ok().with_context(|| format!("upstream.ca_file {} holds no CA certificate", file.display()))
}

/// Reads the KEK from where the settings point.
pub(super) fn load_kek(config: &Config) -> anyhow::Result<Secret<Kek>> {
    let lookup = |name: &str| config::secret(name).map(|value| value.to_string());
    Ok(kek::load(&config.vault.kek, &lookup)?)
}

/// Connects to the database.
pub(super) async fn open_store(config: &Config) -> anyhow::Result<Store> {
    let url = with_password(config)?;
    Ok(Store::open(&url).await?)
}

/// Connects to the database to look at it, beside a service that may be running.
pub(super) async fn open_store_reading(config: &Config) -> anyhow::Result<Store> {
    let url = with_password(config)?;
    Ok(Store::open_reading(&url).await?)
}

/// Puts the referenced password into the database URL. It never stands in the settings.
fn with_password(config: &Config) -> anyhow::Result<String> {
    let url = config.database_url();
    let reference = &config.database.password;
    if reference.is_empty() {
        return Ok(url);
    }
    let password = if let Some(path) = reference.strip_prefix("file:") {
        std::fs::read_to_string(path).with_context(|| format!("cannot read database.password from {path}"))?
    } else if let Some(name) = reference.strip_prefix("env:") {
        let found = config::secret(name).with_context(|| format!("database.password: {name} is not set"))?;
        found.to_string()
    } else if let Some(name) = reference.strip_prefix("credential:").filter(|name| !name.contains(['/', '\\'])) {
        let folder = config::secret("CREDENTIALS_DIRECTORY").context("CREDENTIALS_DIRECTORY is not set")?;
        let path = std::path::Path::new(folder.as_str()).join(name);
        std::fs::read_to_string(path)
            .with_context(|| format!("cannot read database.password from credential {name}"))?
    } else {
        anyhow::bail!("database.password must be a reference: file:PATH, env:NAME or credential:NAME");
    };
    let mut url = url::Url::parse(&url).context("database.url is not a URL")?;
    url.set_password(Some(password.trim_end())).ok().context("database.url cannot carry a password")?;
    Ok(url.into())
}
