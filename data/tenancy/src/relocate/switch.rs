//! The switch: the tenant is held, what it did last comes through, and the directory changes.

use std::{
    fmt::Write as _,
    time::{Duration, Instant, SystemTime},
};

use deadpool_postgres::{ClientWrapper, Object};
use serde_json::json;
use terrace_ground_ids::LaneId;
use tokio::time::{sleep, timeout};
use tokio_postgres::GenericClient;
use tracing::{info, warn};

use super::Ends;
use crate::{Directory, Error, Step, lane, lifecycle::Operation, schemas};

/// Between two tries to switch.
const TRY_EVERY: Duration = Duration::from_millis(250);
/// How often it is tried before the operation is put down for a while.
const TRIES: u32 = 20;

impl Directory {
    /// Tries to switch until it is quick enough.
    pub(super) async fn switch_over(&self, operation: &Operation, ends: &Ends) -> Result<Option<Step>, Error> {
        // After a crash in the middle of a switch, the tenant waits for this.
        ends.release().await?;
        let (lag_max, hold_max) = (
            Duration::from_millis(self.config.move_lag_max_ms),
            Duration::from_millis(self.config.move_pause_max_ms),
        );
        let mut why = String::new();
        for attempt in 1..=TRIES {
            if !ends.is_alike().await? {
                return self.start_over(operation, ends).await;
            }
            let lag = ends.lag().await?;
            if lag > lag_max {
                why = format!("the replication was {} ms behind", lag.as_millis());
                sleep(TRY_EVERY).await;
                continue;
            }
            let held = Held(Object::take(ends.source.get().await?));
            let begun = Instant::now();
            match ends.hold(&held, hold_max).await {
                Ok(()) => return self.go_there(operation, ends, attempt, begun).await,
                Err(Error::Lag(message)) => why = message,
                Err(error) => {
                    if let Err(stuck) = ends.release().await {
                        warn!(tenant.id = %ends.tenant, error = %stuck, "Cannot let a tenant go on where it is; trying again");
                    }
                    return Err(error);
                }
            }
            // Given back before the stream is let go of: whoever has waited finds everything as it was.
            ends.release().await?;
            drop(held);
            sleep(TRY_EVERY).await;
        }
        Err(Error::Lag(format!(
            "the tenant could not be switched in {TRIES} tries: {why}"
        )))
    }

    /// From the directory's commit on, the tenant lives at the target. Whether it came to that is the
    /// directory's word alone: were the source let go on after a commit whose answer got lost, the tenant
    /// would be written to at both ends.
    async fn go_there(
        &self,
        operation: &Operation,
        ends: &Ends,
        attempt: u32,
        begun: Instant,
    ) -> Result<Option<Step>, Error> {
        if let Err(error) = self.record_switch(operation, ends).await
            && !self.has_switched(operation).await?
        {
            ends.release().await?;
            return Err(error);
        }
        let refreshed = self.refresh().await;
        let pause = begun.elapsed();
        info!(tenant.id = %ends.tenant, "Switched a tenant to {} in {} ms", ends.input.to, pause.as_millis());
        refreshed?;
        let micros = i64::try_from(pause.as_micros()).unwrap_or(i64::MAX);
        let client = self.pool.get().await?;
        client
            .execute(
                "UPDATE terrace.lifecycle SET evidence = evidence || jsonb_build_object('tries', $2::integer, 'pause_ms', $3::bigint / 1000.0) WHERE id = $1",
                &[&operation.id, &i32::try_from(attempt).unwrap_or(i32::MAX), &micros],
            )
            .await?;
        Ok(Some(Step::Switched))
    }

