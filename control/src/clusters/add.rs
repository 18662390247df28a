//! `POST /api/control/clusters`.

use axum::{Extension, Json, extract, http::StatusCode, response::IntoResponse};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Cluster, NewCluster};
use crate::{
    Plan, State, authentication::Authenticated, body::Input, contract::Problem, refusal::Refusal,
    validation::Validation,
};

/// A PostgreSQL server that is to take tenants.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddCluster {
    /// Its name: 1 to 31 of `a-z`, `0-9` and `-`.
    #[schema(max_length = 31, example = "eu-2")]
    pub name: String,
    /// A name or an address for TCP, or the folder of a unix socket, as every node sees it.
    #[schema(min_length = 1, max_length = 255, example = "10.0.4.2")]
    pub host: String,
    /// The port, also in the name of the socket.
    #[serde(default = "port")]
    pub port: u16,
    /// The database that is to hold the schemas. It is there, and empty.
    #[schema(min_length = 1, max_length = 63, example = "terrace")]
    pub database: String,
    /// The platform's own login there; the directory's when absent. Its password is in the nodes'
    /// secrets, as `cluster-<name>`, which they read when they start.
    #[schema(max_length = 63)]
    pub login: Option<String>,
    /// Where it is; new tenants may ask for it.
    #[serde(default)]
    #[schema(max_length = 63, example = "eu")]
    pub region: String,
    /// The plans whose new tenants it takes; all when absent.
    #[schema(value_type = Option<Vec<Plan>>)]
    pub plans: Option<Vec<String>>,
}

fn port() -> u16 {
    5_432
}

/// Adds a PostgreSQL server, and prepares it.
///
/// New tenants are placed there from now on: first by region and plan, then where there are fewest. The
/// same name again changes how it is reached and whom it takes.
#[utoipa::path(
    post, path = "/api/control/clusters", operation_id = "control_add_cluster", tag = "clusters", security(("session" = [])),
    request_body = AddCluster,
    responses(
        (status = CREATED, body = Cluster, description = "It takes tenants"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused: nothing is recorded"),
    ),
)]
pub(crate) async fn add(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
    Input(input): Input<AddCluster>,
) -> Result<impl IntoResponse, Refusal> {
    let mut validation = Validation::new();
    let name = input.name.parse().ok();
    if name.is_none() {
        validation.reject(
            "/name",
            "must be 1 to 31 of `a-z`, `0-9` and `-`, and begin with a letter",
        );
    }
    for (pointer, text) in [("/host", &input.host), ("/database", &input.database)] {
        if text.is_empty() || text.len() > 255 || text.chars().any(char::is_control) {
            validation.reject(pointer, "must be one line of 1 to 255 characters");
        }
    }
    let plans = input.plans.map(|plans| {
        let plans = plans.iter().enumerate();
        plans
            .filter_map(|(at, plan)| validation.word::<Plan>(&format!("/plans/{at}"), plan, "`free` and `team`"))
            .collect()
    });
    validation.finish()?;
    let Some(name) = name else {
        return Err(Refusal::internal(
            "a name that was not accepted was not rejected either",
        ));
    };
    let new = NewCluster {
        name,
        host: input.host,
        port: input.port,
        database: input.database,
        login: input.login,
        region: input.region,
        plans,
    };
    let cluster = state.platform().add_cluster(new).await?;
    tracing::info!(cluster.name = %cluster.name, "{} added the cluster {}", authenticated.operator.name, cluster.name);
    Ok((StatusCode::CREATED, Json(cluster)))
}
