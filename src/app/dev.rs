//! `mailwarden dev`: the main job on embedded defaults, on loopback, with a built-in upstream and sample mail.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context;

use crate::app::dev_ca;
use crate::app::dev_env::DevEnv;
use crate::app::dev_text;
use crate::app::edges::{self, Port};
use crate::app::hardening;
use crate::app::lifecycle;
use crate::app::services::{self, Services};
use crate::config::{
    Config, Database, Gateway, Limits, Listen, Log, LogFormat, Server, Tls, Upstream, Vault as VaultSettings,
};
use crate::crypto::encoding::base64url;
use crate::crypto::random;
use crate::domain::address::MailAddress;
use crate::domain::client::TokenAlg;
use crate::domain::clock::Clock;
use crate::domain::event::Actor;
use crate::domain::id::MailboxId;
use crate::domain::mailbox::{self, Connector, Endpoint, TlsMode};
use crate::domain::operator::Role;
use crate::domain::scope::Preset;
use crate::domain::secret::{Password, Secret};
use crate::registry::GrantTerms;
use crate::sandbox::Sandbox;
use crate::telemetry;
use crate::vault::{Vault, kek};

/// The demo mailbox's address.
const MAILBOX: &str = "support@example.test";

/// How to start the demo. A port of 0 means any free one.
#[derive(Debug, Clone)]
pub struct DevOptions {
    /// Where its state is kept between runs.
    pub data: PathBuf,
    /// OAuth and admin API.
    pub https_port: u16,
    /// IMAP with TLS.
    pub imaps_port: u16,
    /// Submission with TLS.
    pub smtps_port: u16,
    /// Submission with STARTTLS.
    pub submission_port: u16,
    /// POP3 with TLS.
    pub pop3s_port: u16,
}

/// Runs the demo until Ctrl-C.
pub async fn dev(options: DevOptions) -> anyhow::Result<()> {
    dev_text::starting(&options.data);
    let config = config(&options);
    hardening::forbid_dumps()?;
    telemetry::start(&config.log);
    std::fs::create_dir_all(&options.data).with_context(|| format!("cannot make {}", options.data.display()))?;
    let sockets = edges::bind(&config).await?;
    let (ca_pem, identity) = dev_ca::load_or_create(&options.data)?;
    let services = start_services(&config, &options).await?;
    let mut env = DevEnv::load(&options.data);
    let mailbox = prepare_mailbox(&services, &options, &ca_pem, identity.server_config(&[])?).await?;
    prepare_people(&services, &mut env, &mailbox).await?;
    let running = sockets.start(&config, services, &identity).await?;

    let place = |port| running.address(port).map(|address| format!("localhost:{}", address.port())).unwrap_or_default();
    let ca = options.data.join("ca.pem");
    env.set("MAILWARDEN_URL", format!("https://{}", place(Port::Https)));
    env.set("MAILWARDEN_CA", std::path::absolute(&ca).unwrap_or(ca).display().to_string());
    env.set("MAILWARDEN_IMAPS", place(Port::Imaps));
    env.set("MAILWARDEN_SMTPS", place(Port::Smtps));
    env.set("MAILWARDEN_SUBMISSION", place(Port::Submission));
    env.set("MAILWARDEN_POP3S", place(Port::Pop3s));
    env.set("DEMO_MAILBOX", MAILBOX);
    env.save()?;
    dev_text::ready(&env, &options.data);
    lifecycle::until_told_to_stop(running).await;
    Ok(())
}

fn config(options: &DevOptions) -> Config {
    let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string();
    Config {
        server: Server { hostname: "localhost".to_owned(), issuer: String::new(), data: options.data.clone() },
        tls: Tls { certificate: PathBuf::new(), private_key: PathBuf::new(), client_ca: PathBuf::new() },
        database: Database { url: String::new(), password: String::new() },
        vault: VaultSettings { kek: format!("file:{}", options.data.join("kek").display()) },
        listen: Listen {
            https: at(options.https_port),
            imaps: at(options.imaps_port),
            imap: String::new(),
            smtps: at(options.smtps_port),
            submission: at(options.submission_port),
            pop3s: at(options.pop3s_port),
            pop3: String::new(),
            ops: String::new(),
            proxy_protocol_from: Vec::new(),
        },
        limits: Limits { max_connections: 1000, max_connections_per_source: 0, max_message_bytes: 50 * 1024 * 1024 },
        gateway: Gateway { costly_search: false, relogin_secs: 60, idle_renewal_secs: 1200 },
        upstream: Upstream {
            allow_networks: vec![ipnet::IpNet::V4(ipnet::Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8))],
            ca_file: PathBuf::new(),
            // It is our own, and takes as many as there are.
            imap_connections: 0,
            smtp_connections: 0,
            keep_seconds: 60,
            keep_connections: 4,
        },
        log: Log { filter: "warn".to_owned(), format: LogFormat::Text },
    }
}

