//! Puts the house together: settings → services → edges; starts, stops, and the demo.

mod dev;
mod dev_ca;
mod dev_env;
mod dev_text;
mod doctor;
mod edges;
mod hardening;
mod lifecycle;
mod services;

use std::path::PathBuf;

use anyhow::Context;

use crate::config::{Config, DEFAULT_FILE, Log, LogFormat, environment};
use crate::crypto::random;
use crate::domain::clock::Clock;
use crate::domain::event::Actor;
use crate::domain::operator::Role;
use crate::domain::secret::{OperatorToken, Secret};
use crate::telemetry;
use crate::vault::{Vault, kek};

pub use dev::{DevOptions, dev};
pub use doctor::{Check, doctor};

/// How to start the service.
#[derive(Debug, Clone, Default)]
pub struct ServeOptions {
    /// The settings file; `None`: the default one if it exists.
    pub config: Option<PathBuf>,
}

/// Runs the service until it is told to stop (SIGINT or SIGTERM; a second one stops at once).
pub async fn serve(options: ServeOptions) -> anyhow::Result<()> {
    let config = load(options.config)?;
    hardening::leave_environment(&config)?;
    hardening::forbid_dumps()?;
    telemetry::start(&config.log);
    hardening::allow_files();
    let services = services::start(&config).await?;
    hardening::forget_environment();
    let identity = crate::gateway::tls::Identity::load(&config.tls.certificate, &config.tls.private_key)?;
    let edges = edges::bind(&config).await?;
    let running = edges.start(&config, services, &identity).await?;
    running.announce();
    lifecycle::until_told_to_stop(running).await;
    Ok(())
}

/// What [`init`] made.
#[derive(Debug)]
pub struct Initialised {
    /// The first operator's token, shown this once.
    pub token: Secret<OperatorToken>,
    /// Where the KEK was made, when it was made here.
    pub kek_file: Option<PathBuf>,
}

/// Makes KEK (where its reference is a file that does not exist yet), database and the first operator.
pub async fn init(config: Option<PathBuf>) -> anyhow::Result<Initialised> {
    let config = load(config)?;
    hardening::forbid_dumps()?;
    telemetry::start(&config.log);
    std::fs::create_dir_all(&config.server.data)
        .with_context(|| format!("cannot make the data folder {}", config.server.data.display()))?;
    let entropy = random::system();
    let mut kek_file = None;
    if let Some(path) = config.vault.kek.strip_prefix("file:").map(PathBuf::from)
        && !path.exists()
    {
        kek::create_file(&path, &entropy)?;
        kek_file = Some(path);
    }
    let clock = Clock::system();
    let kek = services::load_kek(&config)?;
    let store = services::open_store(&config).await?;
    store.migrate().await?;
    Vault::create(store, kek, clock, entropy).await?;
    let services = services::start(&config).await?;
    let (_, token) = services.registry.add_operator(&Actor::System, "first", Role::Admin, None).await?;
    Ok(Initialised { token, kek_file })
}

/// For a command that holds secrets for long and reads no settings: nobody may look into it, and it logs warnings.
pub fn close_to_debuggers() -> anyhow::Result<()> {
    telemetry::start(&Log { filter: "warn".to_owned(), format: LogFormat::Text });
    hardening::forbid_dumps()
}

/// Reads the settings and says whether they can be used, without starting anything.
pub fn check_config(config: Option<PathBuf>) -> anyhow::Result<()> {
    let config = load(config)?;
    edges::addresses(&config)?;
    crate::gateway::tls::Identity::load(&config.tls.certificate, &config.tls.private_key)?;
    services::load_kek(&config).map(drop)
}

/// Brings the database's schema up to this version.
pub async fn migrate(config: Option<PathBuf>) -> anyhow::Result<()> {
    let config = load(config)?;
    Ok(services::open_store(&config).await?.migrate().await?)
}

fn load(file: Option<PathBuf>) -> anyhow::Result<Config> {
    let file = file.or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()));
    Ok(Config::load(file.as_deref(), &environment())?)
}
