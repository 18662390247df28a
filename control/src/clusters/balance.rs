//! `GET /api/control/clusters/balance`.

use axum::{Json, extract};
use serde::Serialize;
use terrace_ground_ids::{ClusterName, Slug, TenantId};
use utoipa::ToSchema;

use crate::{State, contract::Problem, refusal::Refusal};

/// A tenant that could be moved.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Suggestion {
    /// The tenant.
    #[schema(value_type = String, example = "t_7f3k9q2m")]
    pub tenant: TenantId,
    /// Its slug.
    #[schema(value_type = String, example = "acme")]
    pub slug: Slug,
    /// Where it lives.
    #[schema(value_type = String, example = "main")]
    pub from: ClusterName,
    /// Where there would be more room.
    #[schema(value_type = String, example = "eu-2")]
    pub to: ClusterName,
}

/// Moves that would help.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SuggestionList {
    /// In the order in which to make them; at most 100.
    pub items: Vec<Suggestion>,
}

/// Suggests moves: away from clusters that are drained, and towards equal shares. Changes nothing.
#[utoipa::path(
    get, path = "/api/control/clusters/balance", operation_id = "control_suggest_moves", tag = "clusters", security(("session" = [])),
    responses(
        (status = OK, body = SuggestionList, description = "Moves; none when the shares are even"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn balance(extract::State(state): extract::State<State>) -> Result<Json<SuggestionList>, Refusal> {
    let items = state.platform().suggest_moves().await?;
    Ok(Json(SuggestionList { items }))
}
