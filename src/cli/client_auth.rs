//! `client add --auth`: how a tool shall prove who it is. Files are read here; only public material is sent.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::crypto::encoding::base64url;
use crate::crypto::hash::sha256;
use crate::domain::client_auth::{CertificateSubject, ClientAuth, KeySource, RequiredBinding};
use crate::oauth::client_auth::usable;

/// A method, as it is written on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Method {
    /// A generated secret
    ClientSecret,
    /// Assertions signed with the tool's own key
    PrivateKeyJwt,
    /// Tokens of the platform that the tool runs on
    WorkloadIdentity,
    /// A TLS certificate from a CA that the service trusts
    TlsClientAuth,
    /// A TLS certificate that the tool made itself
    SelfSignedTlsClientAuth,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Binding {
    None,
    Dpop,
    Mtls,
}

/// How the tool proves who it is.
#[derive(Debug, Args)]
pub(super) struct AuthArgs {
    /// How the tool proves who it is
    #[arg(long, value_enum, default_value = "client_secret")]
    auth: Method,
    /// File with the public keys, a JWK set (private_key_jwt, workload_identity)
    #[arg(long, conflicts_with = "jwks_uri")]
    jwks_file: Option<PathBuf>,
    /// https URL of the public keys (private_key_jwt, workload_identity)
    #[arg(long)]
    jwks_uri: Option<String>,
    /// Take RS256 too, for the oldest libraries (private_key_jwt)
    #[arg(long)]
    allow_rs256: bool,
    /// Exact `iss` of the platform's tokens (workload_identity)
    #[arg(long)]
    issuer: Option<String>,
    /// Exact `sub` of the platform's tokens (workload_identity)
    #[arg(long)]
    subject: Option<String>,
    /// Exact `aud` of the platform's tokens; this service's issuer when absent (workload_identity)
    #[arg(long)]
    audience: Option<String>,
    /// Distinguished name of the certificate, as RFC 4514 writes it (tls_client_auth)
    #[arg(long, conflicts_with_all = ["tls_san_dns", "tls_san_uri"])]
    tls_subject_dn: Option<String>,
    /// DNS name in the certificate (tls_client_auth)
    #[arg(long, conflicts_with = "tls_san_uri")]
    tls_san_dns: Option<String>,
    /// URI in the certificate, such as a SPIFFE id (tls_client_auth)
    #[arg(long)]
    tls_san_uri: Option<String>,
    /// PEM file with the tool's certificate; may be given again (self_signed_tls_client_auth)
    #[arg(long)]
    certificate_file: Vec<PathBuf>,
    /// What every token of the tool must be bound to
    #[arg(long, value_enum, default_value = "none")]
    required_binding: Binding,
}

impl AuthArgs {
    /// What its tokens must be bound to.
    pub(super) fn binding(&self) -> RequiredBinding {
        match self.required_binding {
            Binding::None => RequiredBinding::None,
            Binding::Dpop => RequiredBinding::Dpop,
            Binding::Mtls => RequiredBinding::Mtls,
        }
    }

    /// The method. An option of another method is a mistake and not ignored.
    pub(super) fn method(mut self) -> anyhow::Result<ClientAuth> {
        let method = match self.auth {
            Method::ClientSecret => ClientAuth::ClientSecret {},
            Method::PrivateKeyJwt => {
                let allow_rs256 = std::mem::take(&mut self.allow_rs256);
                ClientAuth::PrivateKeyJwt { keys: self.keys()?, allow_rs256 }
            }
            Method::WorkloadIdentity => ClientAuth::WorkloadIdentity {
                issuer: self.issuer.take().context("workload_identity needs --issuer")?,
                subject: self.subject.take().context("workload_identity needs --subject")?,
                audience: self.audience.take(),
                keys: self.keys()?,
            },
            Method::TlsClientAuth => ClientAuth::TlsClientAuth { subject: self.certificate_subject()? },
            Method::SelfSignedTlsClientAuth => {
                let thumbprints = std::mem::take(&mut self.certificate_file);
                if thumbprints.is_empty() {
                    bail!("self_signed_tls_client_auth needs --certificate-file");
                }
                let thumbprints = thumbprints.iter().map(|file| thumbprint(file)).collect::<Result<_, _>>()?;
                ClientAuth::SelfSignedTlsClientAuth { thumbprints }
            }
        };
        let left = [
            (self.jwks_file.is_some(), "--jwks-file"),
            (self.jwks_uri.is_some(), "--jwks-uri"),
            (self.allow_rs256, "--allow-rs256"),
            (self.issuer.is_some(), "--issuer"),
            (self.subject.is_some(), "--subject"),
            (self.audience.is_some(), "--audience"),
            (self.tls_subject_dn.is_some(), "--tls-subject-dn"),
            (self.tls_san_dns.is_some(), "--tls-san-dns"),
            (self.tls_san_uri.is_some(), "--tls-san-uri"),
            (!self.certificate_file.is_empty(), "--certificate-file"),
        ];
        if let Some((_, option)) = left.iter().find(|(given, _)| *given) {
            bail!("{option} does not go with --auth {}", method.as_str());
        }
        // Before it is sent, lest a private key leaves the machine by mistake.
        usable(&method).map_err(anyhow::Error::msg)?;
        Ok(method)
    }

    fn keys(&mut self) -> anyhow::Result<KeySource> {
        match (self.jwks_file.take(), self.jwks_uri.take()) {
            (Some(file), _) => {
                let text = read(&file)?;
                let set = serde_json::from_str(&text).with_context(|| format!("{} is not JSON", file.display()))?;
                Ok(KeySource::Jwks(set))
            }
            (None, Some(uri)) => Ok(KeySource::JwksUri(uri)),
            (None, None) => bail!("this method needs --jwks-file or --jwks-uri"),
        }
    }

    fn certificate_subject(&mut self) -> anyhow::Result<CertificateSubject> {
        let dn = self.tls_subject_dn.take().map(CertificateSubject::TlsClientAuthSubjectDn);
        let dns = self.tls_san_dns.take().map(CertificateSubject::TlsClientAuthSanDns);
        let uri = self.tls_san_uri.take().map(CertificateSubject::TlsClientAuthSanUri);
        dn.or(dns).or(uri).context("tls_client_auth needs --tls-subject-dn, --tls-san-dns or --tls-san-uri")
    }
}

/// `x5t#S256` of the first certificate in a PEM file.
fn thumbprint(file: &Path) -> anyhow::Result<String> {
    let pem = read(file)?;
    let first = CertificateDer::pem_slice_iter(pem.as_bytes()).next();
    let certificate =
        first.and_then(Result::ok).with_context(|| format!("no PEM certificate in {}", file.display()))?;
    Ok(base64url(&sha256(&certificate)))
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}
