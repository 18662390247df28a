//! Moving a tenant to another cluster while it is in use: prepared, followed, copied, switched, parted, moved.
//!
//! PostgreSQL's own logical replication copies the tenant's tables under a snapshot and then follows them,
//! with a publication of these tables and of this tenant's rows of the streams. It goes on without us, and
//! knows after a crash of either server how far it is (docs/decisions/0012).
//!
//! The switch is the only moment in which the tenant waits. Its lane loses the right to act for it, so that
//! no node can write whatever it remembers of the directory; PostgreSQL refuses the role, and the router
//! takes that as the sign to wait and to look again. What was running ends, a last mark goes through the
//! replication behind everything else, and when it comes out at the other end the directory is switched.
//! When that takes too long the right is given back, and it is tried later.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use deadpool_postgres::{ClientWrapper, Object, Pool};
use serde::{Deserialize, Serialize};
use serde_json::json;
use terrace_data_router::Address;
use terrace_ground_ids::{ClusterName, LaneId, ServiceName, TenantId};
use tokio::time::{sleep, timeout};
use tokio_postgres::GenericClient;
use tracing::{info, warn};

use crate::{
    Directory, Error, Kind, Step,
    archive::quoted,
    change::settled,
    create::{current, lane_of},
    homes, lane,
    lifecycle::{Asked, Operation, detached},
    schemas, shape, view,
};

/// Between two looks at the first copy.
const COPY_EVERY: Duration = Duration::from_millis(50);
/// How long the first copy is watched; then the operation is taken up again by itself, and goes on watching.
const COPY_MAX: Duration = Duration::from_secs(600);
/// Between two tries to switch.
const TRY_EVERY: Duration = Duration::from_millis(250);
/// How often it is tried before the operation is put down for a while.
const TRIES: u32 = 20;
/// How long a mark is waited for outside of a switch.
const MARK_MAX: Duration = Duration::from_secs(60);

/// What a move must know after a crash.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Input {
    from: ClusterName,
    to: ClusterName,
    from_lane: LaneId,
    to_lane: LaneId,
}

/// Both ends of a move.
struct Ends {
    tenant: TenantId,
    /// The publication, the subscription and the slot.
    name: String,
    source: Pool,
    target: Pool,
    input: Input,
}

impl Directory {
    /// Moves a tenant to another cluster while it is in use. Returns when it lives there and nothing of it
    /// is left where it was. To where it is already: nothing is done.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Running`]; [`Error::Invalid`] when it cannot be moved there or from
    /// where it is: nothing was begun. [`Error::Lag`] when the clusters' replication never was close enough
    /// to switch: it is tried again by itself, and the tenant is served where it was.
    pub async fn move_tenant(self: &Arc<Self>, tenant: &TenantId, to: &ClusterName, actor: &str) -> Result<(), Error> {
        let (directory, tenant, to, actor) = (self.clone(), tenant.clone(), to.clone(), actor.to_owned());
        detached(async move {
            let begin = directory.begin_move(&tenant, &to, &actor);
            directory.operate(&tenant, begin).await
        })
        .await
    }

    /// Gives up a move that has not switched yet: the tenant stays where it is, and what was copied goes.
    ///
    /// # Errors
    /// [`Error::Invalid`] when none runs, or it has switched; [`Error::Running`] when a node is at it.
    pub async fn cancel_move(self: &Arc<Self>, tenant: &TenantId) -> Result<(), Error> {
        let (directory, tenant) = (self.clone(), tenant.clone());
        detached(async move {
            let work = async {
                let operation = directory.running(&tenant).await?;
                let Some(operation) = operation.filter(|operation| operation.kind == Kind::Move) else {
                    return Err(Error::Invalid("the tenant is not being moved".to_owned()));
                };
                if !operation.step.is_before_switch() {
                    return Err(Error::Invalid(
                        "the tenant lives on its new cluster already; move it back instead".to_owned(),
                    ));
                }
                let client = directory.pool.get().await?;
                client
                    .execute(
                        "UPDATE terrace.lifecycle SET state = 'cancelled', error = 'an operator gave it up', finished_at = clock_timestamp() WHERE id = $1",
                        &[&operation.id],
                    )
                    .await?;
                drop(client);
                directory.clean_moves(&tenant).await
            };
            directory.holding_tenant(&tenant, work).await
        })
        .await
    }

