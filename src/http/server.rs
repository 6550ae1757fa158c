//! The accept loop: handshakes and headers in bounded time, a bounded number of connections, an orderly end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::proxies::Proxies;

/// How long a TLS handshake, and the headers of a request, may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Connections held open together.
const MAX_CONNECTIONS: usize = 4096;

/// The TLS certificate that the peer showed and proved to have the key of, leaf first, in DER; empty when it showed none. From the
/// handshake alone: no header is read for it (CA-16). Every request that the router serves carries one.
#[derive(Clone, Debug, Default)]
pub struct PeerCertificates(pub Arc<[Vec<u8>]>);

/// Serves `router` with TLS until `shutdown`; requests under way are finished.
pub async fn serve(
    socket: TcpListener,
    tls: Arc<ServerConfig>,
    proxies: Proxies,
    router: Router,
    shutdown: CancellationToken,
) {
    let (graceful, tracker) = (Arc::new(GracefulShutdown::new()), TaskTracker::new());
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = socket.accept() => accepted,
        };
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let (acceptor, router) = (TlsAcceptor::from(Arc::clone(&tls)), router.clone());
        let (graceful, shutdown, proxies) = (Arc::clone(&graceful), shutdown.clone(), proxies.clone());
        tracker.spawn(async move {
            let _place = place;
            let (stream, peer) = match Box::pin(proxies.arrival(stream, peer)).await {
                Ok(arrival) => arrival,
                Err(error) => return tracing::warn!(%peer, %error, "a proxy of proxy_protocol_from is refused"),
            };
            let Ok(Ok(stream)) = tokio::time::timeout(TIMEOUT, acceptor.accept(stream)).await else { return };
            let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let shown = PeerCertificates(shown.iter().map(|certificate| certificate.to_vec()).collect());
            let service = router.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
                request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer));
                request.extensions_mut().insert(shown.clone());
                request.map(axum::body::Body::new)
            });
            let mut builder = Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new()).header_read_timeout(TIMEOUT);
            builder.http2().max_concurrent_streams(64);
            let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
            let connection = graceful.watch(connection.into_owned());
            tokio::select! {
                _ = connection => (),
                // Idle connections would hold the stop up.
                () = async { shutdown.cancelled().await; tokio::time::sleep(Duration::from_secs(2)).await } => (),
            }
        });
    }
    drop(socket);
    tracker.close();
    tracker.wait().await;
}

/// Serves health and readiness in the clear.
pub async fn serve_ops(socket: TcpListener, router: Router, shutdown: CancellationToken) {
    let stop = async move { shutdown.cancelled().await };
    if let Err(error) = axum::serve(socket, router).with_graceful_shutdown(stop).await {
        tracing::error!(%error, "the ops listener ended");
    }
}
