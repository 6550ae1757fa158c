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
        // The secret may stand in the form instead.
        "security": [{ "client_secret": [] }, {}],
        "requestBody": { "required": true, "content": { "application/x-www-form-urlencoded": {
            "schema": { "$ref": "#/components/schemas/TokenRequest" } } } },
        "responses": {
            "200": { "description": "The token", "content": { "application/json": {
                "schema": { "$ref": "#/components/schemas/Token" } } } },
            "400": refused("The request is not well formed, or asks for what is not granted"),
            "401": refused("The client's secret is wrong"),
            "408": { "description": "The body did not arrive in time", "content": super::problem_content() },
            "413": { "description": "The body is too large", "content": super::problem_content() },
            "429": refused("Too many wrong secrets from this address; see Retry-After"),
            "500": refused("A defect of the service"),
            "503": refused("A part that must work does not; see Retry-After"),
        },
    })
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
                "requested_token_type": { "type": "string", "const": "urn:mailwarden:params:oauth:token-type:handle",
                    "description": "a handle instead of a signed token: the form for tools that only take a password" },
                "protocol": { "type": "string", "enum": ["imap", "smtp"], "description": "the one protocol of a handle" },
                "networks": { "type": "string", "description": "networks that a handle works from, separated by spaces" },
                "client_id": text,
                "client_secret": { "type": "string", "format": "password", "writeOnly": true },
            } }),
        ),
        (
            "Token",
            json!({ "type": "object", "required": ["access_token", "token_type", "expires_in", "scope"], "properties": {
                "access_token": text, "token_type": text, "expires_in": { "type": "integer" }, "scope": text,
                "issued_token_type": { "type": "string", "description": "said of a handle (RFC 8693)" } } }),
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
                "issuer": text, "token_endpoint": text, "jwks_uri": text, "scopes_supported": texts } }),
        ),
    ])
}

fn members<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