async fn start_services(config: &Config, options: &DevOptions) -> anyhow::Result<Services> {
    let path = options.data.join("kek");
    if !path.exists() {
        let (clock, entropy) = (Clock::system(), random::system());
        kek::create_file(&path, &entropy)?;
        let store = services::open_store(config).await?;
        store.migrate().await?;
        Vault::create(store, services::load_kek(config)?, clock, entropy).await?;
    }
    services::start(config).await
}

/// Starts the sandbox with a password that is new in every run, and has the registry prove and store it like any other.
async fn prepare_mailbox(
    services: &Services,
    options: &DevOptions,
    ca_pem: &str,
    tls: std::sync::Arc<rustls::ServerConfig>,
) -> anyhow::Result<MailboxId> {
    let address: MailAddress = MAILBOX.parse()?;
    let known = services.registry.find_mailbox(MAILBOX).await.ok();
    let port = |endpoint: Option<&Endpoint>| {
        SocketAddr::from((Ipv4Addr::LOCALHOST, endpoint.map_or(0, |endpoint| endpoint.port)))
    };
    let upstream = known.as_ref().map(|mailbox| &mailbox.upstream);
    let (imap, smtp) = (port(upstream.and_then(|u| u.imap.as_ref())), port(upstream.and_then(|u| u.smtp.as_ref())));
    let text = zeroize::Zeroizing::new(base64url(&services.entropy.bytes::<24>()));
    let password = || Secret::<Password>::from_text(text.to_string());
    let folder = options.data.join("sandbox");
    let sandbox =
        Sandbox::start(&folder, tls, &address, password(), (imap, smtp), services.clock.clone()).await.with_context(
            || format!("cannot start the sandbox upstream at {imap} and {smtp}; another demo may be running"),
        )?;
    if let Some(mailbox) = known {
        services.registry.set_credential(&Actor::System, &mailbox.id, password()).await?;
        return Ok(mailbox.id);
    }
    let endpoint = |at: SocketAddr| Endpoint {
        host: "localhost".to_owned(),
        port: at.port(),
        tls: TlsMode::Implicit,
        ca_pem: Some(ca_pem.to_owned()),
    };
    let upstream = mailbox::Upstream {
        connector: Connector::Imap,
        username: MAILBOX.to_owned(),
        imap: Some(endpoint(sandbox.imap_addr)),
        smtp: Some(endpoint(sandbox.smtp_addr)),
    };
    let (mailbox, _) = services.registry.add_mailbox(&Actor::System, address, upstream, password()).await?;
    Ok(mailbox.id)
}

/// The first operator, a reader with a `backup` grant and a helpdesk tool. Made once, or anew when `dev.env` was lost.
async fn prepare_people(services: &Services, env: &mut DevEnv, mailbox: &MailboxId) -> anyhow::Result<()> {
    let registry = &services.registry;
    let complete = ["MAILWARDEN_OPERATOR_TOKEN", "DEMO_READER_SECRET", "DEMO_HELPDESK_SECRET"];
    if complete.iter().all(|key| env.get(key).is_some()) {
        return Ok(());
    }
    for operator in registry.list_operators().await? {
        registry.remove_operator(&Actor::System, &operator.id).await?;
    }
    for client in registry.list_clients().await? {
        registry.remove_client(&Actor::System, &client.id).await?;
    }
    let (_, token) = registry.add_operator(&Actor::System, "demo-admin", Role::Admin, None).await?;
    token.expose_text(|text| env.set("MAILWARDEN_OPERATOR_TOKEN", text));
    for (name, key, preset) in
        [("demo-reader", "DEMO_READER", Preset::Backup), ("demo-helpdesk", "DEMO_HELPDESK", Preset::Helpdesk)]
    {
        let (client, secret) = registry.add_client(&Actor::System, name, TokenAlg::EdDsa, None).await?;
        let terms = GrantTerms::of(preset.scopes());
        registry.add_grant(&Actor::System, client.id.clone(), mailbox.clone(), terms).await?;
        env.set(&format!("{key}_ID"), client.id.as_str());
        secret.expose_text(|text| env.set(&format!("{key}_SECRET"), text));
    }
    env.save()
}
