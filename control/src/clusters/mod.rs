//! `/api/control/clusters`: PostgreSQL servers.

mod list;

// The macro `routes!` finds an operation's description beside its handler.
pub(crate) use list::*;

use serde::{Deserialize, Serialize};
use terrace_ground_ids::ClusterName;
use utoipa::ToSchema;

/// One PostgreSQL server.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Cluster {
    /// Its name.
    #[schema(value_type = String, example = "main")]
    pub name: ClusterName,
    /// Whether it answers now.
    pub state: ClusterState,
    /// The database that holds the schemas.
    #[schema(example = "terrace")]
    pub database: String,
    /// The server's version; null while it does not answer.
    #[schema(required = true, example = "17.6")]
    pub version: Option<String>,
    /// How many lanes it has.
    pub lanes: u64,
    /// How many tenants live on it.
    pub tenants: u64,
    /// The size of the database; null while it does not answer.
    #[schema(required = true)]
    pub size_bytes: Option<u64>,
}

/// Whether a cluster answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClusterState {
    /// It answers.
    Up,
    /// It does not.
    Down,
}

/// A page of clusters, in the order of their names.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ClusterPage {
    /// The clusters.
    pub items: Vec<Cluster>,
    /// Asks for the next page; null on the last.
    #[schema(required = true)]
    pub next_page_token: Option<String>,
}
