//! HTTP: the OAuth endpoints and the admin API. Parses, calls one service, renders.

mod admin;
mod oauth;
mod problem;
mod server;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tower_http::limit::RequestBodyLimitLayer;

use crate::audit::Audit;
use crate::domain::clock::Clock;
use crate::domain::entropy::Entropy;
use crate::oauth::TokenService;
use crate::registry::Registry;

pub use server::{serve, serve_ops};

/// Longest request body in octets (TOK-18).
const MAX_BODY: usize = 64 * 1024;

/// What handlers need; cheap to clone.
#[derive(Clone, Debug)]
pub struct HttpState {
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
}

/// OAuth and admin API.
pub fn router(state: HttpState) -> Router {
    Router::new()
        .nest("/api/v1", admin::router())
        .fallback(problem::not_found)
        .layer(RequestBodyLimitLayer::new(MAX_BODY))
        // Holds the limit itself, to answer in its own form.
        .merge(oauth::router())
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
