//! How tenants' data is doing: what the catalogue says and what the router counts, for the control API and
//! for metrics.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::Deserialize;
use terrace_control::{
    LockWait, MigrationState, SchemaState, SlowStatement, StatementCounts, TenantConnections, TenantDatabase,
};
use terrace_data_router::{LaneHealth, Router, StatementStats, TenantStats};
use terrace_data_tenancy::{self as tenancy, Directory, Figures, Footprint};
use terrace_ground_ids::TenantId;
use tracing::warn;

/// Most statements of one tenant in an answer.
const STATEMENTS_SHOWN_MAX: usize = 50;
/// Statements of one tenant in metrics: each is a name that a scraper keeps.
const STATEMENTS_COUNTED_MAX: usize = 3;

/// How long a scrape waits for the catalogues. Prometheus gives up after ten seconds.
const SCRAPE_WAITS_MAX: Duration = Duration::from_secs(5);

/// What metrics show of tenants' data.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Most tenants whose database is shown, each with about 20 series: those that wait, then the busiest,
    /// then the largest. `terrace_database_tenants_left_out` says how many are not. Default 100.
    pub tenants_max: usize,
    /// How long what the catalogue said is good for, in seconds: a scrape after that reads it again, in one
    /// pass over the catalogue of each cluster. Default 60.
    pub catalogue_seconds: u64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            tenants_max: 100,
            catalogue_seconds: 60,
        }
    }
}

/// One tenant's part of the metrics.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) tenant: TenantId,
    /// By the last VACUUM or ANALYZE.
    pub(crate) footprint: Footprint,
    /// `None`: its cluster did not answer.
    pub(crate) figures: Option<Figures>,
    pub(crate) stats: TenantStats,
    /// Those that took the most time.
    pub(crate) statements: Vec<StatementStats>,
}

/// What metrics show of databases.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counted {
    pub(crate) shown: Vec<Shown>,
    pub(crate) left_out: usize,
}

/// The node's view of tenants' data.
pub(crate) struct Databases {
    directory: Arc<Directory>,
    router: Arc<Router>,
    config: Metrics,
    catalogue: Mutex<Option<Arc<Catalogue>>>,
    /// Whoever reads the catalogues has it.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// What the catalogues said, and when.
struct Catalogue {
    read_at: Instant,
    footprints: HashMap<TenantId, Footprint>,
    figures: HashMap<TenantId, Figures>,
}

impl Default for Catalogue {
    /// Nothing yet.
    fn default() -> Self {
        Self {
            read_at: Instant::now(),
            footprints: HashMap::new(),
            figures: HashMap::new(),
        }
    }
}

impl Databases {
    pub(crate) fn new(directory: Arc<Directory>, router: Arc<Router>, config: Metrics) -> Arc<Self> {
        Arc::new(Self {
            directory,
            router,
            config,
            catalogue: Mutex::default(),
            turn: Arc::default(),
        })
    }

    /// One tenant, measured now.
    pub(crate) async fn show(&self, tenant: &tenancy::Tenant) -> Result<TenantDatabase, tenancy::Error> {
        let figures = self.directory.figures(&tenant.id).await?;
        let lane = tenant.placement.as_ref().map(|placement| &placement.lane);
        let health = self.router.health().into_iter();
        let health = lane.and_then(|lane| health.into_iter().find(|health| health.lane == lane.id));
        let limit = lane.map_or(0, |lane| lane.connection_limit);
        let connections = connections(&self.router.stats(&tenant.id), health.as_ref(), limit);
        let counts = counts(&self.router.stats(&tenant.id));
        let mut statements = self.router.statements(&tenant.id);
        for hidden in statements
            .items
            .drain(STATEMENTS_SHOWN_MAX.min(statements.items.len())..)
        {
            statements.other_calls += hidden.calls;
            statements.other_total += hidden.total;
        }
        let sum = |figure: fn(&tenancy::SchemaFigures) -> u64| figures.schemas.iter().map(figure).sum::<u64>();
        let (hit, read) = (sum(|of| of.blocks_hit), sum(|of| of.blocks_read));
        Ok(TenantDatabase {
            at: Timestamp::now(),
            cluster: figures.cluster.clone(),
            size_bytes: sum(|of| of.size_bytes),
            index_bytes: sum(|of| of.index_bytes),
            exact: figures.is_exact,
            live_rows: sum(|of| of.live_rows),
            dead_rows: sum(|of| of.dead_rows),
            cache_hit_ratio: (hit + read > 0).then(|| hit as f64 / (hit + read) as f64),
            longest_transaction_ms: figures.longest_transaction.map(whole_ms),
            lock_waits: figures.lock_waits.into_iter().map(wait).collect(),
            schemas: figures.schemas.into_iter().map(schema).collect(),
            connections,
            counts,
            statements: statements.items.iter().map(statement).collect(),
            other_calls: statements.other_calls,
            other_ms: ms(statements.other_total),
        })
    }

