//! `PUT /api/control/archives/{archive}/parts/{number}`.

use axum::{
    extract::{self, Path, Request},
    http::StatusCode,
};

use super::archive_of;
use crate::{State, body, contract::Problem, refusal::Refusal};

/// Largest part of an archive, in bytes.
pub(crate) const PART_BYTES_MAX: usize = 4 << 20;

/// Takes one part of an archive, counted from 0.
///
/// The same number again replaces the part, so a broken upload goes on where it stopped.
#[utoipa::path(
    put, path = "/api/control/archives/{archive}/parts/{number}", operation_id = "control_put_archive_part", tag = "archives",
    security(("session" = [])),
    params(
        ("archive" = String, Path, description = "The upload", example = "a_7f3k9q2m4x"),
        ("number" = u32, Path, description = "Which part, from 0"),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "At most 4 MiB"),
    responses(
        (status = NO_CONTENT, description = "Taken"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn put_part(
    extract::State(state): extract::State<State>,
    Path((archive, number)): Path<(String, u32)>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let archive = archive_of(&archive)?;
    let content = body::bytes(request, PART_BYTES_MAX).await?;
    state.platform().lifecycle().put_part(&archive, number, content).await?;
    Ok(StatusCode::NO_CONTENT)
}
