//! `/oauth/me`: what a token is good for, told to the tool that has it; and the resource's own metadata (RFC 9728).

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::http::HttpState;
use crate::http::bearer::{Bearer, proof, with_nonce};

/// Answers whoever shows a good token.
pub(super) async fn me(State(state): State<HttpState>, Bearer(claims): Bearer, headers: HeaderMap) -> Response {
    let body = Json(json!({ "client_id": claims.client_id }));
    let response = ([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], body).into_response();
    if matches!(proof(&headers), Ok(None)) { response } else { with_nonce(&state, response) }
}

/// The resource's metadata.
pub(super) async fn metadata(State(state): State<HttpState>) -> Response {
    let keep = HeaderValue::from_static("public, max-age=300");
    ([(header::CACHE_CONTROL, keep)], Json(state.tokens.resource_metadata())).into_response()
}
