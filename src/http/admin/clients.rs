//! `/api/v1/clients`. A secret is shown once, by the call that makes it.

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::client::{Client, ClientSecretRecord, Status, TokenAlg};
use crate::domain::client_auth::{ClientAuth, RequiredBinding};
use crate::domain::clock::Timestamp;
use crate::domain::fault::Fault;
use crate::domain::id::{ClientId, ClientSecretId, MailboxId};
use crate::domain::secret::{ClientSecret, Secret};
use crate::http::admin::caller::{Admins, Caller, Guards, Readers, Roles};
use crate::http::admin::input::{Body, Named};
use crate::http::problem::Problem;
use crate::registry;

/// A client to register.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewClient {
    /// What people call it; unique.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// What its tokens are signed with; EdDSA when absent.
    #[serde(default)]
    token_alg: Option<TokenAlg>,
    /// The mailbox meant when a token request names none: address or id.
    #[serde(default)]
    default_mailbox: Option<String>,
    /// What its tokens must be bound to; nothing when absent.
    #[serde(default)]
    required_binding: RequiredBinding,
}

/// How to rotate.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotate {
    /// How long the older secret still works.
    #[schema(value_type = i64, minimum = 0, maximum = 4_294_967_295_i64)]
    overlap_secs: u32,
}

/// A registered tool.
#[derive(Serialize, ToSchema)]
#[schema(as = Client)]
pub(super) struct View {
    #[schema(value_type = String, example = "cli_00000000000a")]
    client_id: ClientId,
    name: String,
    status: Status,
    token_alg: TokenAlg,
    /// The mailbox meant when a token request names none.
    #[schema(value_type = Option<String>)]
    default_mailbox: Option<MailboxId>,
    required_binding: RequiredBinding,
    #[schema(format = DateTime)]
    created_at: String,
}

impl From<Client> for View {
    fn from(client: Client) -> Self {
        Self {
            client_id: client.id,
            name: client.name,
            status: client.status,
            token_alg: client.token_alg,
            default_mailbox: client.default_mailbox,
            required_binding: client.required_binding,
            created_at: client.created_at.to_rfc3339(),
        }
    }
}

/// One of a client's secrets, without the secret.
#[derive(Serialize, ToSchema)]
#[schema(as = ClientSecret)]
pub(super) struct SecretView {
    #[schema(value_type = String, example = "cse_00000000000a")]
    id: ClientSecretId,
    #[schema(format = DateTime)]
    created_at: String,
    /// When it stops working; `null`: not planned.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

impl From<ClientSecretRecord> for SecretView {
    fn from(secret: ClientSecretRecord) -> Self {
        let expires_at = secret.expires_at.map(Timestamp::to_rfc3339);
        Self { id: secret.id, created_at: secret.created_at.to_rfc3339(), expires_at }
    }
}

/// A client with its secrets.
#[derive(Serialize, ToSchema)]
#[schema(as = ClientDetail)]
pub(super) struct Detail {
    #[serde(flatten)]
    client: View,
    secrets: Vec<SecretView>,
}

/// A client with its new secret, shown this once.
#[derive(Serialize, ToSchema)]
#[schema(as = ClientWithSecret)]
pub(super) struct WithSecret {
    #[serde(flatten)]
    client: View,
    client_secret: String,
}

impl WithSecret {
    fn new(client: Client, secret: &Secret<ClientSecret>) -> Result<Self, Problem> {
        let shown = secret.expose_text(str::to_owned);
        let client_secret = shown.ok_or_else(|| Problem::new(Fault::Internal, Fault::Internal.public()))?;
        Ok(Self { client: client.into(), client_secret })
    }
}

/// All of them.
#[derive(Serialize, ToSchema)]
#[schema(as = Clients)]
pub(super) struct List {
    clients: Vec<View>,
}

/// All clients
#[utoipa::path(get, path = "/clients", operation_id = "client_list", tag = "client",
    extensions(("x-mailwarden-roles" = json!(Readers::ALL))), responses((status = 200, body = List)))]
pub(super) async fn list(caller: Caller<Readers>) -> Result<Json<List>, Problem> {
    let clients = caller.registry().list_clients().await?;
    Ok(Json(List { clients: clients.into_iter().map(View::from).collect() }))
}

