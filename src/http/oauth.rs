//! `/oauth/...`: token endpoint, keys, metadata.

use std::net::SocketAddr;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;

use crate::domain::id::RequestId;
use crate::http::HttpState;
use crate::oauth::request::TokenRequest;
use crate::oauth::{OauthError, Origin};

pub(super) fn router() -> Router<HttpState> {
    Router::new()
        .route("/oauth/token", post(token))
        .route("/oauth/jwks", get(jwks))
        .route("/.well-known/oauth-authorization-server/oauth", get(metadata))
        .route("/oauth/.well-known/openid-configuration", get(metadata))
}

async fn token(
    State(state): State<HttpState>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let origin = Origin { source: peer.ip().to_canonical(), request_id: RequestId::new(&state.clock, &state.entropy) };
    let request = parse(query.as_deref(), &headers, &body);
    let (status, body) = match state.tokens.token(request, &origin).await {
        Ok(issued) => {
            let token = issued.token.expose_text(str::to_owned);
            let scope = issued.scopes.to_string();
            (
                StatusCode::OK,
                json!({ "access_token": token, "token_type": "Bearer", "expires_in": issued.expires_in, "scope": scope }),
            )
        }
        Err(error) => {
            let body = json!({ "error": error.code(), "error_description": error.to_string(), "request_id": origin.request_id });
            return refused(&error, body);
        }
    };
    with_no_store((status, Json(body)).into_response())
}

fn parse(query: Option<&str>, headers: &HeaderMap, body: &[u8]) -> Result<TokenRequest, OauthError> {
    if query.is_some_and(|query| !query.is_empty()) {
        return Err(OauthError::InvalidRequest("parameters belong in the body, not in the URL"));
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(OauthError::InvalidRequest("the body must be application/x-www-form-urlencoded"));
    }
    let authorization = match headers.get(header::AUTHORIZATION) {
        Some(value) => Some(value.to_str().map_err(|_| OauthError::InvalidClient)?),
        None => None,
    };
    TokenRequest::parse(body, authorization)
}

fn refused(error: &OauthError, body: serde_json::Value) -> Response {
    let status = match error {
        OauthError::InvalidClient => StatusCode::UNAUTHORIZED,
        OauthError::SlowDown { .. } => StatusCode::TOO_MANY_REQUESTS,
        OauthError::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        OauthError::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    };
    let mut response = (status, Json(body)).into_response();
    if *error == OauthError::InvalidClient {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"mailwarden\""));
    }
    let retry_after = match error {
        OauthError::SlowDown { retry_after } => Some(*retry_after),
        OauthError::TemporarilyUnavailable => Some(5),
        _ => None,
    };
    if let Some(retry_after) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after));
    }
    with_no_store(response)
}

fn with_no_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn jwks(State(state): State<HttpState>) -> Json<serde_json::Value> {
    Json(state.tokens.jwks())
}

async fn metadata(State(state): State<HttpState>) -> Json<serde_json::Value> {
    Json(state.tokens.metadata())
}
