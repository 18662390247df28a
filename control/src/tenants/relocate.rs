//! `POST /api/control/tenants/{tenant}/move` and `.../cancel-move`.

use axum::{
    Extension, Json,
    extract::{self, Path},
    http::StatusCode,
    response::IntoResponse,
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Tenant, tenant_of};
use crate::{
    Destination, LaneKind, State, authentication::Authenticated, body::Input, contract::Problem, refusal::Refusal,
    validation::Validation,
};

/// Where a tenant is to live.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MoveTenant {
    /// The name of the cluster; where it is when absent.
    #[schema(example = "eu-2")]
    pub cluster: Option<String>,
    /// Its lane there; as it is when absent.
    pub lane: Option<LaneKind>,
}

/// Moves a tenant to another cluster, or into another lane, while it is in use.
///
/// To another cluster its tables are copied and followed; then its requests wait for some milliseconds, and
/// go on there. Into another lane nothing is copied, and nothing waits. The answer comes when that has
/// begun; the tenant's operations show how far it is.
#[utoipa::path(
    post, path = "/api/control/tenants/{tenant}/move", operation_id = "control_move_tenant", tag = "tenants", security(("session" = [])),
    params(("tenant" = String, Path, description = "Its id or its slug", example = "acme")),
    request_body = MoveTenant,
    responses(
        (status = ACCEPTED, body = Tenant, description = "It has begun; or the tenant is there already"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused: nothing was begun"),
    ),
)]
pub(crate) async fn relocate(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Path(tenant): Path<String>,
    Input(input): Input<MoveTenant>,
) -> Result<impl IntoResponse, Refusal> {
    let tenant = tenant_of(&tenant)?;
    let mut validation = Validation::new();
    let cluster = input.cluster.as_deref().and_then(|name| name.parse().ok());
    if input.cluster.is_some() && cluster.is_none() {
        validation.reject("/cluster", "is no name of a cluster");
    }
    if input.cluster.is_none() && input.lane.is_none() {
        validation.reject("/cluster", "must be given, or `lane`");
    }
    validation.finish()?;
    let to = Destination {
        cluster,
        lane: input.lane,
    };
    let operator = authenticated.operator.name.as_str();
    let moving = state.platform().lifecycle().relocate(&tenant, to, operator).await?;
    tracing::info!(tenant.id = %moving.id, "{operator} moves the tenant {}", moving.slug);
    Ok((StatusCode::ACCEPTED, Json(moving)))
}

/// Gives up a move that has not switched yet. The tenant stays where it is, and what was copied goes.
#[utoipa::path(
    post, path = "/api/control/tenants/{tenant}/cancel-move", operation_id = "control_cancel_move", tag = "tenants", security(("session" = [])),
    params(("tenant" = String, Path, description = "Its id or its slug", example = "acme")),
    responses(
        (status = OK, body = Tenant, description = "It stays where it is"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused: it is not being moved, or has switched"),
    ),
)]
pub(crate) async fn cancel_move(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Path(tenant): Path<String>,
) -> Result<Json<Tenant>, Refusal> {
    let tenant = tenant_of(&tenant)?;
    let staying = state.platform().lifecycle().cancel_move(&tenant).await?;
    tracing::info!(tenant.id = %staying.id, "{} gave up the move of a tenant", authenticated.operator.name);
    Ok(Json(staying))
}
