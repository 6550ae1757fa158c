//! What the service says of itself (RFC 8414).

use serde_json::json;

use crate::domain::details::MailboxDetails;
use crate::oauth::{DPOP_ALGS, HANDLE_TYPE, TokenService};

impl TokenService {
    /// The metadata document (RFC 8414). Depends on the settings only (TOK-20).
    pub fn metadata(&self) -> serde_json::Value {
        let issuer = &self.0.issuer;
        let scopes: Vec<_> = crate::domain::scope::Scope::ALL.iter().map(|scope| scope.as_str()).collect();
        let mut methods =
            vec!["client_secret_basic", "client_secret_post", "private_key_jwt", "self_signed_tls_client_auth"];
        if self.0.client_ca.is_some() {
            methods.push("tls_client_auth");
        }
        json!({
            "issuer": issuer,
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/jwks"),
            "grant_types_supported": ["client_credentials"],
            // Required by RFC 8414 section 2; there is no authorization endpoint.
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": methods,
            // RS256 from clients that are registered for it, and from platforms.
            "token_endpoint_auth_signing_alg_values_supported": ["PS256", "ES256", "EdDSA", "Ed25519", "RS256"],
            // RFC 8705 section 3.3.
            "tls_client_certificate_bound_access_tokens": true,
            "introspection_endpoint": format!("{issuer}/introspect"),
            "introspection_endpoint_auth_methods_supported": methods,
            "revocation_endpoint": format!("{issuer}/revoke"),
            "revocation_endpoint_auth_methods_supported": methods,
            "authorization_details_types_supported": [MailboxDetails::TYPE],
            "mailwarden_requested_token_types_supported": [HANDLE_TYPE],
            "scopes_supported": scopes,
            "dpop_signing_alg_values_supported": DPOP_ALGS,
        })
    }
}
