//! Edges from settings: every listener is bound before the first one serves, so that an occupied port stops the start.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::services::Services;
use crate::config::{self, Config};
use crate::domain::session::Protocol;
use crate::gateway::gatekeeper::{Endurance, Gatekeeper, Parts};
use crate::gateway::listener::Listener;
use crate::gateway::places::Places;
use crate::gateway::tls::Identity;
use crate::http;
use crate::oauth::keyset::Keyset;
use crate::oauth::{ClientCa, TokenService};
use crate::proxies::Proxies;
use crate::registry::Registry;

/// A listener's place in the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    Https,
    Imaps,
    Imap,
    Smtps,
    Submission,
    Pop3s,
    Pop3,
    Ops,
}

impl Port {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Imaps => "imaps",
            Self::Imap => "imap",
            Self::Smtps => "smtps",
            Self::Submission => "submission",
            Self::Pop3s => "pop3s",
            Self::Pop3 => "pop3",
            Self::Ops => "ops",
        }
    }
}

/// Sockets that listen and do not serve yet.
#[derive(Debug)]
pub(super) struct Edges {
    sockets: Vec<(Port, TcpListener)>,
}

/// A service at work.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) services: Services,
    pub(super) shutdown: CancellationToken,
    pub(super) tasks: TaskTracker,
    addresses: Vec<(Port, SocketAddr)>,
}

/// The addresses to listen at.
pub(super) fn addresses(config: &Config) -> anyhow::Result<Vec<(Port, SocketAddr)>> {
    let listen = &config.listen;
    let all = [
        (Port::Https, &listen.https),
        (Port::Imaps, &listen.imaps),
        (Port::Imap, &listen.imap),
        (Port::Smtps, &listen.smtps),
        (Port::Submission, &listen.submission),
        (Port::Pop3s, &listen.pop3s),
        (Port::Pop3, &listen.pop3),
        (Port::Ops, &listen.ops),
    ];
    all.into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(port, text)| {
            let name = port.as_str();
            let address = text.parse().with_context(|| format!("listen.{name} is not ADDRESS:PORT"))?;
            Ok((port, address))
        })
        .collect()
}

/// The authorities whose certificates prove clients, if there are any.
pub(super) fn client_ca(config: &Config) -> anyhow::Result<Option<ClientCa>> {
    let path = &config.tls.client_ca;
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let of = || format!("tls.client_ca = {}", path.display());
    let pem = std::fs::read(path).with_context(of)?;
    ClientCa::from_pem(&pem).map(Some).with_context(of)
}

/// How sessions outlive their upstream connections.
fn endurance(settings: config::Gateway) -> Endurance {
    Endurance {
        relogin: Duration::from_secs(settings.relogin_secs),
        idle_renewal: Duration::from_secs(settings.idle_renewal_secs.max(1)),
        ..Endurance::default()
    }
}

/// Binds every listener.
pub(super) async fn bind(config: &Config) -> anyhow::Result<Edges> {
    let mut sockets = Vec::new();
    for (port, address) in addresses(config)? {
        let name = port.as_str();
        let socket = TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen at {address}; end what holds it or set another address in [listen] {name}")
        })?;
        sockets.push((port, socket));
    }
    Ok(Edges { sockets })
}

impl Edges {
    /// Where `port` is bound.
    pub(super) fn address(&self, port: Port) -> Option<SocketAddr> {
        self.sockets.iter().find(|(known, _)| *known == port).and_then(|(_, socket)| socket.local_addr().ok())
    }

