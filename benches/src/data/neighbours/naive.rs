//! The peer: one login, one pool, `SET LOCAL ROLE` and `search_path` in each transaction, and a
//! neighbour on the same pool. Its role owns its tables, as roles of such products do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use deadpool_postgres::Pool;
use terrace_data_tenancy::Tenant;
use tokio::task::JoinSet;

use super::{
    Cast, Counts,
    cases::{CREATIONS_A_SECOND, Case, HELD, Naive},
    victim::Careful,
};
use crate::data::{
    by_hand, overhead,
    stage::{PEER, PEER_PASSWORD, Stage, schema},
};

/// As many as one of our lanes has.
pub(super) const CONNECTIONS: usize = 16;

/// Gives the neighbour's role what every role has in a database that was never hardened.
pub(super) async fn lift_hardening(stage: &Stage, neighbour: &Tenant) -> Result<()> {
    let role = neighbour.id.owner_role();
    let database = stage.connection().database;
    stage
        .admin
        .batch_execute(&format!(
            "GRANT TEMPORARY ON DATABASE \"{database}\" TO \"{role}\";
             GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint), pg_notify(text, text) TO \"{role}\""
        ))
        .await
        .context("lift the hardening for the peer")
}

/// The pool.
pub(super) fn pool(stage: &Stage) -> Result<Pool> {
    let mut config = stage.connection().client_config();
    config.user(PEER).password(PEER_PASSWORD);
    overhead::pool(config, CONNECTIONS)
}

/// Tasks that run until they are stopped.
pub(super) struct Neighbour {
    tasks: JoinSet<()>,
    stop: Arc<AtomicBool>,
}

impl Neighbour {
    pub(super) fn start(stage: &Stage, pool: &Pool, cast: &Cast, case: &Case, counts: &Arc<Counts>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        match case.naive {
            Naive::Create => {
                for _ in 0..2 {
                    let config = stage.connection().client_config();
                    tasks.spawn(create(config, Arc::clone(&stop), Arc::clone(counts)));
                }
            }
            Naive::Migrate => {
                let opens: Arc<[String]> = stage.tenants.iter().map(|tenant| open(tenant, "billing")).collect();
                let next = Arc::new(AtomicU64::new(0));
                for _ in 0..case.callers {
                    let (pool, opens) = (pool.clone(), Arc::clone(&opens));
                    tasks.spawn(migrate(pool, opens, Arc::clone(&next), Arc::clone(counts)));
                }
            }
            act => {
                for caller in 0..case.callers {
                    let open = open(&cast.stranger, "tasks");
                    tasks.spawn(run(pool.clone(), open, act, caller, Arc::clone(counts)));
                }
            }
        }
        Self { tasks, stop }
    }

    pub(super) async fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
    }
}

fn open(tenant: &Tenant, service: &str) -> String {
    let schema = schema(tenant).replace("_tasks", &format!("_{service}"));
    format!(
        "BEGIN; SET LOCAL ROLE \"{}\"; SET LOCAL search_path = \"{schema}\"",
        tenant.id.owner_role()
    )
}

async fn run(pool: Pool, open: String, act: Naive, caller: usize, counts: Arc<Counts>) {
    loop {
        let outcome = match act {
            Naive::Again(sql) => {
                let sql = sql.replace("{caller}", &caller.to_string());
                transaction(&pool, &open, &sql, Duration::ZERO, &counts).await
            }
            Naive::Hold(sql) => transaction(&pool, &open, sql, HELD, &counts).await,
            Naive::Create | Naive::Migrate => return,
        };
        failed(&counts, outcome).await;
    }
}

async fn transaction(pool: &Pool, open: &str, sql: &str, held: Duration, counts: &Counts) -> Result<()> {
    let until = Instant::now() + held;
    let client = Careful(Some(pool.get().await?));
    let connection = client.0.as_ref().context("a connection")?;
    connection.batch_execute(open).await?;
    connection.batch_execute(sql).await?;
    counts.done.fetch_add(1, Ordering::Relaxed);
    if !held.is_zero() {
        tokio::time::sleep_until(until.into()).await;
        connection.batch_execute("ROLLBACK").await?;
    } else {
        connection.batch_execute("COMMIT").await?;
    }
    client.give_back();
    Ok(())
}

/// Tenants made by hand, each role granted to the pool's login, half of the pace each.
async fn create(config: tokio_postgres::Config, stop: Arc<AtomicBool>, counts: Arc<Counts>) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let Ok((client, connection)) = config.connect(tokio_postgres::NoTls).await else {
        return;
    };
    tokio::spawn(connection);
    let mut pace = tokio::time::interval(Duration::from_secs(2) / CREATIONS_A_SECOND);
    while !stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let name = format!("by_hand_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let outcome = client.batch_execute(&by_hand::tenant(&name)).await;
        if outcome.is_ok() {
            counts.done.fetch_add(1, Ordering::Relaxed);
        } else {
            drop(client.batch_execute("ROLLBACK").await);
        }
        failed(&counts, outcome.map_err(Into::into)).await;
    }
}

async fn migrate(pool: Pool, opens: Arc<[String]>, next: Arc<AtomicU64>, counts: Arc<Counts>) {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed) as usize;
        let Some(open) = opens.get(number % opens.len().max(1)) else {
            return;
        };
        let sql = format!("ALTER TABLE meter ADD COLUMN naive_{number} text");
        let outcome = transaction(&pool, open, &sql, Duration::ZERO, &counts).await;
        failed(&counts, outcome).await;
    }
}

async fn failed(counts: &Counts, outcome: Result<()>) {
    if outcome.is_err() {
        counts.failed.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
