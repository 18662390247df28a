//! The cursor rows, and the dead letters. Every statement here is one short transaction.

use std::time::Duration;

use terrace_events_log::Event;
use terrace_ground_ids::{ServiceName, TenantId};

use crate::{Dispatcher, Error, LivesThere, Pool, ready::Key};

/// Where a consumer is in a stream.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cursor {
    /// Whether there is a row; a consumer that never had an event has none.
    pub(crate) exists: bool,
    pub(crate) seq: u64,
    pub(crate) attempts: u32,
    /// How long it still has to wait after a failure.
    pub(crate) wait: Option<Duration>,
    /// Whether the stream is on hold: its tenant is suspended, or not there yet.
    pub(crate) paused: bool,
}

/// An event that a service could not consume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Who could not.
    pub service: ServiceName,
    /// Whose event.
    pub tenant: TenantId,
    /// Which event of the tenant's stream.
    pub seq: u64,
    /// Its type.
    pub kind: String,
    /// What the last try said.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
}

// Streams that are longer than a consumer is far, for the services that the tenant has.
const SCAN: &str = "SELECT w.service, s.tenant_id FROM terrace_events.stream s
    CROSS JOIN unnest($1::text[]) AS w (service)
    JOIN terrace_events.principal p ON p.tenant_id = s.tenant_id AND p.service = w.service
    LEFT JOIN terrace_events.cursor c ON c.tenant_id = s.tenant_id AND c.service = w.service
    WHERE NOT s.paused AND s.last_seq > coalesce(c.seq, 0) AND (c.retry_at IS NULL OR c.retry_at <= now())
    LIMIT 10000";

const READ: &str = "SELECT c.seq, c.attempts, (extract(epoch FROM c.retry_at - now()) * 1000)::bigint, s.paused
    FROM terrace_events.stream s LEFT JOIN terrace_events.cursor c ON c.tenant_id = s.tenant_id AND c.service = $1 WHERE s.tenant_id = $2";

// The stream's row is looked at and held, so that no cursor is born for a tenant that is deleted.
const ADVANCE: &str = "INSERT INTO terrace_events.cursor (service, tenant_id, seq)
    SELECT $1, s.tenant_id, $3 FROM terrace_events.stream s WHERE s.tenant_id = $2 FOR KEY SHARE
    ON CONFLICT (tenant_id, service) DO UPDATE SET seq = excluded.seq, attempts = 0, retry_at = NULL, error = NULL
    WHERE cursor.seq < excluded.seq";

const FAIL: &str = "UPDATE terrace_events.cursor SET attempts = $3, error = $4, retry_at = now() + $5::bigint * interval '1 millisecond'
    WHERE tenant_id = $2 AND service = $1";

const BURY: &str =
    "INSERT INTO terrace_events.dead_letter (service, tenant_id, seq, type, topic, data, at, error, attempts)
    SELECT $1, l.tenant_id, l.seq, l.type, l.topic, l.data, l.at, $4, $5
    FROM terrace_events.log l JOIN terrace_events.stream s ON s.tenant_id = l.tenant_id
    WHERE l.tenant_id = $2 AND l.seq = $3 FOR KEY SHARE OF s
    ON CONFLICT DO NOTHING";

impl Dispatcher {
    /// Queues every (service, tenant) that is behind.
    pub(crate) async fn scan(&self) -> Result<(), Error> {
        let subscriptions = self.subscriptions();
        if subscriptions.is_empty() {
            return Ok(());
        }
        let services: Vec<&str> = subscriptions.keys().map(ServiceName::as_str).collect();
        let mut outcome = Ok(());
        for (pool, lives_there) in self.pools.all() {
            // A cluster that is away keeps nobody else's events back.
            outcome = outcome.and(self.scan_one(&pool, &lives_there, &services).await);
        }
        outcome
    }

    async fn scan_one(&self, pool: &Pool, lives_there: &LivesThere, services: &[&str]) -> Result<(), Error> {
        let client = pool.get().await?;
        let statement = client.prepare_cached(SCAN).await?;
        for row in client.query(&statement, &[&services]).await? {
            let key = (row.try_get::<_, &str>(0)?.parse(), row.try_get::<_, &str>(1)?.parse());
            if let (Ok(service), Ok(tenant)) = key
                && lives_there(&tenant)
            {
                self.ready.push((service, tenant), true);
            }
        }
        Ok(())
    }