    /// What metrics show: tenants that wait for something, then the busiest, then the largest, up to the
    /// number of the configuration. The catalogue is read at most as often as that says.
    pub(crate) async fn counted(self: &Arc<Self>) -> Counted {
        let stats: HashMap<TenantId, TenantStats> = self.router.all_stats().into_iter().collect();
        let catalogue = self.catalogue(&stats).await;
        let view = self.directory.tenants();
        let tenants = view.iter().map(|tenant| tenant.id.clone());
        let chosen = choose(tenants, &stats, &catalogue.footprints, self.config.tenants_max);
        let left_out = view.len().saturating_sub(chosen.len());
        let shown = chosen.into_iter().map(|tenant| {
            let mut statements = self.router.statements(&tenant).items;
            statements.truncate(STATEMENTS_COUNTED_MAX);
            Shown {
                footprint: catalogue.footprints.get(&tenant).copied().unwrap_or_default(),
                figures: catalogue.figures.get(&tenant).cloned(),
                stats: stats.get(&tenant).copied().unwrap_or_default(),
                statements,
                tenant,
            }
        });
        Counted {
            shown: shown.collect(),
            left_out,
        }
    }

    /// What is known; read again when that is too old. A scrape waits for it no longer than scrapers do: while a
    /// cluster does not answer, all other metrics are needed most.
    async fn catalogue(self: &Arc<Self>, stats: &HashMap<TenantId, TenantStats>) -> Arc<Catalogue> {
        let good_for = Duration::from_secs(self.config.catalogue_seconds);
        let known = self.known();
        if known.as_ref().is_some_and(|known| known.read_at.elapsed() < good_for) {
            return known.unwrap_or_default();
        }
        // Whoever comes while it is read gets what is known.
        if let Ok(turn) = self.turn.clone().try_lock_owned() {
            let (this, stats) = (self.clone(), stats.clone());
            let read = tokio::spawn(async move {
                let catalogue = Arc::new(this.read(&stats).await);
                *this.catalogue.lock().unwrap_or_else(PoisonError::into_inner) = Some(catalogue);
                drop(turn);
            });
            drop(tokio::time::timeout(SCRAPE_WAITS_MAX, read).await);
        }
        self.known().unwrap_or_default()
    }

