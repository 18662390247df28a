//! `GET /api/control/tenants/{tenant}/database`: how a tenant's data is doing.

use axum::{
    Json,
    extract::{self, Path},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use terrace_ground_ids::{ClusterName, ReleaseId, ServiceName};
use utoipa::ToSchema;

use super::tenant_of;
use crate::{State, contract::Problem, refusal::Refusal};

/// How a tenant's data is doing: its size now, and what its statements do on the node that answers.
/// No row, and no value that was in a statement, is in it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TenantDatabase {
    /// When it was asked.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The cluster where the tenant lives.
    #[schema(value_type = String, example = "main")]
    pub cluster: ClusterName,
    /// Tables, indexes and what is stored out of line, of all its services.
    pub size_bytes: u64,
    /// Of those, indexes.
    pub index_bytes: u64,
    /// Whether sizes were measured. While a table is locked they are those of the last VACUUM or ANALYZE.
    pub exact: bool,
    /// Rows, as PostgreSQL's statistics estimate them.
    pub live_rows: u64,
    /// Rows that are deleted or replaced and not vacuumed yet, estimated alike.
    pub dead_rows: u64,
    /// Of the blocks that its statements needed, the share that PostgreSQL had in memory, from 0 to 1, since
    /// its statistics began; null when none was needed.
    #[schema(required = true)]
    pub cache_hit_ratio: Option<f64>,
    /// How long the oldest open transaction that has touched its tables is open; null without one.
    #[schema(required = true)]
    pub longest_transaction_ms: Option<u64>,
    /// What waits for a lock on its tables, the longest wait first; at most 50.
    pub lock_waits: Vec<LockWait>,
    /// By service.
    pub schemas: Vec<SchemaState>,
    /// Connections, of the node that answers.
    pub connections: TenantConnections,
    /// Statements since that node began.
    pub counts: StatementCounts,
    /// Statements of its last hour to two by their fingerprint, those that took the most time together
    /// first; at most 50.
    pub statements: Vec<SlowStatement>,
    /// Runs of statements that are not among those.
    pub other_calls: u64,
    /// The time of those.
    pub other_ms: f64,
}

/// One service's schema of a tenant.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SchemaState {
    /// The service.
    #[schema(value_type = String, example = "tasks")]
    pub service: ServiceName,
    /// Its name in the database.
    #[schema(example = "t_7f3k9q2m_tasks")]
    pub schema: String,
    /// Its size.
    pub size_bytes: u64,
    /// Tables.
    pub tables: u64,
    /// Indexes.
    pub indexes: u64,
    /// Rows, estimated.
    pub live_rows: u64,
    /// Rows that wait for a VACUUM, estimated.
    pub dead_rows: u64,
    /// How its migrations stand.
    pub state: MigrationState,
    /// The last migration that was applied; 0 for none.
    #[schema(example = 3)]
    pub version: u32,
    /// The last migration of the release that serves this tenant.
    #[schema(example = 3)]
    pub current: u32,
    /// That release.
    #[schema(value_type = String)]
    pub release: ReleaseId,
    /// When the last migration was applied; null when there is none.
    #[schema(value_type = Option<String>, format = DateTime, required = true)]
    pub migrated_at: Option<Timestamp>,
}

/// How a schema's migrations stand against the release that serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MigrationState {
    /// All are applied.
    Current,
    /// Some are missing.
    Behind,
    /// More are applied than the release has: an older one is served, or a newer one is on its way.
    Ahead,
}

/// Somebody who waits for a lock.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct LockWait {
    /// The schema's name.
    #[schema(example = "t_7f3k9q2m_tasks")]
    pub schema: String,
    /// The table that is waited for, or that the waiting transaction has touched.
    #[schema(example = "task")]
    pub table: String,
    /// What is locked, in PostgreSQL's words: `relation`, `tuple`, `transactionid` (a row).
    #[schema(example = "relation")]
    pub target: String,
    /// The lock that is wanted, in PostgreSQL's words.
    #[schema(example = "RowExclusiveLock")]
    pub mode: String,
    /// For how long.
    pub waited_ms: u64,
    /// How many others it waits for.
    pub blockers: u32,
}

/// Connections of one tenant, and of the lane that it shares.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TenantConnections {
    /// Transactions of the tenant that hold a connection, or are about to.
    pub in_flight: u64,
    /// Requests of the tenant that wait for their turn.
    pub waiting: u64,
    /// Connections of its lane that are in use, by neighbours too.
    pub lane_in_use: u64,
    /// Connections of its lane that are open and idle.
    pub lane_idle: u64,
    /// Most connections that its lane may have on one node.
    pub lane_limit: u64,
}

/// Statements of one tenant since the node began.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StatementCounts {
    /// All.
    pub statements: u64,
    /// Those that failed.
    pub failures: u64,
    /// Requests that were turned away because too many waited.
    pub refused: u64,
    /// Statements that waited too long for a lock.
    pub lock_timeouts: u64,
    /// Statements that passed the deadline of their request.
    pub timeouts: u64,
    /// Transactions that met another one and had to begin again, deadlocks included.
    pub conflicts: u64,
}

/// What the statements of one shape took.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SlowStatement {
    /// The service that sends it.
    #[schema(value_type = String, example = "tasks")]
    pub service: ServiceName,
    /// 16 hexadecimal digits; the same for statements that differ in their values alone.
    #[schema(example = "50fde20626009aba")]
    pub fingerprint: String,
    /// Its text without its values; at most 400 characters.
    #[schema(example = "SELECT id, title FROM board WHERE id = $1")]
    pub text: String,
    /// How often it ran.
    pub calls: u64,
    /// How many of those failed or were stopped.
    pub failures: u64,
    /// All of them together.
    pub total_ms: f64,
    /// On average.
    pub mean_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// Shows how a tenant's data is doing: size, rows, migrations, lock waits, connections, slowest statements.
///
/// Sizes and locks are read from the catalogue of the tenant's cluster when this is asked. Connections and
/// statements are counted by the node that answers. Statements are shown without their values.
#[utoipa::path(
    get, path = "/api/control/tenants/{tenant}/database", operation_id = "control_show_tenant_database", tag = "tenants",
    security(("session" = [])),
    params(("tenant" = String, Path, description = "Its id or its slug", example = "acme")),
    responses(
        (status = OK, body = TenantDatabase, description = "How its data is doing"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn database(
    extract::State(state): extract::State<State>,
    Path(tenant): Path<String>,
) -> Result<Json<TenantDatabase>, Refusal> {
    Ok(Json(state.platform().database(&tenant_of(&tenant)?).await?))
}
