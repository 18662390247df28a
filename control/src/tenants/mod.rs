//! `/api/control/tenants`: customers, and where their data lives.

mod create;
mod database;
mod delete;
mod evidence;
mod export;
mod finish;
mod list;
mod operations;
mod plan;
mod relocate;
mod rename;
mod resume;
mod show;
mod suspend;

pub use create::{CreateOwner, CreateTenant, CreatedOwner, CreatedTenant};
pub use database::{
    LockWait, MigrationState, SchemaState, SlowStatement, StatementCounts, TenantConnections, TenantDatabase,
};
pub use delete::DeletedTenant;
pub use plan::ChangePlan;
pub use relocate::MoveTenant;
pub use rename::RenameTenant;
// The macro `routes!` finds an operation's description beside its handler.
pub(crate) use create::*;
pub(crate) use database::*;
pub(crate) use delete::*;
pub(crate) use evidence::*;
pub(crate) use export::*;
pub(crate) use finish::*;
pub(crate) use list::*;
pub(crate) use operations::*;
pub(crate) use plan::*;
pub(crate) use relocate::*;
pub(crate) use rename::*;
pub(crate) use resume::*;
pub(crate) use show::*;
pub(crate) use suspend::*;

use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use terrace_ground_ids::{ClusterName, LaneId, Slug, TenantId};
use utoipa::ToSchema;

use crate::{Operation, TenantRef, refusal::Refusal};

/// A customer organisation: the unit of isolation.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Tenant {
    /// Opaque: no role and no schema shows a customer's name.
    #[schema(value_type = String, example = "t_7f3k9q2m")]
    pub id: TenantId,
    /// The first label of its host.
    #[schema(value_type = String, example = "acme")]
    pub slug: Slug,
    /// Its name, to show.
    pub name: String,
    /// What it pays for.
    pub plan: Plan,
    /// Where it is in its life.
    pub state: TenantState,
    /// Where its members find it.
    #[schema(example = "acme.example.com")]
    pub host: String,
    /// Where its data lives.
    pub placement: Placement,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// What is being done to it now, or was begun and is not done. Only where one tenant is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub operation: Option<Operation>,
}

/// What a tenant pays for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Plan {
    /// Nothing; some limits are low.
    #[default]
    Free,
    /// A team's plan.
    Team,
}

impl Plan {
    /// The plan as a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Team => "team",
        }
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "free" => Ok(Self::Free),
            "team" => Ok(Self::Team),
            _ => Err(format!("`{text}` is not a plan: expected `free` or `team`")),
        }
    }
}

/// Where a tenant is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TenantState {
    /// Its schemas are being made.
    Creating,
    /// In use.
    Active,
    /// Kept, but not served.
    Suspended,
    /// Its data is being deleted.
    Deleting,
}

/// Where a tenant's data lives.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Placement {
    /// The PostgreSQL server.
    #[schema(value_type = String, example = "main")]
    pub cluster: ClusterName,
    /// The login that may act for it, shared with at most 63 neighbours.
    #[schema(value_type = String, example = "l_7f3k9q")]
    pub lane: LaneId,
    /// One schema for each service.
    pub schemas: Vec<String>,
}

/// A page of tenants, in the order of their slugs.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TenantPage {
    /// The tenants.
    pub items: Vec<Tenant>,
    /// Asks for the next page; null on the last.
    #[schema(required = true)]
    pub next_page_token: Option<String>,
}

/// `{tenant}` in a path. What cannot be a tenant's name is not found, like any other.
fn tenant_of(text: &str) -> Result<TenantRef, Refusal> {
    text.parse()
        .map_err(|_| Refusal::not_found("There is no such tenant; give its id or its slug."))
}
