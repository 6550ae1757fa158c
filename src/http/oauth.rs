//! `/oauth/...`: token endpoint, keys, metadata. Every refusal of theirs is JSON by RFC 6749 and is not to be stored.

use std::net::SocketAddr;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde_json::json;

use crate::domain::id::RequestId;
use crate::http::HttpState;
use crate::oauth::request::TokenRequest;
use crate::oauth::{OauthError, Origin};

/// How long others may keep keys and metadata, in seconds.
const PUBLIC: HeaderValue = HeaderValue::from_static("public, max-age=300");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// The only scheme of the `Authorization` header that proves a client (RFC 6749 section 5.2, RFC 7617 section 2.1).
const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"mailwarden\", charset=\"UTF-8\"");

pub(super) fn router() -> Router<HttpState> {
    Router::new()
        .route("/oauth/token", post(token))
        .route("/oauth/jwks", get(jwks))
        .route("/.well-known/oauth-authorization-server/oauth", get(metadata))
        .route("/oauth/.well-known/openid-configuration", get(metadata))
        .method_not_allowed_fallback(wrong_method)
}

async fn token(
    State(state): State<HttpState>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Extension(request_id): Extension<RequestId>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let origin = Origin { source: peer.ip().to_canonical(), request_id };
    let request = parse(query.as_deref(), &headers, &body);
    match state.tokens.token(request, &origin).await {
        Ok(issued) => {
            let token = issued.token.expose_text(str::to_owned);
            let scope = issued.scopes.to_string();
            let token_type = issued.kind.token_type();
            let mut body = json!({ "access_token": token, "token_type": token_type, "expires_in": issued.expires_in, "scope": scope });
            if let Some((kind, members)) = issued.kind.issued_token_type().zip(body.as_object_mut()) {
                members.insert("issued_token_type".to_owned(), json!(kind));
            }
            with_no_store(Json(body).into_response())
        }
        Err(error) => refused(&error, &origin.request_id),
    }
}

fn parse(query: Option<&str>, headers: &HeaderMap, body: &[u8]) -> Result<TokenRequest, OauthError> {
    if query.is_some_and(|query| !query.is_empty()) {
        return Err(OauthError::InvalidRequest("parameters belong in the body, not in the URL"));
    }
    for single in [header::CONTENT_TYPE, header::AUTHORIZATION] {
        if headers.get_all(single).iter().nth(1).is_some() {
            return Err(OauthError::InvalidRequest("Authorization or Content-Type is repeated"));
        }
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

fn refused(fault: &OauthError, request_id: &RequestId) -> Response {
    let status = match fault {
        OauthError::InvalidClient => StatusCode::UNAUTHORIZED,
        OauthError::SlowDown { .. } => StatusCode::TOO_MANY_REQUESTS,
        OauthError::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        OauthError::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
        OauthError::InvalidRequest(_)
        | OauthError::UnauthorizedClient
        | OauthError::UnsupportedGrantType
        | OauthError::InvalidScope
        | OauthError::InvalidTarget
        | OauthError::InvalidAuthorizationDetails => StatusCode::BAD_REQUEST,
    };
    let mut response = error(status, fault.code(), &fault.to_string(), Some(request_id));
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
    }
    let retry_after = match fault {
        OauthError::SlowDown { retry_after } => Some(*retry_after),
        OauthError::TemporarilyUnavailable => Some(5),
        _ => None,
    };
    if let Some(retry_after) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after));
    }
    response
}

/// An error of RFC 6749 section 5.2. Its texts are ours: nothing of the request is repeated in them (TOK-16).
fn error(status: StatusCode, code: &str, description: &str, request_id: Option<&RequestId>) -> Response {
    let mut body = json!({ "error": code, "error_description": description });
    if let Some((id, members)) = request_id.zip(body.as_object_mut()) {
        members.insert("request_id".to_owned(), json!(id));
    }
    with_no_store((status, Json(body)).into_response())
}

