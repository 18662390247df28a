//! `GET /api/control/tenants`.

use axum::{Json, extract};
use terrace_ground_error::{Code, Problem as Document};
use terrace_ground_ids::Slug;

use super::TenantPage;
use crate::{
    State,
    contract::Problem,
    page::{self, Page, PageQuery},
    refusal::Refusal,
};

/// Lists tenants, in the order of their slugs.
#[utoipa::path(
    get, path = "/api/control/tenants", operation_id = "control_list_tenants", tag = "tenants", security(("session" = [])),
    params(PageQuery),
    responses(
        (status = OK, body = TenantPage, description = "A page of tenants"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn list(
    extract::State(state): extract::State<State>,
    page: Page,
) -> Result<Json<TenantPage>, Refusal> {
    let after = page.after.as_deref().map(str::parse::<Slug>).transpose().map_err(|_| {
        Document::new(Code::ValidationFailed)
            .field("/page_token", "must be the `next_page_token` of a page of this list")
    })?;
    let slice = state.platform().tenants(after.as_ref(), page.size).await?;
    let next_page_token = slice
        .tenants
        .last()
        .filter(|_| slice.more)
        .map(|last| page::token(last.slug.as_str()));
    Ok(Json(TenantPage {
        items: slice.tenants,
        next_page_token,
    }))
}
