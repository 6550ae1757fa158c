//! How a mail listener starts, and who is at the other end.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_rustls::server::TlsStream;

pub use crate::upstream::wire::Stream;

/// How a listener starts.
#[derive(Clone)]
pub enum ListenerMode {
    /// TLS from the first byte: the stream is encrypted already.
    ImplicitTls,
    /// In the clear until STARTTLS, which upgrades with these settings.
    StartTls(Arc<rustls::ServerConfig>),
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it is.
    pub address: SocketAddr,
    /// The TLS certificate that it showed and proved to have the key of, leaf first, in DER; empty when it showed none.
    pub certificates: Vec<Vec<u8>>,
}

impl Peer {
    /// Somebody who has shown nothing yet.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, certificates: Vec::new() }
    }

    /// The same, with what it showed in the handshake of `tls`.
    #[must_use]
    pub fn behind<T>(mut self, tls: &TlsStream<T>) -> Self {
        let shown = tls.get_ref().1.peer_certificates().unwrap_or_default();
        self.certificates = shown.iter().map(|certificate| certificate.to_vec()).collect();
        self
    }
}

impl std::fmt::Debug for ListenerMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ImplicitTls => "ImplicitTls",
            Self::StartTls(_) => "StartTls",
        })
    }
}