    async fn begin_move(&self, tenant: &TenantId, to: &ClusterName, actor: &str) -> Result<Option<Operation>, Error> {
        self.refresh().await?;
        self.clean_moves(tenant).await?;
        let from = self.cluster_of(tenant).await?;
        let view = self.tenants();
        let target = view.cluster(to).ok_or_else(|| Error::unknown("cluster", to))?;
        if from == *to {
            return Ok(None);
        }
        if target.draining {
            return Err(Error::Invalid(format!(
                "the cluster `{to}` is being drained; `terrace cluster open {to}` lets it take tenants"
            )));
        }
        let level: String = {
            let source = self.known_cluster_pool(&from).await?.get().await?;
            source
                .query_one("SELECT current_setting('wal_level')", &[])
                .await?
                .try_get(0)?
        };
        if level != "logical" {
            return Err(Error::Invalid(format!(
                "the cluster `{from}` runs with wal_level = {level}; set it to `logical` and restart that PostgreSQL, so that a tenant can be followed away from it"
            )));
        }
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        settled(&transaction, tenant).await?;
        let restoring = transaction
            .query_opt(
                "SELECT FROM terrace.lifecycle WHERE kind = 'restore' AND state = 'running' AND input ->> 'of' = $1",
                &[&tenant.as_str()],
            )
            .await?;
        if restoring.is_some() {
            return Err(Error::Invalid(
                "the tenant is being restored; move it when that is done".to_owned(),
            ));
        }
        let input = Input {
            from,
            to: to.clone(),
            from_lane: lane_of(&*transaction, tenant).await?,
            to_lane: lane::seat(&transaction, self, to).await?,
        };
        let asked = Asked::by(
            actor,
            serde_json::to_value(&input).map_err(|error| Error::corrupt("input of a move", error))?,
        );
        let operation = Operation::begin(&transaction, tenant, Kind::Move, Step::Chosen, asked).await?;
        operation
            .note(&transaction, &json!({"from": input.from, "to": input.to}))
            .await?;
        transaction.execute("SELECT terrace.bump()", &[]).await?;
        transaction.commit().await?;
        info!(tenant.id = %tenant, "Began to move a tenant to {to}");
        Ok(Some(operation))
    }

    /// Does what follows the last step; `None` at the end.
    pub(crate) async fn move_step(&self, operation: &Operation) -> Result<Option<Step>, Error> {
        if operation.step == Step::Moved {
            return Ok(None);
        }
        let ends = self.ends(operation).await?;
        match operation.step {
            Step::Chosen => self.prepare_target(operation, &ends).await,
            Step::Prepared => self.follow_source(operation, &ends).await,
            Step::Followed => self.watch_copy(operation, &ends).await,
            Step::Copied => self.switch_over(operation, &ends).await,
            Step::Switched => self.part(operation, &ends).await,
            Step::Parted => self.leave_source(operation, &ends).await,
            _ => Ok(None),
        }
    }

    async fn ends(&self, operation: &Operation) -> Result<Ends, Error> {
        let input: Input = serde_json::from_value(operation.input.clone())
            .map_err(|error| Error::corrupt("input of a move", error))?;
        Ok(Ends {
            tenant: operation.tenant.clone(),
            name: format!("move_{}", operation.tenant),
            source: self.known_cluster_pool(&input.from).await?,
            target: self.known_cluster_pool(&input.to).await?,
            input,
        })
    }

    /// The same schemas, roles and tables at the target, without a row in them.
    async fn prepare_target(&self, operation: &Operation, ends: &Ends) -> Result<Option<Step>, Error> {
        let tenant = &ends.tenant;
        let services: Vec<ServiceName> = {
            let source = ends.source.get().await?;
            let rows = source
                .query(
                    "SELECT service FROM terrace_events.principal WHERE tenant_id = $1 ORDER BY service",
                    &[&tenant.as_str()],
                )
                .await?;
            rows.iter()
                .map(|row| view::parsed(row, 0, "service name"))
                .collect::<Result<_, _>>()?
        };
        let mut target = ends.target.get().await?;
        let transaction = target.transaction().await?;
        schemas::build(&transaction, tenant, &ends.input.to_lane, &services).await?;
        transaction.commit().await?;
        let releases = current(&**self.pool.get().await?).await?;
        for (_, release) in releases.iter().filter(|(service, _)| services.contains(service)) {
            let migrations = self.migrations_of(release).await?;
            terrace_data_migrate::apply(&mut target, tenant, &migrations, &self.config.migrate).await?;
        }
        let (here, there) = (
            ledger(&**ends.source.get().await?, tenant).await?,
            ledger(&**target, tenant).await?,
        );
        if here != there {
            return Err(Error::Invalid(
                "its schemas are at other migrations than the releases that are served, as after going back to an older release; activate the newest one first".to_owned(),
            ));
        }
        let transaction = target.transaction().await?;
        let mut tables = Vec::new();
        for service in &services {
            let schema = tenant.schema(service);
            for table in shape::tables(&transaction, &schema).await? {
                tables.push(format!("{}.{}", quoted(&schema), quoted(&table.name)));
            }
        }
        if !tables.is_empty() {
            schemas::become_owner(&transaction, tenant).await?;
            transaction
                .batch_execute(&format!("TRUNCATE {}", tables.join(", ")))
                .await?;
            schemas::become_self(&transaction, tenant).await?;
        }
        forget_streams(&*transaction, tenant).await?;
        transaction
            .execute(
                "UPDATE terrace_events.principal SET ready_at = now() WHERE tenant_id = $1",
                &[&tenant.as_str()],
            )
            .await?;
        transaction.commit().await?;
        self.mark(operation, Step::Prepared).await
    }

