//! `POST /api/control/archives`.

use axum::{Json, extract, http::StatusCode, response::IntoResponse};
use serde::Serialize;
use terrace_ground_ids::ArchiveId;
use utoipa::ToSchema;

use super::PART_BYTES_MAX;
use crate::{State, contract::Problem, refusal::Refusal};

/// An upload that has begun.
#[derive(Serialize, ToSchema)]
pub struct Archive {
    /// Names the upload.
    #[schema(value_type = String, example = "a_7f3k9q2m4x")]
    pub id: ArchiveId,
    /// Largest part, in bytes.
    pub part_bytes_max: usize,
}

/// Begins to upload an archive. Its parts come next, in any order, and then the import.
///
/// An upload that is not imported within 24 hours is forgotten.
#[utoipa::path(
    post, path = "/api/control/archives", operation_id = "control_create_archive", tag = "archives", security(("session" = [])),
    responses(
        (status = CREATED, body = Archive, description = "The upload has begun"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn create(extract::State(state): extract::State<State>) -> Result<impl IntoResponse, Refusal> {
    let id = state.platform().lifecycle().begin_archive().await?;
    let archive = Archive {
        id,
        part_bytes_max: PART_BYTES_MAX,
    };
    Ok((StatusCode::CREATED, Json(archive)))
}
