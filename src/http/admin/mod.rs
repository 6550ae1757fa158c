//! `/api/v1`: every route says which roles may use it.

mod audit;
mod checkpoints;
mod clients;
mod grants;
mod mailboxes;
mod operators;
mod sessions;

use std::net::SocketAddr;

use axum::Router;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Request};
use axum::http::header;
use axum::http::request::Parts;
use axum::routing::{delete, get, post, put};
use serde::de::DeserializeOwned;

use crate::domain::event::{Actor, AuditEvent, EventCode, Outcome};
use crate::domain::fault::{Classify, Fault};
use crate::domain::id::RequestId;
use crate::domain::operator::{Operator, Role};
use crate::http::HttpState;
use crate::http::problem::Problem;

pub(super) fn router() -> Router<HttpState> {
    Router::new()
        .route("/mailboxes", get(mailboxes::list).post(mailboxes::add))
        .route("/mailboxes/{id}", get(mailboxes::show).delete(mailboxes::remove))
        .route("/mailboxes/{id}/test", post(mailboxes::test))
        .route("/mailboxes/{id}/credential", put(mailboxes::set_credential))
        .route("/mailboxes/{id}/revoke", post(mailboxes::revoke))
        .route("/clients", get(clients::list).post(clients::add))
        .route("/clients/{id}", get(clients::show).delete(clients::remove))
        .route("/clients/{id}/rotate-secret", post(clients::rotate_secret))
        .route("/clients/{id}/retire-secrets", post(clients::retire_secrets))
        .route("/clients/{id}/revoke", post(clients::revoke))
        .route("/grants", get(grants::list).post(grants::add))
        .route("/grants/explain", get(grants::explain))
        .route("/grants/{id}", get(grants::show).delete(grants::remove))
        .route("/operators", get(operators::list).post(operators::add))
        .route("/operators/{id}", delete(operators::remove))
        .route("/sessions", get(sessions::list))
        .route("/sessions/{id}", delete(sessions::kill))
        .route("/audit", get(audit::list))
        .route("/audit/verify", get(audit::verify))
        .route("/audit/export", get(checkpoints::export))
        .route("/audit/key", get(checkpoints::key))
}

/// Everybody who may look.
const READERS: &[Role] = &[Role::Admin, Role::Security, Role::Auditor];
/// Who registers and grants.
const ADMINS: &[Role] = &[Role::Admin];
/// Who rotates, revokes and ends.
const GUARDS: &[Role] = &[Role::Admin, Role::Security];

/// Who asks, proven by an operator token.
pub(super) struct Caller {
    operator: Operator,
    state: HttpState,
    peer: SocketAddr,
    request_id: RequestId,
}

impl Caller {
    /// The state, once the operator's role is found to suffice. A refusal is recorded.
    pub(super) async fn with_role(&self, roles: &[Role]) -> Result<&HttpState, Problem> {
        if roles.contains(&self.operator.role) {
            return Ok(&self.state);
        }
        refused(&self.state, Actor::Operator(self.operator.id.clone()), self.peer, &self.request_id, "role").await?;
        Err(Problem::new(Fault::Denied, "your role does not include this").request(&self.request_id))
    }

    /// The actor for records.
    pub(super) fn actor(&self) -> Actor {
        Actor::OperatorFrom {
            id: self.operator.id.clone(),
            source: self.peer.ip().to_canonical(),
            request_id: self.request_id.clone(),
        }
    }
}

async fn refused(
    state: &HttpState,
    actor: Actor,
    peer: SocketAddr,
    id: &RequestId,
    reason: &str,
) -> Result<(), Problem> {
    let event = AuditEvent::new(EventCode::OperatorRefused, actor, Outcome::Denied)
        .source(peer.ip())
        .request(id)
        .detail("reason", reason);
    state.audit.record(event).await?;
    Ok(())
}

impl FromRequestParts<HttpState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let request_id = RequestId::new(&state.clock, &state.entropy);
        let peer = parts
            .extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map(|info| info.0)
            .ok_or_else(|| Problem::new(Fault::Internal, "no peer address"))?;
        let token = parts
            .headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token);
        let outcome = match token {
            Some(token) => state.registry.authenticate_operator(token).await.map_err(|error| error.fault()),
            None => Err(Fault::Unauthenticated),
        };
        match outcome {
            Ok(operator) => Ok(Self { operator, state: state.clone(), peer, request_id }),
            Err(Fault::Unavailable) => {
                Err(Problem::new(Fault::Unavailable, Fault::Unavailable.public()).request(&request_id))
            }
            Err(_) => {
                refused(state, Actor::Anonymous, peer, &request_id, "token").await?;
                Err(Problem::new(Fault::Unauthenticated, "an operator token is needed: set MAILWARDEN_OPERATOR_TOKEN")
                    .request(&request_id))
            }
        }
    }
}

/// A JSON body whose unknown members are refused by its type, in a problem document.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<HttpState> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, Problem> {
        use axum::body::Bytes;
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|_| Problem::new(Fault::Invalid, "the body is too long"))?;
        // serde names members and positions, never values.
        serde_json::from_slice(&bytes).map(Body).map_err(|error| {
            let what = match error.classify() {
                serde_json::error::Category::Data => "a member is unknown, missing, or not of the right form",
                _ => "the body is not JSON",
            };
            Problem::new(Fault::Invalid, format!("{what} (line {}, column {})", error.line(), error.column()))
        })
    }
}

/// Reads an id out of a path.
pub(super) fn id<T: std::str::FromStr>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::new(Fault::NotFound, "no such object"))
}