    fn known(&self) -> Option<Arc<Catalogue>> {
        self.catalogue.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn read(&self, stats: &HashMap<TenantId, TenantStats>) -> Catalogue {
        let footprints = self.directory.footprints().await;
        let view = self.directory.tenants();
        let tenants = view.iter().map(|tenant| tenant.id.clone());
        let chosen = choose(tenants, stats, &footprints, self.config.tenants_max);
        let figures = self.directory.estimates(&chosen).await.unwrap_or_else(|error| {
            warn!("Metrics are without figures of tenants' databases: {error}");
            HashMap::new()
        });
        Catalogue {
            read_at: Instant::now(),
            footprints,
            figures,
        }
    }
}

/// The tenants that are shown.
fn choose(
    tenants: impl Iterator<Item = TenantId>,
    stats: &HashMap<TenantId, TenantStats>,
    footprints: &HashMap<TenantId, Footprint>,
    max: usize,
) -> Vec<TenantId> {
    let mut ranked: Vec<_> = tenants
        .map(|tenant| {
            let stats = stats.get(&tenant).copied().unwrap_or_default();
            let size = footprints.get(&tenant).map_or(0, |footprint| footprint.size_bytes);
            (stats.waiting, stats.statements, size, tenant)
        })
        .collect();
    ranked.sort_by(|a, b| (b.0, b.1, b.2, &a.3).cmp(&(a.0, a.1, a.2, &b.3)));
    ranked.into_iter().take(max).map(|(_, _, _, tenant)| tenant).collect()
}

fn connections(stats: &TenantStats, lane: Option<&LaneHealth>, limit: usize) -> TenantConnections {
    TenantConnections {
        in_flight: stats.in_flight as u64,
        waiting: stats.waiting as u64,
        lane_in_use: lane.map_or(0, |lane| lane.in_use as u64),
        lane_idle: lane.map_or(0, |lane| lane.idle as u64),
        lane_limit: limit as u64,
    }
}

fn counts(stats: &TenantStats) -> StatementCounts {
    StatementCounts {
        statements: stats.statements,
        failures: stats.failures,
        refused: stats.refused,
        lock_timeouts: stats.lock_timeouts,
        timeouts: stats.timeouts,
        conflicts: stats.conflicts,
    }
}

fn schema(figures: tenancy::SchemaFigures) -> SchemaState {
    SchemaState {
        state: match figures.version.cmp(&figures.head) {
            std::cmp::Ordering::Less => MigrationState::Behind,
            std::cmp::Ordering::Equal => MigrationState::Current,
            std::cmp::Ordering::Greater => MigrationState::Ahead,
        },
        service: figures.service,
        schema: figures.schema,
        size_bytes: figures.size_bytes,
        tables: figures.tables,
        indexes: figures.indexes,
        live_rows: figures.live_rows,
        dead_rows: figures.dead_rows,
        version: figures.version,
        current: figures.head,
        release: figures.release,
        migrated_at: figures.migrated_at,
    }
}

fn wait(wait: tenancy::LockWait) -> LockWait {
    LockWait {
        schema: wait.schema,
        table: wait.table,
        target: wait.target,
        mode: wait.mode,
        waited_ms: whole_ms(wait.waited),
        blockers: wait.blockers,
    }
}

fn statement(stats: &StatementStats) -> SlowStatement {
    SlowStatement {
        service: stats.service.clone(),
        fingerprint: fingerprint(stats.fingerprint),
        text: stats.shape.to_string(),
        calls: stats.calls,
        failures: stats.failures,
        total_ms: ms(stats.total),
        mean_ms: ms(stats.total) / stats.calls.max(1) as f64,
        max_ms: ms(stats.max),
    }
}

/// As `pg_query` and the metrics write it.
pub(crate) fn fingerprint(value: u64) -> String {
    format!("{value:016x}")
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_wait_come_before_the_busiest_and_those_before_the_largest_and_there_is_a_bound() {
        let ids: Vec<TenantId> = ["t_aaaaaaaa", "t_bbbbbbbb", "t_cccccccc", "t_dddddddd"]
            .iter()
            .map(|id| id.parse().unwrap())
            .collect();
        let stats = HashMap::from([
            (
                ids[1].clone(),
                TenantStats {
                    statements: 9,
                    ..TenantStats::default()
                },
            ),
            (
                ids[2].clone(),
                TenantStats {
                    waiting: 1,
                    statements: 1,
                    ..TenantStats::default()
                },
            ),
        ]);
        let footprints = HashMap::from([(ids[3].clone(), Footprint { size_bytes: 5, rows: 1 })]);
        let chosen = |max| choose(ids.iter().cloned(), &stats, &footprints, max);
        assert_eq!(chosen(10), [2, 1, 3, 0].map(|index: usize| ids[index].clone()));
        assert_eq!(chosen(2), [2, 1].map(|index: usize| ids[index].clone()));
        assert_eq!(chosen(0), []);
    }
}
