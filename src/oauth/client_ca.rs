//! The authorities whose certificates prove a client (RFC 8705 section 2.1).

use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use crate::domain::clock::Timestamp;

/// Trust anchors for client certificates; cheap to clone.
#[derive(Clone, Debug)]
pub struct ClientCa(Arc<dyn ClientCertVerifier>);

/// The file holds no authority that can be used.
#[derive(Debug, thiserror::Error)]
#[error("no certificate authority for clients: {0}")]
pub struct NoAuthority(String);

impl ClientCa {
    /// Reads the authorities' certificates from PEM text.
    pub fn from_pem(pem: &[u8]) -> Result<Self, NoAuthority> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| NoAuthority(error.to_string()))?;
            roots.add(certificate).map_err(|error| NoAuthority(error.to_string()))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        verifier.map(Self).map_err(|error| NoAuthority(error.to_string()))
    }

    /// Whether the chain, leaf first, leads to one of the authorities, is in its time, and is for clients where it says what it is for.
    pub(super) fn vouches_for(&self, chain: &[Vec<u8>], now: Timestamp) -> bool {
        let chain: Vec<_> = chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        let Some((leaf, intermediates)) = chain.split_first() else { return false };
        let Ok(now) = u64::try_from(now.as_secs()) else { return false };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        self.0.verify_client_cert(leaf, intermediates, now).is_ok()
    }
}
