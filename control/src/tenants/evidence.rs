//! `GET /api/control/tenants/{tenant}/evidence`.

use axum::{
    Json,
    extract::{self, Path},
};

use super::{DeletedTenant, tenant_of};
use crate::{State, contract::Problem, refusal::Refusal};

/// Proves that a tenant was deleted: when, by whom, and what was removed, counted.
///
/// It is kept for ever, under the tenant's id; its slug may be another one's by now.
#[utoipa::path(
    get, path = "/api/control/tenants/{tenant}/evidence", operation_id = "control_get_evidence", tag = "tenants",
    security(("session" = [])),
    params(("tenant" = String, Path, description = "The id that it had", example = "t_7f3k9q2m")),
    responses(
        (status = OK, body = DeletedTenant, description = "Its deletion"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused: no such tenant was deleted"),
    ),
)]
pub(crate) async fn evidence(
    extract::State(state): extract::State<State>,
    Path(tenant): Path<String>,
) -> Result<Json<DeletedTenant>, Refusal> {
    let tenant = tenant_of(&tenant)?;
    Ok(Json(state.platform().lifecycle().evidence(&tenant).await?))
}
