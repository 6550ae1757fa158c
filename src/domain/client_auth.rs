//! How a client proves who it is at the OAuth endpoints, and what its tokens must be bound to.

use serde::{Deserialize, Serialize};

use crate::domain::distinguished_name::DistinguishedName;

/// The one way in which a client proves who it is; no other is taken from it (CA-03). Public material only: secrets are records of
/// their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientAuth {
    /// A generated secret, by `client_secret_basic` or `client_secret_post` (RFC 6749 section 2.3.1).
    ClientSecret {},
    /// An assertion signed with the client's own key (RFC 7523, OpenID Connect Core section 9).
    PrivateKeyJwt {
        /// Where its public keys are.
        keys: KeySource,
        /// Whether RS256 is taken too, for the oldest libraries.
        #[serde(default)]
        allow_rs256: bool,
    },
    /// A TLS certificate from a CA that the settings trust (RFC 8705 section 2.1).
    TlsClientAuth {
        /// Which certificate is the client's.
        subject: CertificateSubject,
    },
    /// A TLS certificate that the client made itself (RFC 8705 section 2.2).
    SelfSignedTlsClientAuth {
        /// SHA-256 of each certificate's DER in base64url: `x5t#S256`.
        thumbprints: Vec<String>,
    },
    /// A token of the platform that the tool runs on, such as Entra ID, Kubernetes, GitHub Actions or SPIFFE (RFC 7523 section 3).
    WorkloadIdentity {
        /// The exact `iss`.
        issuer: String,
        /// The exact `sub`.
        subject: String,
        /// The exact `aud`; ours when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        audience: Option<String>,
        /// Where the issuer's public keys are.
        keys: KeySource,
    },
}

impl ClientAuth {
    /// The method's name: that of RFC 8414's registry, or `workload_identity`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::ClientSecret {} => "client_secret",
            Self::PrivateKeyJwt { .. } => "private_key_jwt",
            Self::TlsClientAuth { .. } => "tls_client_auth",
            Self::SelfSignedTlsClientAuth { .. } => "self_signed_tls_client_auth",
            Self::WorkloadIdentity { .. } => "workload_identity",
        }
    }
}

/// How many certificates one client may have registered: the one in use, the next one, and some machines more.
const MAX_THUMBPRINTS: usize = 16;

impl ClientAuth {
    /// What is wrong with how certificates are named, if anything is.
    pub fn certificate_fault(&self) -> Option<&'static str> {
        match self {
            Self::TlsClientAuth { subject } => subject.fault(),
            Self::SelfSignedTlsClientAuth { thumbprints } => {
                let is_thumbprint = |text: &String| {
                    // 43 characters of base64url, the last of which has two bits that say nothing.
                    let is_text = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
                    text.len() == 43 && is_text && text.ends_with(|last| "AEIMQUYcgkosw048".contains(last))
                };
                let is_good =
                    (1..=MAX_THUMBPRINTS).contains(&thumbprints.len()) && thumbprints.iter().all(is_thumbprint);
                (!is_good).then_some("thumbprints are 1 to 16 SHA-256 digests of certificates (DER) in base64url")
            }
            Self::ClientSecret {} | Self::PrivateKeyJwt { .. } | Self::WorkloadIdentity { .. } => None,
        }
    }
}

/// Where somebody's public keys are (RFC 7517).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum KeySource {
    /// The JWK set itself.
    Jwks(serde_json::Value),
    /// An https URL that gives it.
    JwksUri(String),
}

/// Which certificate is a client's: exactly one name of it, compared whole (RFC 8705 section 2.1.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CertificateSubject {
    /// The subject's distinguished name, as RFC 4514 writes it.
    TlsClientAuthSubjectDn(String),
    /// A DNS name among the subject's alternative names.
    TlsClientAuthSanDns(String),
    /// A URI among them, such as a SPIFFE id.
    TlsClientAuthSanUri(String),
    /// An address among them.
    TlsClientAuthSanIp(String),
    /// A mail address among them.
    TlsClientAuthSanEmail(String),
}

