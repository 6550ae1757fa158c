//! `/api/v1/grants`, and why a command was or would be refused.

use axum::Json;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::bounds::Bounds;
use crate::domain::clock::Timestamp;
use crate::domain::fault::Fault;
use crate::domain::grant::{Grant, SessionTtl};
use crate::domain::id::{GrantId, VerdictId};
use crate::domain::scope::ScopeSet;
use crate::http::admin::{ADMINS, Body, Caller, READERS, id};
use crate::http::problem::Problem;
use crate::policy::{self, Rights};
use crate::registry::NewGrant;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewGrantBody {
    /// Id or name.
    client: String,
    /// Id or address.
    mailbox: String,
    /// Space-separated.
    scope: ScopeSet,
    #[serde(default)]
    bounds: Bounds,
    #[serde(default)]
    token_ttl_secs: Option<u32>,
    /// 0: ends with the token.
    #[serde(default)]
    session_ttl_secs: Option<u32>,
    /// RFC 3339.
    #[serde(default)]
    expires_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Explain {
    verdict: Option<String>,
    client: Option<String>,
    mailbox: Option<String>,
    command: Option<String>,
}

pub(super) async fn list(caller: Caller) -> Result<Json<Value>, Problem> {
    let grants = caller.with_role(READERS).await?.registry.list_grants().await?;
    Ok(Json(json!({ "grants": grants.iter().map(view).collect::<Vec<_>>() })))
}

pub(super) async fn show(caller: Caller, Path(text): Path<String>) -> Result<Json<Value>, Problem> {
    let grant: GrantId = id(&text)?;
    Ok(Json(view(&caller.with_role(READERS).await?.registry.find_grant(&grant).await?)))
}

pub(super) async fn add(caller: Caller, Body(new): Body<NewGrantBody>) -> Result<(StatusCode, Json<Value>), Problem> {
    let registry = &caller.with_role(ADMINS).await?.registry;
    let invalid = |text: &str| Problem::new(Fault::Invalid, text);
    let token_ttl_secs = new.token_ttl_secs.unwrap_or(Grant::DEFAULT_TOKEN_TTL_SECS);
    let session_ttl = match new.session_ttl_secs {
        None => SessionTtl::DEFAULT,
        Some(secs) => {
            SessionTtl::from_secs(i64::from(secs)).ok_or_else(|| invalid("session_ttl_secs must be 0 to 86400"))?
        }
    };
    let expires_at = match new.expires_at {
        None => None,
        Some(text) => Some(Timestamp::parse_rfc3339(&text).ok_or_else(|| invalid("expires_at must be RFC 3339"))?),
    };
    let grant = NewGrant {
        client: registry.find_client(&new.client).await?.id,
        mailbox: registry.find_mailbox(&new.mailbox).await?.id,
        scopes: new.scope,
        bounds: new.bounds,
        token_ttl_secs,
        session_ttl,
        expires_at,
    };
    Ok((StatusCode::CREATED, Json(view(&registry.add_grant(&caller.actor(), grant).await?))))
}

pub(super) async fn remove(caller: Caller, Path(text): Path<String>) -> Result<StatusCode, Problem> {
    let grant: GrantId = id(&text)?;
    caller.with_role(ADMINS).await?.registry.remove_grant(&caller.actor(), &grant).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// By verdict: what was asked and which rule refused it. By client, mailbox and command: what would happen now.
pub(super) async fn explain(caller: Caller, Query(asked): Query<Explain>) -> Result<Json<Value>, Problem> {
    let state = caller.with_role(READERS).await?;
    if let Some(verdict) = &asked.verdict {
        let verdict: VerdictId = id(verdict)?;
        let record = state.audit.find_verdict(&verdict).await?;
        let record = record.ok_or_else(|| Problem::new(Fault::NotFound, "no such verdict"))?;
        return serde_json::to_value(record).map(Json).map_err(|_| Problem::new(Fault::Internal, "unreadable record"));
    }
    let (Some(client), Some(mailbox), Some(command)) = (asked.client, asked.mailbox, asked.command) else {
        return Err(Problem::new(Fault::Invalid, "give verdict, or client, mailbox and command"));
    };
    let client = state.registry.find_client(&client).await?;
    let mailbox = state.registry.find_mailbox(&mailbox).await?;
    let Ok((_, _, grant)) = state.registry.grant_for(&client.id, &mailbox.address).await else {
        return Ok(Json(
            json!({ "permitted": false, "rule": "grant", "text": "no grant in force for this client and mailbox" }),
        ));
    };
    let rights = Rights { scopes: grant.scopes, bounds: grant.bounds, mailbox: mailbox.address };
    Ok(Json(match policy::explain(&rights, &command) {
        Ok(()) => json!({ "permitted": true, "grant_id": grant.id }),
        Err(denial) => json!({
            "permitted": false, "grant_id": grant.id, "rule": denial.rule, "needs": denial.needs.map(crate::domain::scope::Scope::as_str),
            "asked": denial.asked, "text": denial.text,
        }),
    }))
}

fn view(grant: &Grant) -> Value {
    json!({
        "id": grant.id, "client_id": grant.client_id, "mailbox_id": grant.mailbox_id, "scope": grant.scopes, "bounds": grant.bounds,
        "status": grant.status.as_str(), "token_ttl_secs": grant.token_ttl_secs, "session_ttl_secs": grant.session_ttl.to_secs(),
        "expires_at": grant.expires_at.map(Timestamp::to_rfc3339), "created_at": grant.created_at.to_rfc3339(),
    })
}
