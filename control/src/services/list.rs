//! `GET /api/control/services`.

use axum::{Json, extract};

use super::ServicePage;
use crate::{
    State,
    contract::Problem,
    page::{Page, PageQuery},
    refusal::Refusal,
};

/// Lists services with their releases, in the order of their names.
#[utoipa::path(
    get, path = "/api/control/services", operation_id = "control_list_services", tag = "services", security(("session" = [])),
    params(PageQuery),
    responses(
        (status = OK, body = ServicePage, description = "A page of services"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn list(
    extract::State(state): extract::State<State>,
    page: Page,
) -> Result<Json<ServicePage>, Refusal> {
    let services = state.platform().services().await?;
    let (items, next_page_token) = page.of(services, |service| service.name.as_str());
    Ok(Json(ServicePage { items, next_page_token }))
}
