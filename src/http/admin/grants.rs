//! `/api/v1/grants`.

use axum::Json;
use axum::http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::bounds::Bounds;
use crate::domain::client::Status;
use crate::domain::clock::Timestamp;
use crate::domain::fault::Fault;
use crate::domain::grant::{Grant, SessionTtl};
use crate::domain::id::{ClientId, GrantId, MailboxId};
use crate::domain::scope::ScopeSet;
use crate::http::admin::caller::{Admins, Caller, Readers, Roles};
use crate::http::admin::input::{Body, IfMatch, Named, Tagged, etag, stale};
use crate::http::problem::Problem;
use crate::registry::{GrantTerms, Version};

/// A grant to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewGrant {
    /// Who: id or name.
    client: String,
    /// Where: id or address.
    mailbox: String,
    /// What: scopes, separated by spaces.
    #[schema(value_type = String, example = "mail.read mail.flag")]
    scope: ScopeSet,
    #[serde(default)]
    bounds: Bounds,
    /// Life of an access token; 300 when absent.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 3600)]
    token_ttl_secs: Option<u32>,
    /// Longest session; 0: ends with its token; 3600 when absent.
    #[serde(default)]
    #[schema(maximum = 86400)]
    session_ttl_secs: Option<u32>,
    /// When it ends by itself.
    #[serde(default)]
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// A grant's new terms: all of them; what is left out takes its default.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantChange {
    /// What: scopes, separated by spaces.
    #[schema(value_type = String, example = "mail.read mail.flag")]
    scope: ScopeSet,
    #[serde(default)]
    bounds: Bounds,
    /// Life of an access token; 300 when absent.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 3600)]
    token_ttl_secs: Option<u32>,
    /// Longest session; 0: ends with its token; 3600 when absent.
    #[serde(default)]
    #[schema(maximum = 86400)]
    session_ttl_secs: Option<u32>,
    /// When it ends by itself.
    #[serde(default)]
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// A standing permission.
#[derive(Serialize, ToSchema)]
#[schema(as = Grant)]
pub(super) struct View {
    #[schema(value_type = String, example = "gra_00000000000a")]
    id: GrantId,
    #[schema(value_type = String)]
    client_id: ClientId,
    #[schema(value_type = String)]
    mailbox_id: MailboxId,
    #[schema(value_type = String, example = "mail.read mail.flag")]
    scope: ScopeSet,
    bounds: Bounds,
    status: Status,
    token_ttl_secs: u32,
    /// 0: ends with its token.
    session_ttl_secs: i64,
    /// When it ends by itself; `null`: not planned.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    /// Its state's name: the ETag, for `If-Match`.
    version: String,
}

impl From<Grant> for View {
    fn from(grant: Grant) -> Self {
        Self {
            version: Version::of_grant(&grant).to_string(),
            id: grant.id,
            client_id: grant.client_id,
            mailbox_id: grant.mailbox_id,
            scope: grant.scopes,
            bounds: grant.bounds,
            status: grant.status,
            token_ttl_secs: grant.token_ttl_secs,
            session_ttl_secs: grant.session_ttl.to_secs(),
            expires_at: grant.expires_at.map(Timestamp::to_rfc3339),
            created_at: grant.created_at.to_rfc3339(),
        }
    }
}

/// All of them.
#[derive(Serialize, ToSchema)]
#[schema(as = Grants)]
pub(super) struct List {
    grants: Vec<View>,
}

/// All grants
#[utoipa::path(get, path = "/grants", operation_id = "grant_list", tag = "grant",
    extensions(("x-mailwarden-roles" = json!(Readers::ALL))), responses((status = 200, body = List)))]
pub(super) async fn list(caller: Caller<Readers>) -> Result<Json<List>, Problem> {
    let grants = caller.registry().list_grants().await?;
    Ok(Json(List { grants: grants.into_iter().map(View::from).collect() }))
}

/// One grant
#[utoipa::path(get, path = "/grants/{id}", operation_id = "grant_show", tag = "grant",
    params(("id" = String, Path, description = "Id")),
    extensions(("x-mailwarden-roles" = json!(Readers::ALL))), responses((status = 200, body = View)))]