    /// The publication here and the subscription there; its first copy begins.
    async fn follow_source(&self, operation: &Operation, ends: &Ends) -> Result<Option<Step>, Error> {
        let (tenant, name) = (&ends.tenant, &ends.name);
        let target = Object::take(ends.target.get().await?);
        let there = "SELECT FROM pg_subscription WHERE subname = $1";
        if target.query_opt(there, &[name]).await?.is_none() {
            let mut source = ends.source.get().await?;
            drop_slot(&**source, name).await?;
            let transaction = source.transaction().await?;
            transaction
                .execute(
                    "INSERT INTO terrace_events.mark (tenant_id, number) VALUES ($1, 0) ON CONFLICT DO NOTHING",
                    &[&tenant.as_str()],
                )
                .await?;
            let mut published: Vec<String> = ["log", "stream", "cursor", "dead_letter", "mark"]
                .map(|table| format!("terrace_events.{table} WHERE (tenant_id = '{tenant}')"))
                .to_vec();
            let rows = transaction
                .query(
                    "SELECT format('%I.%I', n.nspname, c.relname), EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)
                     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE starts_with(n.nspname, $1) AND c.relkind = 'r' ORDER BY 1",
                    &[&format!("{tenant}_")],
                )
                .await?;
            let mut identities = String::new();
            for row in &rows {
                let (table, has_key): (String, bool) = (row.try_get(0)?, row.try_get(1)?);
                if !has_key {
                    // Otherwise its rows could not be changed any more, once it is published.
                    let _ = write!(identities, "ALTER TABLE {table} REPLICA IDENTITY FULL;");
                }
                published.push(table);
            }
            transaction
                .batch_execute(&format!(
                    "SET LOCAL lock_timeout = '1s'; SET LOCAL client_min_messages = error; {identities}
                     DROP PUBLICATION IF EXISTS \"{name}\"; CREATE PUBLICATION \"{name}\" FOR TABLE {}",
                    published.join(", ")
                ))
                .await?;
            transaction.commit().await?;
            let conninfo = self.conninfo(&ends.input.from)?.replace('\'', "''");
            target
                .batch_execute(&format!(
                    "CREATE SUBSCRIPTION \"{name}\" CONNECTION '{conninfo}' PUBLICATION \"{name}\" WITH (slot_name = '{name}')"
                ))
                .await?;
        }
        self.mark(operation, Step::Followed).await
    }

    async fn watch_copy(&self, operation: &Operation, ends: &Ends) -> Result<Option<Step>, Error> {
        let until = Instant::now() + COPY_MAX;
        let copying = "SELECT count(*) FROM pg_subscription_rel r JOIN pg_subscription s ON s.oid = r.srsubid WHERE s.subname = $1 AND r.srsubstate <> 'r'";
        loop {
            let open: i64 = {
                let target = ends.target.get().await?;
                target.query_one(copying, &[&ends.name]).await?.try_get(0)?
            };
            if open == 0 {
                return self.mark(operation, Step::Copied).await;
            }
            if Instant::now() >= until {
                return Err(Error::Lag(format!(
                    "{open} tables are still being copied after {} minutes; it goes on",
                    COPY_MAX.as_secs() / 60
                )));
            }
            // What is copied becomes part of what is followed when the log goes on, so let it go on.
            ends.put_mark().await?;
            sleep(COPY_EVERY).await;
        }
    }

