//! What an operator sees of tenants' data: sizes, rows, cache hits, lock waits and migrations, read from
//! the catalogue of the cluster where each tenant lives.
//!
//! The control API asks for one tenant, the metrics for some, and for the footprint of all. Each question
//! is one read-only transaction with a time limit. It reads no row of a tenant and no text of a statement,
//! so no value of anybody's is in an answer; and it waits for nobody: only the exact sizes of one tenant
//! open its tables, for a moment and in the weakest mode, and where one is locked they are estimated.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use jiff::Timestamp;
use terrace_ground_ids::{ClusterName, ReleaseId, ServiceName, TenantId};
use tokio_postgres::{Client, Transaction, error::SqlState};
use tracing::warn;

use crate::{Directory, Error, View};

/// Most waits for locks in one answer.
const LOCK_WAITS_MAX: i64 = 50;

/// For one tenant's answer. An operator waits for it.
const LIMITS: &str = "SET LOCAL statement_timeout = '3s'; SET LOCAL lock_timeout = '100ms'";
/// For the footprint of all. Nobody waits for it; at 10,000 tenants the catalogue has a million rows.
const LIMITS_OF_ALL: &str = "SET LOCAL statement_timeout = '30s'; SET LOCAL lock_timeout = '100ms'";

/// One tenant's data, at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// The cluster that was asked.
    pub cluster: ClusterName,
    /// By service; one without a schema yet has zeros.
    pub schemas: Vec<SchemaFigures>,
    /// Whether sizes were measured; otherwise they are of the last VACUUM or ANALYZE of each table.
    pub is_exact: bool,
    /// What waits for a lock on its tables, the longest wait first; at most 50.
    pub lock_waits: Vec<LockWait>,
    /// How long the oldest transaction that has touched its tables is open; `None` without one, and where
    /// the server does not tell the platform's login.
    pub longest_transaction: Option<Duration>,
}

/// One service's schema.
#[derive(Debug, Clone, PartialEq)]
pub struct SchemaFigures {
    /// The service.
    pub service: ServiceName,
    /// Its name in the database.
    pub schema: String,
    /// Tables, indexes, sequences and what is stored out of line.
    pub size_bytes: u64,
    /// Of those, indexes.
    pub index_bytes: u64,
    /// Tables.
    pub tables: u64,
    /// Indexes.
    pub indexes: u64,
    /// Rows, as PostgreSQL's statistics estimate them.
    pub live_rows: u64,
    /// Rows that are deleted or replaced and not vacuumed yet, estimated alike.
    pub dead_rows: u64,
    /// Blocks that were found in PostgreSQL's memory since its statistics began.
    pub blocks_hit: u64,
    /// Blocks that it had to ask the operating system for.
    pub blocks_read: u64,
    /// The last migration that was applied; 0 for none.
    pub version: u32,
    /// When it was applied.
    pub migrated_at: Option<Timestamp>,
    /// The last migration of the release that serves this tenant.
    pub head: u32,
    /// That release.
    pub release: ReleaseId,
}

/// Somebody who waits for a lock now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockWait {
    /// The schema's name.
    pub schema: String,
    /// The table that is waited for, or that the waiting transaction has touched.
    pub table: String,
    /// PostgreSQL's word for what is locked: `relation`, `tuple`, `transactionid` (a row that another
    /// transaction has changed).
    pub target: String,
    /// PostgreSQL's word for the lock that is wanted: `AccessShareLock`.
    pub mode: String,
    /// For how long.
    pub waited: Duration,
    /// How many others it waits for.
    pub blockers: u32,
}

/// How large a tenant is, as of the last VACUUM or ANALYZE of each of its tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Tables, indexes and what is stored out of line.
    pub size_bytes: u64,
    /// Rows.
    pub rows: u64,
}

