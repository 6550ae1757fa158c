//! Whose certificates an upstream may show. Settings are kept, so that connections share them and what they need to resume a TLS
//! session: a whole handshake costs both sides more, and settings of its own cost a connection memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::Instant;

use crate::upstream::UpstreamError;

/// For so long TLS sessions of an upstream are resumed; then its certificate is looked at again.
const TRUSTED_FOR: Duration = Duration::from_secs(3600);
/// So many settings with CA certificates of their own are kept.
const MAX_KEPT: usize = 256;

/// TLS settings by the CA certificates in them, each with the time when it was made.
type Kept = HashMap<String, (Instant, Arc<ClientConfig>)>;

/// TLS settings of all connections to upstreams; cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::upstream) struct Trust {
    public: Arc<ClientConfig>,
    private: Arc<Mutex<Kept>>,
}

impl Trust {
    /// The public authorities, for endpoints that name none of their own.
    pub(in crate::upstream) fn public() -> Self {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        Self { public: client_config(roots), private: Arc::default() }
    }

    /// The same, and the CA certificates in `pem`.
    pub(in crate::upstream) fn public_and(pem: &str) -> Result<Self, UpstreamError> {
        let mut roots = roots(pem)?;
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        Ok(Self { public: client_config(roots), private: Arc::default() })
    }

    /// Settings that trust the CA certificates in `pem` alone; without it, the public ones.
    pub(in crate::upstream) fn settings(&self, pem: Option<&str>) -> Result<Arc<ClientConfig>, UpstreamError> {
        let Some(pem) = pem else { return Ok(Arc::clone(&self.public)) };
        let now = Instant::now();
        let is_young = |made: &Instant| now.duration_since(*made) < TRUSTED_FOR;
        let mut kept = self.private.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = kept.get(pem).filter(|(made, _)| is_young(made)) {
            return Ok(Arc::clone(config));
        }
        let config = private_config(pem)?;
        kept.retain(|_, (made, _)| is_young(made));
        if kept.len() < MAX_KEPT {
            kept.insert(pem.to_owned(), (now, Arc::clone(&config)));
        }
        Ok(config)
    }
}

fn client_config(roots: RootCertStore) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)
        .unwrap_or_else(|_| unreachable!("ring serves rustls' default versions"));
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Settings that trust the CA certificates in `pem` alone, and no certificate that a revocation list in it names (UP-01).
fn private_config(pem: &str) -> Result<Arc<ClientConfig>, UpstreamError> {
    let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| UpstreamError::Certificate)?;
    let roots = roots(pem)?;
    if lists.is_empty() {
        return Ok(client_config(roots));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .with_crls(lists)
        .allow_unknown_revocation_status()
        .build()
        .map_err(|_| UpstreamError::Certificate)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)
        .map_err(|_| UpstreamError::Certificate)?;
    Ok(Arc::new(builder.with_webpki_verifier(verifier).with_no_client_auth()))
}

/// Reads CA certificates.
fn roots(pem: &str) -> Result<RootCertStore, UpstreamError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|_| UpstreamError::Certificate)?;
        roots.add(certificate).map_err(|_| UpstreamError::Certificate)?;
    }
    if roots.is_empty() { Err(UpstreamError::Certificate) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use crate::domain::mailbox::{Endpoint, TlsMode};
    use crate::upstream::{DialPolicy, Dialer, UpstreamError};

    /// A host with TLS that says hello and tells how each handshake went. Gives its endpoint, which trusts it.
    async fn tls_host(kinds: tokio::sync::mpsc::UnboundedSender<rustls::HandshakeKind>) -> Endpoint {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
                tls.write_all(b"hello").await.unwrap();
                kinds.send(tls.get_ref().1.handshake_kind().unwrap()).unwrap();
            }
        });
        Endpoint { host: "localhost".to_owned(), port, tls: TlsMode::Implicit, ca_pem: Some(made.cert.pem()) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_tls_session_is_resumed_for_an_hour_and_by_who_trusts_the_same_authority_alone() {
        use rustls::HandshakeKind::{Full, Resumed};
        let (kinds, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let host = tls_host(kinds).await;
        let dialer = Dialer::new(DialPolicy { allow_networks: vec!["127.0.0.0/8".parse().unwrap()] });
        let dial = async |endpoint: &Endpoint| {
            let mut stream = dialer.tls(endpoint, dialer.tcp(endpoint).await?).await?;
            let mut hello = [0; 5];
            stream.read_exact(&mut hello).await.unwrap();
            Ok::<_, UpstreamError>(())
        };
        for (wait, expected) in [(0, Full), (0, Resumed), (3500, Resumed), (200, Full), (0, Resumed)] {
            tokio::time::advance(Duration::from_secs(wait)).await;
            dial(&host).await.unwrap();
            assert_eq!(seen.recv().await, Some(expected), "after {wait} s");
        }
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
        let stranger = Endpoint { ca_pem: Some(other), ..host };
        assert_eq!(dial(&stranger).await, Err(UpstreamError::Certificate), "what another authority proved is nothing");
    }
}