    /// Tries to switch until it is quick enough.
    async fn switch_over(&self, operation: &Operation, ends: &Ends) -> Result<Option<Step>, Error> {
        // After a crash in the middle of a switch, the tenant waits for this.
        ends.release().await?;
        let (lag_max, hold_max) = (
            Duration::from_millis(self.config.move_lag_max_ms),
            Duration::from_millis(self.config.move_pause_max_ms),
        );
        let mut why = String::new();
        for attempt in 1..=TRIES {
            let lag = ends.lag().await?;
            if lag > lag_max {
                why = format!("the replication was {} ms behind", lag.as_millis());
                sleep(TRY_EVERY).await;
                continue;
            }
            let begun = Instant::now();
            let outcome = match ends.hold(hold_max).await {
                Ok(held) => {
                    let outcome = self.record_switch(operation, ends, attempt, begun).await;
                    drop(held);
                    outcome
                }
                Err(error) => Err(error),
            };
            match outcome {
                Ok(pause) => {
                    info!(tenant.id = %ends.tenant, "Switched a tenant to {} in {} ms", ends.input.to, pause.as_millis());
                    return Ok(Some(Step::Switched));
                }
                Err(Error::Lag(message)) => {
                    ends.release().await?;
                    why = message;
                    sleep(TRY_EVERY).await;
                }
                Err(error) => {
                    if let Err(stuck) = ends.release().await {
                        warn!(tenant.id = %ends.tenant, error = %stuck, "Cannot let a tenant go on where it is; trying again");
                    }
                    return Err(error);
                }
            }
        }
        Err(Error::Lag(format!(
            "the tenant could not be switched in {TRIES} tries: {why}"
        )))
    }

