//! The OpenAPI document: what the handlers say of themselves, completed with what holds for all of them, and a page to read it.

mod oauth;
mod page;

use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, http::HeaderValue, http::header};
use serde_json::{Map, Value, json};
use utoipa::PartialSchema;
use utoipa::openapi::OpenApi;

use crate::http::HttpState;
use crate::http::problem::Document;

/// The member of an operation that lists the roles which may call it.
const ROLES: &str = "x-mailwarden-roles";

/// The document and its page.
pub(super) fn router(described: &OpenApi) -> Router<HttpState> {
    let document = complete(described);
    let (page, style) = page::render(&document);
    let text = document.to_string();
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    );
    let policy = HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    let json = move || {
        let text = text.clone();
        async move { answer(HeaderValue::from_static("application/json"), text) }
    };
    let html = move || {
        let (page, policy) = (page.clone(), policy.clone());
        async move {
            let mut response = answer(HeaderValue::from_static("text/html; charset=utf-8"), page);
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
            response
        }
    };
    Router::new()
        .route("/openapi.json", get(json.clone()))
        .route("/api/v1/openapi.json", get(json))
        .route("/openapi", get(html))
}

fn answer(media_type: HeaderValue, body: String) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Adds to every described operation what all have in common, and the endpoints that are not the API's.
fn complete(described: &OpenApi) -> Value {
    let described = serde_json::to_value(described).unwrap_or_default();
    let mut paths = described.get("paths").and_then(Value::as_object).cloned().unwrap_or_default();
    for (path, item) in &mut paths {
        for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
            complete_operation(path, operation);
        }
    }
    let mut schemas = described.pointer("/components/schemas").and_then(Value::as_object).cloned().unwrap_or_default();
    schemas.insert("Problem".to_owned(), serde_json::to_value(Document::schema()).unwrap_or_default());
    paths.extend(oauth::paths());
    paths.extend(own_paths());
    schemas.extend(oauth::schemas());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Mailwarden",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The admin API is under /api/v1 and takes an operator token. A request body with a member, or a URL with \
                a parameter, that is not named here is refused. Refusals are problem documents (RFC 9457), those of the OAuth \
                endpoints are as in RFC 6749 section 5.2.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": TAGS.map(|(name, description)| json!({ "name": name, "description": description })),
        "paths": paths,
        "components": { "schemas": schemas, "securitySchemes": {
            "operator_token": { "type": "http", "scheme": "bearer", "bearerFormat": "mwo_...",
                "description": "printed once by `mailwarden init` or `mailwarden operator add`" },
            "dpop_token": { "type": "http", "scheme": "dpop",
                "description": "an access token that is bound to a key, with a proof in the DPoP header (RFC 9449)" },
            "client_secret": { "type": "http", "scheme": "basic",
                "description": "client_id and client_secret, as printed once by `mailwarden client add`" },
            "access_token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "an access token from the token endpoint" },
        } },
    })
}

const TAGS: [(&str, &str); 11] = [
    ("mailbox", "Shared mailboxes and their credentials"),
    ("client", "Registered tools and their secrets"),
    ("grant", "Which client may do what in which mailbox"),
    ("session", "Running sessions of tools"),
    ("freeze", "Freezes: the graded kill switch"),
    ("token", "Access tokens that were issued and have not expired"),
    ("operator", "People and automation who manage Mailwarden"),
    ("key", "Keys that sign access tokens"),
    ("audit", "The tamper-evident log"),
    ("oauth", "The token endpoint and what clients read of it"),
    ("document", "This document"),
];

/// An operation of the API: behind an operator token, and with the refusals that every one can meet.
fn complete_operation(path: &str, operation: &mut Value) {
    let has_body = operation.get("requestBody").is_some();
    let Some(members) = operation.as_object_mut() else { return };
    members.insert("security".to_owned(), json!([{ "operator_token": [] }]));
    let Some(responses) = members.get_mut("responses").and_then(Value::as_object_mut) else { return };
    let mut refusals = vec!["400", "401", "403", "429", "500", "503"];
    if path.contains('{') {
        refusals.push("404");
    }
    if has_body {
        refusals.extend(["408", "413", "415"]);
    }
    for status in refusals {
        responses.entry(status).or_insert_with(|| json!({}));
    }
    for (status, response) in responses {
        let Some(response) = response.as_object_mut() else { continue };
        response.insert("description".to_owned(), json!(described_status(status)));
        if status.as_str() >= "400" {
            response.insert("content".to_owned(), problem_content());
        }
    }
}

/// The body of every refusal that is not OAuth's.
fn problem_content() -> Value {
    json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } })
}

fn described_status(status: &str) -> &'static str {
    match status {
        "200" => "Done",
        "201" => "Made",
        "204" => "Done, nothing to say",
        "400" => "The request is not well formed",
        "401" => "No valid operator token",
        "403" => "The operator's role does not include this",
        "404" => "No such object",
        "408" => "The body did not arrive in time",
        "409" => "It contradicts the present state",
        "412" => "It is not the version that If-Match names",
        "413" => "The body is too large",
        "415" => "The body is not application/json",
        "429" => "Too many refused tokens from this address; see Retry-After",
        "502" => "The upstream failed or refused the login",
        "503" => "A part that must work does not; see Retry-After",
        _ => "A defect of the service",
    }
}

fn own_paths() -> Map<String, Value> {
    let document = |id: &str| {
        json!({ "get": { "operationId": id, "summary": "This document", "tags": ["document"], "security": [], "responses": {
            "200": { "description": "OpenAPI 3.1", "content": { "application/json": { "schema": { "type": "object" } } } } } } })
    };
    let page = json!({ "get": {
        "operationId": "openapi_page", "summary": "This document to read", "tags": ["document"], "security": [],
        "responses": { "200": { "description": "A page", "content": { "text/html": { "schema": { "type": "string" } } } } },
    } });
    [("/openapi.json", document("openapi")), ("/api/v1/openapi.json", document("api_openapi")), ("/openapi", page)]
        .into_iter()
        .map(|(path, item)| (path.to_owned(), item))
        .collect()
}
