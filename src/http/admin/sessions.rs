//! `/api/v1/sessions`: the running sessions of all nodes.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::domain::event::{AuditEvent, EventCode, Outcome};
use crate::domain::fault::Fault;
use crate::domain::id::{NodeId, SessionId};
use crate::domain::session::SessionInfo;
use crate::http::admin::{Caller, GUARDS, READERS, id};
use crate::http::problem::Problem;

pub(super) async fn list(caller: Caller) -> Result<Json<Value>, Problem> {
    let sessions = caller.with_role(READERS).await?.registry.list_sessions().await?;
    Ok(Json(json!({ "sessions": sessions.iter().map(|(node, session)| view(node, session)).collect::<Vec<_>>() })))
}

pub(super) async fn kill(caller: Caller, Path(text): Path<String>) -> Result<StatusCode, Problem> {
    let session: SessionId = id(&text)?;
    let state = caller.with_role(GUARDS).await?;
    let event = AuditEvent::new(EventCode::SessionKilled, caller.actor(), Outcome::Success).session(&session);
    state.audit.record(event).await?;
    if state.registry.kill_session(&session).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::new(Fault::NotFound, "no such session"))
    }
}

fn view(node: &NodeId, session: &SessionInfo) -> Value {
    json!({
        "id": session.id, "node": node, "client_id": session.client_id, "mailbox": session.mailbox, "grant_id": session.grant_id,
        "protocol": session.protocol, "source": session.source, "started_at": session.started_at.to_rfc3339(),
        "ends_at": session.ends_at.to_rfc3339(),
    })
}
