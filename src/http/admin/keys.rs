//! `/api/v1/keys`: the keys that sign access tokens, without the keys.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::client::TokenAlg;
use crate::domain::id::KekId;
use crate::http::admin::caller::{Caller, Readers, Roles};
use crate::http::problem::Problem;
use crate::registry::SigningKey;

/// A key that signs access tokens; its public half is in `/oauth/jwks`.
#[derive(Serialize, ToSchema)]
#[schema(as = SigningKey)]
pub(super) struct View {
    /// Its name in token headers and in the key set.
    kid: String,
    alg: TokenAlg,
    state: String,
    /// The key encryption key that it is wrapped under.
    #[schema(value_type = String, example = "kek_00000000000a")]
    kek_id: KekId,
    #[schema(format = DateTime)]
    created_at: String,
}

impl From<SigningKey> for View {
    fn from(key: SigningKey) -> Self {
        let created_at = key.created_at.to_rfc3339();
        Self { kid: key.kid, alg: key.alg, state: key.state, kek_id: key.kek_id, created_at }
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
    Ok(Json(List { keys: keys.into_iter().map(View::from).collect() }))
}
