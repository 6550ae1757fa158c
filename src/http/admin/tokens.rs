//! `/api/v1/tokens`: the access tokens that were issued and have not expired. Never the token itself.

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::event::{AuditEvent, EventCode, Outcome};
use crate::domain::fault::Fault;
use crate::http::admin::caller::{Caller, Guards, Readers, Roles};
use crate::http::admin::input::{Named, Query};
use crate::http::problem::Problem;
use crate::registry::{IssuedFilter, IssuedRecord, TokenRef};

/// Which tokens.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// Only this client's: id or name.
    client: Option<String>,
    /// Only this mailbox's: id or address.
    mailbox: Option<String>,
    /// Only those after this number: what `next` said.
    after: Option<i64>,
    /// At most so many, 1 to 1000; 100 when absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// One access token.
#[derive(Serialize, ToSchema)]
#[schema(as = AccessToken)]
pub(super) struct View {
    /// Its `jti`.
    id: String,
    client_id: Option<String>,
    mailbox_id: Option<String>,
    grant_id: Option<String>,
    /// The scopes, separated by spaces.
    scope: Option<String>,
    /// What it was narrowed to (RFC 9396), as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_details: Option<String>,
    /// The address that asked for it.
    source: Option<String>,
    #[schema(format = DateTime)]
    issued_at: String,
    #[schema(format = DateTime)]
    expires_at: String,
    /// Whether it opens its mailbox now: neither it was revoked, nor what it stands on.
    active: bool,
}

impl From<IssuedRecord> for View {
    fn from(issued: IssuedRecord) -> Self {
        let mut record = issued.record;
        Self {
            id: issued.token_id,
            client_id: record.client_id,
            mailbox_id: record.mailbox_id,
            grant_id: record.grant_id,
            scope: record.detail.remove("scope"),
            authorization_details: record.detail.remove("authorization_details"),
            source: record.source,
            issued_at: record.at.to_rfc3339(),
            expires_at: issued.expires_at.to_rfc3339(),
            active: issued.is_active,
        }
    }
}

/// Tokens, oldest first.
#[derive(Serialize, ToSchema)]
#[schema(as = AccessTokens)]
pub(super) struct List {
    tokens: Vec<View>,
    /// Where the next page begins (`after`); absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<i64>,
}

/// The access tokens that have not expired
#[utoipa::path(get, path = "/tokens", operation_id = "token_list", tag = "token", params(Page),
    extensions(("x-mailwarden-roles" = json!(Readers::ALL))), responses((status = 200, body = List), (status = 404)))]
pub(super) async fn list(caller: Caller<Readers>, Query(page): Query<Page>) -> Result<Json<List>, Problem> {
    let limit = page.limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        return Err(Problem::new(Fault::Invalid, "limit must be 1 to 1000"));
    }
    let registry = caller.registry();
    let mut filter = IssuedFilter { after_seq: page.after.unwrap_or(0), limit, ..IssuedFilter::default() };
    if let Some(name) = &page.client {
        filter.client = Some(registry.find_client(name).await?.id);
    }
    if let Some(name) = &page.mailbox {
        filter.mailbox = Some(registry.find_mailbox(name).await?.id);
    }
    let (tokens, next) = registry.list_tokens(&filter).await?;
    Ok(Json(List { tokens: tokens.into_iter().map(View::from).collect(), next }))
}

/// Revoke one access token and end the sessions that were opened with it
///
/// Doing so again changes nothing.
#[utoipa::path(delete, path = "/tokens/{id}", operation_id = "token_revoke", tag = "token",
    params(("id" = String, Path, description = "The token's jti")),
    extensions(("x-mailwarden-roles" = json!(Guards::ALL))), responses((status = 204)))]
pub(super) async fn revoke(caller: Caller<Guards>, named: Named) -> Result<StatusCode, Problem> {
    let issued = caller.registry().find_token(&named.0).await?;
    let record = issued.record;
    let client_id = record.client_id.as_deref().and_then(|id| id.parse().ok());
    let client_id = client_id.ok_or_else(|| Problem::new(Fault::NotFound, "no such token"))?;
    let mut event = AuditEvent::new(EventCode::TokenRevoked, caller.actor(), Outcome::Success);
    event.mailbox_id = record.mailbox_id.as_deref().and_then(|id| id.parse().ok());
    event.grant_id = record.grant_id.as_deref().and_then(|id| id.parse().ok());
    let token = TokenRef { token_id: issued.token_id, client_id, expires_at: issued.expires_at };
    caller.registry().revoke_token(event, &token).await?;
    Ok(StatusCode::NO_CONTENT)
}
