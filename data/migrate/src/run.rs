//! Running migrations: one schema, or thousands of them side by side.

use std::{collections::HashMap, time::Duration};

use deadpool_postgres::Pool;
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use terrace_ground_ids::TenantId;
use tokio_postgres::{Client, error::SqlState};
use tracing::{info, warn};

use crate::{Error, Migration, Migrations, flight::Flight};

/// How migrations run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Schemas that are migrated side by side. Default 4.
    pub concurrency: usize,
    /// The first so many tenants go first, alone; when one of them fails, nobody else is touched. Default 1.
    pub canaries: usize,
    /// Longest wait for a lock, in milliseconds: a queue of a tenant's requests waits behind it. Default 500.
    pub lock_timeout_ms: u64,
    /// How often a migration is tried when it cannot have its lock. Default 5.
    pub lock_attempts: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            concurrency: 4,
            canaries: 1,
            lock_timeout_ms: 500,
            lock_attempts: 5,
        }
    }
}

/// How far a run over many schemas is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Schemas that are done, failed ones included.
    pub done: usize,
    /// Schemas that failed.
    pub failed: usize,
    /// Schemas in all.
    pub total: usize,
}

/// How a run over many schemas ended.
#[derive(Debug, Default)]
pub struct Report {
    /// Schemas that this run changed.
    pub migrated: usize,
    /// Schemas that were already there.
    pub current: usize,
    /// Those that failed, and why. They are as they were before.
    pub failed: Vec<(TenantId, Error)>,
    /// Those that were not tried, because a canary failed.
    pub untouched: Vec<TenantId>,
}

impl Report {
    /// Whether every schema is where the release wants it.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.untouched.is_empty()
    }
}

/// Schemas whose ledgers are read at once.
const LEDGERS: usize = 1_000;

/// Brings the schema of one tenant to the head of `migrations`; returns how many were applied. The
/// schema and its roles must exist. Safe to call again, and from two nodes at once.
///
/// # Errors
/// [`Error::Changed`] when the ledger disagrees; [`Error::Statement`], [`Error::Locked`] when
/// PostgreSQL does. What was applied before the error stays applied.
pub async fn apply(
    client: &mut Client,
    tenant: &TenantId,
    migrations: &Migrations,
    config: &Config,
) -> Result<usize, Error> {
    let schema = tenant.schema(&migrations.service);
    let mut ledgers = ledgers(client, std::slice::from_ref(&schema)).await?;
    let missing = missing(&schema, migrations, &ledgers.remove(&schema).unwrap_or_default())?;
    if missing.is_empty() {
        return Ok(0);
    }
    let is_superuser = is_superuser(client).await?;
    all_of(client, tenant, migrations, &missing, is_superuser, config).await
}

