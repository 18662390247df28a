//! `GET /api/control/clusters`.

use axum::{Json, extract};

use super::ClusterPage;
use crate::{
    State,
    contract::Problem,
    page::{Page, PageQuery},
    refusal::Refusal,
};

/// Lists clusters, in the order of their names.
#[utoipa::path(
    get, path = "/api/control/clusters", operation_id = "control_list_clusters", tag = "clusters", security(("session" = [])),
    params(PageQuery),
    responses(
        (status = OK, body = ClusterPage, description = "A page of clusters"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn list(
    extract::State(state): extract::State<State>,
    page: Page,
) -> Result<Json<ClusterPage>, Refusal> {
    let clusters = state.platform().clusters().await?;
    let (items, next_page_token) = page.of(clusters, |cluster| cluster.name.as_str());
    Ok(Json(ClusterPage { items, next_page_token }))
}
