//! How a mail listener starts.

use std::sync::Arc;

pub use crate::upstream::wire::Stream;

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
