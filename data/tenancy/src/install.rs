//! Creating and upgrading the platform's own schemas, and drawing the borders around tenants.

use serde_json::json;
use terrace_data_router::Address;
use tokio_postgres::{Client, Transaction};
use tracing::{info, warn};

use crate::{Directory, Error};

/// The platform's own migrations, in order. A number is never used twice and a text never changes.
const MIGRATIONS: [(i32, &str, &str); 8] = [
    (1, "directory", include_str!("../sql/0001_directory.sql")),
    (2, "events", include_str!("../sql/0002_events.sql")),
    (3, "operations", include_str!("../sql/0003_operations.sql")),
    (5, "releases", include_str!("../sql/0005_releases.sql")),
    (6, "schedule", include_str!("../sql/0006_schedule.sql")),
    (7, "clusters", include_str!("../sql/0007_clusters.sql")),
    (10, "settings", include_str!("../sql/0010_settings.sql")),
    (11, "usage", include_str!("../sql/0011_usage.sql")),
];
/// What every cluster has besides, the directory's own included; running it again changes nothing.
const CLUSTER: &str = include_str!("../sql/cluster.sql");
/// The migrations of a cluster that is not the directory's. The numbers are those of the directory's,
/// where the same is done.
const CLUSTER_MIGRATIONS: [(i32, &str, &str); 4] = [
    (2, "events", include_str!("../sql/0002_events.sql")),
    (
        3,
        "paused",
        "ALTER TABLE terrace_events.stream ADD COLUMN paused boolean NOT NULL DEFAULT false",
    ),
    (6, "schedule", include_str!("../sql/0006_schedule.sql")),
    // Jobs keep their numbers when their tenant is moved, so each cluster has a range of its own.
    (
        7,
        "clusters",
        "CREATE UNIQUE INDEX job_identity ON terrace_events.job (tenant_id, id);
         ALTER TABLE terrace_events.job REPLICA IDENTITY USING INDEX job_identity;
         SELECT setval(pg_get_serial_sequence('terrace_events.job', 'id'), (1 + floor(random() * 1048575))::bigint << 42)",
    ),
];
/// What the directory's migrations say of tenants, who are in no other database.
const TENANT_ROW: &str = " REFERENCES terrace.tenant ON DELETE CASCADE";
const BORDERS: &str = include_str!("../sql/borders.sql");
const HARDENING: &str = include_str!("../sql/hardening.sql");

/// Which fences stand between two tenants in this database. Said at every start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fences {
    /// The directory's login is a superuser: what escapes is revoked from every tenant's role, so that
    /// roles, guard and tags hold each for itself.
    All,
    /// A managed PostgreSQL: built-in functions stay everybody's. Grants, lanes and tags stand; a
    /// function that escapes is denied by the guard alone, which calls nothing that is not on its list.
    Managed,
}

impl Directory {
    /// Which fences the last [`Directory::install`] found possible. None before it.
    pub fn fences(&self) -> Option<Fences> {
        self.fences.get().copied()
    }

    /// Creates or upgrades the schemas `terrace` and `terrace_events`, hardens the database, records
    /// the first cluster, and loads the view. At every start; several nodes may do it at once.
    ///
    /// # Errors
    /// When the database is away, is older than PostgreSQL 15, or the login may not create schemas and roles.
    pub async fn install(&self) -> Result<(), Error> {
        let mut client = self.pool.get().await?;
        // A transaction lock in every step would let two nodes interleave; one session lock does not.
        client
            .execute(
                "SELECT pg_advisory_lock(hashtextextended('terrace installation', 1))",
                &[],
            )
            .await?;
        let outcome = self.install_alone(&mut client).await;
        let unlocked = client
            .execute(
                "SELECT pg_advisory_unlock(hashtextextended('terrace installation', 1))",
                &[],
            )
            .await;
        match unlocked {
            Ok(_) => drop(client),
            Err(_) => drop(deadpool_postgres::Object::take(client)),
        }
        outcome?;
        self.refresh().await?;
        for (name, pool) in self.homes() {
            if name == self.config.cluster {
                continue;
            }
            let installed = async {
                let mut client = pool.get().await?;
                self.install_cluster(&mut client).await
            };
            if let Err(error) = installed.await {
                warn!(cluster.name = %name, %error, "Cannot prepare a cluster; its tenants are not served until it answers");
            }
        }
        Ok(())
    }