    async fn record_switch(
        &self,
        operation: &Operation,
        ends: &Ends,
        attempt: u32,
        begun: Instant,
    ) -> Result<Duration, Error> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        operation.record(&transaction, Step::Switched, &json!({})).await?;
        transaction
            .execute(
                "UPDATE terrace.tenant SET lane = $2, version = terrace.bump() WHERE id = $1",
                &[&ends.tenant.as_str(), &ends.input.to_lane.as_str()],
            )
            .await?;
        transaction.commit().await?;
        drop(client);
        self.refresh().await?;
        let pause = begun.elapsed();
        let micros = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
        let client = self.pool.get().await?;
        client
            .execute(
                "UPDATE terrace.lifecycle SET evidence = evidence || jsonb_build_object('tries', $2::integer, 'pause_ms', $3::bigint / 1000.0) WHERE id = $1",
                &[
                    &operation.id,
                    &i32::try_from(attempt).unwrap_or(i32::MAX),
                    &i64::try_from(micros).unwrap_or(i64::MAX),
                ],
            )
            .await?;
        Ok(pause)
    }

    /// The target follows the source no more. Only then may anything be removed there.
    async fn part(&self, operation: &Operation, ends: &Ends) -> Result<Option<Step>, Error> {
        ends.unsubscribe().await?;
        self.mark(operation, Step::Parted).await
    }

    async fn leave_source(&self, operation: &Operation, ends: &Ends) -> Result<Option<Step>, Error> {
        ends.unpublish().await?;
        let removed = remove_from(&ends.source, &ends.tenant).await?;
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        transaction
            .execute(
                "UPDATE terrace.lane SET tenants = tenants - 1 WHERE id = $1",
                &[&ends.input.from_lane.as_str()],
            )
            .await?;
        let evidence = json!({"rows": removed.rows, "bytes": removed.bytes});
        operation.record(&transaction, Step::Moved, &evidence).await?;
        operation.end(&transaction).await?;
        transaction.commit().await?;
        drop(client);
        let target = ends.target.get().await?;
        target
            .execute(
                "DELETE FROM terrace_events.mark WHERE tenant_id = $1",
                &[&ends.tenant.as_str()],
            )
            .await?;
        info!(tenant.id = %ends.tenant, "Moved a tenant to {}", ends.input.to);
        Ok(Some(Step::Moved))
    }

    /// Removes what moves of a tenant that were given up have left: by an operator, or because the tenant
    /// is deleted.
    pub(crate) async fn clean_moves(&self, tenant: &TenantId) -> Result<(), Error> {
        let rows = {
            let client = self.pool.get().await?;
            client
                .query(
                    "SELECT id, step, input::text FROM terrace.lifecycle WHERE tenant = $1 AND kind = 'move' AND state = 'cancelled'
                       AND input IS NOT NULL AND NOT evidence ? 'cleaned' ORDER BY id",
                    &[&tenant.as_str()],
                )
                .await?
        };
        for row in &rows {
            let (id, step, input): (i64, &str, &str) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let input: Input = serde_json::from_str(input).map_err(|error| Error::corrupt("input of a move", error))?;
            let step = Step::parse(step).ok_or_else(|| Error::corrupt("step", step))?;
            let ends = Ends {
                tenant: tenant.clone(),
                name: format!("move_{tenant}"),
                source: self.known_cluster_pool(&input.from).await?,
                target: self.known_cluster_pool(&input.to).await?,
                input,
            };
            ends.unsubscribe().await?;
            ends.unpublish().await?;
            let (side, lane) = if step.is_before_switch() {
                ends.release().await?;
                (&ends.target, &ends.input.to_lane)
            } else {
                (&ends.source, &ends.input.from_lane)
            };
            remove_from(side, tenant).await?;
            let mut client = self.pool.get().await?;
            let transaction = client.transaction().await?;
            transaction
                .execute(
                    "UPDATE terrace.lane SET tenants = tenants - 1 WHERE id = $1",
                    &[&lane.as_str()],
                )
                .await?;
            transaction
                .execute(
                    "UPDATE terrace.lifecycle SET evidence = evidence || '{\"cleaned\": true}' WHERE id = $1",
                    &[&id],
                )
                .await?;
            transaction.commit().await?;
        }
        Ok(())
    }

    /// How one cluster's server reaches another.
    fn conninfo(&self, cluster: &ClusterName) -> Result<String, Error> {
        let endpoint = if *cluster == self.config.cluster {
            self.config.database.clone()
        } else {
            let view = self.tenants();
            let known = view
                .cluster(cluster)
                .ok_or_else(|| Error::unknown("cluster", cluster))?;
            homes::endpoint(&self.config, &known.place, known.login.as_deref())
        };
        let places = match endpoint.address() {
            Address::Several(places) => places,
            one => vec![one],
        };
        let (mut hosts, mut ports) = (Vec::new(), Vec::new());
        for place in places {
            let (host, port) = match place {
                Address::Unix { dir, port } => (dir.display().to_string(), port),
                Address::Tcp { host, port } => (host, port),
                Address::Several(_) => continue,
            };
            hosts.push(host);
            ports.push(port.to_string());
        }
        // Of a primary and its standbys, whichever accepts writes: a standby has no slot.
        let mut conninfo = String::new();
        for (key, value) in [
            ("host", hosts.join(",")),
            ("port", ports.join(",")),
            ("target_session_attrs", "read-write".to_owned()),
            ("dbname", endpoint.name),
            ("user", endpoint.user),
            ("password", endpoint.password),
        ] {
            if !value.is_empty() {
                let value = value.replace('\\', "\\\\").replace('\'', "\\'");
                // Writing to a String cannot fail.
                let _ = write!(conninfo, "{key}='{value}' ");
            }
        }
        Ok(conninfo)
    }
}

/// The tenant's stream at the source, locked. The lock ends with its connection.
struct Held(ClientWrapper);

impl Ends {
    /// Sends a mark through the replication; returns its number.
    async fn put_mark(&self) -> Result<i64, Error> {
        let source = self.source.get().await?;
        let row = source
            .query_one(
                "UPDATE terrace_events.mark SET number = number + 1 WHERE tenant_id = $1 RETURNING number",
                &[&self.tenant.as_str()],
            )
            .await?;
        Ok(row.try_get(0)?)
    }

