//! `DELETE /api/control/session`.

use axum::{
    http::{StatusCode, header},
    response::IntoResponse,
};

use super::cookie;
use crate::contract::Problem;

/// Signs the operator out of this browser.
///
/// The cookie is taken back. The token itself stays good until it ends: it is not stored anywhere,
/// so there is nothing to delete.
#[utoipa::path(
    delete, path = "/api/control/session", operation_id = "control_delete_session", tag = "session", security(("session" = [])),
    responses(
        (status = NO_CONTENT, description = "Signed out"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn sign_out() -> impl IntoResponse {
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie("", 0))])
}
