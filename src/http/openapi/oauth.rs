//! The OAuth endpoints in the document. Their forms and answers are fixed by RFC 6749, RFC 7517 and RFC 8414.

use serde_json::{Map, Value, json};

/// The paths.
pub(super) fn paths() -> Map<String, Value> {
    let metadata = |id: &str| read(id, "What the authorization server offers (RFC 8414)", "Metadata");
    members([
        ("/oauth/token", json!({ "post": token() })),
        ("/oauth/introspect", json!({ "post": introspect() })),
        ("/oauth/revoke", json!({ "post": revoke() })),
        ("/oauth/me", json!({ "get": me() })),
        ("/oauth/jwks", read("jwks", "The public keys that sign access tokens (RFC 7517)", "KeySet")),
        ("/.well-known/oauth-authorization-server/oauth", metadata("metadata")),
        ("/oauth/.well-known/openid-configuration", metadata("openid_metadata")),
        (
            "/.well-known/oauth-protected-resource/oauth/me",
            read("resource_metadata", "What the resource for tool tokens takes (RFC 9728)", "ResourceMetadata"),
        ),
    ])
}

fn refused(description: &str) -> Value {
    answer(description, "TokenRefused")
}

fn answer(description: &str, schema: &str) -> Value {
    let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}

/// An operation on a token that stands in a form.
fn on_token(id: &str, summary: &str, security: &Value, done: &Value) -> Value {
    json!({
        "operationId": id,
        "summary": summary,
        "tags": ["oauth"],
        "security": security,
        "requestBody": { "required": true, "content": { "application/x-www-form-urlencoded": {
            "schema": { "$ref": "#/components/schemas/TokenQuery" } } } },
        "responses": {
            "200": done,
            "400": refused("The request is not well formed"),
            "401": refused("Who asks is not known"),
            "408": { "description": "The body did not arrive in time", "content": super::problem_content() },
            "413": { "description": "The body is too large", "content": super::problem_content() },
            "429": refused("Too many wrong secrets from this address; see Retry-After"),
            "500": refused("A defect of the service"),
            "503": refused("A part that must work does not; see Retry-After"),
        },
    })
}

fn introspect() -> Value {
    let done =
        answer("What the token is; `active` alone for one that is not active or not the client's own", "Introspection");
    let security = json!([{ "client_secret": [] }, { "operator_token": [] }, {}]);
    let mut operation = on_token("introspect", "Look at an access token or handle (RFC 7662)", &security, &done);
    if let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) {
        // Operators hear what they hear everywhere.
        for status in ["401", "403", "429"] {
            let content = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/TokenRefused" } },
                "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } });
            responses.insert(
                status.to_owned(),
                json!({ "description": super::described_status(status), "content": content }),
            );
        }
    }
    operation
}

fn revoke() -> Value {
    let security = json!([{ "client_secret": [] }, {}]);
    let done = json!({ "description": "The token is not active, or was never the client's" });
    on_token("revoke", "Revoke an access token or handle and end its sessions (RFC 7009)", &security, &done)
}

fn me() -> Value {
    json!({
        "operationId": "me",
        "summary": "What the calling client has: mailboxes, scopes, bounds, places and ends, and the freezes that hold for it",
        "description": "Answered under any freeze: this is where a tool finds out.",
        "tags": ["oauth"],
        "security": [{ "client_secret": [] }, { "access_token": [] }, { "dpop_token": [] }],
        "parameters": [{ "name": "DPoP", "in": "header", "required": false, "schema": { "type": "string" },
            "description": "The proof that goes with a token bound to a key (RFC 9449)" }],
        "responses": {
            "200": answer("What the client has", "Me"),
            "400": refused("The request is not well formed"),
            "401": refused("Neither a valid access token nor the client's own proof"),
            "429": refused("Too many wrong secrets from this address; see Retry-After"),
            "500": refused("A defect of the service"),
            "503": refused("A part that must work does not; see Retry-After"),
        },
    })
}

