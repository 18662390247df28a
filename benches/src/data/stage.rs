//! The stage of the data figures: a scratch server with room for many connections, a directory, a
//! router, three services, and tenants that are made the way the product makes them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use terrace_data_embedded::{Connection, testing::Scratch};
use terrace_data_tenancy::{
    Tenant,
    testing::{World, new_tenant},
};
use tokio::{sync::Mutex, task::JoinSet};
use tokio_postgres::Client;

use super::say;

/// Beyond what every scratch server has. Room for a connection or more to each of 157 lanes.
const SETTINGS: [(&str, &str); 4] = [
    ("max_connections", "800"),
    ("shared_buffers", "1GB"),
    ("autovacuum", "on"),
    ("max_wal_size", "4GB"),
];

/// Tenants that are made side by side.
const BUILDERS: usize = 4;

/// Rows of each tenant's `board`.
pub(super) const ROWS: i64 = 10;

/// The login of the peers: one for all tenants, as pools have it.
pub(super) const PEER: &str = "figures_peer";
pub(super) const PEER_PASSWORD: &str = "peer-password";

/// A server with tenants.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) admin: Client,
    /// In the order of their making.
    pub(super) tenants: Vec<Arc<Tenant>>,
}

impl Stage {
    /// Without tenants.
    pub(super) async fn new() -> Result<Self> {
        Self::on(Scratch::with_settings(&SETTINGS).await).await
    }

    /// Another directory on the same server, without tenants.
    pub(super) async fn on(scratch: Scratch) -> Result<Self> {
        let world = World::on(scratch, |config| {
            // Made when `creation` asks for them, and taken by it: the stage itself never does.
            config.spares = super::creation::CREATIONS;
            config.connections_max = 16;
        })
        .await;
        world.three_services().await;
        let admin = world.admin().await;
        let login = format!(
            "DO $$ BEGIN CREATE ROLE {PEER} LOGIN NOINHERIT PASSWORD '{PEER_PASSWORD}'; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        );
        admin.batch_execute(&login).await.context("make the peers' login")?;
        Ok(Self {
            world,
            admin,
            tenants: Vec::new(),
        })
    }

    /// Makes tenants until there are so many, each cold: reserved, placed, built, migrated, active.
    pub(super) async fn grow_to(&mut self, count: usize) -> Result<()> {
        let there = self.tenants.len();
        if there >= count {
            return Ok(());
        }
        let (began, size) = (Instant::now(), self.bytes().await?);
        let (next, made) = (Arc::new(AtomicUsize::new(there)), Arc::new(Mutex::new(Vec::new())));
        let mut builders = JoinSet::new();
        for _ in 0..BUILDERS {
            let (directory, admin) = (Arc::clone(&self.world.directory), self.world.admin().await);
            let (next, made) = (Arc::clone(&next), Arc::clone(&made));
            builders.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return anyhow::Ok(());
                    }
                    let tenant = directory.create_tenant(new_tenant(&format!("tenant-{number}"))).await?;
                    fill(&admin, &schema(&tenant), ROWS).await?;
                    made.lock().await.push((number, tenant));
                    if number % 500 == 499 {
                        let rate = (number + 1 - there) as f64 / began.elapsed().as_secs_f64();
                        say(&format!("{} of {count} tenants, {rate:.0} a second", number + 1));
                    }
                }
            });
        }
        while let Some(outcome) = builders.join_next().await {
            outcome?.context("set the stage")?;
        }
        let mut made = std::mem::take(&mut *made.lock().await);
        made.sort_by_key(|(number, _)| *number);
        self.tenants.extend(made.into_iter().map(|(_, tenant)| tenant));
        let (took, bytes) = (began.elapsed(), self.bytes().await?.saturating_sub(size));
        let new = count - there;
        say(&format!(
            "{count} tenants of three services, {} lanes; {new} made by {BUILDERS} at a time in {:.1} s, {} kB on disk each",
            self.world.directory.tenants().lanes().count(),
            took.as_secs_f64(),
            (bytes / new as u64) >> 10
        ));
        self.join_peer(there).await?;
        self.admin.batch_execute("CHECKPOINT").await?;
        Ok(())
    }

    /// How to reach the server.
    pub(super) fn connection(&self) -> Connection {
        self.world.scratch.connection()
    }

    /// The size of the database.
    pub(super) async fn bytes(&self) -> Result<u64> {
        let row = self
            .admin
            .query_one("SELECT pg_database_size(current_database())", &[])
            .await?;
        Ok(u64::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0))
    }

    /// The peers' login may act for every tenant, as its owner: what a pool with `SET ROLE` needs.
    async fn join_peer(&self, first: usize) -> Result<()> {
        let roles: Vec<String> = self
            .tenants
            .iter()
            .skip(first)
            .map(|tenant| format!("\"{}\"", tenant.id.owner_role()))
            .collect();
        let began = Instant::now();
        for some in roles.chunks(500) {
            let sql = format!("GRANT {} TO {PEER}", some.join(", "));
            self.admin
                .batch_execute(&sql)
                .await
                .context("grant roles to the peers' login")?;
        }
        if began.elapsed() > Duration::from_secs(1) {
            say(&format!(
                "{} roles granted to the peers' login in {:.1} s",
                roles.len(),
                began.elapsed().as_secs_f64()
            ));
        }
        Ok(())
    }
}

/// The schema of the service that is asked.
pub(super) fn schema(tenant: &Tenant) -> String {
    format!("{}_tasks", tenant.id)
}

/// Fills `board` of a schema, as superuser: the stage's rows are nobody's request.
pub(super) async fn fill(admin: &Client, schema: &str, rows: i64) -> Result<()> {
    let sql = format!(
        "INSERT INTO \"{schema}\".board (title, created_by) SELECT 'board ' || n, 'ada' FROM generate_series(1, {rows}) n"
    );
    admin.batch_execute(&sql).await.context("fill a board")
}
