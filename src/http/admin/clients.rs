//! `/api/v1/clients`. A secret is shown once, by the call that makes it.

use axum::Json;
use axum::http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::client::{Client, ClientSecretRecord, Status, TokenAlg};
use crate::domain::client_auth::{ClientAuth, RequiredBinding};
use crate::domain::clock::Timestamp;
use crate::domain::fault::Fault;
use crate::domain::id::{ClientId, ClientSecretId, MailboxId};
use crate::domain::secret::{ClientSecret, Secret};
use crate::http::admin::caller::{Admins, Caller, Guards, Readers, Roles};
use crate::http::admin::input::{Body, IfMatch, Named, Query, Tagged, etag, stale};
use crate::http::problem::Problem;
use crate::oauth::client_auth;
use crate::registry::{self, ClientTerms, SecretUse, Version, is_safe_to_retire};

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
    /// How it proves who it is; by a secret when absent.
    #[serde(default)]
    auth: Option<ClientAuth>,
    /// What every token of it must be bound to; nothing when absent.
    #[serde(default)]
    required_binding: Option<RequiredBinding>,
}

/// What a client shall be from now on: what is left out takes its default.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientChange {
    /// What people call it; unique.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// What its tokens are signed with; EdDSA when absent.
    #[serde(default)]
    token_alg: Option<TokenAlg>,
    /// The mailbox meant when a token request names none: address or id.
    #[serde(default)]
    default_mailbox: Option<String>,
}

/// How to rotate.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotate {
    /// How long the older secret still works; 90 days at most.
    #[schema(value_type = i64, minimum = 0, maximum = 7_776_000)]
    overlap_secs: u32,
}

/// What to tell of a client.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Quiet {
    /// How long a secret must not have been used to count as safe to retire; a day when absent, a minute at least.
    #[serde(default)]
    #[param(value_type = Option<i64>, minimum = 60, maximum = 31_536_000)]
    quiet_for_secs: Option<u32>,
}

impl Quiet {
    fn secs(&self) -> Result<u32, Problem> {
        let secs = self.quiet_for_secs.unwrap_or(24 * 3600);
        let good = (60..=31_536_000).contains(&secs);
        good.then_some(secs).ok_or_else(|| Problem::new(Fault::Invalid, "quiet_for_secs is 60 to 31536000"))
    }
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
    auth: ClientAuth,
    required_binding: RequiredBinding,
    #[schema(format = DateTime)]
    created_at: String,
    /// Its state's name: the ETag, for `If-Match`.
    version: String,
}

impl From<Client> for View {
    fn from(client: Client) -> Self {
        Self {
            version: Version::of_client(&client).to_string(),
            client_id: client.id,
            name: client.name,
            status: client.status,
            token_alg: client.token_alg,
            default_mailbox: client.default_mailbox,
            auth: client.auth,
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
    /// When it was last used, on any node; `null`: never. A use may be missing for a few seconds, or for good if its node crashed in them.
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    /// The address it was last used from.
    last_used_from: Option<String>,
    /// Whether no tool will miss it: a newer secret works, and since that was made this one was not used for `quiet_for_secs`.
    safe_to_retire: bool,
}

impl SecretView {
    fn of(
        secret: &ClientSecretRecord,
        all: &[ClientSecretRecord],
        used: Option<SecretUse>,
        quiet_secs: u32,
        now: Timestamp,
    ) -> Self {
        Self {
            id: secret.id.clone(),
            created_at: secret.created_at.to_rfc3339(),
            expires_at: secret.expires_at.map(Timestamp::to_rfc3339),
            last_used_at: used.map(|used| used.at.to_rfc3339()),
            last_used_from: used.map(|used| used.source.to_string()),
            safe_to_retire: is_safe_to_retire(secret, all, used, quiet_secs, now),
        }
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
    /// Absent where the client proves itself by another method.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    client_secret: Option<String>,
}

impl WithSecret {
    fn new(client: Client, secret: Option<&Secret<ClientSecret>>) -> Result<Self, Problem> {
        let client_secret = match secret {
            None => None,
            Some(secret) => {
                let shown = secret.expose_text(str::to_owned);
                Some(shown.ok_or_else(|| Problem::new(Fault::Internal, Fault::Internal.public()))?)
            }
        };
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

/// One client, and how its secrets are used
#[utoipa::path(get, path = "/clients/{id}", operation_id = "client_show", tag = "client",
    params(("id" = String, Path, description = "Id or name"), Quiet),
    extensions(("x-mailwarden-roles" = json!(Readers::ALL))), responses((status = 200, body = Detail)))]
pub(super) async fn show(
    caller: Caller<Readers>,
    named: Named,
    Query(quiet): Query<Quiet>,
) -> Result<Tagged<Detail>, Problem> {
    let (quiet_secs, now) = (quiet.secs()?, caller.state.clock.now());
    let client = caller.registry().find_client(&named.0).await?;
    let all = caller.registry().list_client_secrets(&client.id).await?;
    let uses = caller.registry().secret_uses(&client.id).await?;
    let view = |secret| SecretView::of(secret, &all, uses.get(&secret.id).copied(), quiet_secs, now);
    let secrets = all.iter().map(view).collect();
    let etag = etag(&Version::of_client(&client));
    Ok(([(header::ETAG, etag)], Json(Detail { client: client.into(), secrets })))
}

/// Change a client's name, algorithm or default mailbox
///
/// Its secrets and sessions stay. With `If-Match`, only the version with that ETag is changed.
#[utoipa::path(put, path = "/clients/{id}", operation_id = "client_change", tag = "client",
    params(
        ("id" = String, Path, description = "Id or name"),
        ("If-Match" = Option<String>, Header, description = "ETags"),
    ),
    request_body = ClientChange, extensions(("x-mailwarden-roles" = json!(Admins::ALL))),
    responses((status = 200, body = View), (status = 409), (status = 412)))]
pub(super) async fn change(
    caller: Caller<Admins>,
    named: Named,
    if_match: IfMatch,
    Body(new): Body<ClientChange>,
) -> Result<Tagged<View>, Problem> {
    let registry = caller.registry();
    let client = registry.find_client(&named.0).await?;
    let default_mailbox = match new.default_mailbox {
        Some(name) => Some(registry.find_mailbox(&name).await?.id),
        None => None,
    };
    let terms = ClientTerms { name: new.name, token_alg: new.token_alg.unwrap_or(TokenAlg::EdDsa), default_mailbox };
    let is_meant = |version: &Version| if_match.names(version);
    let client = registry.change_client(&caller.actor(), &client.id, terms, is_meant).await.map_err(stale)?;
    Ok(([(header::ETAG, etag(&Version::of_client(&client)))], Json(client.into())))
}

/// Register a client
///
/// Its secret, where its method needs one, is shown this once.
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
    let auth = new.auth.unwrap_or(ClientAuth::ClientSecret {});
    client_auth::usable(&auth).map_err(|what| Problem::new(Fault::Invalid, what))?;
    let new = registry::NewClient {
        name: new.name,
        token_alg: new.token_alg.unwrap_or(TokenAlg::EdDsa),
        default_mailbox: mailbox,
        auth,
        required_binding: new.required_binding.unwrap_or_default(),
    };
    let (client, secret) = registry.register_client(&caller.actor(), new).await?;
    Ok((StatusCode::CREATED, Json(WithSecret::new(client, secret.as_ref())?)))
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
    Ok(Json(WithSecret::new(client, Some(&secret))?))
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
