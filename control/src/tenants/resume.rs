//! `POST /api/control/tenants/{tenant}/resume`.

use axum::{
    Extension, Json,
    extract::{self, Path},
};

use super::{Tenant, tenant_of};
use crate::{State, authentication::Authenticated, contract::Problem, refusal::Refusal};

/// Serves a suspended tenant again.
///
/// Its events go on where they stopped. A tenant that is active already is no error.
#[utoipa::path(
    post, path = "/api/control/tenants/{tenant}/resume", operation_id = "control_resume_tenant", tag = "tenants", security(("session" = [])),
    params(("tenant" = String, Path, description = "Its id or its slug", example = "acme")),
    responses(
        (status = OK, body = Tenant, description = "The tenant as it is now"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn resume(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Path(tenant): Path<String>,
) -> Result<Json<Tenant>, Refusal> {
    let tenant = tenant_of(&tenant)?;
    let operator = authenticated.operator.name.as_str();
    let changed = state.platform().lifecycle().resume(&tenant, operator).await?;
    tracing::info!(tenant.id = %changed.id, "{operator} resumed tenant {tenant}");
    Ok(Json(changed))
}