/// RFC 6749 section 5.1 asks for both headers.
fn with_no_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
    response.headers_mut().insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// axum adds `Allow`.
async fn wrong_method() -> Response {
    error(
        StatusCode::METHOD_NOT_ALLOWED,
        "invalid_request",
        "the Allow header names the methods of this endpoint",
        None,
    )
}

async fn jwks(State(state): State<HttpState>) -> Response {
    ([(header::CACHE_CONTROL, PUBLIC)], Json(state.tokens.jwks())).into_response()
}

async fn metadata(State(state): State<HttpState>) -> Response {
    ([(header::CACHE_CONTROL, PUBLIC)], Json(state.tokens.metadata())).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::refused;
    use crate::domain::id::RequestId;
    use crate::oauth::OauthError;

    const VARIANTS: usize = 10;

    /// Numbers the variants; the compiler asks for a new one here, and then the grid asks for its row.
    fn number(error: &OauthError) -> usize {
        match error {
            OauthError::InvalidRequest(_) => 0,
            OauthError::InvalidClient => 1,
            OauthError::UnauthorizedClient => 2,
            OauthError::UnsupportedGrantType => 3,
            OauthError::InvalidScope => 4,
            OauthError::InvalidTarget => 5,
            OauthError::InvalidAuthorizationDetails => 6,
            OauthError::SlowDown { .. } => 7,
            OauthError::TemporarilyUnavailable => 8,
            OauthError::ServerError => VARIANTS - 1,
        }
    }

    #[tokio::test]
    async fn tok_06_every_error_has_its_status_code_and_headers() {
        let grid = [
            (OauthError::InvalidRequest("what is wrong"), 400, "invalid_request", None, None),
            (
                OauthError::InvalidClient,
                401,
                "invalid_client",
                Some(r#"Basic realm="mailwarden", charset="UTF-8""#),
                None,
            ),
            (OauthError::UnauthorizedClient, 400, "unauthorized_client", None, None),
            (OauthError::UnsupportedGrantType, 400, "unsupported_grant_type", None, None),
            (OauthError::InvalidScope, 400, "invalid_scope", None, None),
            (OauthError::InvalidTarget, 400, "invalid_target", None, None),
            (OauthError::InvalidAuthorizationDetails, 400, "invalid_authorization_details", None, None),
            (OauthError::SlowDown { retry_after: 7 }, 429, "slow_down", None, Some("7")),
            (OauthError::TemporarilyUnavailable, 503, "temporarily_unavailable", None, Some("5")),
            (OauthError::ServerError, 500, "server_error", None, None),
        ];
        let mut seen: Vec<_> = grid.iter().map(|(error, ..)| number(error)).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..VARIANTS).collect::<Vec<_>>());
        let id: RequestId = "req_0123456789ab".parse().unwrap();
        for (error, status, code, challenge, retry_after) in grid {
            let response = refused(&error, &id);
            let text = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(response.status().as_u16(), status, "{error:?}");
            assert_eq!(text(header::CONTENT_TYPE).as_deref(), Some("application/json"), "{error:?}");
            assert_eq!(text(header::CACHE_CONTROL).as_deref(), Some("no-store"), "{error:?}");
            assert_eq!(text(header::PRAGMA).as_deref(), Some("no-cache"), "{error:?}");
            assert_eq!(text(header::WWW_AUTHENTICATE).as_deref(), challenge, "{error:?}");
            assert_eq!(text(header::RETRY_AFTER).as_deref(), retry_after, "{error:?}");
            let body = axum::body::to_bytes(response.into_body(), 1000).await.unwrap();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!((&body["error"], &body["request_id"]), (&code.into(), &"req_0123456789ab".into()));
            let description = body["error_description"].as_str().unwrap();
            // RFC 6749 section 5.2: %x20-21 / %x23-5B / %x5D-7E.
            assert!(description.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\'));
        }
    }
}
