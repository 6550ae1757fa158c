//! Faults as problem documents (RFC 9457).

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::domain::fault::{Classify, Fault};
use crate::domain::id::RequestId;

/// A refusal of the admin API.
#[derive(Debug)]
pub(super) struct Problem {
    fault: Fault,
    detail: String,
    request_id: Option<RequestId>,
}

impl Problem {
    pub(super) fn new(fault: Fault, detail: impl Into<String>) -> Self {
        Self { fault, detail: detail.into(), request_id: None }
    }

    pub(super) fn request(mut self, id: &RequestId) -> Self {
        self.request_id = Some(id.clone());
        self
    }
}

impl<E: Classify> From<E> for Problem {
    fn from(error: E) -> Self {
        if matches!(error.fault(), Fault::Internal | Fault::Unavailable) {
            tracing::error!(%error, "request failed");
        }
        Self::new(error.fault(), error.public())
    }
}

/// The status and the last word of the `type` URN of a fault.
pub(super) fn row(fault: Fault) -> (StatusCode, &'static str) {
    match fault {
        Fault::Invalid => (StatusCode::BAD_REQUEST, "invalid"),
        Fault::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
        Fault::Denied => (StatusCode::FORBIDDEN, "denied"),
        Fault::NotFound => (StatusCode::NOT_FOUND, "not-found"),
        Fault::Conflict => (StatusCode::CONFLICT, "conflict"),
        Fault::Throttled => (StatusCode::TOO_MANY_REQUESTS, "throttled"),
        Fault::Upstream => (StatusCode::BAD_GATEWAY, "upstream"),
        Fault::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        Fault::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, word) = row(self.fault);
        let body = json!({
            "type": format!("urn:mailwarden:problem:{word}"),
            "title": self.fault.public(),
            "status": status.as_u16(),
            "detail": self.detail,
            "request_id": self.request_id,
        });
        let mut response = (status, body.to_string()).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/problem+json"));
        response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
        if self.fault == Fault::Unauthenticated {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}

pub(super) async fn not_found() -> Problem {
    Problem::new(Fault::NotFound, "no such endpoint")
}
