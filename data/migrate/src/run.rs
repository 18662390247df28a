//! Running migrations: one schema, or thousands of them side by side.

use std::{collections::HashMap, time::Duration};

use deadpool_postgres::Pool;
use futures_util::{StreamExt, future, stream};
use serde::Deserialize;
use terrace_ground_ids::TenantId;
use tokio_postgres::{Client, Row, Transaction, error::SqlState};
use tracing::{info, warn};

use crate::{Error, Migration, Migrations};

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
    let ledger: HashMap<u32, String> = client
        .query(
            "SELECT number, sha256 FROM terrace.migration WHERE schema = $1",
            &[&schema],
        )
        .await?
        .iter()
        .map(|row| Ok((number(row)?, row.try_get(1)?)))
        .collect::<Result<_, tokio_postgres::Error>>()?;
    let mut applied = 0;
    for migration in migrations.list() {
        match ledger.get(&migration.number) {
            Some(sha256) => unchanged(&schema, migration, sha256)?,
            None => applied += usize::from(patiently(client, tenant, migrations, migration, config).await?),
        }
    }
    Ok(applied)
}

/// Brings the schemas of many tenants to the head of `migrations`. One tenant's failure is reported
/// and does not stop the others. Killed half way, it is simply called again.
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
        let mut outcomes = stream::iter(ring.to_vec())
            .map(|tenant| async move {
                let outcome = on_a_connection(pool, &tenant, migrations, config).await;
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
    if report.migrated > 0 {
        info!(service = %migrations.service, "Migrated {} schemas to {}", report.migrated, migrations.head());
    }
    report
}

async fn on_a_connection(
    pool: &Pool,
    tenant: &TenantId,
    migrations: &Migrations,
    config: &Config,
) -> Result<usize, Error> {
    let mut client = pool.get().await.map_err(|error| Error::Connect(error.to_string()))?;
    apply(&mut client, tenant, migrations, config).await
}

/// Tries one migration until its locks can be had. Giving up and asking again lets the requests that
/// queued behind the lock through.
async fn patiently(
    client: &mut Client,
    tenant: &TenantId,
    migrations: &Migrations,
    migration: &Migration,
    config: &Config,
) -> Result<bool, Error> {
    let attempts = config.lock_attempts.max(1);
    for attempt in 1..=attempts {
        match once(client, tenant, migrations, migration, config).await {
            Err(Error::Statement {
                sqlstate: Some(code), ..
            }) if code == SqlState::LOCK_NOT_AVAILABLE.code() => {
                tokio::time::sleep(Duration::from_millis(config.lock_timeout_ms / 2) * attempt).await;
            }
            outcome => return outcome,
        }
    }
    Err(Error::Locked {
        schema: tenant.schema(&migrations.service),
        migration: migration.name.clone(),
        attempts,
        lock_timeout_ms: config.lock_timeout_ms,
    })
}

/// One migration in one transaction. `false`: another runner has applied it meanwhile.
async fn once(
    client: &mut Client,
    tenant: &TenantId,
    migrations: &Migrations,
    migration: &Migration,
    config: &Config,
) -> Result<bool, Error> {
    let (schema, owner) = (tenant.schema(&migrations.service), tenant.owner_role());
    let number = i32::try_from(migration.number).unwrap_or(i32::MAX);
    let transaction = client.transaction().await?;
    // Two runners meet here; the second waits for the first and then finds its row.
    transaction
        .query_typed(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
            &[(&schema, tokio_postgres::types::Type::TEXT)],
        )
        .await?;
    let there = transaction
        .query_opt(
            "SELECT number, sha256 FROM terrace.migration WHERE schema = $1 AND number = $2",
            &[&schema, &number],
        )
        .await?;
    if let Some(row) = there {
        unchanged(&schema, migration, row.try_get(1)?)?;
        return Ok(false);
    }
    // A login that is no superuser is the owner's member while it migrates, and no longer.
    let is_superuser: bool = transaction
        .query_typed("SELECT rolsuper FROM pg_roles WHERE rolname = current_user", &[])
        .await?
        .first()
        .is_some_and(|row| row.get(0));
    // Ids are safe in a name: their alphabet has no quote (ground/ids).
    let grant = if is_superuser {
        String::new()
    } else {
        format!("GRANT \"{owner}\" TO CURRENT_USER;")
    };
    transaction
        .batch_execute(&format!(
            "{grant} SET LOCAL lock_timeout = {}; SET LOCAL search_path = \"{schema}\"; SET LOCAL ROLE \"{owner}\"",
            config.lock_timeout_ms
        ))
        .await?;
    statements(&transaction, &schema, migration).await?;
    // The second fence: had a statement changed the role, nothing that it did may stay.
    let row = transaction
        .query_typed(
            "SELECT current_user = $1",
            &[(&owner, tokio_postgres::types::Type::TEXT)],
        )
        .await?;
    if !row.first().is_some_and(|row| row.get::<_, bool>(0)) {
        return Err(Error::Escaped {
            schema,
            migration: migration.name.clone(),
            role: owner,
        });
    }
    let revoke = if is_superuser {
        String::new()
    } else {
        format!("; REVOKE \"{owner}\" FROM CURRENT_USER")
    };
    transaction
        .batch_execute(&format!("SET LOCAL ROLE NONE{revoke}"))
        .await?;
    transaction
        .execute(
            "INSERT INTO terrace.migration (schema, service, number, name, sha256) VALUES ($1, $2, $3, $4, $5)",
            &[
                &schema,
                &migrations.service.as_str(),
                &number,
                &migration.name,
                &migration.sha256,
            ],
        )
        .await?;
    transaction.commit().await?;
    Ok(true)
}

/// The statements in order, each in an extended-protocol message of its own (so that none can hold
/// two), all on their way before the first is answered. After a failure the server refuses the rest
/// of the transaction, so the first error is the true one.
async fn statements(transaction: &Transaction<'_>, schema: &str, migration: &Migration) -> Result<(), Error> {
    let bound: Vec<String> = migration
        .statements
        .iter()
        .map(|statement| statement.bind(schema))
        .collect();
    let outcomes = future::join_all(bound.iter().map(|sql| transaction.query_typed(sql, &[]))).await;
    for (index, outcome) in outcomes.into_iter().enumerate() {
        if let Err(error) = outcome {
            return Err(match error.as_db_error() {
                None => Error::Ledger(error),
                Some(refused) => Error::Statement {
                    schema: schema.to_owned(),
                    migration: migration.name.clone(),
                    statement: index + 1,
                    message: refused.message().to_owned(),
                    sqlstate: Some(refused.code().code().to_owned()),
                },
            });
        }
    }
    Ok(())
}

fn unchanged(schema: &str, migration: &Migration, applied: &str) -> Result<(), Error> {
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

fn number(row: &Row) -> Result<u32, tokio_postgres::Error> {
    Ok(u32::try_from(row.try_get::<_, i32>(0)?).unwrap_or(0))
}
