//! The log in PostgreSQL: `terrace_events.stream` and `terrace_events.log`, read by primary key.

use async_trait::async_trait;
use deadpool_postgres::Pool;
use jiff::Timestamp;
use terrace_ground_ids::TenantId;
use tokio_postgres::Row;

use crate::{Error, Event, Log, Retention, Selection, Span};

/// Streams of at most this many tenants are cleaned in one call of `retention`.
const RETENTION_TENANTS: i64 = 500;

const READ: &str = "SELECT seq, type, topic, data::text, (extract(epoch FROM at) * 1000000)::bigint \
     FROM terrace_events.log WHERE tenant_id = $1 AND seq > $2 ORDER BY seq LIMIT $3";

// One statement, one snapshot: the end of the stream and the events fit each other. On the primary
// only; a replica could show the counter before an event.
const SELECT: &str = "SELECT l.seq, l.type, l.topic, l.data::text, (extract(epoch FROM l.at) * 1000000)::bigint, s.last_seq \
     FROM terrace_events.stream s LEFT JOIN LATERAL ( \
         SELECT * FROM terrace_events.log g WHERE g.tenant_id = s.tenant_id AND g.seq > $2 AND g.type = ANY($3) ORDER BY g.seq LIMIT $4 \
     ) l ON true WHERE s.tenant_id = $1 ORDER BY l.seq";

const SPAN: &str = "SELECT first_seq, last_seq FROM terrace_events.stream WHERE tenant_id = $1";

const HEADS: &str = "SELECT tenant_id, last_seq FROM terrace_events.stream WHERE tenant_id = ANY($1)";

// For each tenant with old events: everything up to the newest old event goes, but not what a consumer
// has still to read, unless it is older than the outer limit. A prefix goes, so the rest stays dense;
// `first_seq` moves in the same statement, so a reader that asks for less is told so. A paused stream
// keeps everything: nothing is added to it, and its consumers are to find what they left.
const RETAIN: &str = "WITH old AS (
        SELECT s.tenant_id, s.first_seq,
               (SELECT min(c.seq) FROM terrace_events.cursor c WHERE c.tenant_id = s.tenant_id) AS consumed,
               (SELECT max(l.seq) FROM terrace_events.log l WHERE l.tenant_id = s.tenant_id AND l.at < now() - $1::bigint * interval '1 second') AS kept_until,
               (SELECT max(l.seq) FROM terrace_events.log l WHERE l.tenant_id = s.tenant_id AND l.at < now() - $2::bigint * interval '1 second') AS forced
        FROM terrace_events.stream s
        JOIN terrace_events.log f ON f.tenant_id = s.tenant_id AND f.seq = s.first_seq
        WHERE NOT s.paused AND f.at < now() - $1::bigint * interval '1 second'
        LIMIT $3
    ), cut AS (
        SELECT tenant_id, greatest(least(kept_until, coalesce(consumed, kept_until)), coalesce(forced, 0)) AS upto FROM old
    ), moved AS (
        UPDATE terrace_events.stream s SET first_seq = cut.upto + 1
        FROM cut WHERE s.tenant_id = cut.tenant_id AND cut.upto >= s.first_seq RETURNING s.tenant_id, cut.upto
    )
    DELETE FROM terrace_events.log l USING moved WHERE l.tenant_id = moved.tenant_id AND l.seq <= moved.upto";

/// The streams of one cluster.
#[derive(Debug, Clone)]
pub struct Postgres {
    pool: Pool,
}

impl Postgres {
    /// Reads through `pool`, whose login must be the platform's own: no tenant's role may read the log.
    pub fn new(pool: Pool) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl Log for Postgres {
    async fn read(&self, tenant: &TenantId, after: u64, limit: u32) -> Result<Vec<Event>, Error> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(READ).await?;
        let rows = client
            .query(&statement, &[&tenant.as_str(), &to_sql(after), &i64::from(limit)])
            .await?;
        let events = rows.iter().map(event).collect::<Result<Vec<_>, _>>()?;
        Ok(dense(after, events))
    }

