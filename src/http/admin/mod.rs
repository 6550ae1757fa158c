//! `/api/v1`: every handler says in its signature which roles may use it, and in its description what it takes and answers.

mod asker;
mod audit;
mod budget_use;
mod caller;
mod checkpoints;
mod clients;
mod explain;
mod freezes;
mod grants;
mod input;
mod keys;
mod mailboxes;
mod operators;
mod sessions;
mod tokens;
mod who_read;

pub(super) use asker::Asker;

use std::sync::Arc;

use axum::Extension;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::throttle::Throttle;
use crate::http::HttpState;

/// The routes, made from what the handlers document of themselves.
pub(super) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new()
        .routes(routes!(mailboxes::list, mailboxes::add))
        .routes(routes!(mailboxes::show, mailboxes::remove))
        .routes(routes!(mailboxes::test))
        .routes(routes!(mailboxes::set_credential))
        .routes(routes!(mailboxes::revoke))
        .routes(routes!(clients::list, clients::add))
        .routes(routes!(clients::show, clients::change, clients::remove))
        .routes(routes!(clients::rotate_secret))
        .routes(routes!(clients::retire_secrets))
        .routes(routes!(clients::revoke))
        .routes(routes!(grants::list, grants::add))
        .routes(routes!(explain::explain))
        .routes(routes!(grants::show, grants::change, grants::remove))
        .routes(routes!(operators::list, operators::add))
        .routes(routes!(operators::remove))
        .routes(routes!(sessions::list, sessions::kill_all))
        .routes(routes!(sessions::kill))
        .routes(routes!(freezes::list, freezes::add, freezes::end_all))
        .routes(routes!(freezes::end))
        .routes(routes!(tokens::list))
        .routes(routes!(tokens::revoke))
        .routes(routes!(keys::list))
        .routes(routes!(keys::rotate))
        .routes(routes!(keys::revoke))
        .routes(routes!(audit::list))
        .routes(routes!(audit::verify))
        .routes(routes!(who_read::who_read))
        .routes(routes!(checkpoints::export))
        .routes(routes!(checkpoints::key))
        .layer(Extension(Arc::new(Throttle::default())))
}
