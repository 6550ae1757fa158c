//! `/api/v1/audit`.

use axum::Json;
use axum::extract::Query;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::audit::Filter;
use crate::crypto::encoding::base64url;
use crate::http::admin::{Caller, READERS};
use crate::http::problem::Problem;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    after: Option<i64>,
    limit: Option<u32>,
}

pub(super) async fn list(caller: Caller, Query(page): Query<Page>) -> Result<Json<Value>, Problem> {
    let state = caller.with_role(READERS).await?;
    let filter = Filter {
        after_seq: page.after.unwrap_or(0),
        limit: page.limit.unwrap_or(100).clamp(1, 1000),
        ..Filter::default()
    };
    Ok(Json(json!({ "events": state.audit.list(filter).await? })))
}

pub(super) async fn verify(caller: Caller) -> Result<Json<Value>, Problem> {
    let audit = &caller.with_role(READERS).await?.audit;
    let verified = audit.verify().await?;
    Ok(Json(json!({
        "whole": true, "events": verified.events, "head": verified.head_hex, "checkpoints": verified.checkpoints,
        "covered": verified.covered, "key": audit.public_key().map(base64url),
    })))
}
