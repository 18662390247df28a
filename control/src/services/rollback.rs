//! `POST /api/control/services/{service}/rollback`.

use axum::{
    Extension, Json,
    extract::{self, Path},
};
use serde::Deserialize;
use terrace_ground_ids::ReleaseId;
use utoipa::ToSchema;

use super::{Service, service_of};
use crate::{
    State, authentication::Authenticated, body::Input, contract::Problem, refusal::Refusal, validation::Validation,
};

/// Where to go back to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// The release; the one that was served before the current one when absent.
    #[serde(default)]
    #[schema(example = "r_7f3k9q2m4x")]
    pub release: Option<String>,
    /// Go back although migrations have taken away what that release uses.
    #[serde(default)]
    pub force: bool,
}

/// Routes a service's requests to an earlier release. A canary of the service ends.
///
/// Requests that run on the release before it finish on it. Schemas stay as they are; when migrations
/// have taken away what that release uses, it is refused.
#[utoipa::path(
    post, path = "/api/control/services/{service}/rollback", operation_id = "control_rollback_service", tag = "services",
    security(("session" = [])),
    params(("service" = String, Path, description = "The service's name", example = "tasks")),
    request_body = Rollback,
    responses(
        (status = OK, body = Service, description = "The service, with its new current release"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn rollback(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Path(service): Path<String>,
    Input(input): Input<Rollback>,
) -> Result<Json<Service>, Refusal> {
    let service = service_of(&service)?;
    let mut validation = Validation::new();
    let release: Option<ReleaseId> = input
        .release
        .as_ref()
        .and_then(|text| validation.word("/release", text, "the service's releases, like r_7f3k9q2m4x"));
    validation.finish()?;
    let by = authenticated.operator.who();
    let back = state
        .platform()
        .rollback(&service, release.as_ref(), input.force, by)
        .await?;
    tracing::info!(service = %service, "{by} rolled {service} back");
    Ok(Json(back))
}