    /// What a cluster has that is not the directory's: streams, ledgers, and the borders around tenants.
    pub(crate) async fn install_cluster(&self, client: &mut Client) -> Result<(), Error> {
        let is_superuser = begin(client).await?;
        // One transaction and one lock: several nodes may start at once.
        let transaction = client.transaction().await?;
        transaction
            .execute(
                "SELECT pg_advisory_xact_lock(hashtextextended('terrace installation', 1))",
                &[],
            )
            .await?;
        for (number, name, sql) in CLUSTER_MIGRATIONS {
            migrate(&transaction, number, name, &sql.replace(TENANT_ROW, "")).await?;
        }
        transaction.batch_execute(CLUSTER).await?;
        transaction.commit().await?;
        client
            .batch_execute(&format!(
                "SET client_min_messages = warning; {}; RESET client_min_messages",
                terrace_data_migrate::LEDGER
            ))
            .await?;
        self.harden(client, is_superuser).await
    }

    async fn install_alone(&self, client: &mut Client) -> Result<(), Error> {
        let is_superuser = begin(client).await?;
        for (number, name, sql) in MIGRATIONS {
            let transaction = client.transaction().await?;
            migrate(&transaction, number, name, sql).await?;
            transaction.commit().await?;
        }
        client
            .batch_execute(&format!(
                "SET client_min_messages = warning; {}; RESET client_min_messages",
                terrace_data_migrate::LEDGER
            ))
            .await?;
        client.batch_execute(CLUSTER).await?;
        self.harden(client, is_superuser).await?;
        self.record_cluster(client).await
    }

    async fn harden(&self, client: &Client, is_superuser: bool) -> Result<(), Error> {
        if let Err(error) = client.batch_execute(BORDERS).await {
            warn!(%error, "Cannot revoke TEMPORARY and CREATE on this database from PUBLIC; tenants are still held by the guard");
        }
        let fences = if is_superuser {
            client.batch_execute(HARDENING).await?;
            info!("All three fences stand: built-in functions that escape are revoked from tenants' roles");
            Fences::All
        } else {
            warn!(
                "Managed mode: the directory's login is no superuser, so built-in functions that escape cannot be revoked. Grants, lanes and command tags stand, and the guard denies every function that is not on its list"
            );
            Fences::Managed
        };
        let _ = self.fences.set(fences);
        Ok(())
    }

    async fn record_cluster(&self, client: &Client) -> Result<(), Error> {
        let address = written(&self.config.database.address());
        let changed = client
            .execute(
                "INSERT INTO terrace.cluster (name, address, database) VALUES ($1, $2::text::jsonb, $3)
                 ON CONFLICT (name) DO UPDATE SET address = excluded.address, database = excluded.database
                 WHERE (cluster.address, cluster.database) IS DISTINCT FROM (excluded.address, excluded.database)",
                &[
                    &self.config.cluster.as_str(),
                    &address.to_string(),
                    &self.config.database.name,
                ],
            )
            .await?;
        if changed > 0 {
            client.execute("SELECT terrace.bump()", &[]).await?;
        }
        Ok(())
    }
}

/// Checks the server, and makes what an installation is recorded in. Whether the login is a superuser.
async fn begin(client: &Client) -> Result<bool, Error> {
    let row = client
        .query_one(
            "SELECT current_setting('server_version_num')::integer, rolsuper FROM pg_roles WHERE rolname = current_user",
            &[],
        )
        .await?;
    let (version, is_superuser): (i32, bool) = (row.try_get(0)?, row.try_get(1)?);
    if version < 150_000 {
        return Err(Error::Config(format!(
            "PostgreSQL 15 or newer is needed, and this is {}",
            version / 10_000
        )));
    }
    client
        .batch_execute(
            "SET client_min_messages = warning;
             CREATE SCHEMA IF NOT EXISTS terrace;
             CREATE TABLE IF NOT EXISTS terrace.installation (number integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());
             RESET client_min_messages",
        )
        .await?;
    Ok(is_superuser)
}

async fn migrate(transaction: &Transaction<'_>, number: i32, name: &str, sql: &str) -> Result<(), Error> {
    let fresh = transaction
        .execute(
            "INSERT INTO terrace.installation (number, name) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            &[&number, &name],
        )
        .await?;
    if fresh == 1 {
        transaction.batch_execute(sql).await?;
        info!("Installed {number:04}_{name}");
    }
    Ok(())
}

/// An address as the directory keeps it.
pub(crate) fn written(address: &Address) -> serde_json::Value {
    match address {
        Address::Unix { dir, port } => json!({"unix": {"dir": dir, "port": port}}),
        Address::Tcp { host, port } => json!({"tcp": {"host": host, "port": port}}),
        Address::Several(places) => json!({"several": places.iter().map(written).collect::<Vec<_>>()}),
    }
}
