//! `GET /api/control/sites`.

use axum::{Json, extract};

use super::SitePage;
use crate::{
    State,
    contract::Problem,
    page::{Page, PageQuery},
    refusal::Refusal,
};

/// Lists sites with their builds, in the order of their names.
#[utoipa::path(
    get, path = "/api/control/sites", operation_id = "control_list_sites", tag = "sites", security(("session" = [])),
    params(PageQuery),
    responses(
        (status = OK, body = SitePage, description = "A page of sites"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn list(extract::State(state): extract::State<State>, page: Page) -> Result<Json<SitePage>, Refusal> {
    let sites = state.platform().sites().await?;
    let (items, next_page_token) = page.of(sites, |site| site.name.as_str());
    Ok(Json(SitePage { items, next_page_token }))
}
