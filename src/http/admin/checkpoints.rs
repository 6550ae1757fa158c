//! `/api/v1/audit/export` and `/api/v1/audit/key`: the log for another machine, and what it is verified with there.

use axum::Json;
use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::crypto::encoding::base64url;
use crate::crypto::sign::key_name;
use crate::domain::fault::Fault;
use crate::http::admin::caller::{Caller, Readers, Roles};
use crate::http::problem::Problem;

/// What checkpoints are verified with.
#[derive(Serialize, ToSchema)]
#[schema(as = CheckpointKey)]
pub(super) struct View {
    /// Always `Ed25519`.
    alg: &'static str,
    kid: String,
    /// The public key: 32 octets in base64url.
    key: String,
}

/// The whole log as JSON lines: events and checkpoints
///
/// It is read and sent piece by piece. When a piece cannot be read, the answer breaks off.
#[utoipa::path(get, path = "/audit/export", operation_id = "audit_export", tag = "audit",
    extensions(("x-mailwarden-roles" = json!(Readers::ALL))),
    responses((status = 200, body = String, content_type = "application/x-ndjson")))]
pub(super) async fn export(caller: Caller<Readers>) -> Result<Response, Problem> {
    let audit = caller.state.audit.clone();
    let first = audit.export(0).await?;
    let pieces = futures_util::stream::try_unfold((audit, first), |(audit, piece)| async move {
        let Some(piece) = piece else { return Ok::<_, crate::audit::AuditError>(None) };
        let next = audit.export(piece.last_seq).await?;
        Ok(Some((piece.lines, (audit, next))))
    });
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// The public half of the key that signs checkpoints
#[utoipa::path(get, path = "/audit/key", operation_id = "audit_key", tag = "audit",
    extensions(("x-mailwarden-roles" = json!(Readers::ALL))), responses((status = 200, body = View)))]
pub(super) async fn key(caller: Caller<Readers>) -> Result<Json<View>, Problem> {
    let key = caller.state.audit.public_key();
    let key = key.ok_or_else(|| Problem::new(Fault::NotFound, "no checkpoints are signed"))?;
    Ok(Json(View { alg: "Ed25519", kid: key_name(key), key: base64url(key) }))
}
