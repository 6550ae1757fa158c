//! Access tokens shown over HTTP (RFC 6750).

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::domain::id::RequestId;
use crate::domain::token::Claims;
use crate::http::{HttpState, oauth};

/// The challenge of RFC 6750 section 3 for a token that is not taken.
const INVALID: HeaderValue = HeaderValue::from_static("Bearer realm=\"mailwarden\", error=\"invalid_token\"");

/// Whether the request shows an access token.
pub(super) fn is_shown(headers: &HeaderMap) -> bool {
    token(headers).is_some()
}

/// What the token in `Authorization: Bearer` says. A bound token is no bearer token: who shows it that way may have stolen it.
pub(super) fn claims(state: &HttpState, headers: &HeaderMap) -> Option<Claims> {
    let verified = token(headers).and_then(|token| state.tokens.verify(token).ok());
    verified.filter(|claims| claims.binding.is_none())
}

/// 401, without saying why.
pub(super) fn refused(request_id: &RequestId) -> Response {
    let text = "the access token is not valid here";
    let mut response = oauth::error(StatusCode::UNAUTHORIZED, "invalid_token", text, Some(request_id));
    response.headers_mut().insert(header::WWW_AUTHENTICATE, INVALID);
    response
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    // Two such headers mean that two parties disagree about who is asking.
    let only = values.next().filter(|_| values.next().is_none())?;
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}
