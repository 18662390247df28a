//! The rows of the jobs. Every statement here is one short transaction.

use std::time::Duration;

use jiff::Timestamp;
use terrace_events_dispatch::{Key, LivesThere, Pool};
use tokio_postgres::types::ToSql;

use crate::{Error, Job, Scheduler};

/// Jobs that were given up are kept for whoever looks into it: so many of a (service, tenant).
const DEAD_MAX: i64 = 100;

// The stream of a tenant that is not served is paused. The tenant itself may be in another database.
const SCAN: &str = "SELECT DISTINCT j.service, j.tenant_id FROM terrace_events.job j
    JOIN terrace_events.stream s ON s.tenant_id = j.tenant_id AND NOT s.paused
    WHERE j.next_at <= now() AND j.dead_at IS NULL LIMIT 10000";

const DUE: &str = "SELECT id, name, key, payload::text, extract(epoch FROM due_at)::bigint, attempts, revision, cron
    FROM terrace_events.job WHERE tenant_id = $2 AND service = $1 AND next_at <= now() AND dead_at IS NULL
    ORDER BY next_at, id LIMIT $3";

// Whoever changes how many wait takes that row before the job's (0006_schedule.sql).
const HOLD: &str = "SELECT FROM terrace_events.pending WHERE tenant_id = $1 FOR UPDATE";
const FEWER: &str = "UPDATE terrace_events.pending SET jobs = jobs - 1 WHERE tenant_id = $1";
// A job that was replaced while it was done has another revision, and stays.
const DONE: &str = "DELETE FROM terrace_events.job WHERE id = $1 AND revision = $2 AND dead_at IS NULL";
const NEXT: &str = "UPDATE terrace_events.job
    SET due_at = to_timestamp($3::bigint), next_at = to_timestamp($3::bigint), attempts = 0, error = $4
    WHERE id = $1 AND revision = $2";
const AGAIN: &str = "UPDATE terrace_events.job
    SET attempts = $3, error = $4, next_at = now() + $5::bigint * interval '1 millisecond'
    WHERE id = $1 AND revision = $2";
const BURY: &str = "UPDATE terrace_events.job SET dead_at = now(), attempts = $3, error = $4
    WHERE id = $1 AND revision = $2 AND dead_at IS NULL";
const FORGET: &str = "DELETE FROM terrace_events.job WHERE id IN (
        SELECT id FROM terrace_events.job WHERE tenant_id = $2 AND service = $1 AND dead_at IS NOT NULL
        ORDER BY dead_at DESC, id DESC OFFSET $3)";

// A line that changed begins anew; one that is gone takes its jobs along. Only for tenants that the
// service is ready for.
const SPREAD: &str = "WITH wanted AS (
        SELECT p.tenant_id, w.service, w.name, w.cron, to_timestamp(w.due) AS due
        FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS w (service, name, cron, due)
        JOIN terrace_events.principal p ON p.service = w.service AND p.ready_at IS NOT NULL
        JOIN terrace_events.stream s ON s.tenant_id = p.tenant_id AND NOT s.paused
        -- One that is being moved here gets its jobs by the replication, which a row of ours would stop.
        WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_subscription u WHERE u.subname = 'move_' || p.tenant_id)
    ), gone AS (
        DELETE FROM terrace_events.job j WHERE j.cron IS NOT NULL AND NOT EXISTS (
            SELECT FROM unnest($1::text[], $2::text[]) AS w (service, name) WHERE w.service = j.service AND w.name = j.name)
    ) INSERT INTO terrace_events.job AS j (tenant_id, service, name, cron, due_at, next_at)
    SELECT tenant_id, service, name, cron, due, due FROM wanted
    ON CONFLICT (tenant_id, service, name) WHERE cron IS NOT NULL
    DO UPDATE SET cron = excluded.cron, due_at = excluded.due_at, next_at = excluded.next_at, attempts = 0,
        revision = j.revision + 1
    WHERE j.cron <> excluded.cron";

/// A job, and what its row needs.
pub(crate) struct Row {
    pub(crate) job: Job,
    id: i64,
    revision: i64,
    cron: Option<String>,
}

impl Scheduler {
    /// Queues every (service, tenant) that has something due.
    pub(crate) async fn scan(&self) -> Result<(), Error> {
        let mut outcome = Ok(());
        for (pool, lives_there) in self.pools.all() {
            // A cluster that is away keeps nobody else's jobs back.
            outcome = outcome.and(self.scan_one(&pool, &lives_there).await);
        }
        outcome
    }

    async fn scan_one(&self, pool: &Pool, lives_there: &LivesThere) -> Result<(), Error> {
        let client = pool.get().await?;
        let statement = client.prepare_cached(SCAN).await?;
        for row in client.query(&statement, &[]).await? {
            if let (Ok(service), Ok(tenant)) = (row.try_get::<_, &str>(0)?.parse(), row.try_get::<_, &str>(1)?.parse())
                && lives_there(&tenant)
            {
                self.ready.push((service, tenant), false);
            }
        }
        Ok(())
    }

