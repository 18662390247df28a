//! `/api/control/operations`: what is done to tenants, step by step.

mod list;

pub(crate) use list::*;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use terrace_ground_ids::{Slug, TenantId};
use utoipa::ToSchema;

/// Something that is done to a tenant in steps. It survives a crash between any two of them.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Operation {
    /// Its number.
    #[schema(example = 17)]
    pub id: i64,
    /// Whose it is.
    #[schema(value_type = String, example = "t_7f3k9q2m")]
    pub tenant: TenantId,
    /// The tenant's slug now; null once the tenant is gone.
    #[schema(value_type = Option<String>, required = true, example = "acme")]
    pub slug: Option<Slug>,
    /// What it does.
    pub kind: OperationKind,
    /// How it stands.
    pub state: OperationState,
    /// What was done, in order.
    pub steps: Vec<OperationStep>,
    /// The names of the steps that are still to come; empty when it is over.
    pub remaining: Vec<String>,
    /// The operator who asked; null: the platform itself.
    #[schema(required = true)]
    pub actor: Option<String>,
    /// What went wrong at the last attempt; null when nothing did.
    #[schema(required = true)]
    pub error: Option<String>,
    /// How often it was tried since its last step.
    pub attempts: u32,
    /// When it is tried again by itself, after a failure.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    pub retry_at: Option<Timestamp>,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When it ended; null while it runs.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    pub finished_at: Option<Timestamp>,
    /// What its steps counted: rows, schemas, a digest.
    #[schema(value_type = Object)]
    pub evidence: serde_json::Value,
}

/// A step that is done.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OperationStep {
    /// Its name.
    #[schema(example = "migrated")]
    pub step: String,
    /// When it was done.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OperationKind {
    /// The tenant is made.
    Create,
    /// It is removed.
    Delete,
    /// It is put on hold.
    Suspend,
    /// It is served again.
    Resume,
    /// It pays for something else.
    Plan,
    /// It gets another name or slug.
    Rename,
    /// It is copied out.
    Export,
    /// It is made from an archive.
    Import,
    /// It goes to another cluster.
    Move,
    /// It is made beside a tenant, from an archive of it, to take its place.
    Restore,
}

/// How an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OperationState {
    /// Begun, and not done: a node is at it, or will be.
    Running,
    /// Done.
    Done,
    /// Given up: a deletion overtook it, or its reader left.
    Cancelled,
}

/// Operations, the newest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OperationPage {
    /// The operations; at most 200.
    pub items: Vec<Operation>,
}
