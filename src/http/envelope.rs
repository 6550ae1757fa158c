//! What every request gets (an id, a bounded body) and every answer (security headers, and a problem document where it is a bare refusal).

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::domain::id::RequestId;
use crate::http::problem::Problem;
use crate::http::{HttpState, body, oauth};

/// Said by every answer (AD-06). A page that needs more of the browser sets its own `Content-Security-Policy`.
const HEADERS: [(HeaderName, &str); 7] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Wraps the whole router.
pub(super) async fn envelope(State(state): State<HttpState>, mut request: Request, next: Next) -> Response {
    let id = RequestId::new(&state.clock, &state.entropy);
    request.extensions_mut().insert(id.clone());
    let path = request.uri().path();
    let (is_api, is_oauth) = (path.starts_with("/api/"), path.starts_with("/oauth/"));
    let mut response = match body::whole(request).await {
        Ok(request) => next.run(request).await,
        Err(status) if is_oauth => oauth::unread(status),
        Err(status) => Problem::of_status(status).into_response(),
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        problem.write(&mut response, id);
    } else if is_bare_refusal(&response) {
        Problem::of_status(response.status()).write(&mut response, id);
    }
    let is_refusal = response.status() >= StatusCode::BAD_REQUEST;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if is_api || is_refusal {
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    response
}

/// Whether a library answered for us: its refusals are empty or plain text; ours, and OAuth's, are JSON.
fn is_bare_refusal(response: &Response) -> bool {
    let media_type = response.headers().get(header::CONTENT_TYPE);
    response.status() >= StatusCode::BAD_REQUEST && media_type.is_none_or(|value| value != "application/json")
}
