//! `/api/v1/keys`: the keys that sign access tokens, without the keys.

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::client::TokenAlg;
use crate::domain::clock::Timestamp;
use crate::domain::fault::Fault;
use crate::domain::id::KekId;
use crate::domain::signing_key::{KeyState, SigningKey};
use crate::http::admin::caller::{Caller, Guards, Readers, Roles};
use crate::http::admin::input::{Body, Named};
use crate::http::problem::Problem;
use crate::registry::Rotation;

/// How to rotate.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyRotation)]
pub(super) struct Rotate {
    /// What the new key signs with; EdDSA when absent.
    #[serde(default)]
    alg: Option<TokenAlg>,
    /// Sign with it at once. Whoever verifies with a kept copy of the key set refuses its tokens until the copy is renewed.
    #[serde(default)]
    now: bool,
    /// Revoke the key that signs now as well; only together with `now`.
    #[serde(default)]
    revoke: bool,
}

/// A key that signs access tokens; its public half is in `/oauth/jwks` unless it is revoked.
#[derive(Serialize, ToSchema)]
#[schema(as = SigningKey)]
pub(super) struct View {
    /// Its name in token headers and in the key set.
    kid: String,
    alg: TokenAlg,
    state: KeyState,
    /// The key encryption key that it is wrapped under.
    #[schema(value_type = String, example = "kek_00000000000a")]
    kek_id: KekId,
    #[schema(format = DateTime)]
    created_at: String,
    /// When it begins to sign.
    #[schema(format = DateTime)]
    active_from: String,
    /// When it signs no more; `null`: not planned.
    #[schema(format = DateTime)]
    retires_at: Option<String>,
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
}

impl View {
    /// `None` for a key whose time is over.
    fn of(key: SigningKey, now: Timestamp) -> Option<Self> {
        Some(Self {
            state: key.state(now)?,
            kid: key.kid,
            alg: key.alg,
            kek_id: key.kek_id,
            created_at: key.created_at.to_rfc3339(),
            active_from: key.active_from.to_rfc3339(),
            retires_at: key.retires_at.map(Timestamp::to_rfc3339),
            revoked_at: key.revoked_at.map(Timestamp::to_rfc3339),
        })
    }
}

/// All of them.
#[derive(Serialize, ToSchema)]
#[schema(as = SigningKeys)]
pub(super) struct List {
    keys: Vec<View>,
}

/// The keys that sign access tokens
#[utoipa::path(get, path = "/keys", operation_id = "key_list", tag = "key",
    extensions(("x-mailwarden-roles" = json!(Readers::ALL))), responses((status = 200, body = List)))]
pub(super) async fn list(caller: Caller<Readers>) -> Result<Json<List>, Problem> {
    let keys = caller.registry().list_signing_keys().await?;
    let now = caller.state.clock.now();
    Ok(Json(List { keys: keys.into_iter().filter_map(|key| View::of(key, now)).collect() }))
}

/// Make a new signing key
///
/// It is published and takes over once every copy of the key set holds it (10 minutes), so that nobody notices. The key before it
/// verifies until its last token has ended. With `now` it takes over at once.
#[utoipa::path(post, path = "/keys/rotate", operation_id = "key_rotate", tag = "key", request_body = Rotate,
    extensions(("x-mailwarden-roles" = json!(Guards::ALL))),
    responses((status = 201, body = View), (status = 409)))]
pub(super) async fn rotate(
    caller: Caller<Guards>,
    Body(rotate): Body<Rotate>,
) -> Result<(StatusCode, Json<View>), Problem> {
    let how = match (rotate.now, rotate.revoke) {
        (false, false) => Rotation::Planned,
        (true, false) => Rotation::Now,
        (true, true) => Rotation::Emergency,
        (false, true) => return Err(Problem::new(Fault::Invalid, "revoke needs now: something must sign")),
    };
    let alg = rotate.alg.unwrap_or(TokenAlg::EdDsa);
    let key = caller.registry().rotate_signing_key(&caller.actor(), alg, how).await?;
    taken_over(&caller).await;
    let view = View::of(key, caller.state.clock.now());
    view.map(|view| (StatusCode::CREATED, Json(view)))
        .ok_or_else(|| Problem::new(Fault::Internal, Fault::Internal.public()))
}

/// Revoke a signing key, at once
///
/// Nothing that it signed is valid any more, and all running sessions end, for any of them may stand on a forged token. If it was the
/// one that signs, the next one takes over, or a new one.
#[utoipa::path(post, path = "/keys/{id}/revoke", operation_id = "key_revoke", tag = "key",
    params(("id" = String, Path, description = "Its `kid`")),
    extensions(("x-mailwarden-roles" = json!(Guards::ALL))), responses((status = 204), (status = 409)))]
pub(super) async fn revoke(caller: Caller<Guards>, named: Named) -> Result<StatusCode, Problem> {
    caller.registry().revoke_signing_key(&caller.actor(), &named.0).await?;
    taken_over(&caller).await;
    Ok(StatusCode::NO_CONTENT)
}

/// This node follows now; the others, and this one when it cannot now, within their next look.
async fn taken_over(caller: &Caller<Guards>) {
    if let Err(error) = caller.state.tokens.refresh_keys().await {
        tracing::warn!(%error, "the changed signing keys could not be read yet");
    }
}