    async fn see_mark(&self, number: i64) -> Result<(), Error> {
        let target = self.target.get().await?;
        loop {
            let row = target
                .query_opt(
                    "SELECT FROM terrace_events.mark WHERE tenant_id = $1 AND number >= $2",
                    &[&self.tenant.as_str(), &number],
                )
                .await?;
            if row.is_some() {
                return Ok(());
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// How long a change takes to the target.
    async fn lag(&self) -> Result<Duration, Error> {
        let begun = Instant::now();
        let number = self.put_mark().await?;
        match timeout(MARK_MAX, self.see_mark(number)).await {
            Ok(seen) => seen.map(|()| begun.elapsed()),
            Err(_) => Err(Error::Lag(format!(
                "a change did not come to the target within {} s: look at the log of its PostgreSQL",
                MARK_MAX.as_secs()
            ))),
        }
    }

    /// From here on nobody acts for the tenant at the source, and everything that was done there is at the
    /// target. The caller ends it, one way or the other.
    ///
    /// Only the waiting is cut off by the clock. A REVOKE that is dropped half way might be done after the
    /// GRANT that was to undo it.
    async fn hold(&self, at_most: Duration) -> Result<Held, Error> {
        let held = Held(Object::take(self.source.get().await?));
        let fenced = self.fence().await?;
        match timeout(at_most, self.drain(&held, fenced)).await {
            Ok(drained) => drained?,
            Err(_) => {
                return Err(Error::Lag(format!(
                    "requests would have had to wait for more than {} ms",
                    at_most.as_millis()
                )));
            }
        }
        self.stop_following().await?;
        self.copy_sequences().await?;
        Ok(held)
    }

    /// Takes the tenant from its lane; returns when, by the server's clock.
    async fn fence(&self) -> Result<SystemTime, Error> {
        let source = self.source.get().await?;
        let roles = self.roles(&**source).await?;
        let login = lane::login(&self.input.from_lane);
        let revoke: String = roles
            .iter()
            .map(|role| format!("REVOKE \"{role}\" FROM \"{login}\";"))
            .collect();
        source.batch_execute(&revoke).await?;
        Ok(source.query_one("SELECT clock_timestamp()", &[]).await?.try_get(0)?)
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
        // What the platform itself says in the tenant's stream (its usage) waits, too.
        held.0.batch_execute("BEGIN").await?;
        held.0
            .execute(
                "SELECT FROM terrace_events.stream WHERE tenant_id = $1 FOR UPDATE",
                &[&self.tenant.as_str()],
            )
            .await?;
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

    /// The tenant goes on at the source, and the target goes on following it.
    async fn release(&self) -> Result<(), Error> {
        let mut source = self.source.get().await?;
        let transaction = source.transaction().await?;
        let options = schemas::member_options(&transaction).await?;
        let login = lane::login(&self.input.from_lane);
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
        transaction.commit().await?;
        drop(source);
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

    /// Ends the subscription, and with it the slot at the source.
    async fn unsubscribe(&self) -> Result<(), Error> {
        let target = Object::take(self.target.get().await?);
        let there = "SELECT FROM pg_subscription WHERE subname = $1";
        if target.query_opt(there, &[&self.name]).await?.is_some() {
            target
                .batch_execute(&format!("DROP SUBSCRIPTION \"{}\"", self.name))
                .await?;
        }
        Ok(())
    }

    async fn unpublish(&self) -> Result<(), Error> {
        let source = self.source.get().await?;
        drop_slot(&**source, &self.name).await?;
        source
            .execute(
                "DELETE FROM terrace_events.mark WHERE tenant_id = $1",
                &[&self.tenant.as_str()],
            )
            .await?;
        source
            .batch_execute(&format!(
                "SET client_min_messages = error; DROP PUBLICATION IF EXISTS \"{}\"; RESET client_min_messages",
                self.name
            ))
            .await?;
        Ok(())
    }
}

/// A slot that nobody reads keeps the log from being removed.
async fn drop_slot(source: &impl GenericClient, name: &str) -> Result<(), Error> {
    source
        .execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active",
            &[&name],
        )
        .await?;
    Ok(())
}

/// Everything of a tenant on a cluster where it does not live.
async fn remove_from(pool: &Pool, tenant: &TenantId) -> Result<schemas::Removed, Error> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let removed = schemas::remove(&transaction, tenant).await?;
    forget_streams(&*transaction, tenant).await?;
    for sql in [
        "DELETE FROM terrace_events.principal WHERE tenant_id = $1",
        "DELETE FROM terrace.migration WHERE starts_with(schema, $1 || '_')",
    ] {
        transaction.execute(sql, &[&tenant.as_str()]).await?;
    }
    transaction.commit().await?;
    Ok(removed)
}

async fn forget_streams(client: &impl GenericClient, tenant: &TenantId) -> Result<(), Error> {
    for table in ["log", "stream", "cursor", "dead_letter", "mark"] {
        client
            .execute(
                &format!("DELETE FROM terrace_events.{table} WHERE tenant_id = $1"),
                &[&tenant.as_str()],
            )
            .await?;
    }
    Ok(())
}

async fn ledger(client: &impl GenericClient, tenant: &TenantId) -> Result<BTreeMap<(String, i32), String>, Error> {
    let rows = client
        .query(
            "SELECT schema, number, sha256 FROM terrace.migration WHERE starts_with(schema, $1 || '_')",
            &[&tenant.as_str()],
        )
        .await?;
    rows.iter()
        .map(|row| Ok(((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?)))
        .collect()
}