/// Counted by schema. `{size}` and `{indexes}` are filled in.
const SCHEMAS: &str = "SELECT n.nspname::text,
    count(*) FILTER (WHERE c.relkind IN ('r', 'p')), count(*) FILTER (WHERE c.relkind IN ('i', 'I')),
    coalesce({size}, 0)::bigint, coalesce({indexes}, 0)::bigint,
    coalesce(sum(CASE WHEN pg_stat_get_live_tuples(c.oid) + pg_stat_get_dead_tuples(c.oid) + pg_stat_get_mod_since_analyze(c.oid) = 0
        THEN greatest(c.reltuples, 0)::bigint ELSE pg_stat_get_live_tuples(c.oid) END) FILTER (WHERE c.relkind IN ('r', 'm')), 0)::bigint,
    coalesce(sum(pg_stat_get_dead_tuples(c.oid)) FILTER (WHERE c.relkind IN ('r', 'm')), 0)::bigint,
    coalesce(sum(pg_stat_get_blocks_hit(c.oid) + coalesce(pg_stat_get_blocks_hit(t.oid), 0)), 0)::bigint,
    coalesce(sum(pg_stat_get_blocks_fetched(c.oid) + coalesce(pg_stat_get_blocks_fetched(t.oid), 0)), 0)::bigint
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
    WHERE n.nspname = ANY($1) AND c.relkind IN ('r', 'p', 'm', 'i', 'I', 'S') GROUP BY 1";

/// The files' sizes: of its own relations only.
const MEASURED: [&str; 2] = [
    "sum(pg_total_relation_size(c.oid)) FILTER (WHERE c.relkind IN ('r', 'm', 'S'))",
    "sum(pg_indexes_size(c.oid)) FILTER (WHERE c.relkind IN ('r', 'm'))",
];
/// What the catalogue remembers: no file is looked at and nothing is opened.
const ESTIMATED: [&str; 2] = [
    "sum(c.relpages + coalesce(t.relpages, 0)) * current_setting('block_size')::bigint",
    "sum(c.relpages) FILTER (WHERE c.relkind = 'i') * current_setting('block_size')::bigint",
];

const LEDGER: &str = "SELECT DISTINCT ON (schema) schema, number, (extract(epoch FROM applied_at) * 1000000)::bigint
    FROM terrace.migration WHERE schema = ANY($1) ORDER BY schema, number DESC";

/// A transaction that waits for another one's row waits for no relation: then the table of the tuple that
/// it has queued for, or else one that it has touched, tells whose it is.
const LOCK_WAITS: &str = "WITH l AS MATERIALIZED (SELECT * FROM pg_locks),
    w AS (SELECT DISTINCT ON (w.pid) w.pid, n.nspname::text AS schema, c.relname::text AS table, w.locktype, w.mode,
            (extract(epoch FROM clock_timestamp() - w.waitstart) * 1000)::bigint AS waited
        FROM l w JOIN l h ON h.pid = w.pid JOIN pg_class c ON c.oid = h.relation JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE NOT w.granted AND h.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND c.relkind IN ('r', 'p', 'm') AND n.nspname = ANY($1)
        ORDER BY w.pid, h.granted, h.locktype = 'tuple' DESC, c.relname)
    SELECT schema, \"table\", locktype, mode, coalesce(waited, 0), coalesce(cardinality(pg_blocking_pids(pid)), 0)
    FROM w ORDER BY waited DESC NULLS LAST LIMIT $2";

const LONGEST: &str =
    "SELECT n.nspname::text, (extract(epoch FROM clock_timestamp() - min(a.xact_start)) * 1000)::bigint
    FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND n.nspname = ANY($1) AND l.pid <> pg_backend_pid() AND a.xact_start IS NOT NULL GROUP BY 1";

const FOOTPRINTS: &str = "SELECT split_part(n.nspname::text, '_', 2),
    (sum(c.relpages::bigint + coalesce(t.relpages, 0)) * current_setting('block_size')::bigint)::bigint,
    coalesce(sum(greatest(c.reltuples, 0)) FILTER (WHERE c.relkind IN ('r', 'm')), 0)::bigint
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
    WHERE n.nspname LIKE 't\\_%' AND c.relkind IN ('r', 'm', 'i') GROUP BY 1";

