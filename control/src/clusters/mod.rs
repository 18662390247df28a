//! `/api/control/clusters`: PostgreSQL servers.

mod add;
mod balance;
mod drain;
mod list;

pub use add::AddCluster;
pub use balance::{Suggestion, SuggestionList};
// The macro `routes!` finds an operation's description beside its handler.
pub(crate) use add::*;
pub(crate) use balance::*;
pub(crate) use drain::*;
pub(crate) use list::*;

use serde::{Deserialize, Serialize};
use terrace_ground_ids::ClusterName;
use utoipa::ToSchema;

use crate::Plan;

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
    /// Where it is; may be empty.
    pub region: String,
    /// The plans whose new tenants it takes; null: all.
    #[schema(required = true)]
    pub plans: Option<Vec<Plan>>,
    /// Whether it takes no new tenants.
    pub draining: bool,
    /// Whether tenants can be moved away from it while they are in use (`wal_level` is `logical`); null
    /// while it does not answer.
    #[schema(required = true)]
    pub movable: Option<bool>,
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

/// A cluster to add; everything in it was checked.
#[derive(Debug, Clone)]
pub struct NewCluster {
    /// Its name.
    pub name: ClusterName,
    /// A name or an address, or the folder of a socket.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The platform's own login there.
    pub login: Option<String>,
    /// Where it is.
    pub region: String,
    /// The plans whose new tenants it takes; all when absent.
    pub plans: Option<Vec<Plan>>,
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
