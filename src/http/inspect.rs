//! `/oauth/introspect` (RFC 7662) and `/oauth/revoke` (RFC 7009).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};

use crate::domain::throttle::Throttle;
use crate::http::admin::Asker;
use crate::http::{HttpState, oauth};
use crate::oauth::Origin;
use crate::oauth::request::TokenQuery;

pub(super) fn router() -> Router<HttpState> {
    Router::new()
        .route("/oauth/introspect", post(introspect))
        .route("/oauth/revoke", post(revoke))
        .layer(Extension(Arc::new(Throttle::default())))
        .method_not_allowed_fallback(oauth::wrong_method)
}

async fn introspect(
    State(state): State<HttpState>,
    origin: Origin,
    asker: Asker,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let authorization = oauth::form(query.as_deref(), &headers);
    let answer = match asker {
        Asker::Operator => match authorization.and_then(|_| TokenQuery::token(&body)) {
            Ok(token) => state.tokens.introspect_any(&token).await,
            Err(error) => Err(error),
        },
        Asker::Other => {
            let query = authorization.and_then(|header| TokenQuery::parse(&body, header));
            state.tokens.introspect(query, &origin).await
        }
    };
    match answer {
        Ok(answer) => oauth::with_no_store(Json(answer).into_response()),
        Err(error) => oauth::refused(&error, &origin.request_id),
    }
}

async fn revoke(
    State(state): State<HttpState>,
    origin: Origin,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let authorization = oauth::form(query.as_deref(), &headers);
    let query = authorization.and_then(|header| TokenQuery::parse(&body, header));
    match state.tokens.revoke(query, &origin).await {
        Ok(()) => oauth::with_no_store(StatusCode::OK.into_response()),
        Err(error) => oauth::refused(&error, &origin.request_id),
    }
}
