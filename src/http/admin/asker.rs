//! Who asks at an endpoint that serves clients and operators alike: an operator token is judged here, all else is left to the endpoint.

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;

use crate::http::HttpState;
use crate::http::admin::caller::{Caller, Readers};
use crate::http::problem::Problem;

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Asker {
    /// An operator who may read, proven by `Authorization: Bearer`.
    Operator,
    /// Somebody who shows no operator token.
    Other,
}

impl FromRequestParts<HttpState> for Asker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all(header::AUTHORIZATION).iter().filter_map(|value| value.to_str().ok());
        let is_bearer = |text: &str| text.split(' ').next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer"));
        if !values.any(is_bearer) {
            return Ok(Self::Other);
        }
        Caller::<Readers>::from_request_parts(parts, state).await.map(|_| Self::Operator)
    }
}
