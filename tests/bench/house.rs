//! Our own service: the real router, registry, vault and durable audit log on SQLite (WAL, `synchronous=FULL`) or PostgreSQL, over plain
//! HTTP.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Context;
use axum::Extension;
use mailwarden::audit::Audit;
use mailwarden::crypto::encoding::{base64, base64url};
use mailwarden::crypto::random;
use mailwarden::domain::clock::Clock;
use mailwarden::domain::event::Actor;
use mailwarden::domain::grant::Grant;
use mailwarden::domain::id::{ClientId, RequestId};
use mailwarden::domain::mailbox::{Connector, Endpoint, TlsMode, Upstream};
use mailwarden::domain::secret::Secret;
use mailwarden::gateway::tls::Identity;
use mailwarden::http::{self, HttpState, Parts, PeerCertificates};
use mailwarden::oauth::keyset::Keyset;
use mailwarden::oauth::request::TokenRequest;
use mailwarden::oauth::{Origin, TokenService};
use mailwarden::registry::{GrantTerms, Registry};
use mailwarden::sandbox::Sandbox;
use mailwarden::store::Store;
use mailwarden::upstream::dial::{DialPolicy, Dialer};
use mailwarden::vault::Vault;
use tokio::net::TcpListener;

use crate::load::Load;
use crate::{ALGS, TOKENS};

pub(crate) const ISSUER: &str = "https://mail.example.com/oauth";
pub(crate) const MAILBOX: &str = "support@example.com";

/// One node with a mailbox, and a client for each algorithm with a reading grant on it.
pub(crate) struct House {
    pub(crate) state: HttpState,
    pub(crate) keyset: Keyset,
    pub(crate) clients: Vec<(ClientId, String)>,
}

impl House {
    pub(crate) async fn build(folder: &Path, database: Option<&str>) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let (clock, entropy) = (Clock::system(), random::system());
        let sqlite = format!("sqlite:{}", folder.join("mailwarden.db").display());
        let store = Store::open(database.unwrap_or(&sqlite)).await?;
        store.migrate().await?;
        let kek = Secret::from_bytes(entropy.bytes::<32>().to_vec());
        let vault = Vault::create(store.clone(), kek, clock.clone(), entropy.clone()).await?;
        let audit = Audit::start(store.clone(), clock.clone(), vault.audit_key()).await?;
        let audit = audit.with_checkpoints(vault.checkpoint_signer().await?);
        let dialer = Dialer::new(DialPolicy { allow_networks: vec!["127.0.0.0/8".parse()?] });
        let registry = Registry::new(store, vault, audit.clone(), dialer, clock.clone(), entropy.clone());
        let keyset = Keyset::load_or_create(&registry).await?;
        let (issuer, keys) = (ISSUER.to_owned(), keyset.clone());
        let tokens = TokenService::new(registry.clone(), audit.clone(), keys, issuer, clock.clone(), entropy.clone());
        let state = HttpState::new(Parts {
            registry,
            tokens,
            audit,
            clock,
            entropy,
            places: Vec::new().into(),
            costly_search: false,
        });
        let clients = furnish(&state, folder).await?;
        Ok(Self { state, keyset, clients })
    }
}

/// A mailbox is registered only after a login at its upstream, so there is one.
async fn furnish(state: &HttpState, folder: &Path) -> anyhow::Result<Vec<(ClientId, String)>> {
    let certificate = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let (pem, key) = (certificate.cert.pem(), certificate.signing_key.serialize_pem());
    let tls = Identity::from_pem(pem.as_bytes(), key.as_bytes())?.server_config(&[])?;
    let text = base64url(&state.entropy.bytes::<24>());
    let (address, any) = (MAILBOX.parse()?, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let password = Secret::from_text(text.clone());
    let sandbox =
        Sandbox::start(&folder.join("sandbox"), tls, &address, password, (any, any), state.clock.clone()).await?;
    let imap = Endpoint {
        host: "localhost".to_owned(),
        port: sandbox.imap_addr.port(),
        tls: TlsMode::Implicit,
        ca_pem: Some(pem),
    };
    let upstream = Upstream { connector: Connector::Imap, username: MAILBOX.to_owned(), imap: Some(imap), smtp: None };
    let (registry, by) = (&state.registry, Actor::System);
    let (mailbox, _) = registry.add_mailbox(&by, address, upstream, Secret::from_text(text)).await?;
    let mut clients = Vec::new();
    for alg in ALGS {
        let (client, secret) = registry.add_client(&by, alg.as_str(), alg, None).await?;
        // Those that are introspected outlast the run.
        let terms = GrantTerms { token_ttl_secs: Grant::MAX_TOKEN_TTL_SECS, ..GrantTerms::of("mail.read".parse()?) };
        registry.add_grant(&by, client.id.clone(), mailbox.id.clone(), terms).await?;
        clients.push((client.id, secret.expose_text(str::to_owned).context("not text")?));
    }
    Ok(clients)
}

/// The `Authorization` header of a client.
pub(crate) fn basic((id, secret): &(ClientId, String)) -> String {
    format!("Basic {}", base64(format!("{id}:{secret}").as_bytes()))
}

/// The form that asks for a token.
pub(crate) fn form() -> String {
    format!("grant_type=client_credentials&resource=mailto%3A{}&scope=mail.read", MAILBOX.replace('@', "%40"))
}

/// The forms that ask about tokens of a client.
async fn questions(house: &House, client: &(ClientId, String)) -> anyhow::Result<Vec<String>> {
    let source = Ipv4Addr::LOCALHOST.into();
    let ask = async |_| {
        let request_id = RequestId::new(&house.state.clock, &house.state.entropy);
        let origin = Origin { source, request_id, certificates: Vec::new() };
        let issued = house.state.tokens.token(TokenRequest::parse(form().as_bytes(), Some(&basic(client))), &origin);
        let token = issued.await?.token.expose_text(str::to_owned).context("not text")?;
        anyhow::Ok(format!("token={token}"))
    };
    futures_util::future::try_join_all((0..TOKENS).map(ask)).await
}

pub(crate) fn serve(folder: &Path, database: Option<&str>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let house = House::build(folder, database).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        for client in &house.clients {
            println!("{}", Load::to_line(address, "/oauth/token", &basic(client), &[form()]));
        }
        for client in &house.clients {
            let questions = questions(&house, client).await?;
            println!("{}", Load::to_line(address, "/oauth/introspect", &basic(client), &questions));
        }
        let router = http::router(house.state).layer(Extension(PeerCertificates::default()));
        let router = router.into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, router).await?;
        Ok(())
    })
}
