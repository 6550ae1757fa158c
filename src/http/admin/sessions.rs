//! `/api/v1/sessions`: the running sessions of this node.

use std::net::IpAddr;

use axum::Json;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::address::MailAddress;
use crate::domain::event::{AuditEvent, EventCode, Outcome};
use crate::domain::fault::Fault;
use crate::domain::id::{ClientId, GrantId, SessionId};
use crate::domain::session::{Protocol, SessionInfo};
use crate::http::admin::caller::{Caller, Guards, Readers, Roles};
use crate::http::admin::input::Named;
use crate::http::problem::Problem;

/// One connection of a tool.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub(super) struct View {
    #[schema(value_type = String, example = "ses_00000000000a")]
    id: SessionId,
    #[schema(value_type = String)]
    client_id: ClientId,
    /// The address of the mailbox it works in.
    #[schema(value_type = String, format = Email)]
    mailbox: MailAddress,
    #[schema(value_type = String)]
    grant_id: GrantId,
    protocol: Protocol,
    /// The address it comes from.
    #[schema(value_type = String)]
    source: IpAddr,
    #[schema(format = DateTime)]
    started_at: String,
    /// When it ends at the latest.
    #[schema(format = DateTime)]
    ends_at: String,
}

impl From<SessionInfo> for View {
    fn from(session: SessionInfo) -> Self {
        Self {
            id: session.id,
            client_id: session.client_id,
            mailbox: session.mailbox,
            grant_id: session.grant_id,
            protocol: session.protocol,
            source: session.source,
            started_at: session.started_at.to_rfc3339(),
            ends_at: session.ends_at.to_rfc3339(),
        }
    }
}

/// All of them.
#[derive(Serialize, ToSchema)]
#[schema(as = Sessions)]
pub(super) struct List {
    sessions: Vec<View>,
}

/// The running sessions of the node that answers
#[utoipa::path(get, path = "/sessions", operation_id = "session_list", tag = "session",
    extensions(("x-mailwarden-roles" = json!(Readers::ALL))), responses((status = 200, body = List)))]
pub(super) async fn list(caller: Caller<Readers>) -> Result<Json<List>, Problem> {
    let sessions = caller.registry().sessions().list();
    Ok(Json(List { sessions: sessions.into_iter().map(View::from).collect() }))
}

/// End one session, at once
#[utoipa::path(delete, path = "/sessions/{id}", operation_id = "session_kill", tag = "session",
    params(("id" = String, Path, description = "Id")),
    extensions(("x-mailwarden-roles" = json!(Guards::ALL))), responses((status = 204)))]
pub(super) async fn kill(caller: Caller<Guards>, named: Named) -> Result<StatusCode, Problem> {
    let id: SessionId = named.id()?;
    let sessions = caller.registry().sessions();
    let running = sessions.list().into_iter().find(|session| session.id == id);
    let running = running.ok_or_else(|| Problem::new(Fault::NotFound, "no such session on this node"))?;
    let event = AuditEvent::new(EventCode::SessionKilled, caller.actor(), Outcome::Success)
        .session(&id)
        .client(&running.client_id)
        .mailbox(&running.mailbox_id)
        .grant(&running.grant_id);
    caller.state.audit.record(event).await?;
    // One that has ended by itself meanwhile is what was asked for.
    sessions.kill(&id);
    Ok(StatusCode::NO_CONTENT)
}
