//! `POST /api/control/services/{service}/releases/preview`.

use axum::{
    Extension, Json,
    extract::{self, Path},
};

use super::{ReleaseDiff, ReleaseUpload, create_release::decode, service_of};
use crate::{State, authentication::Authenticated, body::Upload, contract::Problem, refusal::Refusal};

/// Says what a release would ask for and change, and stores nothing.
///
/// It is checked, compiled and asked once, as it would be to be deployed. What the upload says about
/// canaries and consent is not looked at.
#[utoipa::path(
    post, path = "/api/control/services/{service}/releases/preview", operation_id = "control_preview_release", tag = "services",
    security(("session" = [])),
    params(("service" = String, Path, description = "The service's name", example = "tasks")),
    request_body = ReleaseUpload,
    responses(
        (status = OK, body = ReleaseDiff, description = "What is different from the release that is served"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn preview_release(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Path(service): Path<String>,
    upload: Upload,
) -> Result<Json<ReleaseDiff>, Refusal> {
    let service = service_of(&service)?;
    let (mut release, _) = upload.decode(decode).await?;
    release.uploaded_by = authenticated.operator.who().to_owned();
    Ok(Json(state.platform().preview_release(&service, &release).await?))
}
