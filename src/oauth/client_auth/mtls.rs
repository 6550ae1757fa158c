//! `tls_client_auth` and `self_signed_tls_client_auth` (RFC 8705 section 2). That the peer has the certificate's key was proven by the
//! handshake; what a proxy writes into a header is never read (CA-16).

use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::time::ASN1Time;

use crate::domain::client::{Client, Status};
use crate::domain::client_auth::{CertificateSubject, ClientAuth};
use crate::domain::clock::Timestamp;
use crate::domain::distinguished_name::DistinguishedName;
use crate::domain::id::ClientId;
use crate::oauth::bound::thumbprint;
use crate::oauth::{OauthError, Origin, TokenService};

impl TokenService {
    pub(super) async fn by_certificate(&self, id: &str, origin: &Origin) -> Result<Client, OauthError> {
        let id: ClientId = id.parse().map_err(|_| OauthError::InvalidClient)?;
        let leaf = origin.certificates.first().ok_or(OauthError::InvalidClient)?;
        let (_, certificate) = x509_parser::parse_x509_certificate(leaf).map_err(|_| OauthError::InvalidClient)?;
        let now = self.0.clock.now();
        // Before the client is looked up: an unknown id takes as long as a known one (CA-06).
        let is_vouched_for =
            self.0.client_ca.as_ref().is_some_and(|authorities| authorities.vouches_for(&origin.certificates, now));
        let found = self.0.registry.find_client(id.as_str()).await;
        let client = found.map_err(|error| OauthError::of(&error, OauthError::InvalidClient))?;
        let is_proven = match &client.auth {
            ClientAuth::TlsClientAuth { subject } => is_vouched_for && is_named(&certificate, subject),
            ClientAuth::SelfSignedTlsClientAuth { thumbprints } => {
                in_its_time(&certificate, now) && thumbprints.contains(&thumbprint(leaf))
            }
            ClientAuth::ClientSecret {} | ClientAuth::PrivateKeyJwt { .. } | ClientAuth::WorkloadIdentity { .. } => {
                false
            }
        };
        if is_proven && client.status == Status::Active { Ok(client) } else { Err(OauthError::InvalidClient) }
    }
}

fn in_its_time(certificate: &X509Certificate<'_>, now: Timestamp) -> bool {
    ASN1Time::from_timestamp(now.as_secs()).is_ok_and(|now| certificate.validity().is_valid_at(now))
}

/// Whether the one registered name is among the certificate's, whole: no wildcard, no prefix (CA-15).
fn is_named(certificate: &X509Certificate<'_>, wanted: &CertificateSubject) -> bool {
    let alternative = |is_wanted: &dyn Fn(&GeneralName<'_>) -> bool| {
        let names = certificate.subject_alternative_name().ok().flatten();
        names.is_some_and(|names| names.value.general_names.iter().any(is_wanted))
    };
    match wanted {
        CertificateSubject::TlsClientAuthSubjectDn(name) => {
            name.parse::<DistinguishedName>().is_ok_and(|wanted| subject(certificate) == Some(wanted))
        }
        CertificateSubject::TlsClientAuthSanDns(host) => alternative(
            &|name| matches!(name, GeneralName::DNSName(dns) if dns.eq_ignore_ascii_case(host) && !dns.contains('*')),
        ),
        CertificateSubject::TlsClientAuthSanUri(uri) => {
            alternative(&|name| matches!(name, GeneralName::URI(other) if other == uri))
        }
        CertificateSubject::TlsClientAuthSanIp(address) => {
            let Ok(address) = address.parse::<IpAddr>() else { return false };
            let octets = match address {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            alternative(&|name| matches!(name, GeneralName::IPAddress(other) if *other == octets))
        }
        CertificateSubject::TlsClientAuthSanEmail(address) => {
            alternative(&|name| matches!(name, GeneralName::RFC822Name(other) if other == address))
        }
    }
}

/// The subject's name; `None` where a part of it is no text.
fn subject(certificate: &X509Certificate<'_>) -> Option<DistinguishedName> {
    let relative = certificate.subject().iter_rdn().map(|relative| {
        let attributes = relative.iter().map(|attribute| {
            let value = attribute.as_str().ok()?;
            Some((attribute.attr_type().to_id_string(), value.to_owned()))
        });
        attributes.collect::<Option<Vec<_>>>()
    });
    DistinguishedName::new(relative.collect::<Option<_>>()?)
}