    pub(super) async fn record_switch(&self, operation: &Operation, ends: &Ends) -> Result<(), Error> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        operation.record(&transaction, Step::Switched, &json!({})).await?;
        transaction
            .execute(
                "UPDATE terrace.tenant SET lane = $2, version = terrace.bump() WHERE id = $1",
                &[&ends.tenant.as_str(), &ends.input.to_lane.as_str()],
            )
            .await?;
        Ok(transaction.commit().await?)
    }

    async fn has_switched(&self, operation: &Operation) -> Result<bool, Error> {
        let client = self.pool.get().await?;
        // Behind a commit that is still under way: it has this row.
        let row = client
            .query_one(
                "SELECT step FROM terrace.lifecycle WHERE id = $1 FOR UPDATE",
                &[&operation.id],
            )
            .await?;
        Ok(row.try_get::<_, &str>(0)? == Step::Switched.as_str())
    }
}

/// A connection to the source with the tenant's stream and schemas locked. The locks end with it.
struct Held(ClientWrapper);

impl Ends {
    /// From here on nobody acts for the tenant at the source, and everything that was done there is at the
    /// target. The caller ends it, one way or the other.
    ///
    /// Only the waiting is cut off by the clock. A REVOKE that is dropped half way might be done after the
    /// GRANT that was to undo it.
    async fn hold(&self, held: &Held, at_most: Duration) -> Result<(), Error> {
        let fenced = self.fence().await?;
        match timeout(at_most, self.drain(held, fenced)).await {
            Ok(drained) => drained?,
            Err(_) => {
                return Err(Error::Lag(format!(
                    "requests would have had to wait for more than {} ms",
                    at_most.as_millis()
                )));
            }
        }
        self.stop_following().await?;
        self.copy_sequences().await
    }

    /// Takes the tenant from its lane; returns when, by the server's clock.
    async fn fence(&self) -> Result<SystemTime, Error> {
        self.revoke(&self.input.from_lane).await?;
        let source = self.source.get().await?;
        Ok(source.query_one("SELECT clock_timestamp()", &[]).await?.try_get(0)?)
    }

    /// From here on this lane may not act for the tenant at the source. What runs goes on to its end.
    pub(super) async fn revoke(&self, from: &LaneId) -> Result<(), Error> {
        let source = self.source.get().await?;
        let login = lane::login(from);
        let revoke: String = self
            .roles(&**source)
            .await?
            .iter()
            .map(|role| format!("REVOKE \"{role}\" FROM \"{login}\";"))
            .collect();
        // That it is not granted is a warning, and no error.
        source
            .batch_execute(&format!(
                "SET client_min_messages = error; {revoke} RESET client_min_messages"
            ))
            .await?;
        Ok(())
    }

    /// Waits for those who had begun before, and for all that they did to come to the target.
    async fn drain(&self, held: &Held, fenced: SystemTime) -> Result<(), Error> {
        let source = self.source.get().await?;
        let login = lane::login(&self.input.from_lane);
        // Whoever took the role before that may still write. A transaction of this lane that has
        // touched other tenants' tables only is theirs.
        let busy = "SELECT count(*) FROM pg_stat_activity a WHERE a.usename = $1 AND a.datname = current_database() AND a.xact_start <= $2
            AND (EXISTS (SELECT FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
                         WHERE l.pid = a.pid AND starts_with(n.nspname, $3))
                 OR NOT EXISTS (SELECT FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
                                WHERE l.pid = a.pid AND starts_with(n.nspname, 't_')))";
        let prefix = format!("{}_", self.tenant);
        while source
            .query_one(busy, &[&login, &fenced, &prefix])
            .await?
            .try_get::<_, i64>(0)?
            > 0
        {
            sleep(Duration::from_millis(1)).await;
        }
        drop(source);
        // What the platform itself says in the tenant's stream (its usage) waits, too, and so does whoever
        // would change its schemas: building takes the lock of the tenant, migrating that of the schema.
        held.0
            .batch_execute(&format!(
                "BEGIN; SELECT FROM terrace_events.stream WHERE tenant_id = '{tenant}' FOR UPDATE;
                 SELECT pg_advisory_xact_lock(hashtextextended('{tenant}', 2));
                 SELECT pg_advisory_xact_lock(hashtextextended(role, 0)) FROM terrace_events.principal WHERE tenant_id = '{tenant}'",
                tenant = self.tenant
            ))
            .await?;
        if !self.is_alike().await? {
            return Err(Error::Lag("a release has changed its schemas meanwhile".to_owned()));
        }
        let number = self.put_mark().await?;
        self.see_mark(number).await
    }

