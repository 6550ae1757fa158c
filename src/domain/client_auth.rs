//! How a client proves who it is at the OAuth endpoints, and what its tokens must be bound to.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The one way in which a client proves who it is; no other is taken from it (CA-03). Public material only: secrets are records of
/// their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
    /// A token of the platform that the tool runs on, such as Entra ID, Kubernetes, GitHub Actions or SPIFFE (RFC 7523 section 3). The
    /// request names the client by `client_id`, which the token does not. A platform gives the same token again until it expires, so it
    /// is taken again until then, 24 hours ahead at most.
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

/// Where somebody's public keys are (RFC 7517).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum KeySource {
    /// The JWK set itself.
    #[schema(value_type = Object)]
    Jwks(serde_json::Value),
    /// An https URL that gives it.
    JwksUri(String),
}

/// Which certificate is a client's: exactly one name of it, compared whole (RFC 8705 section 2.1.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

/// What every token of a client must be bound to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RequiredBinding {
    /// Nothing; it is bound to what the request brings, if anything.
    #[default]
    None,
    /// A DPoP key (RFC 9449 section 5.2, `dpop_bound_access_tokens`). Its proofs have to carry our nonce; those of other clients may.
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