pub(super) async fn show(caller: Caller<Readers>, named: Named) -> Result<Tagged<View>, Problem> {
    Ok(tagged(caller.registry().find_grant(&named.id()?).await?))
}

fn tagged(grant: Grant) -> Tagged<View> {
    let etag = etag(&Version::of_grant(&grant));
    ([(header::ETAG, etag)], Json(grant.into()))
}

/// Change a grant's terms
///
/// Sessions whose rights the new terms still give go on with the rights that they have; others end within a second. With `If-Match`,
/// only the version with that ETag is changed.
#[utoipa::path(put, path = "/grants/{id}", operation_id = "grant_change", tag = "grant",
    params(("id" = String, Path, description = "Id"), ("If-Match" = Option<String>, Header, description = "ETags")),
    request_body = GrantChange, extensions(("x-mailwarden-roles" = json!(Admins::ALL))),
    responses((status = 200, body = View), (status = 409), (status = 412)))]
pub(super) async fn change(
    caller: Caller<Admins>,
    named: Named,
    if_match: IfMatch,
    Body(new): Body<GrantChange>,
) -> Result<Tagged<View>, Problem> {
    let terms = new.terms()?;
    let is_meant = |version: &Version| if_match.names(version);
    let changed = caller.registry().change_grant(&caller.actor(), &named.id()?, terms, is_meant).await;
    changed.map(tagged).map_err(stale)
}

/// Let a client into a mailbox
///
/// One grant per client and mailbox.
#[utoipa::path(post, path = "/grants", operation_id = "grant_add", tag = "grant", request_body = NewGrant,
    extensions(("x-mailwarden-roles" = json!(Admins::ALL))),
    responses((status = 201, body = View), (status = 404), (status = 409)))]
pub(super) async fn add(
    caller: Caller<Admins>,
    Body(new): Body<NewGrant>,
) -> Result<(StatusCode, Json<View>), Problem> {
    let NewGrant { client, mailbox, scope, bounds, token_ttl_secs, session_ttl_secs, expires_at } = new;
    let terms = GrantChange { scope, bounds, token_ttl_secs, session_ttl_secs, expires_at }.terms()?;
    let registry = caller.registry();
    let (client, mailbox) = (registry.find_client(&client).await?.id, registry.find_mailbox(&mailbox).await?.id);
    let grant = registry.add_grant(&caller.actor(), client, mailbox, terms).await?;
    Ok((StatusCode::CREATED, Json(grant.into())))
}

impl GrantChange {
    fn terms(self) -> Result<GrantTerms, Problem> {
        Ok(GrantTerms {
            scopes: self.scope,
            bounds: self.bounds,
            token_ttl_secs: self.token_ttl_secs.unwrap_or(Grant::DEFAULT_TOKEN_TTL_SECS),
            session_ttl: session_ttl(self.session_ttl_secs)?,
            expires_at: moment(self.expires_at.as_deref())?,
        })
    }
}

fn session_ttl(secs: Option<u32>) -> Result<SessionTtl, Problem> {
    let Some(secs) = secs else { return Ok(SessionTtl::DEFAULT) };
    let invalid = || Problem::new(Fault::Invalid, "session_ttl_secs must be 0 to 86400");
    SessionTtl::from_secs(i64::from(secs)).ok_or_else(invalid)
}

fn moment(text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let invalid = || Problem::new(Fault::Invalid, "expires_at must be RFC 3339");
    Timestamp::parse_rfc3339(text).map(Some).ok_or_else(invalid)
}

/// Remove a grant; its sessions end
#[utoipa::path(delete, path = "/grants/{id}", operation_id = "grant_remove", tag = "grant",
    params(("id" = String, Path, description = "Id")),
    extensions(("x-mailwarden-roles" = json!(Admins::ALL))),
    responses((status = 204), (status = 409)))]
pub(super) async fn remove(caller: Caller<Admins>, named: Named) -> Result<StatusCode, Problem> {
    caller.registry().remove_grant(&caller.actor(), &named.id()?).await?;
    Ok(StatusCode::NO_CONTENT)
}