impl Directory {
    /// One tenant, with its sizes measured.
    ///
    /// # Errors
    /// [`Error::Unknown`]; when the tenant's cluster is away, or does not answer in time.
    pub async fn figures(&self, tenant: &TenantId) -> Result<Figures, Error> {
        let view = self.tenants();
        if view.by_id(tenant).is_none() {
            return Err(Error::unknown("tenant", tenant));
        }
        let cluster = self.home_cluster(tenant);
        let wanted = self.wanted(&view, tenant).await?;
        let mut client = self.cluster_pool(&cluster)?.get().await?;
        let answer = match read(&mut client, &names(&wanted), &MEASURED).await {
            // Somebody has locked a table, a migration for example: then the sizes are estimates.
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                let mut answer = read(&mut client, &names(&wanted), &ESTIMATED).await?;
                answer.is_exact = false;
                answer
            }
            answer => answer?,
        };
        Ok(answer.of(&cluster, wanted))
    }

    /// Some tenants, with estimated sizes: no file is looked at. Tenants of a cluster that does not answer
    /// are not in the answer.
    ///
    /// # Errors
    /// When the directory is away.
    pub async fn estimates(&self, tenants: &[TenantId]) -> Result<HashMap<TenantId, Figures>, Error> {
        let view = self.tenants();
        let mut homes: BTreeMap<ClusterName, Vec<(TenantId, Vec<SchemaFigures>)>> = BTreeMap::new();
        for tenant in tenants {
            let wanted = self.wanted(&view, tenant).await?;
            let home = homes.entry(self.home_cluster(tenant)).or_default();
            home.push((tenant.clone(), wanted));
        }
        let mut figures = HashMap::new();
        for (cluster, tenants) in homes {
            let schemas: Vec<String> = tenants.iter().flat_map(|(_, wanted)| names(wanted)).collect();
            let answer = async {
                let mut client = self.cluster_pool(&cluster)?.get().await?;
                Ok::<_, Error>(read(&mut client, &schemas, &ESTIMATED).await?)
            };
            match answer.await {
                Ok(answer) => {
                    for (tenant, wanted) in tenants {
                        figures.insert(tenant, answer.of(&cluster, wanted));
                    }
                }
                Err(error) => warn!(cluster.name = %cluster, "Cannot read figures of tenants on {cluster}: {error}"),
            }
        }
        Ok(figures)
    }

    /// How large every tenant is, in one pass over the catalogue of each cluster: it looks at no file and
    /// locks nothing. Tenants of a cluster that does not answer are not in the answer.
    pub async fn footprints(&self) -> HashMap<TenantId, Footprint> {
        let view = self.tenants();
        let mut footprints = HashMap::new();
        for (cluster, pool) in self.homes() {
            let rows = async {
                let mut client = pool.get().await?;
                let transaction = begin(&mut client, LIMITS_OF_ALL).await?;
                Ok::<_, Error>(transaction.query(FOOTPRINTS, &[]).await?)
            };
            let rows = match rows.await {
                Ok(rows) => rows,
                Err(error) => {
                    warn!(cluster.name = %cluster, "Cannot read how large tenants on {cluster} are: {error}");
                    continue;
                }
            };
            for row in rows {
                let Ok((name, size, count)) = three(&row) else { continue };
                let Ok(tenant) = format!("t_{name}").parse::<TenantId>() else {
                    continue;
                };
                // Spares are nobody's; and while a tenant is being moved, it is in two places.
                if view.by_id(&tenant).is_some() && self.home_cluster(&tenant) == cluster {
                    let footprint = Footprint {
                        size_bytes: positive(size),
                        rows: positive(count),
                    };
                    footprints.insert(tenant, footprint);
                }
            }
        }
        footprints
    }

    /// A place for each schema that the tenant is to have, with the migration that it should be at.
    async fn wanted(&self, view: &View, tenant: &TenantId) -> Result<Vec<SchemaFigures>, Error> {
        let mut wanted = Vec::new();
        for service in view.services() {
            let canary = service.canary.as_ref().filter(|canary| canary.tenants.contains(tenant));
            let Some(release) = canary.map(|canary| &canary.release).or(service.current.as_ref()) else {
                continue;
            };
            wanted.push(SchemaFigures {
                schema: tenant.schema(&service.name),
                service: service.name.clone(),
                head: self.migrations_of(release).await?.head(),
                release: release.clone(),
                size_bytes: 0,
                index_bytes: 0,
                tables: 0,
                indexes: 0,
                live_rows: 0,
                dead_rows: 0,
                blocks_hit: 0,
                blocks_read: 0,
                version: 0,
                migrated_at: None,
            });
        }
        Ok(wanted)
    }
}