fn token() -> Value {
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

fn read(id: &str, summary: &str, schema: &str) -> Value {
    let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
    json!({ "get": { "operationId": id, "summary": summary, "tags": ["oauth"], "security": [], "responses": {
        "200": { "description": summary, "content": { "application/json": { "schema": schema } } } } } })
}

/// The forms and answers.
pub(super) fn schemas() -> Map<String, Value> {
    let text = json!({ "type": "string" });
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    let mut all = members([
        (
            "TokenRequest",
            json!({ "type": "object", "required": ["grant_type"], "properties": {
                "grant_type": { "type": "string", "const": "client_credentials" },
                "resource": { "type": "string", "description": "mailto:ADDRESS of the mailbox (RFC 8707)" },
                "scope": { "type": "string", "description": "scopes, separated by spaces; all that are granted when absent" },
                "authorization_details": { "type": "string", "contentMediaType": "application/json", "description":
                    "one element of the type `mailbox` with `folders`, `senders`, `recipients`, `protocols` or `budgets`: less than the grant (RFC 9396)" },
                "requested_token_type": { "type": "string", "const": "urn:mailwarden:params:oauth:token-type:handle",
                    "description": "a handle instead of a signed token: the form for tools that only take a password" },
                "protocol": { "type": "string", "enum": ["imap", "smtp", "pop3"], "description": "the one protocol of a handle" },
                "networks": { "type": "string", "description": "networks that a handle works from, separated by spaces" },
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
                "access_token": text, "token_type": text, "expires_in": { "type": "integer" }, "scope": text,
                "authorization_details": { "type": "array", "items": { "$ref": "#/components/schemas/MailboxDetails" } },
                "issued_token_type": { "type": "string", "description": "said of a handle (RFC 8693)" } } }),
        ),
        (
            "MailboxDetails",
            json!({ "type": "object", "required": ["type"], "additionalProperties": false, "properties": {
                "type": { "type": "string", "const": "mailbox" }, "folders": texts, "senders": texts, "recipients": texts,
                "protocols": { "type": "array", "items": { "$ref": "#/components/schemas/Protocol" } },
                "budgets": { "$ref": "#/components/schemas/Budgets" } } }),
        ),
        (
            "TokenQuery",
            json!({ "type": "object", "required": ["token"],
                "description": "The client's own proof may stand here too, as in a TokenRequest", "properties": {
                    "token": { "type": "string", "minLength": 1, "format": "password", "writeOnly": true }, "token_type_hint": text } }),
        ),
        (
            "Introspection",
            json!({ "type": "object", "required": ["active"], "properties": {
                "active": { "type": "boolean" }, "iss": text, "sub": text, "client_id": text, "aud": text, "scope": text,
                "iat": { "type": "integer" }, "exp": { "type": "integer" }, "jti": text, "token_type": text,
                "cnf": { "type": "object" },
                "authorization_details": { "type": "array", "items": { "$ref": "#/components/schemas/MailboxDetails" } } } }),
        ),
        (
            "TokenRefused",
            json!({ "type": "object", "required": ["error"], "properties": {
                "error": text, "error_description": text, "request_id": text } }),
        ),
    ]);
    all.extend(own_schemas(&text, &texts));
    all.extend(crate::http::me::schemas().map(|(name, schema)| (name.to_owned(), schema)));
    all
}

/// What the service says of itself.
fn own_schemas(text: &Value, texts: &Value) -> Map<String, Value> {
    members([
        (
            "KeySet",
            json!({ "type": "object", "required": ["keys"], "properties": { "keys": { "type": "array", "items": {
                "type": "object", "required": ["kty", "kid", "alg"], "properties": { "kty": text, "kid": text, "alg": text },
            } } } }),
        ),
        (
            "Metadata",
            json!({ "type": "object", "required": ["issuer", "token_endpoint", "jwks_uri"], "properties": {
                "issuer": text, "token_endpoint": text, "jwks_uri": text, "introspection_endpoint": text,
                "revocation_endpoint": text, "scopes_supported": texts,
                "token_endpoint_auth_methods_supported": texts,
                "tls_client_certificate_bound_access_tokens": { "type": "boolean" },
                "dpop_signing_alg_values_supported": texts } }),
        ),
        (
            "ResourceMetadata",
            json!({ "type": "object", "required": ["resource", "authorization_servers"], "properties": {
                "resource": text, "authorization_servers": texts, "scopes_supported": texts,
                "bearer_methods_supported": texts, "dpop_signing_alg_values_supported": texts,
                "dpop_bound_access_tokens_required": { "type": "boolean" } } }),
        ),
    ])
}

fn members<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
