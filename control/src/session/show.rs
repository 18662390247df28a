//! `GET /api/control/session`.

use axum::{Extension, Json};

use super::Session;
use crate::{authentication::Authenticated, contract::Problem};

/// Who is signed in.
#[utoipa::path(
    get, path = "/api/control/session", operation_id = "control_get_session", tag = "session", security(("session" = [])),
    responses(
        (status = OK, body = Session, description = "The session that the request came with"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn show(Extension(authenticated): Extension<Authenticated>) -> Json<Session> {
    Json(Session {
        operator: authenticated.operator,
        expires_at: authenticated.expires_at,
    })
}