/// Brings the schemas of many tenants to the head of `migrations`. One tenant's failure is reported
/// and does not stop the others. Killed half way, it is simply called again: whoever is there already
/// costs a line of one answer.
pub async fn apply_all(
    pool: &Pool,
    tenants: &[TenantId],
    migrations: &Migrations,
    config: &Config,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Report {
    let mut report = Report::default();
    let (canaries, rest) = tenants.split_at(config.canaries.min(tenants.len()));
    for (ring, concurrency) in [(canaries, 1), (rest, config.concurrency.max(1))] {
        if !report.failed.is_empty() && !canaries.is_empty() {
            report.untouched.extend_from_slice(ring);
            break;
        }
        for some in ring.chunks(LEDGERS) {
            let plans = plans(pool, some, migrations).await;
            let mut outcomes = stream::iter(plans)
                .map(|(tenant, plan)| async move {
                    let outcome = match plan {
                        Ok(plan) if plan.missing.is_empty() => Ok(0),
                        Ok(plan) => on_a_connection(pool, &tenant, migrations, &plan, config).await,
                        Err(error) => Err(error),
                    };
                    (tenant, outcome)
                })
                .buffer_unordered(concurrency);
            while let Some((tenant, outcome)) = outcomes.next().await {
                match outcome {
                    Ok(0) => report.current += 1,
                    Ok(_) => report.migrated += 1,
                    Err(error) => {
                        warn!(tenant.id = %tenant, service = %migrations.service, %error, "Cannot migrate a tenant's schema");
                        report.failed.push((tenant, error));
                    }
                }
                let done = report.migrated + report.current + report.failed.len();
                progress(Progress {
                    done,
                    failed: report.failed.len(),
                    total: tenants.len(),
                });
            }
        }
    }
    if report.migrated > 0 {
        info!(service = %migrations.service, "Migrated {} schemas to {}", report.migrated, migrations.head());
    }
    report
}

/// What one schema lacks.
struct Plan {
    /// Places in the list of migrations.
    missing: Vec<usize>,
    is_superuser: bool,
}

/// What each of these tenants lacks, by one question.
async fn plans(pool: &Pool, tenants: &[TenantId], migrations: &Migrations) -> Vec<(TenantId, Result<Plan, Error>)> {
    let schemas: Vec<String> = tenants
        .iter()
        .map(|tenant| tenant.schema(&migrations.service))
        .collect();
    let asked = async {
        let client = pool.get().await.map_err(|error| Error::Connect(error.to_string()))?;
        Ok::<_, Error>((ledgers(&client, &schemas).await?, is_superuser(&client).await?))
    };
    let (mut ledgers, is_superuser) = match asked.await {
        Ok(answer) => answer,
        Err(error) => {
            // Nobody was touched; the first says why, for all.
            let why = error.to_string();
            let failed = tenants
                .iter()
                .map(|tenant| (tenant.clone(), Err(Error::Connect(why.clone()))));
            return failed.collect();
        }
    };
    let plan = |(tenant, schema): (&TenantId, &String)| {
        let ledger = ledgers.remove(schema).unwrap_or_default();
        let missing = missing(schema, migrations, &ledger);
        (tenant.clone(), missing.map(|missing| Plan { missing, is_superuser }))
    };
    tenants.iter().zip(&schemas).map(plan).collect()
}

/// The ledgers of schemas, by schema and number: the hash of what was applied.
async fn ledgers(client: &Client, schemas: &[String]) -> Result<HashMap<String, HashMap<u32, String>>, Error> {
    let rows = client
        .query(
            "SELECT schema, number, sha256 FROM terrace.migration WHERE schema = ANY($1)",
            &[&schemas],
        )
        .await?;
    let mut ledgers: HashMap<String, HashMap<u32, String>> = HashMap::new();
    for row in &rows {
        let number = u32::try_from(row.try_get::<_, i32>(1)?).unwrap_or(0);
        ledgers
            .entry(row.try_get(0)?)
            .or_default()
            .insert(number, row.try_get(2)?);
    }
    Ok(ledgers)
}

fn missing(schema: &str, migrations: &Migrations, ledger: &HashMap<u32, String>) -> Result<Vec<usize>, Error> {
    let mut missing = Vec::new();
    for (at, migration) in migrations.list().iter().enumerate() {
        match ledger.get(&migration.number) {
            Some(sha256) => unchanged(schema, migration, sha256)?,
            None => missing.push(at),
        }
    }
    Ok(missing)
}

async fn is_superuser(client: &Client) -> Result<bool, Error> {
    let rows = client
        .query_typed("SELECT rolsuper FROM pg_roles WHERE rolname = current_user", &[])
        .await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

async fn on_a_connection(
    pool: &Pool,
    tenant: &TenantId,
    migrations: &Migrations,
    plan: &Plan,
    config: &Config,
) -> Result<usize, Error> {
    let mut client = pool.get().await.map_err(|error| Error::Connect(error.to_string()))?;
    all_of(
        &mut client,
        tenant,
        migrations,
        &plan.missing,
        plan.is_superuser,
        config,
    )
    .await
}

async fn all_of(
    client: &mut Client,
    tenant: &TenantId,
    migrations: &Migrations,
    missing: &[usize],
    is_superuser: bool,
    config: &Config,
) -> Result<usize, Error> {
    let mut applied = 0;
    for migration in missing.iter().filter_map(|at| migrations.list().get(*at)) {
        let flight = Flight {
            tenant,
            schema: tenant.schema(&migrations.service),
            service: &migrations.service,
            migration,
            is_superuser,
            lock_timeout_ms: config.lock_timeout_ms,
        };
        applied += usize::from(patiently(client, &flight, config).await?);
    }
    Ok(applied)
}

/// Tries one migration until its locks can be had. Giving up and asking again lets the requests that
/// queued behind the lock through.
async fn patiently(client: &mut Client, flight: &Flight<'_>, config: &Config) -> Result<bool, Error> {
    let attempts = config.lock_attempts.max(1);
    for attempt in 1..=attempts {
        match flight.fly(client).await {
            Err(Error::Statement {
                sqlstate: Some(code), ..
            }) if code == SqlState::LOCK_NOT_AVAILABLE.code() => {
                tokio::time::sleep(Duration::from_millis(config.lock_timeout_ms / 2) * attempt).await;
            }
            outcome => return outcome,
        }
    }
    Err(Error::Locked {
        schema: flight.schema.clone(),
        migration: flight.migration.name.clone(),
        attempts,
        lock_timeout_ms: config.lock_timeout_ms,
    })
}

pub(crate) fn unchanged(schema: &str, migration: &Migration, applied: &str) -> Result<(), Error> {
    if applied == migration.sha256 {
        return Ok(());
    }
    Err(Error::Changed {
        schema: schema.to_owned(),
        migration: migration.name.clone(),
        applied: applied.to_owned(),
        found: migration.sha256.clone(),
    })
}
