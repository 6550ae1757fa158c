//! The service inside this process, under a clock that the test moves by hand.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use mailwarden::audit::Audit;
use mailwarden::crypto::random;
use mailwarden::domain::client::TokenAlg;
use mailwarden::domain::clock::{Clock, Timestamp};
use mailwarden::domain::event::Actor;
use mailwarden::domain::id::{ClientId, RequestId};
use mailwarden::domain::mailbox::{Connector, Endpoint, TlsMode, Upstream};
use mailwarden::domain::scope::Preset;
use mailwarden::domain::secret::Secret;
use mailwarden::domain::session::Protocol;
use mailwarden::gateway::gatekeeper::{Endurance, Gatekeeper, Parts};
use mailwarden::gateway::listener::Listener;
use mailwarden::gateway::places::Places;
use mailwarden::gateway::tls::Identity;
use mailwarden::oauth::keyset::Keyset;
use mailwarden::oauth::request::TokenRequest;
use mailwarden::oauth::{Origin, TokenService};
use mailwarden::proxies::Proxies;
use mailwarden::registry::{GrantTerms, Registry, Rotation};
use mailwarden::store::Store;
use mailwarden::upstream::dial::{DialPolicy, Dialer};
use mailwarden::vault::Vault;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::ca::Ca;
use super::stage::{ADDRESS, PASSWORD};

/// How finely the clock goes.
const TICK: Duration = Duration::from_millis(20);

/// A running house with one tool; its sessions last an hour, and so do its tokens.
pub(crate) struct House {
    pub(crate) port: u16,
    clock: Clock,
    tokens: TokenService,
    registry: Registry,
    tool: (ClientId, String),
    runtime: Runtime,
}

impl House {
    /// Before the IMAP server at `upstream`, with its state in `folder`.
    pub(crate) fn start(ca: &Ca, folder: &Path, upstream: u16) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let clock = Clock::manual(Timestamp::from_secs(1_800_000_000));
        // Beside the leaps of the test it goes as a clock does: what waits for a moment to pass does not wait for a leap.
        runtime.spawn(tick(clock.clone()));
        let built = runtime.block_on(build(ca, folder, upstream, &clock));
        let (port, tokens, registry, tool) = built;
        Self { port, clock, tokens, registry, tool, runtime }
    }

    /// Lets so many milliseconds pass at once. The house need not doubt what it has read, as it would after standing still for so long:
    /// to the database no time passes.
    pub(crate) fn leap(&self, millis: u32) {
        self.registry.freshness().prove(self.clock.elapsed() + Duration::from_millis(millis.into()));
        self.clock.advance(millis.into());
    }

    /// A token, fresh at this moment.
    pub(crate) fn token(&self) -> String {
        let (id, secret) = &self.tool;
        let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
        let request_id = RequestId::new(&self.clock, &random::system());
        let origin = Origin { source: Ipv4Addr::LOCALHOST.into(), request_id, certificates: Vec::new() };
        let issued = self.runtime.block_on(self.tokens.token(TokenRequest::parse(form.as_bytes(), None), &origin));
        issued.expect("a token").token.expose_text(str::to_owned).expect("text")
    }

    /// Puts another signing key in the place of the one that signs.
    pub(crate) fn rotate_signing_key(&self) {
        let rotated = self.registry.rotate_signing_key(&Actor::System, TokenAlg::EdDsa, Rotation::Now);
        self.runtime.block_on(rotated).expect("a new key");
        self.runtime.block_on(self.tokens.refresh_keys()).expect("the new key is known");
    }
}

async fn tick(clock: Clock) {
    let mut tick = tokio::time::interval(TICK);
    loop {
        tick.tick().await;
        clock.advance(i64::try_from(TICK.as_millis()).expect("a short time"));
    }
}

async fn build(
    ca: &Ca,
    folder: &Path,
    upstream: u16,
    clock: &Clock,
) -> (u16, TokenService, Registry, (ClientId, String)) {
    let (clock, entropy) = (clock.clone(), random::system());
    let url = format!("sqlite:{}", folder.join("house.db").display());
    let store = Store::open(&url).await.expect("open the database");
    store.migrate().await.expect("make the tables");
    let kek = Secret::from_bytes(entropy.bytes::<32>().to_vec());
    let vault = Vault::create(store.clone(), kek, clock.clone(), entropy.clone()).await.expect("a vault");
    let audit = Audit::start(store.clone(), clock.clone(), vault.audit_key()).await.expect("an audit log");
    let loopback = "127.0.0.0/8".parse().expect("a network");
    let dialer = Dialer::new(DialPolicy { allow_networks: vec![loopback] });
    let registry = Registry::new(store, vault.clone(), audit.clone(), dialer.clone(), clock.clone(), entropy.clone());
    let keyset = Keyset::load_or_create(&registry).await.expect("signing keys");
    let issuer = "https://localhost/oauth".to_owned();
    let tokens = TokenService::new(registry.clone(), audit.clone(), keyset, issuer, clock.clone(), entropy.clone());
    let tool = furnish(&registry, ca, upstream).await;
    let leaf = ca.issue("house");
    let read = |path| fs::read(path).expect("read a PEM file");
    let identity = Identity::from_pem(&read(leaf.certificate), &read(leaf.key)).expect("an identity");
    let tls = identity.server_config(&["imap"]).expect("TLS settings");
    let gatekeeper = Gatekeeper::new(Parts {
        registry: registry.clone(),
        tokens: tokens.clone(),
        vault,
        audit,
        dialer,
        clock,
        entropy,
        hostname: "localhost".to_owned(),
        identity,
        max_message_bytes: 1 << 20,
        costly_search: false,
        endurance: Endurance {
            idle_renewal: Duration::from_secs(1),
            settling: Duration::from_millis(200),
            ..Endurance::default()
        },
    });
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bind any port");
    let port = socket.local_addr().expect("the bound address").port();
    let (places, proxies) = (Places::new(100, 100), Proxies::new(&[]));
    let listener = Listener { protocol: Protocol::Imap, tls, starttls: false, places, proxies };
    tokio::spawn(listener.serve(socket, gatekeeper, CancellationToken::new()));
    let watched = registry.clone();
    tokio::spawn(async move { watched.watch_grants().await });
    (port, tokens, registry, tool)
}

/// The mailbox, the tool and its grant.
async fn furnish(registry: &Registry, ca: &Ca, port: u16) -> (ClientId, String) {
    let by = Actor::System;
    let ca_pem = Some(fs::read_to_string(ca.file()).expect("read the CA"));
    let imap = Endpoint { host: "localhost".to_owned(), port, tls: TlsMode::Implicit, ca_pem };
    let upstream = Upstream { connector: Connector::Imap, username: ADDRESS.to_owned(), imap: Some(imap), smtp: None };
    let address = ADDRESS.parse().expect("an address");
    let password = Secret::from_text(PASSWORD.to_owned());
    let (mailbox, _) = registry.add_mailbox(&by, address, upstream, password).await.expect("a mailbox");
    let (client, secret) = registry.add_client(&by, "tool", TokenAlg::EdDsa, None).await.expect("a tool");
    let terms = GrantTerms { token_ttl_secs: 3600, ..GrantTerms::of(Preset::Backup.scopes()) };
    registry.add_grant(&by, client.id.clone(), mailbox.id, terms).await.expect("a grant");
    (client.id, secret.expose_text(str::to_owned).expect("text"))
}
