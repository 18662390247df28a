//! What tenants used of services: written by nodes every few seconds, kept by hour, and told to each
//! tenant's stream when the hour is over.

use jiff::Timestamp;
use terrace_ground_ids::{ServiceName, TenantId};
use tokio_postgres::Row;

use crate::{Directory, Error, view::parsed};

/// Rows in one answer.
pub const USAGE_ROWS_MAX: i64 = 10_000;

/// What one tenant used of one service, over some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The tenant. It may be gone by now.
    pub tenant: TenantId,
    /// The service.
    pub service: ServiceName,
    /// The amounts.
    pub amounts: Amounts,
}

/// Sums over requests, except for the peak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Requests.
    pub requests: i64,
    /// Those that trapped or passed a limit.
    pub failures: i64,
    /// Processor time, in microseconds.
    pub cpu_us: i64,
    /// Time from start to end, in microseconds.
    pub wall_us: i64,
    /// The most memory that one request had, in bytes.
    pub memory_peak_bytes: i64,
    /// Time that was waited for the database, in microseconds.
    pub sql_us: i64,
    /// Statements.
    pub statements: i64,
    /// Bytes to other hosts.
    pub sent_bytes: i64,
    /// Bytes from other hosts.
    pub received_bytes: i64,
}

/// The usage of one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourUsage {
    /// When the hour began; of a sum over several, the first.
    pub hour: Timestamp,
    /// Whose, of what, and how much.
    pub usage: Usage,
}

/// Which usage.
#[derive(Debug, Clone, Default)]
pub struct UsageFilter {
    /// Only this tenant's.
    pub tenant: Option<TenantId>,
    /// Only of this service.
    pub service: Option<ServiceName>,
    /// Hours that begin at this time or later.
    pub from: Timestamp,
    /// Hours that begin before this time.
    pub until: Timestamp,
    /// One row for each hour, instead of one for the whole time.
    pub is_hourly: bool,
}

const SUMS: &str = "sum(requests)::bigint, sum(failures)::bigint, sum(cpu_us)::bigint, sum(wall_us)::bigint, max(memory_peak_bytes), sum(sql_us)::bigint, sum(statements)::bigint, sum(sent_bytes)::bigint, sum(received_bytes)::bigint";

