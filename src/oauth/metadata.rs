//! What the service says of itself (RFC 8414).

use serde_json::json;

use crate::domain::details::MailboxDetails;
use crate::oauth::TokenService;

impl TokenService {
    /// The metadata document (RFC 8414). Depends on the settings only (TOK-20).
    pub fn metadata(&self) -> serde_json::Value {
        let issuer = &self.0.issuer;
        let methods = ["client_secret_basic", "client_secret_post"];
        let scopes: Vec<_> = crate::domain::scope::Scope::ALL.iter().map(|scope| scope.as_str()).collect();
        json!({
            "issuer": issuer,
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/jwks"),
            "grant_types_supported": ["client_credentials"],
            // Required by RFC 8414 section 2; there is no authorization endpoint.
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": methods,
            "introspection_endpoint": format!("{issuer}/introspect"),
            "introspection_endpoint_auth_methods_supported": methods,
            "revocation_endpoint": format!("{issuer}/revoke"),
            "revocation_endpoint_auth_methods_supported": methods,
            "authorization_details_types_supported": [MailboxDetails::TYPE],
            "scopes_supported": scopes,
        })
    }
}
