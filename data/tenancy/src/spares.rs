//! Tenants without a name, made in advance: a creation claims one instead of building.
//!
//! A spare has an id, a seat in a lane, its schemas and its roles, migrated to what is served; it has
//! no row among the tenants, so nothing serves it and no list shows it. One that lags behind a release
//! is brought up by the next round here, or by the creation that claimed it (create.rs, `finish`).

use terrace_ground_ids::{LaneId, TenantId};
use tokio_postgres::Transaction;

use crate::{Directory, Error, create::current, lane, schemas, view};

/// How many a creation looks at: others may be taking the first ones.
const LOOKED_AT: i64 = 8;

const STALE: &str = "SELECT p.tenant, p.lane FROM terrace.spare p
    WHERE p.state = 'building' OR EXISTS (
        SELECT FROM terrace.service s JOIN terrace.release r ON r.id = s.current
        LEFT JOIN terrace_events.principal q ON q.tenant_id = p.tenant AND q.service = s.name
        WHERE q.role IS NULL OR (SELECT count(*) FROM terrace.migration m WHERE m.schema = q.role) < jsonb_array_length(r.migrations::jsonb))
    ORDER BY p.created_at, p.tenant";

impl Directory {
    /// Makes spares until there are as many as configured, and brings old ones up to date. Now and
    /// then on every node; one of them does it at a time. Returns how many were made or changed.
    ///
    /// # Errors
    /// When the database is away, or a migration fails: the same would meet a creation.
    pub async fn fill_spares(&self) -> Result<usize, Error> {
        match self.holding("spares", self.fill_spares_alone()).await {
            Err(Error::Busy { .. }) => Ok(0),
            outcome => outcome,
        }
    }

    async fn fill_spares_alone(&self) -> Result<usize, Error> {
        let mut made = 0;
        loop {
            let stale = {
                let client = self.pool.get().await?;
                client.query(STALE, &[]).await?
            };
            for row in &stale {
                let (tenant, lane) = (view::parsed(row, 0, "tenant id")?, view::parsed(row, 1, "lane id")?);
                self.ready_spare(&tenant, &lane).await?;
                made += 1;
            }
            let lanes = self.lanes(&self.config.cluster).await?;
            let mut client = self.pool.get().await?;
            let row = client
                .query_one("SELECT count(*), (SELECT count(*) FROM terrace.service WHERE current IS NOT NULL) FROM terrace.spare", &[])
                .await?;
            let (there, services): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            // Without a service there is nothing to have ready.
            if there >= i64::from(self.config.spares) || services == 0 {
                return Ok(made);
            }
            let tenant = TenantId::random();
            let transaction = client.transaction().await?;
            let lane = lane::seat(&transaction, &self.config, &lanes, self.config.lane_tenants_max).await?;
            transaction
                .execute(
                    "INSERT INTO terrace.spare (tenant, lane, state) VALUES ($1, $2, 'building')",
                    &[&tenant.as_str(), &lane.as_str()],
                )
                .await?;
            transaction.execute("SELECT terrace.bump()", &[]).await?;
            transaction.commit().await?;
        }
    }

    /// Builds and migrates one, unless a creation has it by now.
    async fn ready_spare(&self, tenant: &TenantId, lane: &LaneId) -> Result<(), Error> {
        let work = async {
            let services = current(&**self.pool.get().await?).await?;
            let mut migrations = Vec::new();
            for (_, release) in &services {
                migrations.push(self.migrations_of(release).await?);
            }
            // Its row and its schemas are on one cluster, and so in one transaction.
            let mut client = self.pool.get().await?;
            let transaction = client.transaction().await?;
            let mine = transaction
                .execute(
                    "UPDATE terrace.spare SET state = 'building' WHERE tenant = $1",
                    &[&tenant.as_str()],
                )
                .await?;
            if mine == 0 {
                return Ok(());
            }
            let names: Vec<_> = services.iter().map(|(service, _)| service.clone()).collect();
            schemas::build(&transaction, tenant, lane, &names).await?;
            transaction.commit().await?;
            for migrations in &migrations {
                terrace_data_migrate::apply(&mut client, tenant, migrations, &self.config.migrate).await?;
            }
            client
                .execute(
                    "UPDATE terrace.spare SET state = 'ready' WHERE tenant = $1",
                    &[&tenant.as_str()],
                )
                .await?;
            Ok(())
        };
        match self.holding(tenant.as_str(), work).await {
            Err(Error::Busy { .. }) => Ok(()),
            outcome => outcome,
        }
    }

    /// The spares that a creation may take, the oldest first.
    pub(crate) async fn spares_ready(&self) -> Result<Vec<(TenantId, LaneId)>, Error> {
        let client = self.pool.get().await?;
        let rows = client
            .query(
                "SELECT tenant, lane FROM terrace.spare WHERE state = 'ready' ORDER BY created_at, tenant LIMIT $1",
                &[&LOOKED_AT],
            )
            .await?;
        rows.iter()
            .map(|row| Ok((view::parsed(row, 0, "tenant id")?, view::parsed(row, 1, "lane id")?)))
            .collect()
    }
}

/// Takes a spare, in the transaction that gives it its name.
pub(crate) async fn claim(transaction: &Transaction<'_>, tenant: &TenantId) -> Result<(), Error> {
    let taken = transaction
        .execute(
            "DELETE FROM terrace.spare WHERE tenant = $1 AND state = 'ready'",
            &[&tenant.as_str()],
        )
        .await?;
    if taken == 0 {
        return Err(Error::unknown("spare", tenant));
    }
    Ok(())
}
