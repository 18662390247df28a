//! `POST /api/control/tenants/{tenant}/plan`.

use axum::{
    Extension, Json,
    extract::{self, Path},
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Plan, Tenant, tenant_of};
use crate::{
    State, authentication::Authenticated, body::Input, contract::Problem, refusal::Refusal, validation::Validation,
};

/// What a tenant shall pay for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePlan {
    /// The new plan.
    #[schema(value_type = Plan)]
    pub plan: String,
}

/// Changes what a tenant pays for, and tells the services that want to know.
#[utoipa::path(
    post, path = "/api/control/tenants/{tenant}/plan", operation_id = "control_change_plan", tag = "tenants", security(("session" = [])),
    params(("tenant" = String, Path, description = "Its id or its slug", example = "acme")),
    request_body = ChangePlan,
    responses(
        (status = OK, body = Tenant, description = "The tenant as it is now"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn plan(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Path(tenant): Path<String>,
    Input(input): Input<ChangePlan>,
) -> Result<Json<Tenant>, Refusal> {
    let tenant = tenant_of(&tenant)?;
    let mut validation = Validation::new();
    let plan = validation.word::<Plan>("/plan", &input.plan, "`free` and `team`");
    validation.finish()?;
    let operator = authenticated.operator.name.as_str();
    let changed = state
        .platform()
        .lifecycle()
        .change_plan(&tenant, plan.unwrap_or_default(), operator)
        .await?;
    tracing::info!(tenant.id = %changed.id, "{operator} changed the plan of tenant {tenant} to {}", changed.plan.as_str());
    Ok(Json(changed))
}
