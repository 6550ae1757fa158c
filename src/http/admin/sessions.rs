//! `/api/v1/sessions`: the running sessions of all nodes.

use std::net::IpAddr;

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::address::MailAddress;
use crate::domain::event::{AuditEvent, EventCode, Outcome};
use crate::domain::fault::Fault;
use crate::domain::id::{ClientId, GrantId, NodeId, SessionId};
use crate::domain::session::{Protocol, SessionInfo};
use crate::http::admin::caller::{Caller, Guards, Readers, Roles};
use crate::http::admin::freezes::{chosen, target};
use crate::http::admin::input::{Named, Query};
use crate::http::problem::Problem;

/// One connection of a tool.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub(super) struct View {
    #[schema(value_type = String, example = "ses_00000000000a")]
    id: SessionId,
    /// Where it runs.
    #[schema(value_type = String)]
    node: NodeId,
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

impl From<(NodeId, SessionInfo)> for View {
    fn from((node, session): (NodeId, SessionInfo)) -> Self {
        Self {
            id: session.id,
            node,
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

/// The running sessions of all nodes
#[utoipa::path(get, path = "/sessions", operation_id = "session_list", tag = "session",
    extensions(("x-mailwarden-roles" = json!(Readers::ALL))), responses((status = 200, body = List)))]
pub(super) async fn list(caller: Caller<Readers>) -> Result<Json<List>, Problem> {
    let sessions = caller.registry().list_sessions().await?;
    Ok(Json(List { sessions: sessions.into_iter().map(View::from).collect() }))
}

/// End one session, at once, on whichever node it runs
#[utoipa::path(delete, path = "/sessions/{id}", operation_id = "session_kill", tag = "session",
    params(("id" = String, Path, description = "Id")),
    extensions(("x-mailwarden-roles" = json!(Guards::ALL))), responses((status = 204)))]
pub(super) async fn kill(caller: Caller<Guards>, named: Named) -> Result<StatusCode, Problem> {
    let id: SessionId = named.id()?;
    let running = caller.registry().list_sessions().await?.into_iter().find(|(_, session)| session.id == id);
    let (_, running) = running.ok_or_else(|| Problem::new(Fault::NotFound, "no such session"))?;
    let event = AuditEvent::new(EventCode::SessionKilled, caller.actor(), Outcome::Success)
        .session(&id)
        .client(&running.client_id)
        .mailbox(&running.mailbox_id)
        .grant(&running.grant_id);
    caller.state.audit.record(event).await?;
    // One that has ended by itself meanwhile is what was asked for.
    caller.registry().kill_session(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which sessions.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Chosen {
    /// Only this client's: id or name.
    client: Option<String>,
    /// Only those in this mailbox: id or address.
    mailbox: Option<String>,
    /// Only those by this protocol.
    protocol: Option<Protocol>,
    /// Every session. Has to be said, and nothing else may be named then.
    #[serde(default)]
    #[param(required = false)]
    all: bool,
}

/// How many were told.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionsKilled)]
pub(super) struct Killed {
    /// How many sessions were told to end, on all nodes.
    told: usize,
}

/// End the sessions of a client, of a mailbox or by a protocol, at once, on every node
///
/// A tool may log in again: revoke its tokens or freeze it to keep it out.
#[utoipa::path(delete, path = "/sessions", operation_id = "session_kill_all", tag = "session", params(Chosen),
    extensions(("x-mailwarden-roles" = json!(Guards::ALL))), responses((status = 200, body = Killed), (status = 404)))]
pub(super) async fn kill_all(caller: Caller<Guards>, Query(asked): Query<Chosen>) -> Result<Json<Killed>, Problem> {
    let registry = caller.registry();
    let named = target(registry, asked.client.as_deref(), asked.mailbox.as_deref(), asked.protocol).await?;
    let target = chosen(named, asked.all)?;
    let mut event = AuditEvent::new(EventCode::SessionsKilled, caller.actor(), Outcome::Success)
        .detail("protocol", target.protocol.map_or("all", Protocol::as_str));
    event.client_id.clone_from(&target.client);
    event.mailbox_id.clone_from(&target.mailbox);
    caller.state.audit.record(event).await?;
    Ok(Json(Killed { told: registry.kill_sessions(&target).await? }))
}
