//! A tool's connection, whatever carries it.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes in both directions.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection: TLS already, or a clear one that must be upgraded before anything of worth is said.
pub type Stream = Box<dyn Io>;

/// How a listener starts.
#[derive(Clone)]
pub enum ListenerMode {
    /// TLS from the first byte: the stream is encrypted already.
    ImplicitTls,
    /// In the clear until STARTTLS, which upgrades with these settings.
    StartTls(Arc<rustls::ServerConfig>),
}

impl std::fmt::Debug for ListenerMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ImplicitTls => "ImplicitTls",
            Self::StartTls(_) => "StartTls",
        })
    }
}
