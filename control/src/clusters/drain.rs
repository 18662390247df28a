//! `POST /api/control/clusters/{cluster}/drain` and `.../open`.

use axum::{
    Extension, Json,
    extract::{self, Path},
};
use terrace_ground_ids::ClusterName;

use super::Cluster;
use crate::{State, authentication::Authenticated, contract::Problem, refusal::Refusal};

/// Keeps new tenants from a cluster. Those that it has stay until they are moved.
#[utoipa::path(
    post, path = "/api/control/clusters/{cluster}/drain", operation_id = "control_drain_cluster", tag = "clusters", security(("session" = [])),
    params(("cluster" = String, Path, description = "Its name", example = "eu-2")),
    responses(
        (status = OK, body = Cluster, description = "It takes no new tenants"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn drain(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Path(cluster): Path<String>,
) -> Result<Json<Cluster>, Refusal> {
    turn(&state, &authenticated, &cluster, true).await
}

/// Lets a cluster take new tenants again.
#[utoipa::path(
    post, path = "/api/control/clusters/{cluster}/open", operation_id = "control_open_cluster", tag = "clusters", security(("session" = [])),
    params(("cluster" = String, Path, description = "Its name", example = "eu-2")),
    responses(
        (status = OK, body = Cluster, description = "It takes new tenants"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn open(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Path(cluster): Path<String>,
) -> Result<Json<Cluster>, Refusal> {
    turn(&state, &authenticated, &cluster, false).await
}

async fn turn(
    state: &State,
    authenticated: &Authenticated,
    cluster: &str,
    draining: bool,
) -> Result<Json<Cluster>, Refusal> {
    let name: ClusterName = cluster
        .parse()
        .map_err(|_| Refusal::not_found("There is no such cluster."))?;
    let cluster = state.platform().drain_cluster(&name, draining).await?;
    let what = if draining { "drains" } else { "opened" };
    tracing::info!(cluster.name = %name, "{} {what} the cluster {name}", authenticated.operator.name);
    Ok(Json(cluster))
}
