//! Activating a release: every tenant gets the schema and its migrations, then the pointer switches.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::{StreamExt, stream};
use terrace_data_migrate::{Migrations, Progress, Report, apply_all};
use terrace_ground_ids::{ClusterName, ReleaseId, ServiceName, TenantId};
use tokio_postgres::GenericClient;
use tracing::info;

use crate::{Directory, Error, ReleaseState, create::lane_of, lifecycle::detached, schemas, view};

/// How an activation went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activation {
    /// Tenants whose schema was changed.
    pub migrated: usize,
    /// Tenants whose schema was ready already.
    pub current: usize,
}

/// How often the tenants are walked again because new ones appeared meanwhile.
const ROUNDS_MAX: usize = 20;

// Tenants in creation take care of themselves (create.rs, `finish`).
const TENANTS: &str = "SELECT id FROM terrace.tenant WHERE state IN ('active', 'suspended') ORDER BY created_at, id";

// Those of them that live on a cluster and have all of the service there.
const READY: &str = "SELECT p.tenant_id FROM terrace_events.principal p
    WHERE p.tenant_id = ANY($3) AND p.service = $1 AND p.ready_at IS NOT NULL
      AND (SELECT count(*) FROM terrace.migration m WHERE m.schema = p.role) >= $2";

// With their clusters.
const HOMES: &str = "SELECT t.id, l.cluster FROM terrace.tenant t JOIN terrace.lane l ON l.id = t.lane
    WHERE t.state IN ('active', 'suspended') ORDER BY t.created_at, t.id";

impl Directory {
    /// Migrates all tenants to `release`, then serves it. Going back to a retained release is the
    /// same call: its migrations are there already. It may be killed and called again.
    ///
    /// # Errors
    /// [`Error::NotReady`] when a tenant's migration or hook failed: the old release stays, the new one
    /// is `failed` and may be tried again. [`Error::Busy`] when the service is being activated elsewhere.
    pub async fn activate_release(
        self: &Arc<Self>,
        service: &ServiceName,
        release: &ReleaseId,
        progress: Arc<dyn Fn(Progress) + Send + Sync>,
    ) -> Result<Activation, Error> {
        let (directory, service, release) = (self.clone(), service.clone(), release.clone());
        detached(async move {
            let facts = directory.release(&release).await?;
            if facts.release.service != service {
                return Err(Error::unknown("release of this service", &release));
            }
            let work = async {
                let outcome = directory.activate(&service, &release, &*progress).await;
                if let Err(error @ Error::NotReady { .. }) = &outcome {
                    directory.record_failure(&release, error).await?;
                }
                outcome
            };
            let outcome = directory.holding(&format!("service {service}"), work).await;
            directory.refresh().await?;
            outcome
        })
        .await
    }

    async fn activate(
        &self,
        service: &ServiceName,
        release: &ReleaseId,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Activation, Error> {
        let migrations = self.migrations_of(release).await?;
        let mut activation = Activation {
            migrated: 0,
            current: 0,
        };
        // All of them first, so that a migration whose text changed is found; later only the new ones.
        let mut waiting = self.tenants_by(TENANTS, &[]).await?;
        for _ in 0..ROUNDS_MAX {
            let unready = {
                let client = self.pool.get().await?;
                self.lacking(&**client, service, migrations.head()).await?
            };
            self.build_missing(service, &unready).await?;
            let report = self.apply_everywhere(&waiting, &migrations, progress).await?;
            activation.migrated += report.migrated;
            activation.current += report.current;
            if !report.is_complete() {
                let failed = report
                    .failed
                    .into_iter()
                    .map(|(tenant, error)| (tenant, error.to_string()));
                let untouched = report
                    .untouched
                    .into_iter()
                    .map(|tenant| (tenant, "not tried, because an earlier tenant failed".to_owned()));
                return Err(Error::NotReady {
                    failed: failed.chain(untouched).collect(),
                });
            }
            for tenant in &unready {
                if let Err(error) = self.hook(tenant, service, release, None).await {
                    return Err(Error::NotReady {
                        failed: vec![(tenant.clone(), error.to_string())],
                    });
                }
            }
            waiting = self.switch(service, release, migrations.head()).await?;
            if waiting.is_empty() {
                info!(service.name = %service, release.id = %release, "Activated a release");
                return Ok(activation);
            }
        }
        Err(Error::Busy {
            what: format!("the list of tenants, while {service}"),
        })
    }

    /// Switches the pointer, or returns the tenants that have appeared meanwhile. From the row lock
    /// on, no tenant can become active without the release that is current then.
    async fn switch(&self, service: &ServiceName, release: &ReleaseId, head: u32) -> Result<Vec<TenantId>, Error> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        transaction
            .query(
                "SELECT FROM terrace.service WHERE name = $1 FOR UPDATE",
                &[&service.as_str()],
            )
            .await?;
        let lacking = self.lacking(&*transaction, service, head).await?;
        if !lacking.is_empty() {
            return Ok(lacking);
        }
        transaction
            .execute(
                "UPDATE terrace.release SET state = 'retained' WHERE service = $1 AND state = 'active'",
                &[&service.as_str()],
            )
            .await?;
        transaction
            .execute(
                "UPDATE terrace.release SET state = $2, activated_at = now(), error = NULL WHERE id = $1",
                &[&release.as_str(), &ReleaseState::Active.as_str()],
            )
            .await?;
        transaction
            .execute(
                "UPDATE terrace.service SET current = $2 WHERE name = $1",
                &[&service.as_str(), &release.as_str()],
            )
            .await?;
        transaction.execute("SELECT terrace.bump()", &[]).await?;
        transaction.commit().await?;
        Ok(Vec::new())
    }

