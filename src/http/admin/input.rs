//! What a request brings, read strictly: unknown members and parameters are refused, each refusal is a problem document.

use std::str::FromStr;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::IntoResponse;
use serde::de::DeserializeOwned;

use crate::domain::fault::Fault;
use crate::http::HttpState;
use crate::http::problem::Problem;
use crate::registry::{RegistryError, Version};

/// A JSON body; its type refuses unknown members (AD-10).
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<HttpState> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| Problem::of_status(rejection.into_response().status()))?;
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

/// A page of another origin can send text and forms without asking, but no JSON (AD-05).
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// Parameters in the URL; their type refuses unknown ones.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<HttpState> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let read = axum::extract::Query::from_request_parts(parts, state).await;
        let refused = "a query parameter is unknown, repeated, or not of the right form";
        read.map(|axum::extract::Query(read)| Self(read)).map_err(|_| Problem::new(Fault::Invalid, refused))
    }
}

/// The object that the path names, as text: an id, or what else names such an object.
pub(super) struct Named(pub(super) String);

impl FromRequestParts<HttpState> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let read = Path::<String>::from_request_parts(parts, state).await;
        read.map(|Path(text)| Self(text)).map_err(|_| Problem::new(Fault::Invalid, "the path is not UTF-8"))
    }
}

impl Named {
    /// Reads it as an id.
    pub(super) fn id<T: FromStr>(&self) -> Result<T, Problem> {
        id(&self.0)
    }
}

/// What `If-Match` asks for: the change is made only to a version that it names (RFC 9110 section 13.1.1).
pub(super) struct IfMatch(Option<String>);

impl FromRequestParts<HttpState> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &HttpState) -> Result<Self, Problem> {
        let values = parts.headers.get_all(header::IF_MATCH);
        let texts: Vec<_> = values.iter().map(|value| value.to_str().unwrap_or_default()).collect();
        let list = texts.join(",");
        let is_tag = |one: &str| one.len() > 1 && one.trim_start_matches("W/").starts_with('"') && one.ends_with('"');
        if texts.is_empty() {
            Ok(Self(None))
        } else if list.trim() == "*" || list.split(',').all(|one| is_tag(one.trim())) {
            Ok(Self(Some(list)))
        } else {
            Err(Problem::new(Fault::Invalid, "If-Match must be * or ETags in double quotes"))
        }
    }
}

impl IfMatch {
    /// Whether `version` is meant. Without the header, any is.
    pub(super) fn names(&self, version: &Version) -> bool {
        let etag = etag(version);
        self.0.as_ref().is_none_or(|list| list.split(',').any(|one| ["*", &etag].contains(&one.trim())))
    }
}

/// The entity tag of a version.
pub(super) fn etag(version: &Version) -> String {
    format!("\"{version}\"")
}

/// An answer with its ETag.
pub(super) type Tagged<T> = ([(HeaderName, String); 1], Json<T>);

/// The problem of a change that was refused; 412 where the version is another one.
pub(super) fn stale(error: RegistryError) -> Problem {
    match error {
        RegistryError::Stale => Problem::of_status(StatusCode::PRECONDITION_FAILED),
        error => error.into(),
    }
}

/// Reads an id; text that is none names nothing.
pub(super) fn id<T: FromStr>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::new(Fault::NotFound, "no such object"))
}
