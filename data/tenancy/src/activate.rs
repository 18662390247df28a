//! Activating a release: every tenant gets the schema and its migrations, then the pointer switches.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use deadpool_postgres::Object;
use futures_util::{StreamExt, stream};
use terrace_data_migrate::{Migrations, Progress, Report, apply_all};
use terrace_ground_ids::{ClusterName, ReleaseId, ServiceName, TenantId};
use tokio_postgres::GenericClient;
use tracing::info;

use crate::{
    Cause, Directory, Error, Happened, ReleaseState, create::lane_of, history, lifecycle::detached, schemas, view,
};

/// How an activation went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activation {
    /// Tenants whose schema was changed.
    pub migrated: usize,
    /// Tenants whose schema was ready already.
    pub current: usize,
}

/// Why a service is switched to a release.
#[derive(Debug, Clone)]
pub struct Switch {
    /// For the history.
    pub cause: Cause,
    /// Only if this one is served: what was decided by looking at it must not hit another.
    pub instead_of: Option<ReleaseId>,
}

/// How often the tenants are walked again because new ones appeared meanwhile.
const ROUNDS_MAX: usize = 20;

// Tenants with their clusters. Those in creation take care of themselves (create.rs, `finish`).
const HOMES: &str = "SELECT t.id, l.cluster FROM terrace.tenant t JOIN terrace.lane l ON l.id = t.lane
    WHERE t.state IN ('active', 'suspended') ORDER BY t.created_at, t.id";

// The cluster of one of them.
const HOME: &str = "SELECT l.cluster FROM terrace.tenant t JOIN terrace.lane l ON l.id = t.lane
    WHERE t.id = $1 AND t.state IN ('active', 'suspended')";

// Those of them that live on a cluster and have the service there; whether they have all of it.
const READY: &str = "SELECT p.tenant_id, (SELECT count(*) FROM terrace.migration m WHERE m.schema = p.role) >= $2
    FROM terrace_events.principal p WHERE p.tenant_id = ANY($3) AND p.service = $1 AND p.ready_at IS NOT NULL";

/// Tenants by the clusters where they live.
type Homes = BTreeMap<ClusterName, Vec<TenantId>>;

/// A tenant that has not all of a service.
struct Lacking {
    tenant: TenantId,
    /// It has nothing of it yet, or was not greeted; otherwise only migrations are missing.
    is_new: bool,
}