    /// Schema, role and grants of a service for tenants that were there before it.
    async fn build_missing(&self, service: &ServiceName, tenants: &[TenantId]) -> Result<(), Error> {
        let mut outcomes = stream::iter(tenants.to_vec())
            .map(|tenant| async move {
                let lane = lane_of(&**self.pool.get().await?, &tenant).await?;
                let mut client = self.home_of(&tenant).await?.get().await?;
                let transaction = client.transaction().await?;
                schemas::build(&transaction, &tenant, &lane, std::slice::from_ref(service)).await?;
                transaction.commit().await?;
                Ok::<(), Error>(())
            })
            .buffer_unordered(self.config.migrate.concurrency.max(1));
        while let Some(outcome) = outcomes.next().await {
            outcome?;
        }
        Ok(())
    }

    /// The tenants that have not all of the service in their homes.
    async fn lacking(
        &self,
        directory: &impl GenericClient,
        service: &ServiceName,
        head: u32,
    ) -> Result<Vec<TenantId>, Error> {
        let mut lacking = Vec::new();
        for (cluster, tenants) in by_cluster(directory).await? {
            let home = self.known_cluster_pool(&cluster).await?.get().await?;
            let ids: Vec<&str> = tenants.iter().map(TenantId::as_str).collect();
            let rows = home.query(READY, &[&service.as_str(), &i64::from(head), &ids]).await?;
            let ready: BTreeSet<&str> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
            lacking.extend(
                tenants
                    .iter()
                    .filter(|tenant| !ready.contains(tenant.as_str()))
                    .cloned(),
            );
        }
        Ok(lacking)
    }

    /// Migrates tenants, one cluster after the other.
    async fn apply_everywhere(
        &self,
        tenants: &[TenantId],
        migrations: &Migrations,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Report, Error> {
        let homes = {
            let client = self.pool.get().await?;
            by_cluster(&**client).await?
        };
        let wanted: BTreeSet<&TenantId> = tenants.iter().collect();
        let mut whole = Report::default();
        for (cluster, there) in homes {
            let there: Vec<TenantId> = there.into_iter().filter(|tenant| wanted.contains(tenant)).collect();
            if there.is_empty() {
                continue;
            }
            if !whole.is_complete() {
                // What failed on one cluster is not tried on the next.
                whole.untouched.extend(there);
                continue;
            }
            let pool = self.known_cluster_pool(&cluster).await?;
            let report = apply_all(&pool, &there, migrations, &self.config.migrate, progress).await;
            whole.migrated += report.migrated;
            whole.current += report.current;
            whole.failed.extend(report.failed);
            whole.untouched.extend(report.untouched);
        }
        Ok(whole)
    }

    async fn tenants_by(
        &self,
        sql: &str,
        params: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<Vec<TenantId>, Error> {
        let client = self.pool.get().await?;
        let rows = client.query(sql, params).await?;
        let tenants: BTreeSet<TenantId> = rows
            .iter()
            .map(|row| view::parsed(row, 0, "tenant id"))
            .collect::<Result<_, _>>()?;
        Ok(tenants.into_iter().collect())
    }

    async fn record_failure(&self, release: &ReleaseId, error: &Error) -> Result<(), Error> {
        let client = self.pool.get().await?;
        // A release that is served stays active, whatever a second activation of it met.
        let failed = "UPDATE terrace.release SET error = $2, state = CASE WHEN state = 'active' THEN state ELSE 'failed' END WHERE id = $1";
        client.execute(failed, &[&release.as_str(), &error.to_string()]).await?;
        Ok(())
    }
}

/// The tenants that are served, by the clusters where they live.
async fn by_cluster(directory: &impl GenericClient) -> Result<BTreeMap<ClusterName, Vec<TenantId>>, Error> {
    let mut homes: BTreeMap<ClusterName, Vec<TenantId>> = BTreeMap::new();
    for row in directory.query(HOMES, &[]).await? {
        let cluster = view::parsed(&row, 1, "cluster name")?;
        homes
            .entry(cluster)
            .or_default()
            .push(view::parsed(&row, 0, "tenant id")?);
    }
    Ok(homes)
}
