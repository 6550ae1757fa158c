//! `/api/v1/audit/export` and `/api/v1/audit/key`: the log for another machine, and what it is verified with there.

use axum::Json;
use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::crypto::encoding::base64url;
use crate::crypto::sign::key_name;
use crate::domain::fault::Fault;
use crate::http::admin::{Caller, READERS};
use crate::http::problem::Problem;

/// JSON lines, piece by piece: a log of any length needs the memory of one piece. When a piece cannot be read the answer breaks off.
pub(super) async fn export(caller: Caller) -> Result<Response, Problem> {
    let audit = caller.with_role(READERS).await?.audit.clone();
    let first = audit.export(0).await?;
    let pieces = futures_util::stream::try_unfold((audit, first), |(audit, piece)| async move {
        let Some(piece) = piece else { return Ok::<_, crate::audit::AuditError>(None) };
        let next = audit.export(piece.last_seq).await?;
        Ok(Some((piece.lines, (audit, next))))
    });
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// The public half of the checkpoint key: Ed25519, 32 octets in base64url.
pub(super) async fn key(caller: Caller) -> Result<Json<Value>, Problem> {
    let audit = &caller.with_role(READERS).await?.audit;
    let key = audit.public_key().ok_or_else(|| Problem::new(Fault::NotFound, "no checkpoints are signed"))?;
    Ok(Json(json!({ "alg": "Ed25519", "kid": key_name(key), "key": base64url(key) })))
}
