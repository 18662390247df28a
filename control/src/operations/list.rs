//! `GET /api/control/operations`.

use axum::{Json, extract};

use super::OperationPage;
use crate::{State, contract::Problem, refusal::Refusal};

/// Lists what is done to tenants: the newest 200 operations of all of them.
#[utoipa::path(
    get, path = "/api/control/operations", operation_id = "control_list_operations", tag = "operations", security(("session" = [])),
    responses(
        (status = OK, body = OperationPage, description = "The newest first"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn list(extract::State(state): extract::State<State>) -> Result<Json<OperationPage>, Refusal> {
    let items = state.platform().lifecycle().operations(None).await?;
    Ok(Json(OperationPage { items }))
}
