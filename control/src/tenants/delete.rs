//! `DELETE /api/control/tenants/{tenant}`.

use axum::{
    Extension,
    extract::{self, Path},
    http::StatusCode,
};

use super::tenant_of;
use crate::{State, authentication::Authenticated, contract::Problem, refusal::Refusal};

/// Deletes a tenant and all its data.
///
/// The answer comes when nothing is left. There is no way back.
#[utoipa::path(
    delete, path = "/api/control/tenants/{tenant}", operation_id = "control_delete_tenant", tag = "tenants", security(("session" = [])),
    params(("tenant" = String, Path, description = "Its id or its slug", example = "acme")),
    responses(
        (status = NO_CONTENT, description = "Deleted"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn delete(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Path(tenant): Path<String>,
) -> Result<StatusCode, Refusal> {
    let tenant = tenant_of(&tenant)?;
    // In a task of its own: what a client started goes on when the client leaves in the middle.
    let deletion = tokio::spawn({
        let (state, tenant) = (state.clone(), tenant.clone());
        async move { state.platform().delete_tenant(&tenant).await }
    });
    deletion.await.map_err(Refusal::internal)??;
    tracing::info!(tenant = %tenant, "{} deleted tenant {tenant}", authenticated.operator.name);
    Ok(StatusCode::NO_CONTENT)
}
