//! `/api/v1/clients`. A secret is shown once, by the call that makes it.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::client::{Client, TokenAlg};
use crate::domain::fault::Fault;
use crate::domain::secret::{ClientSecret, Secret};
use crate::http::admin::{ADMINS, Body, Caller, GUARDS, READERS};
use crate::http::problem::Problem;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewClient {
    name: String,
    #[serde(default)]
    token_alg: Option<String>,
    /// Address or id.
    #[serde(default)]
    default_mailbox: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotate {
    /// How long the older secret still works.
    overlap_secs: u32,
}

pub(super) async fn list(caller: Caller) -> Result<Json<Value>, Problem> {
    let clients = caller.with_role(READERS).await?.registry.list_clients().await?;
    Ok(Json(json!({ "clients": clients.iter().map(view).collect::<Vec<_>>() })))
}

pub(super) async fn show(caller: Caller, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    let registry = &caller.with_role(READERS).await?.registry;
    let client = registry.find_client(&name).await?;
    let mut body = view(&client);
    let secrets: Vec<_> = registry
        .list_client_secrets(&client.id)
        .await?
        .iter()
        .map(|secret| {
            let expires_at = secret.expires_at.map(crate::domain::clock::Timestamp::to_rfc3339);
            json!({ "id": secret.id, "created_at": secret.created_at.to_rfc3339(), "expires_at": expires_at })
        })
        .collect();
    if let Some(members) = body.as_object_mut() {
        members.insert("secrets".to_owned(), json!(secrets));
    }
    Ok(Json(body))
}

pub(super) async fn add(caller: Caller, Body(new): Body<NewClient>) -> Result<(StatusCode, Json<Value>), Problem> {
    let registry = &caller.with_role(ADMINS).await?.registry;
    let alg = match new.token_alg.as_deref() {
        None => TokenAlg::EdDsa,
        Some(text) => {
            TokenAlg::parse(text).ok_or_else(|| Problem::new(Fault::Invalid, "token_alg must be EdDSA or ES256"))?
        }
    };
    let mailbox = match new.default_mailbox {
        Some(name) => Some(registry.find_mailbox(&name).await?.id),
        None => None,
    };
    let (client, secret) = registry.add_client(&caller.actor(), &new.name, alg, mailbox).await?;
    Ok((StatusCode::CREATED, Json(with_secret(&client, &secret))))
}

pub(super) async fn rotate_secret(
    caller: Caller,
    Path(name): Path<String>,
    Body(rotate): Body<Rotate>,
) -> Result<Json<Value>, Problem> {
    let registry = &caller.with_role(GUARDS).await?.registry;
    let client = registry.find_client(&name).await?;
    let secret = registry.rotate_client_secret(&caller.actor(), &client.id, rotate.overlap_secs).await?;
    Ok(Json(with_secret(&client, &secret)))
}

pub(super) async fn retire_secrets(caller: Caller, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    let registry = &caller.with_role(GUARDS).await?.registry;
    let client = registry.find_client(&name).await?;
    registry.retire_client_secrets(&caller.actor(), &client.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn revoke(caller: Caller, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    let registry = &caller.with_role(GUARDS).await?.registry;
    let client = registry.find_client(&name).await?;
    registry.revoke_client(&caller.actor(), &client.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn remove(caller: Caller, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    let registry = &caller.with_role(ADMINS).await?.registry;
    let client = registry.find_client(&name).await?;
    registry.remove_client(&caller.actor(), &client.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn view(client: &Client) -> Value {
    json!({
        "client_id": client.id, "name": client.name, "status": client.status.as_str(), "token_alg": client.token_alg.as_str(),
        "default_mailbox": client.default_mailbox, "created_at": client.created_at.to_rfc3339(),
    })
}

fn with_secret(client: &Client, secret: &Secret<ClientSecret>) -> Value {
    let mut body = view(client);
    if let Some(members) = body.as_object_mut() {
        members.insert("client_secret".to_owned(), json!(secret.expose_text(str::to_owned)));
    }
    body
}
