//! `POST /api/control/archives/{archive}/restore`.

use axum::{
    Extension, Json,
    extract::{self, Path},
    http::StatusCode,
    response::IntoResponse,
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::archive_of;
use crate::{
    NewRestore, State, Tenant, TenantRef, authentication::Authenticated, body::Input, contract::Problem,
    refusal::Refusal, validation::Validation,
};

/// A tenant to bring back to what an archive says.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreTenant {
    /// The tenant, by its id or its slug. It is active or suspended.
    #[schema(example = "acme")]
    pub tenant: String,
    /// Take the archive of another tenant, too.
    #[serde(default)]
    pub force: bool,
}

/// Brings a tenant back to what an uploaded archive of it says.
///
/// All of the archive is checked first. Then a tenant is made beside it, as an import makes one, and is
/// the answer: its operations show how far it is. When all of it was verified the two change places in
/// one moment. The tenant keeps its id, its names, its plan and its settings; what it was before is kept
/// as the other one, suspended, until somebody deletes it. What was written since the archive was made is
/// only there.
#[utoipa::path(
    post, path = "/api/control/archives/{archive}/restore", operation_id = "control_restore_tenant", tag = "archives",
    security(("session" = [])),
    params(("archive" = String, Path, description = "The upload", example = "a_7f3k9q2m4x")),
    request_body = RestoreTenant,
    responses(
        (status = ACCEPTED, body = Tenant, description = "Being made, beside the tenant"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused: nothing was written"),
    ),
)]
pub(crate) async fn restore(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Path(archive): Path<String>,
    Input(input): Input<RestoreTenant>,
) -> Result<impl IntoResponse, Refusal> {
    let archive = archive_of(&archive)?;
    let tenant = input.tenant.parse::<TenantRef>();
    let Ok(tenant) = tenant else {
        let mut validation = Validation::new();
        validation.reject("/tenant", "is no id and no slug of a tenant");
        validation.finish()?;
        return Err(Refusal::internal("a rejected tenant was not refused"));
    };
    let new = NewRestore {
        archive,
        tenant,
        force: input.force,
    };
    let operator = authenticated.operator.name.as_str();
    let made = state.platform().lifecycle().restore(new, operator).await?;
    tracing::info!(tenant.id = %made.id, "{operator} restores tenant {} from an archive", input.tenant);
    Ok((StatusCode::ACCEPTED, Json(made)))
}
