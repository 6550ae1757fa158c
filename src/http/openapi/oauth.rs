//! The OAuth endpoints in the document. Their forms and answers are fixed by RFC 6749, RFC 7517 and RFC 8414.

use serde_json::{Map, Value, json};

/// The paths.
pub(super) fn paths() -> Map<String, Value> {
    let metadata = |id: &str| read(id, "What the authorization server offers (RFC 8414)", "Metadata");
    members([
        ("/oauth/token", json!({ "post": token() })),
        ("/oauth/jwks", read("jwks", "The public keys that sign access tokens (RFC 7517)", "KeySet")),
        ("/.well-known/oauth-authorization-server/oauth", metadata("metadata")),
        ("/oauth/.well-known/openid-configuration", metadata("openid_metadata")),
        ("/oauth/me", me()),
        (
            "/.well-known/oauth-protected-resource/oauth/me",
            read("resource_metadata", "What the resource for tool tokens takes (RFC 9728)", "ResourceMetadata"),
        ),
    ])
}

fn token() -> Value {
    let refused = |description: &str| {
        let schema = json!({ "$ref": "#/components/schemas/TokenRefused" });
        json!({ "description": description, "content": { "application/json": { "schema": schema } } })
    };
    json!({
        "operationId": "token",
        "summary": "Get an access token (RFC 6749 section 4.4)",
        "tags": ["oauth"],
        // The secret, or an assertion, may stand in the form instead.
        "security": [{ "client_secret": [] }, {}],
        "parameters": [{ "name": "DPoP", "in": "header", "required": false, "schema": { "type": "string" },
            "description": "A proof of possession: the token is bound to its key (RFC 9449)" }],
        "requestBody": { "required": true, "content": { "application/x-www-form-urlencoded": {
            "schema": { "$ref": "#/components/schemas/TokenRequest" } } } },
        "responses": {
            "200": { "description": "The token", "headers": nonce(), "content": { "application/json": {
                "schema": { "$ref": "#/components/schemas/Token" } } } },
            "400": refused("The request is not well formed, asks for what is not granted, or needs a DPoP proof (invalid_dpop_proof) \
                with the nonce of the DPoP-Nonce header (use_dpop_nonce)"),
            "401": refused("The client does not prove who it is"),
            "408": { "description": "The body did not arrive in time", "content": super::problem_content() },
            "413": { "description": "The body is too large", "content": super::problem_content() },
            "429": refused("Too many wrong secrets from this address; see Retry-After"),
            "500": refused("A defect of the service"),
            "503": refused("A part that must work does not; see Retry-After"),
        },
    })
}

/// The header that names the nonce for the next proof.
fn nonce() -> Value {
    json!({ "DPoP-Nonce": { "description": "The nonce for the next DPoP proof", "schema": { "type": "string" } } })
}

fn me() -> Value {
    let refused = |description: &str| {
        let schema = json!({ "$ref": "#/components/schemas/TokenRefused" });
        json!({ "description": description, "headers": nonce(), "content": { "application/json": { "schema": schema } } })
    };
    json!({ "get": {
        "operationId": "me",
        "summary": "What a token is good for",
        "tags": ["oauth"],
        "security": [{ "access_token": [] }, { "dpop_token": [] }],
        "parameters": [{ "name": "DPoP", "in": "header", "required": false, "schema": { "type": "string" },
            "description": "The proof that goes with a token bound to a key (RFC 9449)" }],
        "responses": {
            "200": { "description": "The tool", "headers": nonce(), "content": { "application/json": {
                "schema": { "$ref": "#/components/schemas/Me" } } } },
            "400": refused("More than one Authorization header"),
            "401": refused("The token or its proof is missing or not good; see WWW-Authenticate"),
            "500": refused("A defect of the service"),
            "503": refused("A part that must work does not; see Retry-After"),
        },
    } })
}

fn read(id: &str, summary: &str, schema: &str) -> Value {
    let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
    json!({ "get": { "operationId": id, "summary": summary, "tags": ["oauth"], "security": [], "responses": {
        "200": { "description": summary, "content": { "application/json": { "schema": schema } } } } } })
}

/// The forms and answers.
pub(super) fn schemas() -> Map<String, Value> {
    let text = json!({ "type": "string" });
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    members([
        (
            "TokenRequest",
            json!({ "type": "object", "required": ["grant_type"], "properties": {
                "grant_type": { "type": "string", "const": "client_credentials" },
                "resource": { "type": "string", "description": "mailto:ADDRESS of the mailbox (RFC 8707)" },
                "scope": { "type": "string", "description": "scopes, separated by spaces; all that are granted when absent" },
                "client_id": text,
                "client_secret": { "type": "string", "format": "password", "writeOnly": true },
                "client_assertion_type": { "type": "string",
                    "const": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" },
                "client_assertion": { "type": "string", "writeOnly": true,
                    "description": "JWT that proves the client (RFC 7523), instead of a secret" },
            } }),
        ),
        (
            "Token",
            json!({ "type": "object", "required": ["access_token", "token_type", "expires_in", "scope"], "properties": {
                "access_token": text, "token_type": text, "expires_in": { "type": "integer" }, "scope": text } }),
        ),
        ("Me", json!({ "type": "object", "required": ["client_id"], "properties": { "client_id": text } })),
        (
            "ResourceMetadata",
            json!({ "type": "object", "required": ["resource", "authorization_servers"], "properties": {
                "resource": text, "authorization_servers": texts, "scopes_supported": texts,
                "bearer_methods_supported": texts, "dpop_signing_alg_values_supported": texts,
                "dpop_bound_access_tokens_required": { "type": "boolean" } } }),
        ),
        (
            "TokenRefused",
            json!({ "type": "object", "required": ["error"], "properties": {
                "error": text, "error_description": text, "request_id": text } }),
        ),
        (
            "KeySet",
            json!({ "type": "object", "required": ["keys"], "properties": { "keys": { "type": "array", "items": {
                "type": "object", "required": ["kty", "kid", "alg"], "properties": { "kty": text, "kid": text, "alg": text },
            } } } }),
        ),
        (
            "Metadata",
            json!({ "type": "object", "required": ["issuer", "token_endpoint", "jwks_uri"], "properties": {
                "issuer": text, "token_endpoint": text, "jwks_uri": text, "scopes_supported": texts,
                "token_endpoint_auth_methods_supported": texts,
                "tls_client_certificate_bound_access_tokens": { "type": "boolean" },
                "dpop_signing_alg_values_supported": texts } }),
        ),
    ])
}

fn members<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
