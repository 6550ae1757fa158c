//! `/api/v1/mailboxes`. A password goes in and never comes out.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::address::MailAddress;
use crate::domain::id::MailboxId;
use crate::domain::mailbox::{Mailbox, Upstream};
use crate::domain::secret::{Password, Secret};
use crate::http::admin::{ADMINS, Body, Caller, GUARDS, READERS, id};
use crate::http::problem::Problem;
use crate::upstream::{LoginReport, UpstreamError};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewMailbox {
    address: MailAddress,
    upstream: Upstream,
    password: Secret<Password>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCredential {
    password: Secret<Password>,
}

pub(super) async fn list(caller: Caller) -> Result<Json<Value>, Problem> {
    let mailboxes = caller.with_role(READERS).await?.registry.list_mailboxes().await?;
    Ok(Json(json!({ "mailboxes": mailboxes.iter().map(view).collect::<Vec<_>>() })))
}

pub(super) async fn show(caller: Caller, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    Ok(Json(view(&caller.with_role(READERS).await?.registry.find_mailbox(&name).await?)))
}

pub(super) async fn add(caller: Caller, Body(new): Body<NewMailbox>) -> Result<(StatusCode, Json<Value>), Problem> {
    let registry = &caller.with_role(ADMINS).await?.registry;
    let (mailbox, report) = registry.add_mailbox(&caller.actor(), new.address, new.upstream, new.password).await?;
    let mut body = view(&mailbox);
    if let Some(members) = body.as_object_mut() {
        members.insert("login".to_owned(), login(&report));
    }
    Ok((StatusCode::CREATED, Json(body)))
}

pub(super) async fn test(caller: Caller, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    let registry = &caller.with_role(GUARDS).await?.registry;
    let mailbox = registry.find_mailbox(&name).await?;
    Ok(Json(login(&registry.test_mailbox(&caller.actor(), &mailbox.id).await?)))
}

pub(super) async fn set_credential(
    caller: Caller,
    Path(name): Path<String>,
    Body(new): Body<NewCredential>,
) -> Result<Json<Value>, Problem> {
    let registry = &caller.with_role(GUARDS).await?.registry;
    let mailbox = registry.find_mailbox(&name).await?;
    Ok(Json(login(&registry.set_credential(&caller.actor(), &mailbox.id, new.password).await?)))
}

pub(super) async fn revoke(caller: Caller, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    let registry = &caller.with_role(GUARDS).await?.registry;
    let mailbox = registry.find_mailbox(&name).await?;
    registry.revoke_mailbox(&caller.actor(), &mailbox.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn remove(caller: Caller, Path(text): Path<String>) -> Result<StatusCode, Problem> {
    let mailbox: MailboxId = id(&text)?;
    caller.with_role(ADMINS).await?.registry.remove_mailbox(&caller.actor(), &mailbox).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn view(mailbox: &Mailbox) -> Value {
    json!({
        "id": mailbox.id, "address": mailbox.address, "status": mailbox.status.as_str(), "health": mailbox.health.as_str(),
        "upstream": mailbox.upstream, "created_at": mailbox.created_at.to_rfc3339(),
    })
}

fn login(report: &LoginReport) -> Value {
    let word = |outcome: &Option<Result<(), UpstreamError>>| match outcome {
        None => Value::Null,
        Some(Ok(())) => json!("ok"),
        Some(Err(error)) => json!(error.to_string()),
    };
    json!({ "imap": word(&report.imap), "smtp": word(&report.smtp) })
}
