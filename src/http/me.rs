//! `/oauth/me`: what a client has, for the client itself: mailboxes, scopes, bounds, places and ends. No secret is in it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::address::MailAddress;
use crate::domain::bounds::Bounds;
use crate::domain::budget::Budgets;
use crate::domain::client::{Client, Status};
use crate::domain::clock::Timestamp;
use crate::domain::fault::{Classify, Fault};
use crate::domain::freeze::{Freeze, Level};
use crate::domain::grant::Grant;
use crate::domain::id::{ClientId, ClientSecretId, FreezeId, GrantId, MailboxId};
use crate::domain::mailbox::Mailbox;
use crate::domain::scope::ScopeSet;
use crate::domain::session::Protocol;
use crate::http::bearer::{Bearer, offer, proof, with_nonce};
use crate::http::{HttpState, oauth};
use crate::oauth::request::ClientProof;
use crate::oauth::{OauthError, Origin};
use crate::registry::{Admitted, Registry, RegistryError};

pub(super) fn router() -> Router<HttpState> {
    Router::new()
        .route("/oauth/me", get(me))
        .route("/.well-known/oauth-protected-resource/oauth/me", get(metadata))
        .method_not_allowed_fallback(oauth::wrong_method)
}

/// What a client has. Seen with an access token it is what that token opens; seen with the client's own proof it is all.
#[derive(Serialize, ToSchema)]
pub(super) struct Me {
    #[schema(value_type = String, example = "cli_00000000000a")]
    client_id: ClientId,
    name: String,
    issuer: String,
    /// Where the mail protocols are spoken: `imaps`, `imap` (STARTTLS), `smtps`, `submission` (STARTTLS),
    /// `pop3s`, `pop3` (STLS), each HOST:PORT.
    endpoints: BTreeMap<&'static str, String>,
    mailboxes: Vec<Opened>,
    /// The client's live secrets; absent when an access token asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    secrets: Option<Vec<Kept>>,
}

