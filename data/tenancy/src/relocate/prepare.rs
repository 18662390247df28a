//! The first half of a move: the same schemas at the target, and a copy that follows.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use deadpool_postgres::Object;
use terrace_data_router::Address;
use terrace_ground_ids::{ClusterName, ReleaseId, ServiceName, TenantId};
use tokio::time::sleep;
use tokio_postgres::GenericClient;

use super::{
    Ends,
    leave::{TABLES, drop_slot, forget_streams},
};
use crate::{Directory, Error, Step, archive::quoted, homes, lifecycle::Operation, schemas, shape, tables, view};

/// Between two looks at the first copy.
const COPY_EVERY: Duration = Duration::from_millis(50);
/// How long the first copy is watched; then the operation is taken up again by itself, and goes on watching.
const COPY_MAX: Duration = Duration::from_secs(600);

/// The release of a service whose migrations end at a number; the one that is served before others.
const AT_HEAD: &str = "SELECT r.id FROM terrace.release r JOIN terrace.service s ON s.name = r.service
    WHERE r.service = $1 AND jsonb_array_length(r.migrations::jsonb) = $2 ORDER BY r.id = s.current DESC NULLS LAST, r.created_at DESC LIMIT 1";

impl Directory {
    /// The same schemas, roles and tables at the target, without a row in them.
    pub(super) async fn prepare_target(&self, operation: &Operation, ends: &Ends) -> Result<Option<Step>, Error> {
        let tenant = &ends.tenant;
        let here = standing(&**ends.source.get().await?, tenant).await?;
        let services: Vec<ServiceName> = here.keys().cloned().collect();
        let mut target = ends.target.get().await?;
        let transaction = target.transaction().await?;
        schemas::build(&transaction, tenant, &ends.input.to_lane, &services).await?;
        transaction.commit().await?;
        for (service, there) in &here {
            if let Some(release) = self.release_at(service, there.migrations.len()).await? {
                let migrations = self.migrations_of(&release).await?;
                terrace_data_migrate::apply(&mut target, tenant, &migrations, &self.config.migrate).await?;
            }
        }
        let transaction = target.transaction().await?;
        for (service, there) in &here {
            for statements in there.own_tables.iter().filter_map(|table| tables::of_table(table)) {
                tables::make(&transaction, tenant, service, statements).await?;
            }
        }
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
        for (service, there) in &here {
            transaction
                .execute(
                    "UPDATE terrace_events.principal SET ready_at = CASE WHEN $3 THEN now() END WHERE tenant_id = $1 AND service = $2",
                    &[&tenant.as_str(), &service.as_str(), &there.is_ready],
                )
                .await?;
        }
        transaction.commit().await?;
        if here != standing(&**target, tenant).await? {
            return Err(Error::Invalid(
                "the migrations of its schemas are those of no release that is kept; activate the newest one first"
                    .to_owned(),
            ));
        }
        self.mark(operation, Step::Prepared).await
    }

    async fn release_at(&self, service: &ServiceName, head: usize) -> Result<Option<ReleaseId>, Error> {
        let client = self.pool.get().await?;
        let head = i32::try_from(head).unwrap_or(i32::MAX);
        let row = client.query_opt(AT_HEAD, &[&service.as_str(), &head]).await?;
        row.map(|row| view::parsed(&row, 0, "release id")).transpose()
    }

    /// The publication here and the subscription there; its first copy begins.
    pub(super) async fn follow_source(&self, operation: &Operation, ends: &Ends) -> Result<Option<Step>, Error> {
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
            let mut published: Vec<String> = TABLES
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
            // A server that logs statements, or those that fail, must not log the password. Only a superuser
            // may say so; elsewhere the server's own settings hold.
            for quiet in ["log_statement = 'none'", "log_min_error_statement = 'panic'"] {
                drop(target.batch_execute(&format!("SET {quiet}")).await);
            }
            target
                .batch_execute(&format!(
                    "CREATE SUBSCRIPTION \"{name}\" CONNECTION '{conninfo}' PUBLICATION \"{name}\" WITH (slot_name = '{name}')"
                ))
                .await?;
        }
        self.mark(operation, Step::Followed).await
    }

    pub(super) async fn watch_copy(&self, operation: &Operation, ends: &Ends) -> Result<Option<Step>, Error> {
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
            if !ends.is_alike().await? {
                return self.start_over(operation, ends).await;
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

    /// A release has changed the schemas at the source meanwhile, which is not replicated: what does not
    /// fit any more is copied again.
    pub(super) async fn start_over(&self, operation: &Operation, ends: &Ends) -> Result<Option<Step>, Error> {
        ends.unsubscribe().await?;
        ends.unpublish().await?;
        self.mark(operation, Step::Chosen).await
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
impl Ends {
    /// Whether the schemas at both ends are at the same migrations.
    pub(super) async fn is_alike(&self) -> Result<bool, Error> {
        let here = standing(&**self.source.get().await?, &self.tenant).await?;
        let there = standing(&**self.target.get().await?, &self.tenant).await?;
        Ok(here == there)
    }
}

/// What a tenant has of one service on a cluster.
#[derive(PartialEq, Eq)]
struct Standing {
    is_ready: bool,
    /// The tables that no migration makes.
    own_tables: Vec<String>,
    migrations: Vec<(i32, String)>,
}

async fn standing(client: &impl GenericClient, tenant: &TenantId) -> Result<BTreeMap<ServiceName, Standing>, Error> {
    let own_tables = tables::ALL.map(|(first, _)| first).to_vec();
    let rows = client
        .query(
            "SELECT p.service, p.ready_at IS NOT NULL, array_remove(array_agg(m.number ORDER BY m.number), NULL), array_remove(array_agg(m.sha256 ORDER BY m.number), NULL),
                    ARRAY(SELECT name FROM unnest($2::text[]) name WHERE to_regclass(format('%I.%I', p.role, name)) IS NOT NULL)
             FROM terrace_events.principal p LEFT JOIN terrace.migration m ON m.schema = p.role WHERE p.tenant_id = $1 GROUP BY p.role",
            &[&tenant.as_str(), &own_tables],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let (numbers, hashes): (Vec<i32>, Vec<String>) = (row.try_get(2)?, row.try_get(3)?);
            let standing = Standing {
                is_ready: row.try_get(1)?,
                own_tables: row.try_get(4)?,
                migrations: numbers.into_iter().zip(hashes).collect(),
            };
            Ok((view::parsed(row, 0, "service name")?, standing))
        })
        .collect()
}
