//! Accept loops of the mail listeners: a cap on connections, a time limit on handshakes, and a panic that stays in its session.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::session::Protocol;
use crate::gateway::gatekeeper::Gatekeeper;
use crate::gateway::imap;
use crate::gateway::places::Places;
use crate::gateway::pop3;
use crate::gateway::smtp;
use crate::gateway::stream::{ListenerMode, Peer, Stream};
use crate::proxies::{Arrival, Proxies};
use crate::upstream::wire::{self, keep_alive};

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// One mail listener: what it speaks and how it starts.
#[derive(Clone, Debug)]
pub struct Listener {
    /// The protocol.
    pub protocol: Protocol,
    /// TLS settings; also used for STARTTLS.
    pub tls: Arc<rustls::ServerConfig>,
    /// Whether TLS comes by command.
    pub starttls: bool,
    /// Places for connections, shared by all mail listeners.
    pub places: Places,
    /// Who says whose connection it is.
    pub proxies: Proxies,
}

impl Listener {
    /// Serves `socket` until `shutdown`, then waits for the sessions, each of which says its last word.
    pub async fn serve(self, socket: TcpListener, gatekeeper: Gatekeeper, shutdown: CancellationToken) {
        let (places, proxies) = (self.places.clone(), self.proxies.clone());
        let stop = shutdown.clone();
        accept(socket, (&places, &proxies), &shutdown, move |stream, peer| {
            let (listener, gatekeeper, stop) = (self.clone(), gatekeeper.clone(), stop.clone());
            async move { listener.connection(stream, peer, gatekeeper, stop).await }
        })
        .await;
    }

    async fn connection(&self, tcp: Arrival, peer: SocketAddr, gatekeeper: Gatekeeper, shutdown: CancellationToken) {
        let nobody_yet = Peer::at(peer);
        let (stream, mode, peer): (Stream, ListenerMode, Peer) = if self.starttls {
            (wire::clear(tcp), ListenerMode::StartTls(Arc::clone(&self.tls)), nobody_yet)
        } else {
            // In a box: it is over when the session begins.
            let handshake = Box::pin(TlsAcceptor::from(Arc::clone(&self.tls)).accept(tcp));
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
                Ok(Ok(tls)) => {
                    let peer = nobody_yet.behind(&tls);
                    (Box::new(tls), ListenerMode::ImplicitTls, peer)
                }
                Ok(Err(error)) => return tracing::debug!(%peer, %error, "TLS handshake failed"),
                Err(_) => return tracing::debug!(%peer, "TLS handshake took too long"),
            }
        };
        match self.protocol {
            // In boxes: the largest protocol's state is not held by a session of another one.
            Protocol::Imap => Box::pin(imap::serve(gatekeeper, stream, peer, mode, shutdown)).await,
            Protocol::Pop3 => Box::pin(pop3::serve(gatekeeper, stream, peer, mode, shutdown)).await,
            Protocol::Smtp => Box::pin(smtp::serve(gatekeeper, stream, peer, mode, shutdown)).await,
        }
    }
}

/// Hands each connection to `serve`, as many at once as there are `places`, until `shutdown`; then waits for those under way.
async fn accept<F: Future<Output = ()> + Send + 'static>(
    socket: TcpListener,
    (places, proxies): (&Places, &Proxies),
    shutdown: &CancellationToken,
    serve: impl Fn(Arrival, SocketAddr) -> F + Clone + Send + 'static,
) {
    let tracker = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = socket.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: pause instead of spinning (RL-14).
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(entry) = places.enter() else {
            tracing::warn!(%peer, "connection limit reached, refusing");
            continue;
        };
        // Commands are small and answers awaited: Nagle's algorithm would only add delay.
        let _ = stream.set_nodelay(true);
        keep_alive(&stream);
        let (proxies, serve) = (proxies.clone(), serve.clone());
        tracker.spawn(async move {
            // In boxes: a future that is handed on is held once for every hand, and a header is not held through a session.
            let (stream, source) = match Box::pin(proxies.arrival(stream, peer)).await {
                Ok(arrival) => arrival,
                Err(error) => return tracing::warn!(%peer, %error, "a proxy of proxy_protocol_from is refused"),
            };
            let Some(place) = entry.take(source.ip()) else {
                return tracing::warn!(%source, "connection limit of this source reached, refusing");
            };
            if AssertUnwindSafe(Box::pin(serve(stream, source))).catch_unwind().await.is_err() {
                tracing::error!(%source, "a session panicked; it alone has ended");
            }
            drop(place);
        });
    }
    drop(socket);
    tracker.close();
    tracker.wait().await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::sync::CancellationToken;

    use crate::gateway::places::Places;
    use crate::proxies::Proxies;

    #[tokio::test]
    async fn gw_16_a_panic_ends_its_own_session_and_gives_its_place_back() {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (places, shutdown) = (Places::new(2, 0), CancellationToken::new());
        let count = Arc::new(AtomicUsize::new(0));
        let served = {
            let (places, shutdown, count) = (places.clone(), shutdown.clone(), Arc::clone(&count));
            tokio::spawn(async move {
                super::accept(socket, (&places, &Proxies::new(&[])), &shutdown, move |mut stream, _| {
                    let count = Arc::clone(&count);
                    async move {
                        let mut octet = [0];
                        while stream.read_exact(&mut octet).await.is_ok() {
                            assert!(octet != *b"!", "a fault in the handler");
                            stream.write_all(&octet).await.unwrap();
                        }
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                })
                .await;
            })
        };
        let mut bystander = TcpStream::connect(address).await.unwrap();
        let mut octet = [0];
        for _ in 0..20 {
            let mut victim = TcpStream::connect(address).await.unwrap();
            // There are two places: this one was given back by the one before.
            victim.write_all(b"a!").await.unwrap();
            victim.read_exact(&mut octet).await.unwrap();
            assert_eq!(victim.read(&mut octet).await.unwrap_or(0), 0, "the faulty session is over");
            bystander.write_all(b"b").await.unwrap();
            bystander.read_exact(&mut octet).await.unwrap();
            let given_back = async {
                while places.free() == 0 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(30), given_back).await.expect("the place is given back");
        }
        shutdown.cancel();
        drop(bystander);
        served.await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 1, "the bystander alone came to its end");
    }
}