/// One client
#[utoipa::path(get, path = "/clients/{id}", operation_id = "client_show", tag = "client",
    params(("id" = String, Path, description = "Id or name")),
    extensions(("x-mailwarden-roles" = json!(Readers::ALL))), responses((status = 200, body = Detail)))]
pub(super) async fn show(caller: Caller<Readers>, named: Named) -> Result<Json<Detail>, Problem> {
    let client = caller.registry().find_client(&named.0).await?;
    let secrets = caller.registry().list_client_secrets(&client.id).await?;
    Ok(Json(Detail { client: client.into(), secrets: secrets.into_iter().map(SecretView::from).collect() }))
}

/// Register a client
///
/// Its secret is shown this once.
#[utoipa::path(post, path = "/clients", operation_id = "client_add", tag = "client", request_body = NewClient,
    extensions(("x-mailwarden-roles" = json!(Admins::ALL))),
    responses((status = 201, body = WithSecret), (status = 404), (status = 409)))]
pub(super) async fn add(
    caller: Caller<Admins>,
    Body(new): Body<NewClient>,
) -> Result<(StatusCode, Json<WithSecret>), Problem> {
    let registry = caller.registry();
    let mailbox = match new.default_mailbox {
        Some(name) => Some(registry.find_mailbox(&name).await?.id),
        None => None,
    };
    let alg = new.token_alg.unwrap_or(TokenAlg::EdDsa);
    let new = registry::NewClient {
        name: new.name,
        token_alg: alg,
        default_mailbox: mailbox,
        auth: ClientAuth::ClientSecret {},
        required_binding: new.required_binding,
    };
    let (client, secret) = registry.register_client(&caller.actor(), new).await?;
    let secret = secret.ok_or_else(|| Problem::new(Fault::Internal, Fault::Internal.public()))?;
    Ok((StatusCode::CREATED, Json(WithSecret::new(client, &secret)?)))
}

/// Make a further secret
///
/// The older one works on for a while; two live at most.
#[utoipa::path(post, path = "/clients/{id}/rotate-secret", operation_id = "client_rotate_secret", tag = "client",
    params(("id" = String, Path, description = "Id or name")), request_body = Rotate,
    extensions(("x-mailwarden-roles" = json!(Guards::ALL))),
    responses((status = 200, body = WithSecret), (status = 409)))]
pub(super) async fn rotate_secret(
    caller: Caller<Guards>,
    named: Named,
    Body(rotate): Body<Rotate>,
) -> Result<Json<WithSecret>, Problem> {
    let client = caller.registry().find_client(&named.0).await?;
    let secret = caller.registry().rotate_client_secret(&caller.actor(), &client.id, rotate.overlap_secs).await?;
    Ok(Json(WithSecret::new(client, &secret)?))
}

/// End all secrets but the newest
#[utoipa::path(post, path = "/clients/{id}/retire-secrets", operation_id = "client_retire_secrets", tag = "client",
    params(("id" = String, Path, description = "Id or name")),
    extensions(("x-mailwarden-roles" = json!(Guards::ALL))), responses((status = 204)))]
pub(super) async fn retire_secrets(caller: Caller<Guards>, named: Named) -> Result<StatusCode, Problem> {
    let client = caller.registry().find_client(&named.0).await?;
    caller.registry().retire_client_secrets(&caller.actor(), &client.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End all tokens and sessions of a client, at once
#[utoipa::path(post, path = "/clients/{id}/revoke", operation_id = "client_revoke", tag = "client",
    params(("id" = String, Path, description = "Id or name")),
    extensions(("x-mailwarden-roles" = json!(Guards::ALL))),
    responses((status = 204), (status = 409)))]
pub(super) async fn revoke(caller: Caller<Guards>, named: Named) -> Result<StatusCode, Problem> {
    let client = caller.registry().find_client(&named.0).await?;
    caller.registry().revoke_client(&caller.actor(), &client.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Remove a client, its secrets and its sessions
#[utoipa::path(delete, path = "/clients/{id}", operation_id = "client_remove", tag = "client",
    params(("id" = String, Path, description = "Id or name")),
    extensions(("x-mailwarden-roles" = json!(Admins::ALL))),
    responses((status = 204), (status = 409)))]
pub(super) async fn remove(caller: Caller<Admins>, named: Named) -> Result<StatusCode, Problem> {
    let client = caller.registry().find_client(&named.0).await?;
    caller.registry().remove_client(&caller.actor(), &client.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