impl Directory {
    /// Migrates all tenants to `release`, then serves it. Going back to a retained release is the
    /// same call: its migrations are there already. It may be killed and called again. A canary of the
    /// service ends with it.
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
        let cause = Cause::new(Happened::Deployed, "terrace");
        self.switch_to(
            service,
            release,
            Switch {
                cause,
                instead_of: None,
            },
            progress,
        )
        .await
    }

    /// The same, with who wants it and why.
    ///
    /// # Errors
    /// As [`Directory::activate_release`].
    pub async fn switch_to(
        self: &Arc<Self>,
        service: &ServiceName,
        release: &ReleaseId,
        switch: Switch,
        progress: Arc<dyn Fn(Progress) + Send + Sync>,
    ) -> Result<Activation, Error> {
        let (directory, service, release) = (self.clone(), service.clone(), release.clone());
        detached(async move {
            let facts = directory.release(&release).await?;
            if facts.release.service != service {
                return Err(Error::unknown("release of this service", &release));
            }
            let work = async {
                let outcome = directory.activate(&service, &release, &switch, &*progress).await;
                if let Err(error @ Error::NotReady { .. }) = &outcome {
                    directory.record_failure(&service, &release, error).await?;
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
        switch: &Switch,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Activation, Error> {
        let migrations = self.migrations_of(release).await?;
        let mut activation = Activation {
            migrated: 0,
            current: 0,
        };
        // All of them first, so that a migration whose text changed is found; later only the new ones.
        // A release that everybody had was compared then: going back asks nobody who is ready.
        let mut waiting = if self.was_served(release).await? {
            let lacking = self.lacking_now(service, migrations.head()).await?;
            lacking.into_iter().map(|lacking| lacking.tenant).collect()
        } else {
            self.served().await?
        };
        for _ in 0..ROUNDS_MAX {
            let report = self.ready(service, release, &migrations, &waiting, progress).await?;
            activation.migrated += report.migrated;
            activation.current += report.current;
            waiting = self.switch(service, release, migrations.head(), switch).await?;
            if waiting.is_empty() {
                info!(service.name = %service, release.id = %release, "Activated a release");
                return Ok(activation);
            }
        }
        Err(Error::Busy {
            what: format!("the list of tenants, while {service}"),
        })
    }

    async fn was_served(&self, release: &ReleaseId) -> Result<bool, Error> {
        let client = self.pool.get().await?;
        let served = "SELECT activated_at IS NOT NULL FROM terrace.release WHERE id = $1";
        Ok(client.query_one(served, &[&release.as_str()]).await?.try_get(0)?)
    }

    /// Makes these tenants ready for a release: schema, migrations, and the service's first hook.
    pub(crate) async fn ready(
        &self,
        service: &ServiceName,
        release: &ReleaseId,
        migrations: &Migrations,
        tenants: &[TenantId],
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Activation, Error> {
        let mut activation = Activation {
            migrated: 0,
            current: 0,
        };
        let mut asked = tenants.to_vec();
        while !asked.is_empty() {
            let lacking = self.lacking_now(service, migrations.head()).await?;
            let all: HashSet<&TenantId> = asked.iter().collect();
            let unready: Vec<TenantId> = lacking
                .into_iter()
                .filter(|lacking| lacking.is_new && all.contains(&lacking.tenant))
                .map(|lacking| lacking.tenant)
                .collect();
            self.build_missing(service, &unready).await?;
            let report = self.apply_everywhere(service, &asked, migrations, progress).await?;
            activation.migrated += report.migrated;
            activation.current += report.current;
            let untouched = report.untouched;
            if !report.failed.is_empty() {
                let failed = report
                    .failed
                    .into_iter()
                    .map(|(tenant, error)| (tenant, error.to_string()));
                let untouched = untouched
                    .into_iter()
                    .map(|tenant| (tenant, "not tried, because an earlier tenant failed".to_owned()));
                return Err(Error::NotReady {
                    failed: failed.chain(untouched).collect(),
                });
            }
            for tenant in &unready {
                if let Err(error) = self.hook(tenant, service, release, None).await
                    && self.is_its_own(tenant, service).await?
                {
                    return Err(Error::NotReady {
                        failed: vec![(tenant.clone(), error.to_string())],
                    });
                }
            }
            // Whoever stood before them was gone.
            asked = untouched;
        }
        Ok(activation)
    }

    /// Whether what failed for a tenant is about the tenant. It may have been deleted or moved meanwhile, or
    /// have come to where it is without this service: if it is still to be served, the switch finds it, and
    /// it is looked at again.
    async fn is_its_own(&self, tenant: &TenantId, service: &ServiceName) -> Result<bool, Error> {
        let row = {
            let client = self.pool.get().await?;
            client.query_opt(HOME, &[&tenant.as_str()]).await?
        };
        let Some(row) = row else { return Ok(false) };
        let cluster = view::parsed(&row, 0, "cluster name")?;
        let home = self.known_cluster_pool(&cluster).await?.get().await?;
        let there = "SELECT FROM terrace_events.principal WHERE tenant_id = $1 AND service = $2";
        let row = home.query_opt(there, &[&tenant.as_str(), &service.as_str()]).await?;
        Ok(row.is_some())
    }

    /// Switches the pointer, or returns the tenants that have appeared meanwhile. From the row lock
    /// on, no tenant can become active without the release that is current then.
    async fn switch(
        &self,
        service: &ServiceName,
        release: &ReleaseId,
        head: u32,
        switch: &Switch,
    ) -> Result<Vec<TenantId>, Error> {
        let homes = self.connect_homes().await?;
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        let row = transaction
            .query_one(
                "SELECT current FROM terrace.service WHERE name = $1 FOR UPDATE",
                &[&service.as_str()],
            )
            .await?;
        let current: Option<ReleaseId> = view::optional(&row, 0, "release id")?;
        if switch.instead_of.is_some() && switch.instead_of != current {
            return Err(Error::Invalid(format!(
                "{service} is not served by that release any more; nothing was changed"
            )));
        }
        let tenants = by_cluster(&*transaction).await?;
        let lacking = lacking(&homes, &tenants, service, head).await?;
        drop(homes);
        if !lacking.is_empty() {
            return Ok(lacking.into_iter().map(|lacking| lacking.tenant).collect());
        }
        // The release that goes is to blame when the platform itself takes it away.
        let blamed = switch.cause.happened == Happened::RolledBackByBudget;
        let (gone, error) = match blamed {
            true => (ReleaseState::Failed, Some(&switch.cause.detail)),
            false => (ReleaseState::Retained, None),
        };
        transaction
            .execute(
                "UPDATE terrace.release SET state = CASE state WHEN 'active' THEN $2 ELSE 'retained' END,
                        error = CASE state WHEN 'active' THEN $3 ELSE error END
                 WHERE service = $1 AND state IN ('active', 'canary')",
                &[&service.as_str(), &gone.as_str(), &error],
            )
            .await?;
        transaction
            .execute(
                "UPDATE terrace.release SET state = $2, activated_at = now(), error = NULL WHERE id = $1",
                &[&release.as_str(), &ReleaseState::Active.as_str()],
            )
            .await?;
        // What was served before has passed its trial; what is new, and has something to go back to, has
        // not. From what one went back to, nothing leads back by itself: a rollback that is asked for
        // twice must not bring the bad release again.
        let on_trial = matches!(switch.cause.happened, Happened::Deployed | Happened::CanaryPromoted);
        transaction
            .execute(
                "UPDATE terrace.service SET
                        previous = CASE WHEN current = $2 THEN previous WHEN $3 THEN current END,
                        trial_since = CASE WHEN current = $2 THEN trial_since WHEN $3 AND current IS NOT NULL THEN now() END,
                        current = $2, canary = NULL, canary_share = NULL, canary_tenants = '{}', canary_since = NULL
                 WHERE name = $1",
                &[&service.as_str(), &release.as_str(), &on_trial],
            )
            .await?;
        if current.as_ref() != Some(release) {
            // Told of the one that it is about.
            let about = current.as_ref().filter(|_| blamed).unwrap_or(release);
            history::record(&transaction, service, about, &switch.cause).await?;
        }
        transaction.execute("SELECT terrace.bump()", &[]).await?;
        transaction.commit().await?;
        Ok(Vec::new())
    }

    /// Schema, role and grants of a service for tenants that were there before it.
    async fn build_missing(&self, service: &ServiceName, tenants: &[TenantId]) -> Result<(), Error> {
        let mut outcomes = stream::iter(tenants.to_vec())
            .map(|tenant| async move {
                let cluster = self.cluster_of(&tenant).await?;
                let lane = match lane_of(&**self.pool.get().await?, &tenant).await {
                    // Deleted meanwhile.
                    Err(Error::Unknown { .. }) => return Ok(()),
                    lane => lane?,
                };
                let mut client = self.known_cluster_pool(&cluster).await?.get().await?;
                let transaction = client.transaction().await?;
                schemas::build(&transaction, &tenant, &lane, std::slice::from_ref(service)).await?;
                // Whoever waited for the tenant's lock while it was moved would build where it lives no more,
                // or for a lane that it has left.
                let is_there = match lane_of(&**self.pool.get().await?, &tenant).await {
                    Err(Error::Unknown { .. }) => false,
                    now => now? == lane,
                };
                if is_there && self.cluster_of(&tenant).await? == cluster {
                    transaction.commit().await?;
                }
                Ok::<(), Error>(())
            })
            .buffer_unordered(self.config.migrate.concurrency.max(1));
        while let Some(outcome) = outcomes.next().await {
            outcome?;
        }
        Ok(())
    }

    async fn lacking_now(&self, service: &ServiceName, head: u32) -> Result<Vec<Lacking>, Error> {
        let homes = self.connect_homes().await?;
        let tenants = by_cluster(&**self.pool.get().await?).await?;
        lacking(&homes, &tenants, service, head).await
    }

    /// A connection to each cluster where tenants live.
    async fn connect_homes(&self) -> Result<BTreeMap<ClusterName, Object>, Error> {
        let tenants = by_cluster(&**self.pool.get().await?).await?;
        let mut homes = BTreeMap::new();
        for cluster in tenants.into_keys() {
            let home = self.known_cluster_pool(&cluster).await?.get().await?;
            homes.insert(cluster, home);
        }
        Ok(homes)
    }

    /// Migrates tenants, one cluster after the other.
    async fn apply_everywhere(
        &self,
        service: &ServiceName,
        tenants: &[TenantId],
        migrations: &Migrations,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Report, Error> {
        let homes = by_cluster(&**self.pool.get().await?).await?;
        let wanted: HashSet<&TenantId> = tenants.iter().collect();
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
            let (before, total) = (whole.migrated + whole.current, tenants.len());
            let so_far = move |here: Progress| {
                progress(Progress {
                    done: before + here.done,
                    failed: here.failed,
                    total,
                });
            };
            let report = apply_all(&pool, &there, migrations, &self.config.migrate, &so_far).await;
            whole.migrated += report.migrated;
            whole.current += report.current;
            for (tenant, error) in report.failed {
                // One that was moved away meanwhile has its turn where it lives now.
                if self.cluster_of(&tenant).await? == cluster && self.is_its_own(&tenant, service).await? {
                    whole.failed.push((tenant, error));
                }
            }
            whole.untouched.extend(report.untouched);
        }
        Ok(whole)
    }

    /// The tenants that are served, the oldest first: they are the canaries of a migration.
    async fn served(&self) -> Result<Vec<TenantId>, Error> {
        let client = self.pool.get().await?;
        let rows = client.query(HOMES, &[]).await?;
        rows.iter().map(|row| view::parsed(row, 0, "tenant id")).collect()
    }

    async fn record_failure(&self, service: &ServiceName, release: &ReleaseId, error: &Error) -> Result<(), Error> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        // A release that is served stays active, whatever a second activation of it met.
        let failed = "UPDATE terrace.release SET error = $2, state = CASE WHEN state IN ('active', 'canary') THEN state ELSE 'failed' END WHERE id = $1";
        transaction
            .execute(failed, &[&release.as_str(), &error.to_string()])
            .await?;
        let cause = Cause::new(Happened::Failed, "terrace").detail(error.to_string());
        history::record(&transaction, service, release, &cause).await?;
        Ok(transaction.commit().await?)
    }
}

/// The tenants that have not all of the service in their homes. One that lives on a cluster which nobody is
/// connected to has come there a moment ago, and is looked at again.
async fn lacking(
    homes: &BTreeMap<ClusterName, Object>,
    tenants: &Homes,
    service: &ServiceName,
    head: u32,
) -> Result<Vec<Lacking>, Error> {
    let mut lacking = Vec::new();
    for (cluster, tenants) in tenants {
        let ids: Vec<&str> = tenants.iter().map(TenantId::as_str).collect();
        let rows = match homes.get(cluster) {
            Some(home) => home.query(READY, &[&service.as_str(), &i64::from(head), &ids]).await?,
            None => Vec::new(),
        };
        let there: HashMap<&str, bool> = rows
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect::<Result<_, tokio_postgres::Error>>()?;
        for tenant in tenants {
            let has_all = there.get(tenant.as_str());
            if has_all != Some(&true) {
                lacking.push(Lacking {
                    tenant: tenant.clone(),
                    is_new: has_all.is_none(),
                });
            }
        }
    }
    Ok(lacking)
}

/// The tenants that are served, by the clusters where they live.
async fn by_cluster(directory: &impl GenericClient) -> Result<Homes, Error> {
    let mut homes = Homes::new();
    for row in directory.query(HOMES, &[]).await? {
        let cluster = view::parsed(&row, 1, "cluster name")?;
        homes
            .entry(cluster)
            .or_default()
            .push(view::parsed(&row, 0, "tenant id")?);
    }
    Ok(homes)
}
