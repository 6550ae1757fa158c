//! `/api/v1/audit`.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::audit::Filter;
use crate::audit::record::Record;
use crate::crypto::encoding::base64url;
use crate::domain::event::EventCode;
use crate::domain::fault::Fault;
use crate::http::admin::caller::{Caller, Readers, Roles};
use crate::http::admin::input::Query;
use crate::http::problem::Problem;

/// Which events.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// Only those after this number; from the first when absent.
    after: Option<i64>,
    /// Only those with this code.
    code: Option<String>,
    /// Only those about this client: id or name. One that was removed is known by its id alone; of an id that was never given out there
    /// are none.
    client: Option<String>,
    /// Only those about this mailbox: id or address. One that was removed is known by its id alone.
    mailbox: Option<String>,
    /// At most so many, 1 to 1000; 100 when absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// Events in their order.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEvents)]
pub(super) struct List {
    events: Vec<Record>,
}

/// The chain is as it was written.
#[derive(Serialize, ToSchema)]
#[schema(as = Verification)]
pub(super) struct Verified {
    whole: bool,
    /// How many events it holds.
    events: i64,
    /// The hash of the last one, in hexadecimal.
    head: String,
    /// How many checkpoints were signed; all are good.
    checkpoints: usize,
    /// The last event that a checkpoint covers.
    covered: i64,
    /// The public key that checkpoints are verified with: Ed25519, 32 octets in base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

/// Events
///
/// The codes stand in the documentation of the audit log.
#[utoipa::path(get, path = "/audit", operation_id = "audit_list", tag = "audit", params(Page),
    extensions(("x-mailwarden-roles" = json!(Readers::ALL))), responses((status = 200, body = List), (status = 404)))]
pub(super) async fn list(caller: Caller<Readers>, Query(page): Query<Page>) -> Result<Json<List>, Problem> {
    let limit = page.limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        return Err(Problem::new(Fault::Invalid, "limit must be 1 to 1000"));
    }
    let registry = caller.registry();
    let filter = Filter {
        after_seq: page.after.unwrap_or(0),
        limit,
        code: match page.code {
            Some(code) => Some(EventCode::named(&code).ok_or_else(|| Problem::new(Fault::Invalid, "no such code"))?),
            None => None,
        },
        client: match page.client {
            Some(name) => match name.parse() {
                Ok(id) => Some(id),
                Err(_) => Some(registry.find_client(&name).await?.id),
            },
            None => None,
        },
        mailbox: match page.mailbox {
            Some(name) => match name.parse() {
                Ok(id) => Some(id),
                Err(_) => Some(registry.find_mailbox(&name).await?.id),
            },
            None => None,
        },
        verdict: None,
    };
    Ok(Json(List { events: caller.state.audit.list(filter).await? }))
}

/// Walk the whole chain
///
/// A chain that is not as it was written is a conflict, whose detail names the first bad record.
#[utoipa::path(get, path = "/audit/verify", operation_id = "audit_verify", tag = "audit",
    extensions(("x-mailwarden-roles" = json!(Readers::ALL))),
    responses((status = 200, body = Verified), (status = 409)))]
pub(super) async fn verify(caller: Caller<Readers>) -> Result<Json<Verified>, Problem> {
    let audit = &caller.state.audit;
    let found = audit.verify().await.inspect_err(|error| {
        if error.first_bad_seq().is_some() {
            tracing::error!(%error, "the audit log was changed by somebody else");
        }
    })?;
    Ok(Json(Verified {
        whole: true,
        events: found.events,
        head: found.head_hex,
        checkpoints: found.checkpoints,
        covered: found.covered,
        key: audit.public_key().map(base64url),
    }))
}
