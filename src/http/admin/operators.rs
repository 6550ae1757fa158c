//! `/api/v1/operators`.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::domain::id::OperatorId;
use crate::domain::operator::{Operator, Role};
use crate::http::admin::{ADMINS, Body, Caller, READERS, id};
use crate::http::problem::Problem;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewOperator {
    name: String,
    role: Role,
}

pub(super) async fn list(caller: Caller) -> Result<Json<Value>, Problem> {
    let operators = caller.with_role(READERS).await?.registry.list_operators().await?;
    Ok(Json(json!({ "operators": operators.iter().map(view).collect::<Vec<_>>() })))
}

pub(super) async fn add(caller: Caller, Body(new): Body<NewOperator>) -> Result<(StatusCode, Json<Value>), Problem> {
    let registry = &caller.with_role(ADMINS).await?.registry;
    let (operator, token) = registry.add_operator(&caller.actor(), &new.name, new.role, None).await?;
    let mut body = view(&operator);
    if let Some(members) = body.as_object_mut() {
        members.insert("operator_token".to_owned(), json!(token.expose_text(str::to_owned)));
    }
    Ok((StatusCode::CREATED, Json(body)))
}

pub(super) async fn remove(caller: Caller, Path(text): Path<String>) -> Result<StatusCode, Problem> {
    let operator: OperatorId = id(&text)?;
    caller.with_role(ADMINS).await?.registry.remove_operator(&caller.actor(), &operator).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn view(operator: &Operator) -> Value {
    json!({
        "id": operator.id, "name": operator.name, "role": operator.role, "status": operator.status.as_str(),
        "created_at": operator.created_at.to_rfc3339(),
    })
}
