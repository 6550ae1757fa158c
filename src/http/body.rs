//! Request bodies: read whole before anybody acts, bounded in bytes and time.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use futures_util::StreamExt;

/// Longest body in octets (TOK-18).
const MAX_BODY: usize = 64 * 1024;
/// So much of a longer one is read and thrown away: who is still sending would not see our answer.
const MAX_DRAINED: usize = 4 * 1024 * 1024;
/// How long a body may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The request with its body in memory, or the status that refuses it.
pub(super) async fn whole(request: Request) -> Result<Request, StatusCode> {
    let (parts, body) = request.into_parts();
    match tokio::time::timeout(TIMEOUT, read(body)).await {
        Ok(Some(bytes)) => Ok(Request::from_parts(parts, Body::from(bytes))),
        Ok(None) => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// `None`: too long, or cut off.
async fn read(body: Body) -> Option<Bytes> {
    let (mut stream, mut held, mut length) = (body.into_data_stream(), Vec::new(), 0_usize);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.ok()?;
        length = length.saturating_add(chunk.len());
        if length > MAX_DRAINED {
            break;
        }
        if length > MAX_BODY {
            held = Vec::new();
        } else {
            held.extend_from_slice(&chunk);
        }
    }
    (length <= MAX_BODY).then(|| held.into())
}
