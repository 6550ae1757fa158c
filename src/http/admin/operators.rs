//! `/api/v1/operators`. A token is shown once, by the call that makes it.

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::client::Status;
use crate::domain::fault::Fault;
use crate::domain::id::OperatorId;
use crate::domain::operator::{Operator, Role};
use crate::http::admin::caller::{Admins, Caller, Readers, Roles};
use crate::http::admin::input::{Body, Named};
use crate::http::problem::Problem;

/// An operator to register.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewOperator {
    /// What people call it; unique.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    role: Role,
}

/// A person or automation that manages Mailwarden.
#[derive(Serialize, ToSchema)]
#[schema(as = Operator)]
pub(super) struct View {
    #[schema(value_type = String, example = "ope_00000000000a")]
    id: OperatorId,
    name: String,
    role: Role,
    status: Status,
    #[schema(format = DateTime)]
    created_at: String,
}

impl From<Operator> for View {
    fn from(operator: Operator) -> Self {
        Self {
            id: operator.id,
            name: operator.name,
            role: operator.role,
            status: operator.status,
            created_at: operator.created_at.to_rfc3339(),
        }
    }
}

/// An operator with the token, shown this once.
#[derive(Serialize, ToSchema)]
#[schema(as = OperatorWithToken)]
pub(super) struct WithToken {
    #[serde(flatten)]
    operator: View,
    operator_token: String,
}

/// All of them.
#[derive(Serialize, ToSchema)]
#[schema(as = Operators)]
pub(super) struct List {
    operators: Vec<View>,
}

/// All operators
#[utoipa::path(get, path = "/operators", operation_id = "operator_list", tag = "operator",
    extensions(("x-mailwarden-roles" = json!(Readers::ALL))), responses((status = 200, body = List)))]
pub(super) async fn list(caller: Caller<Readers>) -> Result<Json<List>, Problem> {
    let operators = caller.registry().list_operators().await?;
    Ok(Json(List { operators: operators.into_iter().map(View::from).collect() }))
}

/// Register an operator
///
/// The token is shown this once.
#[utoipa::path(post, path = "/operators", operation_id = "operator_add", tag = "operator", request_body = NewOperator,
    extensions(("x-mailwarden-roles" = json!(Admins::ALL))),
    responses((status = 201, body = WithToken), (status = 409)))]
pub(super) async fn add(
    caller: Caller<Admins>,
    Body(new): Body<NewOperator>,
) -> Result<(StatusCode, Json<WithToken>), Problem> {
    let (operator, token) = caller.registry().add_operator(&caller.actor(), &new.name, new.role, None).await?;
    let shown = token.expose_text(str::to_owned);
    let operator_token = shown.ok_or_else(|| Problem::new(Fault::Internal, Fault::Internal.public()))?;
    Ok((StatusCode::CREATED, Json(WithToken { operator: operator.into(), operator_token })))
}

/// Remove an operator; the last admin stays
#[utoipa::path(delete, path = "/operators/{id}", operation_id = "operator_remove", tag = "operator",
    params(("id" = String, Path, description = "Id")),
    extensions(("x-mailwarden-roles" = json!(Admins::ALL))),
    responses((status = 204), (status = 409)))]
pub(super) async fn remove(caller: Caller<Admins>, named: Named) -> Result<StatusCode, Problem> {
    caller.registry().remove_operator(&caller.actor(), &named.id()?).await?;
    Ok(StatusCode::NO_CONTENT)
}
