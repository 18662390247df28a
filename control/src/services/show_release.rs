//! `GET /api/control/services/{service}/releases/{release}`.

use axum::{
    Json,
    extract::{self, Path},
};
use serde::Serialize;
use terrace_ground_ids::ReleaseId;
use utoipa::ToSchema;

use super::{Release, ReleaseDiff, service_of};
use crate::{State, contract::Problem, refusal::Refusal};

/// A release with everything that is known about it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReleaseFacts {
    /// The release.
    pub release: Release,
    /// The hash of its component, in hexadecimal; null for one of an older version of the platform.
    #[schema(required = true)]
    pub component_sha256: Option<String>,
    /// The hash of its contract, in hexadecimal.
    pub contract_sha256: String,
    /// The interfaces that its component imports.
    pub imports: Vec<String>,
    /// What one request may use, with the defaults.
    #[schema(value_type = Object)]
    pub limits: serde_json::Value,
    /// The steps of its schema.
    pub migrations: Vec<String>,
    /// The text of its manifest.
    pub manifest: String,
    /// What is different from the release that is served now.
    pub diff: ReleaseDiff,
}

/// Shows a release: where it comes from, what it may do, and what is different from the served one.
#[utoipa::path(
    get, path = "/api/control/services/{service}/releases/{release}", operation_id = "control_show_release", tag = "services",
    security(("session" = [])),
    params(
        ("service" = String, Path, description = "The service's name", example = "tasks"),
        ("release" = String, Path, description = "The release's id", example = "r_7f3k9q2m4x"),
    ),
    responses(
        (status = OK, body = ReleaseFacts, description = "The release"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn show_release(
    extract::State(state): extract::State<State>,
    Path((service, release)): Path<(String, String)>,
) -> Result<Json<ReleaseFacts>, Refusal> {
    let service = service_of(&service)?;
    let release: ReleaseId = release
        .parse()
        .map_err(|error: terrace_ground_ids::Error| Refusal::not_found(format!("{error}.")))?;
    Ok(Json(state.platform().release(&service, &release).await?))
}