    /// What the platform itself writes to the source from now on (cursors, by a node that does not know
    /// yet) must not come through any more.
    async fn stop_following(&self) -> Result<(), Error> {
        let target = self.target.get().await?;
        target
            .batch_execute(&format!("ALTER SUBSCRIPTION \"{}\" DISABLE", self.name))
            .await?;
        let end =
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_subscription WHERE subname = $1 AND pid IS NOT NULL";
        while target.query_one(end, &[&self.name]).await?.try_get::<_, i64>(0)? > 0 {
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Sequences are not replicated. The commit also makes durable what the replication has written,
    /// which commits without waiting for the disk.
    async fn copy_sequences(&self) -> Result<(), Error> {
        let source = self.source.get().await?;
        let names = source
            .query(
                "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE starts_with(n.nspname, $1) AND c.relkind = 'S' ORDER BY 1",
                &[&format!("{}_", self.tenant)],
            )
            .await?;
        let mut ask = String::new();
        for row in &names {
            let name: &str = row.try_get(0)?;
            let union = if ask.is_empty() { "" } else { " UNION ALL " };
            let _ = write!(
                ask,
                "{union}SELECT '{}', last_value, is_called FROM {name}",
                name.replace('\'', "''")
            );
        }
        let mut sql = String::new();
        if !ask.is_empty() {
            for row in source.query(&ask, &[]).await? {
                let (name, value, called): (&str, i64, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
                let _ = write!(
                    sql,
                    "SELECT pg_catalog.setval('{}', {value}, {called});",
                    name.replace('\'', "''")
                );
            }
        }
        drop(source);
        let mut target = self.target.get().await?;
        let transaction = target.transaction().await?;
        transaction.batch_execute("SET LOCAL synchronous_commit = on").await?;
        transaction.batch_execute(&sql).await?;
        transaction
            .execute(
                "UPDATE terrace_events.mark SET number = number WHERE tenant_id = $1",
                &[&self.tenant.as_str()],
            )
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Lets a lane act for the tenant at the source.
    pub(super) async fn grant(&self, to: &LaneId) -> Result<(), Error> {
        let mut source = self.source.get().await?;
        let transaction = source.transaction().await?;
        let options = schemas::member_options(&transaction).await?;
        let login = lane::login(to);
        let grant: String = self
            .roles(&*transaction)
            .await?
            .iter()
            .map(|role| format!("GRANT \"{role}\" TO \"{login}\"{options};"))
            .collect();
        // That it is granted already is a notice, and no error.
        transaction
            .batch_execute(&format!("SET LOCAL client_min_messages = error; {grant}"))
            .await?;
        Ok(transaction.commit().await?)
    }

    /// The tenant goes on at the source, and the target goes on following it.
    pub(super) async fn release(&self) -> Result<(), Error> {
        self.grant(&self.input.from_lane).await?;
        let target = self.target.get().await?;
        let off = "SELECT FROM pg_subscription WHERE subname = $1 AND NOT subenabled";
        if target.query_opt(off, &[&self.name]).await?.is_some() {
            target
                .batch_execute(&format!("ALTER SUBSCRIPTION \"{}\" ENABLE", self.name))
                .await?;
        }
        Ok(())
    }

    async fn roles(&self, client: &impl GenericClient) -> Result<Vec<String>, Error> {
        let rows = client
            .query(
                "SELECT role FROM terrace_events.principal WHERE tenant_id = $1 ORDER BY role",
                &[&self.tenant.as_str()],
            )
            .await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }
}
