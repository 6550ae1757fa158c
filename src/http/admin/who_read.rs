//! `/api/v1/audit/who-read`: who has read, added or sent one message.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::fault::Fault;
use crate::http::admin::caller::{Caller, Readers, Roles};
use crate::http::admin::input::Query;
use crate::http::problem::Problem;
use crate::registry::Reading;

/// Which message.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// Its Message-ID, with or without angle brackets.
    message_id: String,
    /// Only in this mailbox: id or address.
    mailbox: Option<String>,
    /// Only events after this number.
    after: Option<i64>,
    /// At most so many, 1 to 1000; 100 when absent. What one event tells is never divided: it may be more. The next page comes after the
    /// last event's number.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// One delivery of the message to a tool, or its way in.
#[derive(Serialize, ToSchema)]
#[schema(as = Reading)]
pub(super) struct View {
    /// The event that tells it.
    seq: i64,
    /// When.
    #[schema(format = DateTime)]
    at: String,
    /// The client's name, or its id when it is gone.
    client: String,
    /// The client's id.
    client_id: String,
    /// The mailbox's address, or its id when it is gone.
    mailbox: String,
    /// The session.
    session_id: String,
    /// Where the tool came from.
    source: String,
    /// The folder; `null`: it was sent.
    folder: Option<String>,
    /// The UID, where it is known.
    uid: Option<u32>,
    /// `header` or `body` was read; it was `added` or `sent`.
    what: String,
    /// How many octets of it.
    bytes: u64,
}

impl From<Reading> for View {
    fn from(reading: Reading) -> Self {
        let Reading { seq, at, client, client_id, mailbox, session_id, source, folder, uid, what, bytes } = reading;
        Self { seq, at, client, client_id, mailbox, session_id, source, folder, uid, what, bytes }
    }
}

/// Who has read it, in the order of the audit log.
#[derive(Serialize, ToSchema)]
#[schema(as = Readings)]
pub(super) struct List {
    readings: Vec<View>,
}

/// Who has read, added or sent a message
///
/// By the keyed digest of its Message-ID, and by the places where a message with that digest was seen. Content counts as read, an
/// envelope does not.
#[utoipa::path(get, path = "/audit/who-read", operation_id = "audit_who_read", tag = "audit", params(Asked),
    extensions(("x-mailwarden-roles" = json!(Readers::ALL))), responses((status = 200, body = List), (status = 404)))]
pub(super) async fn who_read(caller: Caller<Readers>, Query(asked): Query<Asked>) -> Result<Json<List>, Problem> {
    let limit = asked.limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        return Err(Problem::new(Fault::Invalid, "limit must be 1 to 1000"));
    }
    let registry = caller.registry();
    let mailbox = match asked.mailbox {
        Some(name) => Some(registry.find_mailbox(&name).await?.id),
        None => None,
    };
    let most = usize::try_from(limit).unwrap_or(1000);
    let after = asked.after.unwrap_or(0);
    let readings = registry.who_read(&asked.message_id, mailbox.as_ref(), after, most).await?;
    Ok(Json(List { readings: readings.into_iter().map(View::from).collect() }))
}
