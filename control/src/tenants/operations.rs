//! `GET /api/control/tenants/{tenant}/operations`.

use axum::{
    Json,
    extract::{self, Path},
};

use super::tenant_of;
use crate::{OperationPage, State, contract::Problem, refusal::Refusal};

/// Lists what was done to a tenant, the newest first.
///
/// A tenant that was deleted is found by its id: what was removed is in the evidence of its deletion.
#[utoipa::path(
    get, path = "/api/control/tenants/{tenant}/operations", operation_id = "control_list_tenant_operations", tag = "tenants",
    security(("session" = [])),
    params(("tenant" = String, Path, description = "Its id or its slug", example = "acme")),
    responses(
        (status = OK, body = OperationPage, description = "Its operations; at most 200"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn operations(
    extract::State(state): extract::State<State>,
    Path(tenant): Path<String>,
) -> Result<Json<OperationPage>, Refusal> {
    let tenant = tenant_of(&tenant)?;
    let items = state.platform().lifecycle().operations(Some(&tenant)).await?;
    Ok(Json(OperationPage { items }))
}