    /// Where tools find the mail listeners.
    fn mail_places(&self, hostname: &str) -> Arc<[(&'static str, String)]> {
        let ports = [Port::Imaps, Port::Imap, Port::Smtps, Port::Submission, Port::Pop3s, Port::Pop3];
        let places = ports.into_iter().filter_map(|port| Some((port, self.address(port)?)));
        places.map(|(port, address)| (port.as_str(), format!("{hostname}:{}", address.port()))).collect()
    }

    /// Starts serving.
    pub(super) async fn start(
        self,
        config: &Config,
        services: Services,
        identity: &Identity,
    ) -> anyhow::Result<Running> {
        let issuer = config.issuer(self.address(Port::Https));
        let keyset = Keyset::load_or_create(&services.registry).await?;
        let tokens = TokenService::new(
            services.registry.clone(),
            services.audit.clone(),
            keyset,
            issuer,
            services.clock.clone(),
            services.entropy.clone(),
        );
        let tokens = match client_ca(config)? {
            Some(authorities) => tokens.with_client_ca(authorities),
            None => tokens,
        };
        let gatekeeper = Gatekeeper::new(Parts {
            registry: services.registry.clone(),
            tokens: tokens.clone(),
            vault: services.vault.clone(),
            audit: services.audit.clone(),
            dialer: services.dialer.clone(),
            clock: services.clock.clone(),
            entropy: services.entropy.clone(),
            hostname: config.server.hostname.clone(),
            identity: identity.clone(),
            max_message_bytes: config.limits.max_message_bytes,
            costly_search: config.gateway.costly_search,
            endurance: endurance(config.gateway),
        });
        let signing = tokens.clone();
        let state = http::HttpState::new(http::Parts {
            registry: services.registry.clone(),
            tokens,
            audit: services.audit.clone(),
            clock: services.clock.clone(),
            entropy: services.entropy.clone(),
            places: self.mail_places(&config.server.hostname),
            costly_search: config.gateway.costly_search,
        });
        let places = Places::new(config.limits.max_connections, config.limits.max_connections_per_source);
        let proxies = Proxies::new(&config.listen.proxy_protocol_from);
        let shutdown = CancellationToken::new();
        let tasks = TaskTracker::new();
        let mut addresses = Vec::new();
        for (port, socket) in self.sockets {
            addresses.push((port, socket.local_addr()?));
            let stop = shutdown.clone();
            let (protocol, starttls, alpn) = match port {
                Port::Https => {
                    let tls = identity.server_config(&["h2", "http/1.1"])?;
                    tasks.spawn(http::serve(socket, tls, proxies.clone(), http::router(state.clone()), stop));
                    continue;
                }
                Port::Ops => {
                    tasks.spawn(http::serve_ops(socket, http::ops_router(state.clone()), stop));
                    continue;
                }
                Port::Imaps => (Protocol::Imap, false, "imap"),
                Port::Imap => (Protocol::Imap, true, "imap"),
                Port::Smtps => (Protocol::Smtp, false, "smtp"),
                Port::Submission => (Protocol::Smtp, true, "smtp"),
                Port::Pop3s => (Protocol::Pop3, false, "pop3"),
                Port::Pop3 => (Protocol::Pop3, true, "pop3"),
            };
            let (tls, places, proxies) = (identity.server_config(&[alpn])?, places.clone(), proxies.clone());
            let listener = Listener { protocol, tls, starttls, places, proxies };
            tasks.spawn(listener.serve(socket, gatekeeper.clone(), stop));
        }
        tasks.spawn(look_after(services.registry.clone(), signing, shutdown.clone()));
        tasks.close();
        Ok(Running { services, shutdown, tasks, addresses })
    }
}

/// What goes on beside the requests, until the stop.
async fn look_after(registry: Registry, tokens: TokenService, stop: CancellationToken) {
    tokio::select! {
        () = registry.watch_grants() => (),
        () = tokens.watch_keys() => (),
        () = registry.keep_secret_uses() => (),
        () = registry.sweep_used() => (),
        () = registry.keep_budgets() => (),
        () = registry.sweep_handles() => (),
        () = registry.berths().look_after() => (),
        () = stop.cancelled() => (),
    }
}

impl Running {
    /// Where `port` listens.
    pub(super) fn address(&self, port: Port) -> Option<SocketAddr> {
        self.addresses.iter().find(|(known, _)| *known == port).map(|(_, address)| *address)
    }

    /// Prints a line for each listener and `ready`, for people and for the programs that start us.
    #[expect(clippy::print_stdout, reason = "the start-up lines are this command's output")]
    pub(super) fn announce(&self) {
        for (port, address) in &self.addresses {
            println!("listening {} {address}", port.as_str());
        }
        println!("ready");
    }
}