/// What a cluster said, by schema.
struct Answer {
    is_exact: bool,
    /// Tables, indexes, bytes, bytes of indexes, live and dead rows, blocks hit, blocks fetched.
    schemas: HashMap<String, [u64; 8]>,
    ledger: HashMap<String, (u32, Option<Timestamp>)>,
    lock_waits: Vec<LockWait>,
    longest: HashMap<String, Duration>,
}

impl Answer {
    /// The part about one tenant.
    fn of(&self, cluster: &ClusterName, mut schemas: Vec<SchemaFigures>) -> Figures {
        for schema in &mut schemas {
            if let Some([tables, indexes, size, index_size, live, dead, hit, fetched]) =
                self.schemas.get(&schema.schema).copied()
            {
                (schema.tables, schema.indexes) = (tables, indexes);
                (schema.size_bytes, schema.index_bytes) = (size, index_size);
                (schema.live_rows, schema.dead_rows) = (live, dead);
                (schema.blocks_hit, schema.blocks_read) = (hit, fetched.saturating_sub(hit));
            }
            if let Some((version, at)) = self.ledger.get(&schema.schema) {
                (schema.version, schema.migrated_at) = (*version, *at);
            }
        }
        let is_own = |name: &str| schemas.iter().any(|schema| schema.schema == name);
        let waits = self.lock_waits.iter().filter(|wait| is_own(&wait.schema));
        let longest = self.longest.iter().filter(|(name, _)| is_own(name));
        Figures {
            cluster: cluster.clone(),
            is_exact: self.is_exact,
            lock_waits: waits.cloned().collect(),
            longest_transaction: longest.map(|(_, open)| *open).max(),
            schemas,
        }
    }
}

fn names(wanted: &[SchemaFigures]) -> Vec<String> {
    wanted.iter().map(|schema| schema.schema.clone()).collect()
}

async fn begin<'a>(client: &'a mut Client, limits: &str) -> Result<Transaction<'a>, tokio_postgres::Error> {
    let transaction = client.build_transaction().read_only(true).start().await?;
    transaction.batch_execute(limits).await?;
    Ok(transaction)
}

async fn read(client: &mut Client, schemas: &[String], sizes: &[&str; 2]) -> Result<Answer, tokio_postgres::Error> {
    let transaction = begin(client, LIMITS).await?;
    let [size, indexes] = sizes;
    let counted = SCHEMAS.replace("{size}", size).replace("{indexes}", indexes);
    let mut answer = Answer {
        is_exact: sizes == &MEASURED,
        schemas: HashMap::new(),
        ledger: HashMap::new(),
        lock_waits: Vec::new(),
        longest: HashMap::new(),
    };
    // Waits first: what the other questions do must not be among them.
    for row in transaction.query(LOCK_WAITS, &[&schemas, &LOCK_WAITS_MAX]).await? {
        answer.lock_waits.push(LockWait {
            schema: row.try_get(0)?,
            table: row.try_get(1)?,
            target: row.try_get(2)?,
            mode: row.try_get(3)?,
            waited: Duration::from_millis(positive(row.try_get(4)?)),
            blockers: u32::try_from(row.try_get::<_, i32>(5)?).unwrap_or(0),
        });
    }
    for row in transaction.query(LONGEST, &[&schemas]).await? {
        let open = row.try_get::<_, Option<i64>>(1)?.unwrap_or_default();
        answer
            .longest
            .insert(row.try_get(0)?, Duration::from_millis(positive(open)));
    }
    for row in transaction.query(LEDGER, &[&schemas]).await? {
        let version = u32::try_from(row.try_get::<_, i32>(1)?).unwrap_or(0);
        let at = Timestamp::from_microsecond(row.try_get(2)?).ok();
        answer.ledger.insert(row.try_get(0)?, (version, at));
    }
    for row in transaction.query(&counted, &[&schemas]).await? {
        let mut figures = [0; 8];
        for (index, figure) in figures.iter_mut().enumerate() {
            *figure = positive(row.try_get(index + 1)?);
        }
        answer.schemas.insert(row.try_get(0)?, figures);
    }
    transaction.commit().await?;
    Ok(answer)
}

fn three(row: &tokio_postgres::Row) -> Result<(String, i64, i64), tokio_postgres::Error> {
    Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
}

fn positive(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