    pub(crate) async fn cursor(&self, (service, tenant): &Key) -> Result<Cursor, Error> {
        let client = self.pools.of(tenant).get().await?;
        let statement = client.prepare_cached(READ).await?;
        let Some(row) = client
            .query_opt(&statement, &[&service.as_str(), &tenant.as_str()])
            .await?
        else {
            return Ok(Cursor::default());
        };
        let paused = row.try_get(3)?;
        let Some(seq) = row.try_get::<_, Option<i64>>(0)? else {
            return Ok(Cursor {
                paused,
                ..Cursor::default()
            });
        };
        let wait: Option<i64> = row.try_get(2)?;
        Ok(Cursor {
            exists: true,
            seq: u64::try_from(seq).unwrap_or(0),
            attempts: u32::try_from(row.try_get::<_, i32>(1)?).unwrap_or(0),
            wait: wait
                .and_then(|ms| u64::try_from(ms).ok())
                .filter(|ms| *ms > 0)
                .map(Duration::from_millis),
            paused,
        })
    }

    /// Puts the cursor at `seq`, unless it is there or further: the service may have done it itself.
    pub(crate) async fn advance(&self, (service, tenant): &Key, seq: u64) -> Result<(), Error> {
        let client = self.pools.of(tenant).get().await?;
        let statement = client.prepare_cached(ADVANCE).await?;
        client
            .execute(&statement, &[&service.as_str(), &tenant.as_str(), &to_sql(seq)])
            .await?;
        Ok(())
    }

    /// Records a failure and when to try again.
    pub(crate) async fn fail(
        &self,
        (service, tenant): &Key,
        attempts: u32,
        error: &str,
        wait: Duration,
    ) -> Result<(), Error> {
        let client = self.pools.of(tenant).get().await?;
        let attempts = i32::try_from(attempts).unwrap_or(i32::MAX);
        let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        client
            .execute(
                FAIL,
                &[
                    &service.as_str(),
                    &tenant.as_str(),
                    &attempts,
                    &shorten(error),
                    &wait_ms,
                ],
            )
            .await?;
        Ok(())
    }

    /// Makes an event a dead letter and goes on behind it, in one transaction.
    pub(crate) async fn bury(&self, key: &Key, event: &Event, attempts: u32, error: &str) -> Result<(), Error> {
        let (service, tenant) = key;
        let mut client = self.pools.of(tenant).get().await?;
        let transaction = client.transaction().await?;
        let attempts = i32::try_from(attempts).unwrap_or(i32::MAX);
        transaction
            .execute(
                BURY,
                &[
                    &service.as_str(),
                    &tenant.as_str(),
                    &to_sql(event.seq),
                    &shorten(error),
                    &attempts,
                ],
            )
            .await?;
        transaction
            .execute(ADVANCE, &[&service.as_str(), &tenant.as_str(), &to_sql(event.seq)])
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The newest dead letters, at most `limit`; of one tenant, or of all.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn dead_letters(&self, tenant: Option<&TenantId>, limit: u32) -> Result<Vec<DeadLetter>, Error> {
        let mut rows = Vec::new();
        for (pool, lives_there) in self.pools.all() {
            let client = pool.get().await?;
            let found = client
                .query(
                    "SELECT service, tenant_id, seq, type, error, attempts, died_at::text FROM terrace_events.dead_letter
                     WHERE $1::text IS NULL OR tenant_id = $1 ORDER BY died_at DESC LIMIT $2",
                    &[&tenant.map(TenantId::as_str), &i64::from(limit)],
                )
                .await?;
            rows.extend(found.into_iter().filter(|row| {
                let tenant = row.try_get::<_, &str>(1).ok().and_then(|id| id.parse().ok());
                tenant.is_some_and(|tenant| lives_there(&tenant))
            }));
        }
        rows.sort_by_cached_key(|row| std::cmp::Reverse(row.try_get::<_, String>(6).unwrap_or_default()));
        rows.truncate(limit as usize);
        let mut letters = Vec::with_capacity(rows.len());
        for row in &rows {
            if let (Ok(service), Ok(tenant)) = (row.try_get::<_, &str>(0)?.parse(), row.try_get::<_, &str>(1)?.parse())
            {
                letters.push(DeadLetter {
                    service,
                    tenant,
                    seq: u64::try_from(row.try_get::<_, i64>(2)?).unwrap_or(0),
                    kind: row.try_get(3)?,
                    error: row.try_get(4)?,
                    attempts: u32::try_from(row.try_get::<_, i32>(5)?).unwrap_or(0),
                });
            }
        }
        Ok(letters)
    }
}

fn to_sql(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

/// What a service says about its failure is of any length, and may hold what `text` cannot.
fn shorten(error: &str) -> String {
    error.chars().filter(|c| *c != '\0').take(1_000).collect()
}
