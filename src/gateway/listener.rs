//! Accept loops of the mail listeners: a cap on connections, a time limit on handshakes, and a panic that stays in its session.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::session::Protocol;
use crate::gateway::gatekeeper::Gatekeeper;
use crate::gateway::imap;
use crate::gateway::smtp;
use crate::gateway::stream::{ListenerMode, Stream};

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
    pub places: Arc<Semaphore>,
}

impl Listener {
    /// Serves `socket` until `shutdown`, then waits for the sessions, each of which says its last word.
    pub async fn serve(self, socket: TcpListener, gatekeeper: Gatekeeper, shutdown: CancellationToken) {
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
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                tracing::warn!(%peer, "connection limit reached, refusing");
                continue;
            };
            let (listener, gatekeeper, shutdown) = (self.clone(), gatekeeper.clone(), shutdown.clone());
            tracker.spawn(async move {
                let session = AssertUnwindSafe(listener.connection(stream, peer, gatekeeper, shutdown));
                if session.catch_unwind().await.is_err() {
                    tracing::error!(%peer, "a session panicked; it alone has ended");
                }
                drop(place);
            });
        }
        drop(socket);
        tracker.close();
        tracker.wait().await;
    }

    async fn connection(&self, tcp: TcpStream, peer: SocketAddr, gatekeeper: Gatekeeper, shutdown: CancellationToken) {
        // Commands are small and answers awaited: Nagle's algorithm would only add delay.
        let _ = tcp.set_nodelay(true);
        let (stream, mode): (Stream, ListenerMode) = if self.starttls {
            (Box::new(tcp), ListenerMode::StartTls(Arc::clone(&self.tls)))
        } else {
            let handshake = TlsAcceptor::from(Arc::clone(&self.tls)).accept(tcp);
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
                Ok(Ok(tls)) => (Box::new(tls), ListenerMode::ImplicitTls),
                Ok(Err(error)) => return tracing::debug!(%peer, %error, "TLS handshake failed"),
                Err(_) => return tracing::debug!(%peer, "TLS handshake took too long"),
            }
        };
        match self.protocol {
            Protocol::Imap => imap::serve(gatekeeper, stream, peer, mode, shutdown).await,
            Protocol::Smtp => smtp::serve(gatekeeper, stream, peer, mode, shutdown).await,
        }
    }
}