    async fn select(&self, tenant: &TenantId, after: u64, kinds: &[String], limit: u32) -> Result<Selection, Error> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(SELECT).await?;
        let rows = client
            .query(
                &statement,
                &[&tenant.as_str(), &to_sql(after), &kinds, &i64::from(limit)],
            )
            .await?;
        let mut selection = Selection {
            events: Vec::with_capacity(rows.len()),
            upto: after,
        };
        for row in &rows {
            selection.upto = selection.upto.max(from_sql(row.try_get(5)?));
            if row.try_get::<_, Option<i64>>(0)?.is_some() {
                selection.events.push(event(row)?);
            }
        }
        if selection.events.len() >= limit as usize {
            // There may be more of them before the end.
            selection.upto = selection.events.last().map_or(after, |event| event.seq);
        }
        Ok(selection)
    }

    async fn span(&self, tenant: &TenantId) -> Result<Span, Error> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(SPAN).await?;
        let Some(row) = client.query_opt(&statement, &[&tenant.as_str()]).await? else {
            return Ok(Span { first: 1, last: 0 });
        };
        Ok(Span {
            first: from_sql(row.try_get(0)?),
            last: from_sql(row.try_get(1)?),
        })
    }

    async fn heads(&self, tenants: &[TenantId]) -> Result<Vec<(TenantId, u64)>, Error> {
        let client = self.pool.get().await?;
        let statement = client.prepare_cached(HEADS).await?;
        let ids: Vec<&str> = tenants.iter().map(TenantId::as_str).collect();
        let rows = client.query(&statement, &[&ids]).await?;
        let mut heads = Vec::with_capacity(rows.len());
        for row in &rows {
            if let Ok(tenant) = row.try_get::<_, &str>(0)?.parse() {
                heads.push((tenant, from_sql(row.try_get(1)?)));
            }
        }
        Ok(heads)
    }

    async fn retention(&self, retention: Retention) -> Result<u64, Error> {
        let seconds = |duration: std::time::Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX / 2_000_000);
        let client = self.pool.get().await?;
        let gone = client
            .execute(
                RETAIN,
                &[
                    &seconds(retention.keep()),
                    &seconds(retention.keep_unconsumed()),
                    &RETENTION_TENANTS,
                ],
            )
            .await?;
        Ok(gone)
    }
}

/// The part of `events` that follows `after` without a hole. On the primary the counter row makes
/// commit order and sequence order the same, so nothing is ever cut here; on a replica, whose
/// visibility order may differ, a reader waits instead of skipping.
fn dense(after: u64, mut events: Vec<Event>) -> Vec<Event> {
    let contiguous = events
        .iter()
        .zip(after + 1..)
        .take_while(|(event, seq)| event.seq == *seq)
        .count();
    events.truncate(contiguous);
    events
}

fn event(row: &Row) -> Result<Event, tokio_postgres::Error> {
    let at = Timestamp::from_microsecond(row.try_get(4)?).unwrap_or(Timestamp::UNIX_EPOCH);
    Ok(Event {
        seq: from_sql(row.try_get(0)?),
        kind: row.try_get(1)?,
        topic: row.try_get(2)?,
        data: row.try_get(3)?,
        time: at.to_string(),
    })
}

fn to_sql(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

fn from_sql(seq: i64) -> u64 {
    u64::try_from(seq).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_sees_n_plus_one_without_n_waits() {
        let event = |seq| Event {
            seq,
            kind: String::new(),
            topic: String::new(),
            data: String::new(),
            time: String::new(),
        };
        assert_eq!(dense(4, vec![event(5), event(6), event(8)]).len(), 2);
        assert!(dense(4, vec![event(6)]).is_empty());
    }
}
