//! `DELETE /api/control/tenants/{tenant}`.

use axum::{
    Extension, Json,
    extract::{self, Path},
};
use jiff::Timestamp;
use serde::Serialize;
use terrace_ground_ids::TenantId;
use utoipa::ToSchema;

use super::tenant_of;
use crate::{State, authentication::Authenticated, contract::Problem, refusal::Refusal};

/// What is left of a tenant: the proof of what was removed, and nothing that names the customer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct DeletedTenant {
    /// Its id, which no other tenant gets.
    #[schema(value_type = String, example = "t_7f3k9q2m")]
    pub id: TenantId,
    /// When the deletion was done.
    #[schema(value_type = String, format = DateTime)]
    pub deleted_at: Timestamp,
    /// The operator who asked; null: the platform itself.
    #[schema(required = true)]
    pub deleted_by: Option<String>,
    /// What was removed, counted: schemas, roles, tables, rows, bytes, events; and `left`, which is 0.
    #[schema(value_type = Object)]
    pub evidence: serde_json::Value,
}

/// Deletes a tenant and all its data.
///
/// The answer comes when nothing is left, and says what was removed; its operations keep that. There is
/// no way back, but for an archive that is imported by force.
#[utoipa::path(
    delete, path = "/api/control/tenants/{tenant}", operation_id = "control_delete_tenant", tag = "tenants", security(("session" = [])),
    params(("tenant" = String, Path, description = "Its id or its slug", example = "acme")),
    responses(
        (status = OK, body = DeletedTenant, description = "Deleted"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn delete(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Path(tenant): Path<String>,
) -> Result<Json<DeletedTenant>, Refusal> {
    let tenant = tenant_of(&tenant)?;
    // In a task of its own: what a client started goes on when the client leaves in the middle.
    let deletion = tokio::spawn({
        let (state, tenant, operator) = (state.clone(), tenant.clone(), authenticated.operator.name.clone());
        async move { state.platform().delete_tenant(&tenant, &operator).await }
    });
    let deleted = deletion.await.map_err(Refusal::internal)??;
    tracing::info!(tenant = %tenant, "{} deleted tenant {tenant}", authenticated.operator.name);
    Ok(Json(deleted))
}
