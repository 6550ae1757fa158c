//! Who asks, and whether the role suffices: decided before anything else of a request is read.

use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

use crate::domain::event::{Actor, AuditEvent, EventCode, Outcome};
use crate::domain::fault::{Classify, Fault};
use crate::domain::id::{OperatorId, RequestId};
use crate::domain::operator::Role;
use crate::domain::throttle::Throttle;
use crate::http::HttpState;
use crate::http::problem::Problem;
use crate::registry::Registry;

/// A set of roles.
pub(super) trait Roles {
    /// The roles in it.
    const ALL: &'static [Role];
}

/// Everybody who may look.
pub(super) struct Readers;
/// Who registers and grants.
pub(super) struct Admins;
/// Who rotates, revokes and ends.
pub(super) struct Guards;

impl Roles for Readers {
    const ALL: &'static [Role] = &[Role::Admin, Role::Security, Role::Auditor];
}

impl Roles for Admins {
    const ALL: &'static [Role] = &[Role::Admin];
}

impl Roles for Guards {
    const ALL: &'static [Role] = &[Role::Admin, Role::Security];
}

/// An operator in one of the roles `R`, proven by a token.
pub(super) struct Caller<R> {
    /// The services.
    pub(super) state: HttpState,
    actor: Actor,
    roles: PhantomData<R>,
}

impl<R> Caller<R> {
    /// The actor for records.
    pub(super) fn actor(&self) -> Actor {
        self.actor.clone()
    }

    /// The registry.
    pub(super) fn registry(&self) -> &Registry {
        &self.state.registry
    }
}

impl<R: Roles> FromRequestParts<HttpState> for Caller<R> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let request = Request::of(parts)?;
        let operator = match presented(&parts.headers)? {
            Some(token) => state.registry.authenticate_operator(token).await.map_err(|error| error.fault()),
            None => Err(Fault::Unauthenticated),
        };
        match operator {
            Ok(operator) if R::ALL.contains(&operator.role) => {
                Ok(Self { state: state.clone(), actor: request.actor(operator.id), roles: PhantomData })
            }
            Ok(operator) => {
                request.refused(state, request.actor(operator.id), "role").await?;
                Err(Problem::new(Fault::Denied, "your role does not include this"))
            }
            Err(fault @ (Fault::Unavailable | Fault::Internal)) => Err(Problem::new(fault, fault.public())),
            Err(_) => Err(request.unauthenticated(state).await),
        }
    }
}

/// The token in `Authorization: Bearer`. Two such headers mean that two parties disagree about who is asking.
fn presented(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        return Err(Problem::new(Fault::Invalid, "more than one Authorization header"));
    }
    let text = first.and_then(|value| value.to_str().ok());
    let scheme_and_token = text.and_then(|text| text.split_once(' '));
    Ok(scheme_and_token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token))
}

/// What a record of a refusal tells of the request.
struct Request {
    peer: SocketAddr,
    id: RequestId,
    failures: Arc<Throttle>,
}

impl Request {
    fn of(parts: &Parts) -> Result<Self, Problem> {
        let (peer, id, failures) = (
            parts.extensions.get::<ConnectInfo<SocketAddr>>(),
            parts.extensions.get::<RequestId>(),
            parts.extensions.get::<Arc<Throttle>>(),
        );
        match (peer, id, failures) {
            (Some(peer), Some(id), Some(failures)) => {
                Ok(Self { peer: peer.0, id: id.clone(), failures: Arc::clone(failures) })
            }
            _ => Err(Problem::new(Fault::Internal, Fault::Internal.public())),
        }
    }

    fn actor(&self, id: OperatorId) -> Actor {
        Actor::Operator { id, source: self.peer.ip().to_canonical(), request_id: self.id.clone() }
    }

    /// Refuses a request without a valid token. A source that fails often waits, and costs no further record; who presents a valid
    /// token from there is served all the same, so that nobody can keep the security team out.
    async fn unauthenticated(&self, state: &HttpState) -> Problem {
        if let Err(secs) = self.failures.count(self.peer.ip(), state.clock.now()) {
            return Problem::throttled(secs);
        }
        match self.refused(state, Actor::Anonymous, "token").await {
            Err(problem) => problem,
            Ok(()) => {
                Problem::new(Fault::Unauthenticated, "an operator token is needed: set MAILWARDEN_OPERATOR_TOKEN")
            }
        }
    }

    async fn refused(&self, state: &HttpState, actor: Actor, reason: &str) -> Result<(), Problem> {
        let event = AuditEvent::new(EventCode::OperatorRefused, actor, Outcome::Denied)
            .source(self.peer.ip())
            .request(&self.id)
            .detail("reason", reason);
        state.audit.record(event).await?;
        Ok(())
    }
}
