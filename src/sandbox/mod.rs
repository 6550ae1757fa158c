//! The demo upstream of `dev`: a small IMAP and submission server on loopback, with sample mail. Mail sent to it appears in its INBOX.
//!
//! It is an upstream like any other to the rest of the house: reached over TLS, with a password that only the vault has.

mod imap;
mod seed;
mod smtp;
mod state;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::domain::address::MailAddress;
use crate::domain::clock::Clock;
use crate::domain::secret::{Password, Secret};
use crate::sandbox::state::Mailstore;
use crate::upstream::wire::Wire;

/// A running sandbox. It ends with the process.
#[derive(Debug)]
pub struct Sandbox {
    /// Where its IMAP server listens.
    pub imap_addr: SocketAddr,
    /// Where its submission server listens.
    pub smtp_addr: SocketAddr,
}

/// What both servers share.
#[derive(Debug)]
struct Shared {
    store: Mailstore,
    address: MailAddress,
    password: Secret<Password>,
}

impl Shared {
    /// Whether the response of SASL PLAIN is right.
    fn accepts(&self, response: &[u8]) -> bool {
        let mut parts = response.split(|byte| *byte == 0).skip(1);
        let (user, password) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        user.eq_ignore_ascii_case(self.address.as_str().as_bytes()) && self.password.expose(|secret| secret == password)
    }
}

impl Sandbox {
    /// Starts both servers at `at` (IMAP, submission; port 0: any), with state in `folder`.
    pub async fn start(
        folder: &Path,
        tls: Arc<ServerConfig>,
        address: &MailAddress,
        password: Secret<Password>,
        at: (SocketAddr, SocketAddr),
        clock: Clock,
    ) -> std::io::Result<Self> {
        let (imap, smtp) = (TcpListener::bind(at.0).await?, TcpListener::bind(at.1).await?);
        let sandbox = Self { imap_addr: imap.local_addr()?, smtp_addr: smtp.local_addr()? };
        let store = Mailstore::open(folder, clock, address)?;
        let shared = Arc::new(Shared { store, address: address.clone(), password });
        tokio::spawn(accept(imap, Arc::clone(&tls), Arc::clone(&shared), true));
        tokio::spawn(accept(smtp, tls, shared, false));
        Ok(sandbox)
    }
}

async fn accept(socket: TcpListener, tls: Arc<ServerConfig>, shared: Arc<Shared>, is_imap: bool) {
    while let Ok((stream, _)) = socket.accept().await {
        let (acceptor, shared) = (TlsAcceptor::from(Arc::clone(&tls)), Arc::clone(&shared));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let wire = Wire::new(Box::new(stream));
            // A connection that breaks off ends here.
            let _ = if is_imap { imap::serve(wire, &shared).await } else { smtp::serve(wire, &shared).await };
        });
    }
}
