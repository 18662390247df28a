//! Creating and upgrading the platform's own schemas, and drawing the borders around tenants.

use serde_json::json;
use terrace_data_router::Address;
use tokio_postgres::Client;
use tracing::{info, warn};

use crate::{Directory, Error};

/// The platform's own migrations, in order. A number is never used twice and a text never changes.
const MIGRATIONS: [(i32, &str, &str); 7] = [
    (1, "directory", include_str!("../sql/0001_directory.sql")),
    (2, "events", include_str!("../sql/0002_events.sql")),
    (3, "operations", include_str!("../sql/0003_operations.sql")),
    (5, "releases", include_str!("../sql/0005_releases.sql")),
    (6, "schedule", include_str!("../sql/0006_schedule.sql")),
    (10, "settings", include_str!("../sql/0010_settings.sql")),
    (11, "usage", include_str!("../sql/0011_usage.sql")),
];
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
        if client
            .execute(
                "SELECT pg_advisory_unlock(hashtextextended('terrace installation', 1))",
                &[],
            )
            .await
            .is_err()
        {
            drop(deadpool_postgres::Object::take(client));
        }
        outcome?;
        self.refresh().await
    }

    async fn install_alone(&self, client: &mut Client) -> Result<(), Error> {
        let row = client.query_one("SELECT current_setting('server_version_num')::integer, rolsuper FROM pg_roles WHERE rolname = current_user", &[]).await?;
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
        for (number, name, sql) in MIGRATIONS {
            let transaction = client.transaction().await?;
            let fresh = transaction
                .execute(
                    "INSERT INTO terrace.installation (number, name) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                    &[&number, &name],
                )
                .await?;
            if fresh == 1 {
                transaction.batch_execute(sql).await?;
                info!("Installed {number:04}_{name} in the directory");
            }
            transaction.commit().await?;
        }
        client
            .batch_execute(&format!(
                "SET client_min_messages = warning; {}; RESET client_min_messages",
                terrace_data_migrate::LEDGER
            ))
            .await?;
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

/// An address as the directory keeps it.
fn written(address: &Address) -> serde_json::Value {
    match address {
        Address::Unix { dir, port } => json!({"unix": {"dir": dir, "port": port}}),
        Address::Tcp { host, port } => json!({"tcp": {"host": host, "port": port}}),
        Address::Several(places) => json!({"several": places.iter().map(written).collect::<Vec<_>>()}),
    }
}