impl CertificateSubject {
    fn fault(&self) -> Option<&'static str> {
        let is_plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        match self {
            Self::TlsClientAuthSubjectDn(name) if name.parse::<DistinguishedName>().is_err() => {
                Some("tls_client_auth_subject_dn is a distinguished name as RFC 4514 writes it")
            }
            Self::TlsClientAuthSanDns(host) if !is_plain(host) || host.contains('*') => {
                Some("tls_client_auth_san_dns is one DNS name, without a wildcard")
            }
            Self::TlsClientAuthSanUri(uri) if !is_plain(uri) || !uri.contains(':') => {
                Some("tls_client_auth_san_uri is a URI")
            }
            Self::TlsClientAuthSanIp(address) if address.parse::<std::net::IpAddr>().is_err() => {
                Some("tls_client_auth_san_ip is an IP address")
            }
            Self::TlsClientAuthSanEmail(address) if !is_plain(address) || !address.contains('@') => {
                Some("tls_client_auth_san_email is a mail address")
            }
            _ => None,
        }
    }
}

/// What every token of a client must be bound to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequiredBinding {
    /// Nothing; it is bound to what the request brings, if anything.
    #[default]
    None,
    /// A DPoP key (RFC 9449 section 5.2, `dpop_bound_access_tokens`).
    Dpop,
    /// The client's TLS certificate (RFC 8705 section 3.4, `tls_client_certificate_bound_access_tokens`).
    Mtls,
}

impl RequiredBinding {
    /// The word in SQL and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Dpop => "dpop",
            Self::Mtls => "mtls",
        }
    }

    /// Reads the word; `None` for any other.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::Dpop, Self::Mtls].into_iter().find(|binding| binding.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::ClientAuth;

    #[test]
    fn certificates_are_named_so_that_they_can_be_found() {
        let fault = |text: &str| serde_json::from_str::<ClientAuth>(text).unwrap().certificate_fault();
        let subject = |kind: &str, name: &str| {
            fault(&format!(r#"{{"method":"tls_client_auth","subject":{{"{kind}":"{name}"}}}}"#))
        };
        for (kind, good, wrong) in [
            ("tls_client_auth_subject_dn", "CN=tool,O=Acme", "tool"),
            ("tls_client_auth_san_dns", "tool.example.com", "*.example.com"),
            ("tls_client_auth_san_uri", "spiffe://example.com/tool", "tool"),
            ("tls_client_auth_san_ip", "2001:db8::1", "2001:db8::/32"),
            ("tls_client_auth_san_email", "tool@example.com", "tool"),
        ] {
            assert_eq!(subject(kind, good), None, "{good}");
            for wrong in ["", wrong] {
                assert!(subject(kind, wrong).unwrap().starts_with(kind), "{kind} {wrong}");
            }
        }
        let thumbprints =
            |list: &str| fault(&format!(r#"{{"method":"self_signed_tls_client_auth","thumbprints":[{list}]}}"#));
        let good = format!("\"{}\"", "A".repeat(43));
        assert_eq!(thumbprints(&good), None);
        assert_eq!(thumbprints(&vec![&*good; 16].join(",")), None);
        for wrong in [
            "",
            &good.replace('A', ""),
            &good.replace("AA", "A"),
            &good.replacen('A', "+", 1),
            &good.replace("A\"", "B\""),
        ] {
            assert!(thumbprints(wrong).is_some(), "{wrong}");
        }
        assert!(thumbprints(&vec![&*good; 17].join(",")).is_some());
    }

    #[test]
    fn a_method_that_this_version_does_not_know_is_unreadable() {
        assert_eq!(
            serde_json::from_str::<ClientAuth>(r#"{"method":"client_secret"}"#).unwrap(),
            ClientAuth::ClientSecret {}
        );
        for wrong in [
            r#"{"method":"none"}"#,
            r#"{"method":"client_secret","also":1}"#,
            r#"{"method":"private_key_jwt"}"#,
            r#"{"method":"private_key_jwt","keys":{"jwks_uri":"https://a.test","jwks":{}}}"#,
        ] {
            assert!(serde_json::from_str::<ClientAuth>(wrong).is_err(), "{wrong}");
        }
    }
}
