//! `/api/v1/freezes`: the graded kill switch.

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::fault::Fault;
use crate::domain::freeze::{Freeze, Level, Target};
use crate::domain::id::{ClientId, FreezeId, MailboxId};
use crate::domain::session::Protocol;
use crate::http::admin::caller::{Caller, Guards, Readers, Roles};
use crate::http::admin::input::{Body, Named};
use crate::http::problem::Problem;
use crate::registry::{self, Registry};

/// A freeze to be made. Name a client, a mailbox or a protocol, or several, and it reaches what all of them have in common; or `all`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewFreeze {
    level: Level,
    /// Id or name.
    client: Option<String>,
    /// Id or address.
    mailbox: Option<String>,
    protocol: Option<Protocol>,
    /// Everything. Has to be said, and nothing else may be named then.
    #[serde(default)]
    all: bool,
    /// Why: 1 to 300 visible characters.
    #[schema(min_length = 1, max_length = 300)]
    reason: String,
    /// It ends by itself after so many seconds, 1 to 2592000 (30 days); it stays until it is ended when absent.
    #[schema(minimum = 1, maximum = 2_592_000)]
    thaw_after_secs: Option<i64>,
}

/// A freeze in force.
#[derive(Serialize, ToSchema)]
#[schema(as = Freeze)]
pub(super) struct View {
    #[schema(value_type = String, example = "frz_00000000000a")]
    id: FreezeId,
    level: Level,
    /// Only this client; any when absent.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<ClientId>,
    /// Only in this mailbox; in any when absent.
    #[schema(value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    mailbox_id: Option<MailboxId>,
    /// Only by this protocol; by any when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<Protocol>,
    reason: String,
    /// The operator who made it, or `system`.
    made_by: String,
    #[schema(format = DateTime)]
    created_at: String,
    /// When it ends by itself.
    #[schema(format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    thaws_at: Option<String>,
}

impl From<Freeze> for View {
    fn from(freeze: Freeze) -> Self {
        Self {
            id: freeze.id,
            level: freeze.level,
            client_id: freeze.target.client,
            mailbox_id: freeze.target.mailbox,
            protocol: freeze.target.protocol,
            reason: freeze.reason,
            made_by: freeze.made_by,
            created_at: freeze.created_at.to_rfc3339(),
            thaws_at: freeze.thaws_at.map(crate::domain::clock::Timestamp::to_rfc3339),
        }
    }
}

/// All of them.
#[derive(Serialize, ToSchema)]
#[schema(as = Freezes)]
pub(super) struct List {
    freezes: Vec<View>,
}

/// How many there were.
#[derive(Serialize, ToSchema)]
#[schema(as = FreezesEnded)]
pub(super) struct Ended {
    ended: usize,
}

/// The freezes in force
#[utoipa::path(get, path = "/freezes", operation_id = "freeze_list", tag = "freeze",
    extensions(("x-mailwarden-roles" = json!(Readers::ALL))), responses((status = 200, body = List)))]
pub(super) async fn list(caller: Caller<Readers>) -> Result<Json<List>, Problem> {
    let freezes = caller.registry().list_freezes().await?;
    Ok(Json(List { freezes: freezes.into_iter().map(View::from).collect() }))
}

/// Freeze, on every node within a second
///
/// `no-new-tokens`: nobody gets a token or handle. `read-only`: nothing is changed and no mail is sent, also by running sessions.
/// `drain`: no tokens and no new sessions. `cut`: nothing new, and running sessions end at once. Of several, the strictest counts.
#[utoipa::path(post, path = "/freezes", operation_id = "freeze_add", tag = "freeze", request_body = NewFreeze,
    extensions(("x-mailwarden-roles" = json!(Guards::ALL))),
    responses((status = 201, body = View), (status = 404), (status = 409)))]
pub(super) async fn add(
    caller: Caller<Guards>,
    Body(new): Body<NewFreeze>,
) -> Result<(StatusCode, Json<View>), Problem> {
    let registry = caller.registry();
    let target = target(registry, new.client.as_deref(), new.mailbox.as_deref(), new.protocol).await?;
    let freeze = registry::NewFreeze {
        level: new.level,
        target: chosen(target, new.all)?,
        reason: new.reason,
        thaw_after_secs: new.thaw_after_secs,
    };
    Ok((StatusCode::CREATED, Json(registry.add_freeze(&caller.actor(), freeze).await?.into())))
}

/// End one freeze
#[utoipa::path(delete, path = "/freezes/{id}", operation_id = "freeze_end", tag = "freeze",
    params(("id" = String, Path, description = "Id")),
    extensions(("x-mailwarden-roles" = json!(Guards::ALL))), responses((status = 204)))]
pub(super) async fn end(caller: Caller<Guards>, named: Named) -> Result<StatusCode, Problem> {
    caller.registry().end_freeze(&caller.actor(), &named.id()?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End all freezes
#[utoipa::path(delete, path = "/freezes", operation_id = "freeze_end_all", tag = "freeze",
    extensions(("x-mailwarden-roles" = json!(Guards::ALL))), responses((status = 200, body = Ended)))]
pub(super) async fn end_all(caller: Caller<Guards>) -> Result<Json<Ended>, Problem> {
    let ended = caller.registry().end_all_freezes(&caller.actor()).await?;
    Ok(Json(Ended { ended }))
}

/// What a request names, looked up.
pub(super) async fn target(
    registry: &Registry,
    client: Option<&str>,
    mailbox: Option<&str>,
    protocol: Option<Protocol>,
) -> Result<Target, Problem> {
    let client = match client {
        Some(name) => Some(registry.find_client(name).await?.id),
        None => None,
    };
    let mailbox = match mailbox {
        Some(name) => Some(registry.find_mailbox(name).await?.id),
        None => None,
    };
    Ok(Target { client, mailbox, protocol })
}

/// Everything is reached only by who says so.
pub(super) fn chosen(target: Target, all: bool) -> Result<Target, Problem> {
    if all == (target == Target::default()) {
        Ok(target)
    } else {
        Err(Problem::new(Fault::Invalid, "name a client, a mailbox or a protocol, or say all and name none of them"))
    }
}
