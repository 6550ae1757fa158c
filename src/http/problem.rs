//! Refusals as problem documents (RFC 9457): one row per fault, and one per refusal that HTTP itself knows.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::fault::{Classify, Fault};
use crate::domain::id::RequestId;

/// A refusal. It travels as an extension of the response; [`crate::http::envelope`] writes it down with the request's id.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    row: Row,
    detail: String,
    retry_after: Option<u64>,
}

/// What the client reads.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Document {
    /// Stable: `urn:mailwarden:problem:` and one word.
    #[serde(rename = "type")]
    #[schema(example = "urn:mailwarden:problem:not-found")]
    kind: String,
    /// The same for every problem of this type.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this request.
    detail: String,
    /// Names this request in the audit log and in the service's own log.
    #[schema(value_type = String, example = "req_00000000000a")]
    request_id: RequestId,
}

/// Status, last word of the `type`, title.
type Row = (StatusCode, &'static str, &'static str);

/// The row of a fault.
fn row(fault: Fault) -> Row {
    let (status, word) = match fault {
        Fault::Invalid => (StatusCode::BAD_REQUEST, "invalid"),
        Fault::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
        Fault::Denied => (StatusCode::FORBIDDEN, "denied"),
        Fault::NotFound => (StatusCode::NOT_FOUND, "not-found"),
        Fault::Conflict => (StatusCode::CONFLICT, "conflict"),
        Fault::Throttled => (StatusCode::TOO_MANY_REQUESTS, "throttled"),
        Fault::Upstream => (StatusCode::BAD_GATEWAY, "upstream"),
        Fault::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        Fault::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    };
    (status, word, fault.public())
}

/// Seconds after which an unavailable part may be asked again.
const RETRY_UNAVAILABLE: u64 = 5;

impl Problem {
    pub(super) fn new(fault: Fault, detail: impl Into<String>) -> Self {
        let retry_after = (fault == Fault::Unavailable).then_some(RETRY_UNAVAILABLE);
        Self { row: row(fault), detail: detail.into(), retry_after }
    }

    /// Too many refused tokens from one address.
    pub(super) fn throttled(retry_after: u64) -> Self {
        let detail = "too many refused operator tokens from this address";
        Self { retry_after: Some(retry_after), ..Self::new(Fault::Throttled, detail) }
    }

    /// The problem behind a bare status that a library of ours answered with.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let http =
            |word, title, detail: &str| Self { row: (status, word, title), detail: detail.into(), retry_after: None };
        match status {
            StatusCode::METHOD_NOT_ALLOWED => {
                http("method-not-allowed", "method not allowed", "this endpoint knows only the methods in Allow")
            }
            StatusCode::PRECONDITION_FAILED => {
                http("stale", "precondition failed", "it was changed since it was read: no ETag in If-Match is its own")
            }
            StatusCode::REQUEST_TIMEOUT => http("timeout", "request timeout", "the body did not arrive in time"),
            StatusCode::PAYLOAD_TOO_LARGE => http("too-large", "body too large", "a body has at most 65536 bytes"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                http("unsupported-media-type", "unsupported media type", "the body must be application/json")
            }
            StatusCode::NOT_FOUND => Self::new(Fault::NotFound, "no such endpoint"),
            status if status.is_client_error() => Self::new(Fault::Invalid, Fault::Invalid.public()),
            _ => Self::new(Fault::Internal, Fault::Internal.public()),
        }
    }

    /// Writes the document into `response`; what else its head says stays (`Allow`).
    pub(super) fn write(self, response: &mut Response, request_id: RequestId) {
        let (status, word, title) = self.row;
        *response.status_mut() = status;
        let kind = format!("urn:mailwarden:problem:{word}");
        let document = Document { kind, title, status: status.as_u16(), detail: self.detail, request_id };
        *response.body_mut() = Body::from(serde_json::to_vec(&document).unwrap_or_default());
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"mailwarden\""));
        }
        if let Some(secs) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
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

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.row.0.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum::response::IntoResponse;

    use super::Problem;
    use crate::domain::clock::Clock;
    use crate::domain::fault::Fault;
    use crate::domain::id::RequestId;

    #[tokio::test]
    async fn every_fault_has_its_row() {
        let id = RequestId::new(&Clock::system(), &crate::crypto::random::system());
        let table = [
            (Fault::Invalid, 400, "invalid", None),
            (Fault::Unauthenticated, 401, "unauthenticated", None),
            (Fault::Denied, 403, "denied", None),
            (Fault::NotFound, 404, "not-found", None),
            (Fault::Conflict, 409, "conflict", None),
            (Fault::Throttled, 429, "throttled", None),
            (Fault::Upstream, 502, "upstream", None),
            (Fault::Unavailable, 503, "unavailable", Some("5")),
            (Fault::Internal, 500, "internal", None),
        ];
        assert_eq!(table.map(|row| row.0), Fault::ALL, "a row for each fault");
        for (fault, status, word, retry_after) in table {
            let problem = Problem::new(fault, "what happened");
            assert_eq!(problem.clone().into_response().status(), status);
            let mut response = StatusCode::OK.into_response();
            problem.write(&mut response, id.clone());
            assert_eq!(response.status(), status);
            let head = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
            assert_eq!(head("content-type"), Some("application/problem+json"));
            assert_eq!(head("www-authenticate").is_some(), status == 401);
            assert_eq!(head("retry-after"), retry_after);
            let body = axum::body::to_bytes(response.into_body(), 1000).await.unwrap();
            let expected = serde_json::json!({
                "type": format!("urn:mailwarden:problem:{word}"), "title": fault.public(), "status": status,
                "detail": "what happened", "request_id": id,
            });
            assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap(), expected);
        }
    }

    #[test]
    fn a_throttled_caller_is_told_when_to_come_back() {
        let mut response = StatusCode::OK.into_response();
        Problem::throttled(7).write(&mut response, RequestId::new(&Clock::system(), &crate::crypto::random::system()));
        assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &"7".parse().unwrap()));
    }
}