    /// Gives every tenant the jobs of the manifests, and takes away what no manifest asks for.
    pub(crate) async fn spread(&self) -> Result<(), Error> {
        let Some(recurring) = self.recurring() else {
            return Ok(());
        };
        let now = Timestamp::now();
        let (mut services, mut names, mut crons, mut dues) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for one in &*recurring {
            let Some(due) = one.cron.after(now) else { continue };
            services.push(one.service.as_str());
            names.push(one.name.as_str());
            crons.push(one.cron.as_str());
            dues.push(due.as_second());
        }
        let mut outcome = Ok(());
        for (pool, _) in self.pools.all() {
            let spread = async {
                let client = pool.get().await?;
                client.execute(SPREAD, &[&services, &names, &crons, &dues]).await?;
                Ok(())
            };
            outcome = outcome.and(spread.await);
        }
        outcome
    }

    pub(crate) async fn due(&self, (service, tenant): &Key, quantum: u32) -> Result<Vec<Row>, Error> {
        let client = self.pools.of(tenant).get().await?;
        let statement = client.prepare_cached(DUE).await?;
        let rows = client
            .query(&statement, &[&service.as_str(), &tenant.as_str(), &i64::from(quantum)])
            .await?;
        let mut due = Vec::with_capacity(rows.len());
        for row in &rows {
            let (id, due_at, cron): (i64, i64, Option<String>) = (row.try_get(0)?, row.try_get(4)?, row.try_get(7)?);
            let revision: i64 = row.try_get(6)?;
            let tried: i32 = row.try_get(5)?;
            let job = Job {
                id: match cron {
                    Some(_) => format!("j-{id}-{due_at}"),
                    None if revision == 0 => format!("j-{id}"),
                    // One that was replaced is another job.
                    None => format!("j-{id}-{revision}"),
                },
                name: row.try_get(1)?,
                key: row.try_get(2)?,
                payload: row.try_get(3)?,
                due_at,
                attempt: u32::try_from(tried).unwrap_or(0).saturating_add(1),
            };
            due.push(Row {
                job,
                id,
                revision,
                cron,
            });
        }
        Ok(due)
    }

    /// It was done: it goes, or waits for its next moment.
    pub(crate) async fn done(&self, key: &Key, row: &Row) -> Result<(), Error> {
        match self.next_moment(row) {
            Some(next) => self.move_to(key, row, next, None).await,
            None => self.leave(key, DONE, &[&row.id, &row.revision]).await,
        }
    }

    /// It cannot be done: it is kept as dead, or waits for its next moment.
    pub(crate) async fn give_up(&self, key: &Key, row: &Row, error: &str) -> Result<(), Error> {
        let error = shorten(error);
        if let Some(next) = self.next_moment(row) {
            return self.move_to(key, row, next, Some(&error)).await;
        }
        let attempts = i32::try_from(row.job.attempt).unwrap_or(i32::MAX);
        self.leave(key, BURY, &[&row.id, &row.revision, &attempts, &error])
            .await?;
        let client = self.pools.of(&key.1).get().await?;
        client
            .execute(FORGET, &[&key.0.as_str(), &key.1.as_str(), &DEAD_MAX])
            .await?;
        Ok(())
    }

    /// It is tried again after `wait`.
    pub(crate) async fn again(
        &self,
        (_, tenant): &Key,
        row: &Row,
        counts: bool,
        error: &str,
        wait: Duration,
    ) -> Result<(), Error> {
        let attempts = row.job.attempt - u32::from(!counts);
        let attempts = i32::try_from(attempts).unwrap_or(i32::MAX);
        let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        let client = self.pools.of(tenant).get().await?;
        client
            .execute(AGAIN, &[&row.id, &row.revision, &attempts, &shorten(error), &wait_ms])
            .await?;
        Ok(())
    }

    fn next_moment(&self, row: &Row) -> Option<i64> {
        let line = row.cron.as_ref()?;
        // What lay in the past while nobody worked is done once, not once for each time it was missed.
        let cron: crate::Cron = line.parse().ok()?;
        Some(cron.after(Timestamp::now())?.as_second())
    }

    async fn move_to(&self, (_, tenant): &Key, row: &Row, next: i64, error: Option<&str>) -> Result<(), Error> {
        let client = self.pools.of(tenant).get().await?;
        client.execute(NEXT, &[&row.id, &row.revision, &next, &error]).await?;
        Ok(())
    }

    /// One job fewer waits, if the statement found it as it was.
    async fn leave(&self, (_, tenant): &Key, statement: &str, params: &[&(dyn ToSql + Sync)]) -> Result<(), Error> {
        let mut client = self.pools.of(tenant).get().await?;
        let transaction = client.transaction().await?;
        transaction.execute(HOLD, &[&tenant.as_str()]).await?;
        if transaction.execute(statement, params).await? == 1 {
            transaction.execute(FEWER, &[&tenant.as_str()]).await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

/// What a service says about its failure is of any length, and may hold what `text` cannot.
fn shorten(error: &str) -> String {
    error.chars().filter(|c| *c != '\0').take(1_000).collect()
}
