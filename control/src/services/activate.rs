//! `POST /api/control/services/{service}/activate`.

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

/// Which release requests shall go to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Activate {
    /// The release's id.
    #[schema(example = "r_7f3k9q2m4x")]
    pub release: String,
}

/// Routes a service's requests to one of its releases, as a deploy of it does.
///
/// Requests that run on the release before it finish on it.
#[utoipa::path(
    post, path = "/api/control/services/{service}/activate", operation_id = "control_activate_release", tag = "services",
    security(("session" = [])),
    params(("service" = String, Path, description = "The service's name", example = "tasks")),
    request_body = Activate,
    responses(
        (status = OK, body = Service, description = "The service, with its new current release"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn activate(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Path(service): Path<String>,
    Input(input): Input<Activate>,
) -> Result<Json<Service>, Refusal> {
    let service = service_of(&service)?;
    let mut validation = Validation::new();
    let release = validation.word::<ReleaseId>("/release", &input.release, "the service's releases, like r_7f3k9q2m4x");
    validation.finish()?;
    let Some(release) = release else {
        return Err(Refusal::internal(
            "a release that was not accepted was not rejected either",
        ));
    };
    let activated = state
        .platform()
        .activate_release(&service, &release, authenticated.operator.who())
        .await?;
    tracing::info!(service = %service, release.id = %release, "{} activated {service} {release}", authenticated.operator.name);
    Ok(Json(activated))
}
