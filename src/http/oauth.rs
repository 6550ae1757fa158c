//! `/oauth/...`: token endpoint, keys, metadata. Every refusal of theirs is JSON by RFC 6749 and is not to be stored.

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use serde_json::json;

use crate::domain::id::RequestId;
use crate::domain::signing_key::JWKS_MAX_AGE_SECS;
use crate::domain::token::Binding;
use crate::http::HttpState;
use crate::http::bearer::{proof, with_nonce};
use crate::oauth::request::TokenRequest;
use crate::oauth::{OauthError, Origin};

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
    origin: Origin,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request = form(query.as_deref(), &headers)
        .and_then(|header| TokenRequest::parse(&body, header))
        .and_then(|request| Ok(TokenRequest { dpop: proof(&headers)?, ..request }));
    let sent_proof = headers.contains_key("dpop");
    let response = match state.tokens.token(request, &origin).await {
        Ok(issued) => {
            let token = issued.token.expose_text(str::to_owned);
            let scope = issued.scopes.to_string();
            let token_type = match issued.binding {
                Some(Binding::Dpop(_)) => "DPoP",
                Some(Binding::Mtls(_)) | None => issued.kind.token_type(),
            };
            let authorization_details = issued.details.map(|details| details.to_array());
            let (issued_token_type, expires_in) = (issued.kind.issued_token_type(), issued.expires_in);
            let body =
                Answer { access_token: token, token_type, issued_token_type, expires_in, scope, authorization_details };
            with_no_store(Json(body).into_response())
        }
        Err(error) => {
            let response = refused(&error, &origin.request_id);
            let asks_for_proof = matches!(error, OauthError::InvalidDpopProof(_) | OauthError::UseDpopNonce);
            if asks_for_proof { with_nonce(&state, response) } else { response }
        }
    };
    if sent_proof { with_nonce(&state, response) } else { response }
}

/// RFC 6749 section 5.1.
#[derive(Serialize)]
struct Answer {
    access_token: Option<String>,
    token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_token_type: Option<&'static str>,
    expires_in: i64,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_details: Option<serde_json::Value>,
}

/// Checks that the body is a form and all is in it; gives the `Authorization` header.
pub(super) fn form<'a>(query: Option<&str>, headers: &'a HeaderMap) -> Result<Option<&'a str>, OauthError> {
    if query.is_some_and(|query| !query.is_empty()) {
        return Err(OauthError::InvalidRequest("parameters belong in the body, not in the URL"));
    }
    single(headers, &header::CONTENT_TYPE)?;
    let authorization = authorization(headers);
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(OauthError::InvalidRequest("the body must be application/x-www-form-urlencoded"));
    }
    authorization
}

/// The `Authorization` header.
pub(super) fn authorization(headers: &HeaderMap) -> Result<Option<&str>, OauthError> {
    let value = single(headers, &header::AUTHORIZATION)?;
    value.map(|value| value.to_str().map_err(|_| OauthError::InvalidClient)).transpose()
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, OauthError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    match values.next() {
        Some(_) => Err(OauthError::InvalidRequest("Authorization or Content-Type is repeated")),
        None => Ok(first),
    }
}

pub(super) fn refused(fault: &OauthError, request_id: &RequestId) -> Response {
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
        | OauthError::InvalidAuthorizationDetails
        | OauthError::Frozen(_)
        | OauthError::InvalidDpopProof(_)
        | OauthError::UseDpopNonce => StatusCode::BAD_REQUEST,
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
pub(super) fn error(status: StatusCode, code: &str, description: &str, request_id: Option<&RequestId>) -> Response {
    let mut body = json!({ "error": code, "error_description": description });
    if let Some((id, members)) = request_id.zip(body.as_object_mut()) {
        members.insert("request_id".to_owned(), json!(id));
    }
    with_no_store((status, Json(body)).into_response())
}

/// RFC 6749 section 5.1 asks for both headers.
pub(super) fn with_no_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
    response.headers_mut().insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// The body was too long or too slow.
pub(super) fn unread(status: StatusCode) -> Response {
    error(status, "invalid_request", "the body is longer than 64 KiB, or took too long", None)
}

/// axum adds `Allow`.
pub(super) async fn wrong_method() -> Response {
    error(
        StatusCode::METHOD_NOT_ALLOWED,
        "invalid_request",
        "the Allow header names the methods of this endpoint",
        None,
    )
}

async fn jwks(State(state): State<HttpState>) -> Response {
    ([(header::CACHE_CONTROL, public())], Json(state.tokens.jwks())).into_response()
}

async fn metadata(State(state): State<HttpState>) -> Response {
    ([(header::CACHE_CONTROL, public())], Json(state.tokens.metadata())).into_response()
}

/// How long others may keep keys and metadata.
fn public() -> String {
    format!("public, max-age={JWKS_MAX_AGE_SECS}")
}

#[cfg(test)]
mod tests {
    use axum::http::header;

    use super::refused;
    use crate::domain::id::RequestId;
    use crate::oauth::OauthError;

    const VARIANTS: usize = 13;

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
            OauthError::InvalidDpopProof(_) => 7,
            OauthError::UseDpopNonce => 8,
            OauthError::SlowDown { .. } => 9,
            OauthError::TemporarilyUnavailable => 10,
            OauthError::Frozen(_) => 11,
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
            (OauthError::Frozen("frz_0123456789ab".parse().unwrap()), 400, "access_denied", None, None),
            (OauthError::InvalidDpopProof("what is wrong"), 400, "invalid_dpop_proof", None, None),
            (OauthError::UseDpopNonce, 400, "use_dpop_nonce", None, None),
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
