//! HTTP: the OAuth endpoints and the admin API. Parses, calls one service, renders.

mod admin;
mod bearer;
mod body;
mod envelope;
mod inspect;
mod me;
mod oauth;
mod openapi;
mod origin;
mod problem;
mod server;

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Router, middleware};
use utoipa_axum::router::OpenApiRouter;

use crate::audit::Audit;
use crate::domain::clock::Clock;
use crate::domain::entropy::Entropy;
use crate::oauth::TokenService;
use crate::registry::Registry;

pub use server::{PeerCertificates, serve, serve_ops};

/// What handlers need; cheap to clone, as each request does a few times.
#[derive(Clone, Debug)]
pub struct HttpState(Arc<Parts>);

/// What the state is made of.
#[derive(Debug)]
pub struct Parts {
    /// Who may do what.
    pub registry: Registry,
    /// Tokens.
    pub tokens: TokenService,
    /// The audit log.
    pub audit: Audit,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub entropy: Entropy,
    /// Where tools find the mail listeners: name and HOST:PORT.
    pub places: Arc<[(&'static str, String)]>,
    /// Whether the mail gateways let costly searches through.
    pub costly_search: bool,
}

impl HttpState {
    /// Puts it together.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for HttpState {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// OAuth and admin API, and the document that describes both.
pub fn router(state: HttpState) -> Router {
    let (api, described) = OpenApiRouter::new().nest("/api/v1", admin::router()).split_for_parts();
    Router::new()
        .merge(oauth::router())
        .merge(inspect::router())
        .merge(me::router())
        .merge(api)
        .merge(openapi::router(&described))
        .layer(middleware::from_fn_with_state(state.clone(), envelope::envelope))
        .with_state(state)
}

/// Health and readiness, for a listener of their own.
pub fn ops_router(state: HttpState) -> Router {
    Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(ready)).with_state(state)
}

async fn ready(State(state): State<HttpState>) -> (StatusCode, &'static str) {
    match state.registry.ready().await {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n"),
    }
}
