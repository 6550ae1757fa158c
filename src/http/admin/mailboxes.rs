//! `/api/v1/mailboxes`. A password goes in and never comes out.

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::address::MailAddress;
use crate::domain::client::Status;
use crate::domain::id::MailboxId;
use crate::domain::mailbox::{Health, Mailbox, Upstream};
use crate::domain::secret::{Password, Secret};
use crate::http::admin::caller::{Admins, Caller, Guards, Readers, Roles};
use crate::http::admin::input::{Body, Named};
use crate::http::problem::Problem;
use crate::upstream::{LoginReport, UpstreamError};

/// A mailbox to register.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewMailbox {
    /// What tools name.
    #[schema(value_type = String, format = Email)]
    address: MailAddress,
    upstream: Upstream,
    /// What logs in there.
    #[schema(value_type = String, format = Password, write_only)]
    password: Secret<Password>,
}

/// What shall log in from now on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCredential {
    #[schema(value_type = String, format = Password, write_only)]
    password: Secret<Password>,
}

/// A registered shared mailbox.
#[derive(Serialize, ToSchema)]
#[schema(as = Mailbox)]
pub(super) struct View {
    #[schema(value_type = String, example = "mbx_00000000000a")]
    id: MailboxId,
    #[schema(value_type = String, format = Email)]
    address: MailAddress,
    status: Status,
    health: Health,
    upstream: Upstream,
    #[schema(format = DateTime)]
    created_at: String,
}

impl From<Mailbox> for View {
    fn from(mailbox: Mailbox) -> Self {
        Self {
            id: mailbox.id,
            address: mailbox.address,
            status: mailbox.status,
            health: mailbox.health,
            upstream: mailbox.upstream,
            created_at: mailbox.created_at.to_rfc3339(),
        }
    }
}

/// How logging in went, per protocol: `ok`, or the reason; `null` where there is no such endpoint.
#[derive(Serialize, ToSchema)]
pub(super) struct Login {
    imap: Option<String>,
    smtp: Option<String>,
}

impl From<&LoginReport> for Login {
    fn from(report: &LoginReport) -> Self {
        let word = |outcome: Option<Result<(), UpstreamError>>| {
            outcome.map(|outcome| outcome.map_or_else(|error| error.to_string(), |()| "ok".to_owned()))
        };
        Self { imap: word(report.imap), smtp: word(report.smtp) }
    }
}

/// The mailbox and how its login went.
#[derive(Serialize, ToSchema)]
#[schema(as = MailboxAdded)]
pub(super) struct Added {
    #[serde(flatten)]
    mailbox: View,
    login: Login,
}

/// All of them.
#[derive(Serialize, ToSchema)]
#[schema(as = Mailboxes)]
pub(super) struct List {
    mailboxes: Vec<View>,
}

/// All mailboxes
#[utoipa::path(get, path = "/mailboxes", operation_id = "mailbox_list", tag = "mailbox",
    extensions(("x-mailwarden-roles" = json!(Readers::ALL))), responses((status = 200, body = List)))]
pub(super) async fn list(caller: Caller<Readers>) -> Result<Json<List>, Problem> {
    let mailboxes = caller.registry().list_mailboxes().await?;
    Ok(Json(List { mailboxes: mailboxes.into_iter().map(View::from).collect() }))
}

/// One mailbox
#[utoipa::path(get, path = "/mailboxes/{id}", operation_id = "mailbox_show", tag = "mailbox",
    params(("id" = String, Path, description = "Id or address")),
    extensions(("x-mailwarden-roles" = json!(Readers::ALL))), responses((status = 200, body = View)))]
pub(super) async fn show(caller: Caller<Readers>, named: Named) -> Result<Json<View>, Problem> {
    Ok(Json(caller.registry().find_mailbox(&named.0).await?.into()))
}

/// Register a mailbox
///
/// Its login is proven before anything is stored.
#[utoipa::path(post, path = "/mailboxes", operation_id = "mailbox_add", tag = "mailbox", request_body = NewMailbox,
    extensions(("x-mailwarden-roles" = json!(Admins::ALL))),
    responses((status = 201, body = Added), (status = 409), (status = 502)))]
pub(super) async fn add(
    caller: Caller<Admins>,
    Body(new): Body<NewMailbox>,
) -> Result<(StatusCode, Json<Added>), Problem> {
    let (mailbox, report) =
        caller.registry().add_mailbox(&caller.actor(), new.address, new.upstream, new.password).await?;
    Ok((StatusCode::CREATED, Json(Added { mailbox: mailbox.into(), login: Login::from(&report) })))
}

/// Try a mailbox's login, IMAP and SMTP apart
#[utoipa::path(post, path = "/mailboxes/{id}/test", operation_id = "mailbox_test", tag = "mailbox",
    params(("id" = String, Path, description = "Id or address")),
    extensions(("x-mailwarden-roles" = json!(Guards::ALL))),
    responses((status = 200, body = Login), (status = 409)))]
pub(super) async fn test(caller: Caller<Guards>, named: Named) -> Result<Json<Login>, Problem> {
    let mailbox = caller.registry().find_mailbox(&named.0).await?;
    Ok(Json(Login::from(&caller.registry().test_mailbox(&caller.actor(), &mailbox.id).await?)))
}

/// Replace a mailbox's credential
///
/// The new one is proven by login before the old one goes.
#[utoipa::path(put, path = "/mailboxes/{id}/credential", operation_id = "mailbox_set_credential", tag = "mailbox",
    params(("id" = String, Path, description = "Id or address")), request_body = NewCredential,
    extensions(("x-mailwarden-roles" = json!(Guards::ALL))),
    responses((status = 200, body = Login), (status = 409), (status = 502)))]
pub(super) async fn set_credential(
    caller: Caller<Guards>,
    named: Named,
    Body(new): Body<NewCredential>,
) -> Result<Json<Login>, Problem> {
    let mailbox = caller.registry().find_mailbox(&named.0).await?;
    Ok(Json(Login::from(&caller.registry().set_credential(&caller.actor(), &mailbox.id, new.password).await?)))
}

/// End all tokens and sessions of a mailbox, at once
#[utoipa::path(post, path = "/mailboxes/{id}/revoke", operation_id = "mailbox_revoke", tag = "mailbox",
    params(("id" = String, Path, description = "Id or address")),
    extensions(("x-mailwarden-roles" = json!(Guards::ALL))),
    responses((status = 204), (status = 409)))]
pub(super) async fn revoke(caller: Caller<Guards>, named: Named) -> Result<StatusCode, Problem> {
    let mailbox = caller.registry().find_mailbox(&named.0).await?;
    caller.registry().revoke_mailbox(&caller.actor(), &mailbox.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Remove a mailbox and shred its credential
#[utoipa::path(delete, path = "/mailboxes/{id}", operation_id = "mailbox_remove", tag = "mailbox",
    params(("id" = String, Path, description = "Id or address")),
    extensions(("x-mailwarden-roles" = json!(Admins::ALL))),
    responses((status = 204), (status = 409)))]
pub(super) async fn remove(caller: Caller<Admins>, named: Named) -> Result<StatusCode, Problem> {
    let mailbox = caller.registry().find_mailbox(&named.0).await?;
    caller.registry().remove_mailbox(&caller.actor(), &mailbox.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