impl Directory {
    /// Adds to the hour that it is now. All or nothing: after an error the caller still has them. What is
    /// of nobody's (a release is asked once before its first tenant) is dropped; a tenant that was deleted
    /// still pays for its last seconds.
    ///
    /// Rows are locked in one order, and nobody locks them for longer than this statement: nodes that
    /// write at the same time wait for each other, tenants never do.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn add_usage(&self, usages: &[Usage]) -> Result<(), Error> {
        if usages.is_empty() {
            return Ok(());
        }
        let mut sorted: Vec<&Usage> = usages.iter().collect();
        sorted.sort_by(|a, b| (&a.tenant, &a.service).cmp(&(&b.tenant, &b.service)));
        let tenants: Vec<&str> = sorted.iter().map(|one| one.tenant.as_str()).collect();
        let services: Vec<&str> = sorted.iter().map(|one| one.service.as_str()).collect();
        let column =
            |amount: fn(&Amounts) -> i64| -> Vec<i64> { sorted.iter().map(|one| amount(&one.amounts)).collect() };
        let client = self.pool.get().await?;
        client
            .execute(
                "INSERT INTO terrace.usage AS u (tenant, hour, service, requests, failures, cpu_us, wall_us, memory_peak_bytes, sql_us, statements, sent_bytes, received_bytes)
                 SELECT t, date_trunc('hour', now(), 'UTC'), s, r, f, c, w, m, q, n, o, i
                 FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[])
                     AS each (t, s, r, f, c, w, m, q, n, o, i)
                 WHERE EXISTS (SELECT FROM terrace.tenant WHERE id = t) OR EXISTS (SELECT FROM terrace.tombstone WHERE tenant = t)
                 ON CONFLICT (tenant, hour, service) DO UPDATE SET
                     requests = u.requests + excluded.requests, failures = u.failures + excluded.failures,
                     cpu_us = u.cpu_us + excluded.cpu_us, wall_us = u.wall_us + excluded.wall_us,
                     memory_peak_bytes = greatest(u.memory_peak_bytes, excluded.memory_peak_bytes),
                     sql_us = u.sql_us + excluded.sql_us, statements = u.statements + excluded.statements,
                     sent_bytes = u.sent_bytes + excluded.sent_bytes, received_bytes = u.received_bytes + excluded.received_bytes",
                &[
                    &tenants,
                    &services,
                    &column(|of| of.requests),
                    &column(|of| of.failures),
                    &column(|of| of.cpu_us),
                    &column(|of| of.wall_us),
                    &column(|of| of.memory_peak_bytes),
                    &column(|of| of.sql_us),
                    &column(|of| of.statements),
                    &column(|of| of.sent_bytes),
                    &column(|of| of.received_bytes),
                ],
            )
            .await?;
        Ok(())
    }

    /// What was used: by tenant and service, and by hour if asked. The most processor time first; with
    /// hours, the newest first.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn usage(&self, filter: &UsageFilter) -> Result<Vec<HourUsage>, Error> {
        let client = self.pool.get().await?;
        let tenant = filter.tenant.as_ref().map(TenantId::as_str);
        let service = filter.service.as_ref().map(ServiceName::as_str);
        let (group, order) = if filter.is_hourly {
            ("tenant, service, hour", "min(hour) DESC, sum(cpu_us) DESC")
        } else {
            ("tenant, service", "sum(cpu_us) DESC")
        };
        let rows = client
            .query(
                &format!(
                    "SELECT tenant, service, (extract(epoch FROM min(hour)) * 1000000)::bigint, {SUMS} FROM terrace.usage
                     WHERE hour >= to_timestamp($1::double precision) AND hour < to_timestamp($2::double precision)
                       AND ($3::text IS NULL OR tenant = $3) AND ($4::text IS NULL OR service = $4)
                     GROUP BY {group} ORDER BY {order}, tenant, service LIMIT {USAGE_ROWS_MAX}"
                ),
                &[
                    &seconds(filter.from),
                    &seconds(filter.until),
                    &tenant,
                    &service,
                ],
            )
            .await?;
        rows.iter().map(read).collect()
    }

    /// Tells one tenant's stream of its hours that are over: one event `terrace.usage.recorded` for each
    /// hour and service, in the transaction that marks them as told, so each is told once. The tenant
    /// and the number of its newest event; none when nobody waits.
    ///
    /// One tenant at a time, because an event takes the counter of its tenant's stream: no tenant waits
    /// for another's.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn publish_usage(&self) -> Result<Option<(TenantId, u64)>, Error> {
        let client = self.pool.get().await?;
        // An hour ends for everybody one minute after its end: no statement takes that long. A tenant that
        // lives on another cluster is told when it lives here: one statement cannot be in two databases.
        let row = client
            .query_opt(
                "WITH due AS (
                     SELECT u.tenant FROM terrace.usage u JOIN terrace_events.stream s ON s.tenant_id = u.tenant
                     JOIN terrace.tenant t ON t.id = u.tenant JOIN terrace.lane l ON l.id = t.lane AND l.cluster = $1
                     WHERE u.published_at IS NULL AND u.hour < date_trunc('hour', now() - interval '1 minute', 'UTC')
                     ORDER BY u.hour LIMIT 1 FOR UPDATE OF s SKIP LOCKED
                 ), told AS (
                     UPDATE terrace.usage u SET published_at = now() FROM due
                     WHERE u.tenant = due.tenant AND u.published_at IS NULL
                       AND u.hour < date_trunc('hour', now() - interval '1 minute', 'UTC')
                     RETURNING u.*
                 ), moved AS (
                     UPDATE terrace_events.stream s SET last_seq = s.last_seq + (SELECT count(*) FROM told)
                     FROM due WHERE s.tenant_id = due.tenant RETURNING s.tenant_id, s.last_seq
                 ), said AS (
                     INSERT INTO terrace_events.log (tenant_id, seq, type, topic, data, at)
                     SELECT m.tenant_id, m.last_seq - count(*) OVER () + row_number() OVER (ORDER BY t.hour, t.service),
                            'terrace.usage.recorded', 'service/' || t.service,
                            jsonb_build_object('service', t.service, 'hour', t.hour, 'requests', t.requests, 'failures', t.failures,
                                'cpu_us', t.cpu_us, 'wall_us', t.wall_us, 'memory_peak_bytes', t.memory_peak_bytes, 'sql_us', t.sql_us,
                                'statements', t.statements, 'sent_bytes', t.sent_bytes, 'received_bytes', t.received_bytes),
                            clock_timestamp()
                     FROM told t CROSS JOIN moved m
                 )
                 SELECT tenant_id, last_seq FROM moved",
                &[&self.config.cluster.as_str()],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let seq: i64 = row.try_get(1)?;
        Ok(Some((parsed(&row, 0, "tenant")?, u64::try_from(seq).unwrap_or(0))))
    }

    /// Removes hours older than `days`. How many rows went.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn forget_usage(&self, days: u32) -> Result<u64, Error> {
        let client = self.pool.get().await?;
        // A tenant that is gone has no stream to be told by.
        client
            .execute(
                "UPDATE terrace.usage u SET published_at = now() WHERE published_at IS NULL AND hour < now() - interval '1 day'
                 AND NOT EXISTS (SELECT FROM terrace.tenant t WHERE t.id = u.tenant)",
                &[],
            )
            .await?;
        let days = i32::try_from(days).unwrap_or(i32::MAX);
        Ok(client
            .execute(
                "DELETE FROM terrace.usage WHERE hour < now() - make_interval(days => $1)",
                &[&days],
            )
            .await?)
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

fn read(row: &Row) -> Result<HourUsage, Error> {
    let amount = |at: usize| row.try_get::<_, i64>(at);
    Ok(HourUsage {
        hour: Timestamp::from_microsecond(amount(2)?).unwrap_or_default(),
        usage: Usage {
            tenant: parsed(row, 0, "tenant")?,
            service: parsed(row, 1, "service")?,
            amounts: Amounts {
                requests: amount(3)?,
                failures: amount(4)?,
                cpu_us: amount(5)?,
                wall_us: amount(6)?,
                memory_peak_bytes: amount(7)?,
                sql_us: amount(8)?,
                statements: amount(9)?,
                sent_bytes: amount(10)?,
                received_bytes: amount(11)?,
            },
        },
    })
}
