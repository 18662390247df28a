//! `GET /api/control/tenants/{tenant}`.

use axum::{
    Json,
    extract::{self, Path},
};

use super::{Tenant, tenant_of};
use crate::{State, contract::Problem, refusal::Refusal};

/// Shows one tenant.
#[utoipa::path(
    get, path = "/api/control/tenants/{tenant}", operation_id = "control_get_tenant", tag = "tenants", security(("session" = [])),
    params(("tenant" = String, Path, description = "Its id or its slug", example = "acme")),
    responses(
        (status = OK, body = Tenant, description = "The tenant"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn show(
    extract::State(state): extract::State<State>,
    Path(tenant): Path<String>,
) -> Result<Json<Tenant>, Refusal> {
    Ok(Json(state.platform().tenant(&tenant_of(&tenant)?).await?))
}
