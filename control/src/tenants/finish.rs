//! `POST /api/control/tenants/{tenant}/finish`.

use axum::{
    Extension, Json,
    extract::{self, Path},
};

use super::tenant_of;
use crate::{OperationPage, State, authentication::Authenticated, contract::Problem, refusal::Refusal};

/// Finishes what was begun on a tenant and stopped half way: after a crash, or after an error.
///
/// Every node does so by itself; this does it now. Without anything to finish the answer is the same.
#[utoipa::path(
    post, path = "/api/control/tenants/{tenant}/finish", operation_id = "control_finish_operation", tag = "tenants",
    security(("session" = [])),
    params(("tenant" = String, Path, description = "Its id or its slug", example = "acme")),
    responses(
        (status = OK, body = OperationPage, description = "Its operations, the newest first"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused: it cannot be finished; the detail says why"),
    ),
)]
pub(crate) async fn finish(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Path(tenant): Path<String>,
) -> Result<Json<OperationPage>, Refusal> {
    let tenant = tenant_of(&tenant)?;
    let items = state.platform().lifecycle().finish(&tenant).await?;
    tracing::info!(%tenant, "{} finished what was begun on tenant {tenant}", authenticated.operator.name);
    Ok(Json(OperationPage { items }))
}
