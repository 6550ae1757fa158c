//! HTTPS as our commands speak it: to one origin, over TLS on our own settings, without proxies or redirects.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Why there is no connection to be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpsError {
    /// Not a URL at all.
    #[error("MAILWARDEN_URL is not a URL of the form https://HOST[:PORT]")]
    NotAUrl,
    /// Not TLS.
    #[error("MAILWARDEN_URL must begin with https:// or secrets would be sent in the clear")]
    Clear,
    /// A user name or password in it.
    #[error("MAILWARDEN_URL must not hold a user name or password; secrets have variables of their own")]
    Credentials,
    /// More than an origin.
    #[error("MAILWARDEN_URL must be https://HOST[:PORT] with nothing behind it")]
    NotAnOrigin,
    /// The CA file cannot be read.
    #[error("cannot read the CA file {0}: {1}")]
    CaFile(String, std::io::Error),
    /// The CA file holds no certificates.
    #[error("the CA file is not PEM")]
    CaPem,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// The origin that a URL names. Secrets go there, so it must be TLS, and nothing else may hide in the URL.
pub fn origin(url: &str) -> Result<String, HttpsError> {
    let parsed = url::Url::parse(url).map_err(|_| HttpsError::NotAUrl)?;
    if parsed.scheme() != "https" {
        return Err(HttpsError::Clear);
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(HttpsError::Credentials);
    }
    if !["", "/"].contains(&parsed.path()) || parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(HttpsError::NotAnOrigin);
    }
    Ok(parsed.origin().ascii_serialization())
}

/// A client that trusts the CA certificates in `ca`, or the public ones.
pub fn client(ca: Option<&Path>) -> Result<reqwest::Client, HttpsError> {
    let mut roots = rustls::RootCertStore::empty();
    match ca {
        None => roots.roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let pem = std::fs::read(path).map_err(|error| HttpsError::CaFile(path.display().to_string(), error))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|_| HttpsError::CaPem)?;
                roots.add(certificate).map_err(|error| HttpsError::Tls(error.to_string()))?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| HttpsError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| HttpsError::Tls(error.to_string()))
}
