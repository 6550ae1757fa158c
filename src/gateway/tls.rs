//! TLS settings of our listeners. One listener speaks one protocol: a client that offers another one's ALPN name, or asks for a
//! host that we are not, is refused in the handshake (GW-04).

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::gateway::client_certificate::AnyCertificate;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A PEM file cannot be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// Certificate and key do not fit, or carry no DNS name.
    #[error("certificate cannot be used: {0}")]
    Unusable(String),
}

/// A certificate with its key and the names that it answers to.
#[derive(Clone)]
pub struct Identity {
    key: Arc<CertifiedKey>,
    names: Arc<[String]>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads PEM files.
    pub fn load(certificate: &Path, private_key: &Path) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            std::fs::read(path)
                .map_err(|error| TlsError::Unreadable { path: path.display().to_string(), reason: error.to_string() })
        };
        Self::from_pem(&read(certificate)?, &zeroize::Zeroizing::new(read(private_key)?))
    }

    /// Reads PEM text: the chain, leaf first, and the key.
    pub fn from_pem(certificate: &[u8], private_key: &[u8]) -> Result<Self, TlsError> {
        let unusable = |reason: &dyn std::fmt::Display| TlsError::Unusable(reason.to_string());
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(certificate).collect::<Result<_, _>>().map_err(|error| unusable(&error))?;
        let leaf = chain.first().ok_or_else(|| unusable(&"the file holds no certificate"))?;
        let names = dns_names(leaf).ok_or_else(|| unusable(&"the certificate names no host"))?;
        let key =
            PrivateKeyDer::from_pem_slice(private_key).map_err(|_| unusable(&"the key file holds no private key"))?;
        let provider = rustls::crypto::ring::default_provider();
        let key = CertifiedKey::from_der(chain, key, &provider).map_err(|error| unusable(&error))?;
        Ok(Self { key: Arc::new(key), names: names.into() })
    }

    /// Whether the certificate is for `host`.
    pub fn is_for(&self, host: &str) -> bool {
        self.names.iter().any(|name| covers(name, host))
    }

    /// Whether a tool that connected to `host` is at the right place: a name of the certificate, or an address.
    pub fn answers_to(&self, host: &str) -> bool {
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        literal.parse::<std::net::IpAddr>().is_ok() || self.is_for(host)
    }

    /// Settings for a listener that speaks the ALPN protocols `alpn`. A client that offers no ALPN at all is served, and so is one
    /// that shows no certificate.
    pub fn server_config(&self, alpn: &[&str]) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = AnyCertificate::new(&provider);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Unusable(error.to_string()))?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let ours = hello.server_name().is_none_or(|asked| self.is_for(asked));
        ours.then(|| Arc::clone(&self.key))
    }
}

/// Whether a certificate's DNS name covers the host asked for (RFC 9525: a wildcard stands for one whole first label).
fn covers(name: &str, asked: &str) -> bool {
    if name.eq_ignore_ascii_case(asked) {
        return true;
    }
    match (name.strip_prefix("*."), asked.split_once('.')) {
        (Some(parent), Some((_, rest))) => parent.eq_ignore_ascii_case(rest),
        _ => false,
    }
}

fn dns_names(leaf: &CertificateDer<'_>) -> Option<Vec<String>> {
    use x509_parser::extensions::GeneralName;
    let (_, certificate) = x509_parser::parse_x509_certificate(leaf).ok()?;
    let names: Vec<String> = certificate
        .subject_alternative_name()
        .ok()??
        .value
        .general_names
        .iter()
        .filter_map(|name| if let GeneralName::DNSName(dns) = name { Some((*dns).to_owned()) } else { None })
        .collect();
    (!names.is_empty()).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_wildcard_stands_for_one_label() {
        assert!(covers("*.example.com", "mail.example.com") && covers("mail.example.com", "MAIL.example.com"));
        assert!(!covers("*.example.com", "a.b.example.com") && !covers("*.example.com", "example.com"));
    }
}
