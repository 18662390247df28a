//! `GET /api/control/meters`.

use axum::{Json, extract};

use super::Meters;
use crate::{State, contract::Problem, refusal::Refusal};

/// The figures of the last 60 seconds.
#[utoipa::path(
    get, path = "/api/control/meters", operation_id = "control_get_meters", tag = "meters", security(("session" = [])),
    responses(
        (status = OK, body = Meters, description = "The figures"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn show(extract::State(state): extract::State<State>) -> Result<Json<Meters>, Refusal> {
    Ok(Json(state.platform().meters().await?))
}
