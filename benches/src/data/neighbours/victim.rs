//! The victim: a tenant whose two members read a row and write it, with a pause of a millisecond.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use deadpool_postgres::{Object, Pool};
use terrace_data_router::{Principal, Router, Value};
use terrace_data_tenancy::{Tenant, testing::principal};
use tokio::{task::JoinSet, time::timeout};

use super::super::{
    choice::{Choice, Chooser},
    samples::Samples,
    stage::{Stage, schema},
};

const CALLERS: usize = 2;
const PAUSE: Duration = Duration::from_millis(1);
/// A request that takes longer has failed.
const DEADLINE: Duration = Duration::from_secs(1);

const READ: &str = "SELECT title, created_by FROM board WHERE id = $1";
const WRITE: &str = "UPDATE board SET created_by = $2 WHERE id = $1";

/// What the victim saw. A failed request counts with the time it took.
pub(super) struct Seen {
    pub(super) samples: Samples,
    failed: usize,
    first_error: Option<String>,
}

impl Seen {
    pub(super) fn errors(&self) -> String {
        let said = self
            .first_error
            .as_ref()
            .map_or_else(String::new, |error| format!(" (`{error}`)"));
        format!("{} of {} failed{said}", self.failed, self.samples.count())
    }
}

#[derive(Clone)]
enum Way {
    Ours(Router, Principal),
    Naive(Pool, String),
}

pub(super) async fn ours(stage: &Stage, victim: &Tenant, time: Duration) -> Result<Seen> {
    let way = Way::Ours(stage.world.router.clone(), principal(&victim.id, "tasks"));
    watch(way, time).await
}

pub(super) async fn naive(pool: &Pool, victim: &Tenant, time: Duration) -> Result<Seen> {
    let open = format!(
        "BEGIN; SET LOCAL ROLE \"{}\"; SET LOCAL search_path = \"{}\"; SET LOCAL statement_timeout = 1000",
        victim.id.owner_role(),
        schema(victim)
    );
    watch(Way::Naive(pool.clone(), open), time).await
}

async fn watch(way: Way, time: Duration) -> Result<Seen> {
    let began = Instant::now();
    let until = began + time;
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let way = way.clone();
        let mut chooser = Chooser::new(Choice::Uniform, 1_000, caller as u64 + 1);
        callers.spawn(async move {
            let (mut times, mut errors) = (Vec::new(), Vec::new());
            while Instant::now() < until {
                let id = chooser.next() as i64 + 1;
                let began = Instant::now();
                let outcome = way.request(id).await;
                times.push(began.elapsed());
                errors.extend(outcome.err().map(|error| format!("{error:#}")));
                tokio::time::sleep(PAUSE).await;
            }
            (times, errors)
        });
    }
    let mut seen = Seen {
        samples: Samples::default(),
        failed: 0,
        first_error: None,
    };
    let mut all = Vec::new();
    while let Some(outcome) = callers.join_next().await {
        let (times, errors) = outcome?;
        all.extend(times);
        seen.failed += errors.len();
        seen.first_error = seen.first_error.or_else(|| errors.into_iter().next());
    }
    seen.samples.add(all, began.elapsed());
    Ok(seen)
}

impl Way {
    async fn request(&self, id: i64) -> Result<()> {
        match self {
            Self::Ours(router, principal) => {
                let mut transaction = router.begin(principal, Instant::now() + DEADLINE).await?;
                transaction.query(READ, &[Value::Integer(id)]).await?;
                let changed = [Value::Integer(id), Value::Text(id.to_string())];
                transaction.query(WRITE, &changed).await?;
                transaction.commit(&[]).await?;
                Ok(())
            }
            Self::Naive(pool, open) => timeout(DEADLINE, through_pool(pool, open, id))
                .await
                .context("no answer within a second")?,
        }
    }
}

async fn through_pool(pool: &Pool, open: &str, id: i64) -> Result<()> {
    // Whatever ends this early must not leave an open transaction to whoever is next.
    let client = Careful(Some(pool.get().await?));
    let connection = client.0.as_ref().context("a connection")?;
    connection.batch_execute(open).await?;
    let read = connection.prepare_cached(READ).await?;
    connection.query_one(&read, &[&id]).await?;
    let write = connection.prepare_cached(WRITE).await?;
    connection.execute(&write, &[&id, &id.to_string()]).await?;
    connection.batch_execute("COMMIT").await?;
    client.give_back();
    Ok(())
}

/// A connection of a pool that is closed unless it is given back.
pub(super) struct Careful(pub(super) Option<Object>);

impl Careful {
    pub(super) fn give_back(mut self) {
        self.0 = None;
    }
}

impl Drop for Careful {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(Object::take(client));
        }
    }
}
