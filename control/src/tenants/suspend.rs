//! `POST /api/control/tenants/{tenant}/suspend`.

use axum::{
    Extension, Json,
    extract::{self, Path},
};

use super::{Tenant, tenant_of};
use crate::{State, authentication::Authenticated, contract::Problem, refusal::Refusal};

/// Puts a tenant on hold.
///
/// Its members get `tenant-suspended`, its live streams end, and its events wait. Its data stays. The answer comes when what ran in it has ended; other nodes follow within a second. A tenant that is suspended already is no error.
#[utoipa::path(
    post, path = "/api/control/tenants/{tenant}/suspend", operation_id = "control_suspend_tenant", tag = "tenants", security(("session" = [])),
    params(("tenant" = String, Path, description = "Its id or its slug", example = "acme")),
    responses(
        (status = OK, body = Tenant, description = "The tenant as it is now"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn suspend(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Path(tenant): Path<String>,
) -> Result<Json<Tenant>, Refusal> {
    let tenant = tenant_of(&tenant)?;
    let operator = authenticated.operator.name.as_str();
    let changed = state.platform().lifecycle().suspend(&tenant, operator).await?;
    tracing::info!(tenant.id = %changed.id, "{operator} suspended tenant {tenant}");
    Ok(Json(changed))
}