/// A mailbox that the client may work in.
#[derive(Serialize, ToSchema)]
#[schema(as = MyMailbox)]
struct Opened {
    #[schema(value_type = String, format = Email)]
    address: MailAddress,
    /// What `resource` in a token request names it by.
    resource: String,
    /// Whether a token request that names no `resource` means this one.
    is_default: bool,
    #[schema(value_type = String)]
    grant_id: GrantId,
    /// The scopes, separated by spaces.
    #[schema(value_type = String)]
    scope: ScopeSet,
    bounds: Bounds,
    /// What is left of the budgets in this hour and day (UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    budgets_left: Option<Budgets>,
    /// The freezes that hold for this client here, the strictest first: the strictest counts for whatever they stop. Absent when there
    /// are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    freezes: Vec<Frozen>,
    /// How long an access token lives, in seconds.
    token_ttl_secs: u32,
    /// How long a session may last, in seconds; 0: as long as the token that opened it.
    session_ttl_secs: i64,
    /// When the grant ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// A freeze that holds for now: its id, as refusals name it, and not why it was made.
#[derive(Serialize, ToSchema)]
#[schema(as = MyFreeze)]
struct Frozen {
    #[schema(value_type = String, example = "frz_00000000000a")]
    id: FreezeId,
    level: Level,
    /// Only by this protocol; by any when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<Protocol>,
    /// When it ends by itself; an operator may end it before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    thaws_at: Option<String>,
}

/// One of the client's secrets, not the secret itself.
#[derive(Serialize, ToSchema)]
#[schema(as = MySecret)]
struct Kept {
    #[schema(value_type = String)]
    id: ClientSecretId,
    #[schema(format = DateTime)]
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// The schemas that [`Me`] refers to.
pub(super) fn schemas() -> [(&'static str, serde_json::Value); 4] {
    fn schema<T: utoipa::PartialSchema>() -> serde_json::Value {
        serde_json::to_value(T::schema()).unwrap_or_default()
    }
    [
        ("Me", schema::<Me>()),
        ("MyMailbox", schema::<Opened>()),
        ("MyFreeze", schema::<Frozen>()),
        ("MySecret", schema::<Kept>()),
    ]
}

async fn me(State(state): State<HttpState>, origin: Origin, token: Option<Bearer>, headers: HeaderMap) -> Response {
    let answer = match token {
        Some(Bearer(claims)) => match state.registry.standing(&claims).await {
            Ok(found) => shown(&state, found).await,
            // It has gone since the token was looked at.
            Err(error) if error.fault() == Fault::Denied => Err(OauthError::InvalidClient),
            Err(error) => Err(failed(&error)),
        },
        None => whole(&state, &headers, &origin).await,
    };
    let response = match answer {
        Ok(me) => oauth::with_no_store(Json(me).into_response()),
        // A token would do as well.
        Err(error @ OauthError::InvalidClient) => offer(&state, None, "", oauth::refused(&error, &origin.request_id)),
        Err(error) => oauth::refused(&error, &origin.request_id),
    };
    if matches!(proof(&headers), Ok(None)) { response } else { with_nonce(&state, response) }
}

/// For who shows an access token. A freeze refuses it nothing here: this is where it is told.
async fn shown(state: &HttpState, found: Admitted) -> Result<Me, OauthError> {
    let Admitted { client, mailbox, grant, scopes, bounds } = found;
    let freezes = state.registry.list_freezes().await.map_err(|error| failed(&error))?;
    let opened = opened(&state.registry, (&client, &mailbox, &grant), (scopes, bounds), &freezes).await?;
    Ok(of(state, client, vec![opened], None))
}

/// The resource's metadata (RFC 9728).
async fn metadata(State(state): State<HttpState>) -> Response {
    let keep = HeaderValue::from_static("public, max-age=300");
    ([(header::CACHE_CONTROL, keep)], Json(state.tokens.resource_metadata())).into_response()
}

/// For the client itself.
async fn whole(state: &HttpState, headers: &HeaderMap, origin: &Origin) -> Result<Me, OauthError> {
    let proof = oauth::authorization(headers).and_then(|header| ClientProof::parse(b"", header));
    let client = state.tokens.identify(proof, origin).await?;
    let (registry, now) = (&state.registry, state.clock.now());
    let freezes = registry.list_freezes().await.map_err(|error| failed(&error))?;
    let mut mailboxes = Vec::new();
    for grant in registry.grants_of_client(&client.id).await.map_err(|error| failed(&error))? {
        let mailbox = match registry.find_mailbox(grant.mailbox_id.as_str()).await {
            Ok(mailbox) if mailbox.status == Status::Active && grant.stands(now) => mailbox,
            Err(error) if error.fault() != Fault::NotFound => return Err(failed(&error)),
            Ok(_) | Err(_) => continue,
        };
        let given = (grant.scopes, grant.bounds.clone());
        mailboxes.push(opened(registry, (&client, &mailbox, &grant), given, &freezes).await?);
    }
    if let [only] = mailboxes.as_mut_slice() {
        only.is_default |= client.default_mailbox.is_none();
    }
    let secrets = registry.list_client_secrets(&client.id).await.map_err(|error| failed(&error))?;
    let live = secrets.into_iter().filter(|secret| secret.expires_at.is_none_or(|end| now < end));
    let kept = live.map(|secret| Kept {
        id: secret.id,
        created_at: secret.created_at.to_rfc3339(),
        expires_at: secret.expires_at.map(Timestamp::to_rfc3339),
    });
    Ok(of(state, client, mailboxes, Some(kept.collect())))
}

fn of(state: &HttpState, client: Client, mailboxes: Vec<Opened>, secrets: Option<Vec<Kept>>) -> Me {
    let endpoints = state.places.iter().map(|(name, place)| (*name, place.clone())).collect();
    let issuer = state.tokens.issuer().to_owned();
    Me { client_id: client.id, name: client.name, issuer, endpoints, mailboxes, secrets }
}

/// What is left of the budgets, where something is counted.
async fn left(registry: &Registry, grant: &GrantId, bounds: &Bounds) -> Result<Option<Budgets>, OauthError> {
    let Some(budgets) = bounds.budgets.filter(Budgets::is_counted) else { return Ok(None) };
    registry.budget_left(grant, &budgets).await.map(Some).map_err(|error| failed(&error))
}

/// The freezes that hold for a client in a mailbox, by the protocols that it may speak there.
fn frozen(freezes: &[Freeze], client: &ClientId, mailbox: &MailboxId, bounds: &Bounds) -> Vec<Frozen> {
    let holds = |freeze: &&Freeze| {
        freeze.target.reaches_some(client, mailbox)
            && freeze.target.protocol.is_none_or(|protocol| bounds.allow_protocol(protocol))
    };
    let mut held: Vec<&Freeze> = freezes.iter().filter(holds).collect();
    held.sort_by_key(|freeze| Reverse(freeze.level));
    let told = held.into_iter().map(|freeze| Frozen {
        id: freeze.id.clone(),
        level: freeze.level,
        protocol: freeze.target.protocol,
        thaws_at: freeze.thaws_at.map(Timestamp::to_rfc3339),
    });
    told.collect()
}

async fn opened(
    registry: &Registry,
    (client, mailbox, grant): (&Client, &Mailbox, &Grant),
    (scopes, bounds): (ScopeSet, Bounds),
    freezes: &[Freeze],
) -> Result<Opened, OauthError> {
    Ok(Opened {
        address: mailbox.address.clone(),
        resource: mailbox.address.to_resource(),
        is_default: client.default_mailbox.as_ref() == Some(&mailbox.id),
        grant_id: grant.id.clone(),
        scope: scopes.reduced(),
        budgets_left: left(registry, &grant.id, &bounds).await?,
        freezes: frozen(freezes, &client.id, &mailbox.id, &bounds),
        bounds,
        token_ttl_secs: grant.token_ttl_secs,
        session_ttl_secs: grant.session_ttl.to_secs(),
        expires_at: grant.expires_at.map(Timestamp::to_rfc3339),
    })
}

fn failed(error: &RegistryError) -> OauthError {
    tracing::error!(%error, "request failed");
    match error.fault() {
        Fault::Unavailable => OauthError::TemporarilyUnavailable,
        _ => OauthError::ServerError,
    }
}
