//! Creating a tenant: placed, built, migrated, hooked, active; or a spare is claimed, hooked and active.

use std::{collections::HashMap, sync::Arc};

use serde_json::{Value as Json, json};
use terrace_data_migrate::Migrations;
use terrace_ground_ids::{LaneId, ReleaseId, ServiceName, Slug, TenantId};
use tokio_postgres::{GenericClient, Transaction, error::SqlState};
use tracing::info;

use crate::{
    Directory, Error, Kind, Step, Tenant,
    lane::{self, Lanes},
    lifecycle::{Asked, Operation, detached},
    schemas, slugs, spares, view,
};

/// A tenant that is asked for.
#[derive(Debug, Clone)]
pub struct NewTenant {
    /// The first label of its host.
    pub slug: Slug,
    /// The name that people see, 1 to 200 characters.
    pub name: String,
    /// What it pays for.
    pub plan: String,
    /// Only a cluster of this region; any when absent.
    pub region: Option<String>,
    /// What the hooks get (its first owner). Kept only until the creation is done.
    pub context: Option<Json>,
    /// The operator who asks.
    pub actor: Option<String>,
}

/// Where a new tenant gets its place from.
enum Seat {
    /// It takes a spare, which is in this lane.
    Spare(LaneId),
    /// It takes a seat in one of these.
    New(Box<Lanes>),
}

/// The services that every tenant has, with what is served of each.
const CURRENT: &str = "SELECT name, current FROM terrace.service WHERE current IS NOT NULL ORDER BY name";

// Waits for an activation that is about to switch, and keeps the next one from it until this commits.
pub(crate) const CURRENT_HELD: &str =
    "SELECT name FROM terrace.service WHERE current IS NOT NULL ORDER BY name FOR SHARE";

/// What each service should have in a tenant's home.
const HEADS: &str = "SELECT s.name, jsonb_array_length(r.migrations::jsonb)::bigint FROM terrace.service s JOIN terrace.release r ON r.id = s.current";

/// What each service has there, and was greeted.
const THERE: &str = "SELECT p.service, (SELECT count(*) FROM terrace.migration m WHERE m.schema = p.role)
    FROM terrace_events.principal p WHERE p.tenant_id = $1 AND p.ready_at IS NOT NULL";

impl Directory {
    /// Creates a tenant, and returns when it is served. It goes on when the caller goes away, and
    /// `resume` takes it up after a crash.
    ///
    /// # Errors
    /// [`Error::SlugTaken`], [`Error::Invalid`]: nothing was begun. Any other: the tenant stays in the
    /// state `creating`, until `resume` or a deletion.
    pub async fn create_tenant(self: &Arc<Self>, new: NewTenant) -> Result<Arc<Tenant>, Error> {
        check_name(&new.name)?;
        let directory = self.clone();
        detached(async move {
            let cluster = directory.choose_cluster(&new.plan, new.region.as_deref()).await?;
            // Spares are where the directory is, in lanes that are shared.
            let size = directory.config.lane_size(&new.plan);
            let spare = if cluster == directory.config.cluster && size == directory.config.lane_tenants_max.max(1) {
                directory.create_from_spare(&new).await?
            } else {
                None
            };
            let id = match spare {
                Some(id) => id,
                None => {
                    let id = TenantId::random();
                    // Held before it can be seen, so that no other node takes it for abandoned.
                    let work = async {
                        let seat = Seat::New(Box::new(directory.lanes(&cluster).await?));
                        Ok(Some(directory.reserve(&id, seat, new).await?))
                    };
                    directory.operate(&id, work).await?;
                    id
                }
            };
            directory
                .tenants()
                .by_id(&id)
                .cloned()
                .ok_or_else(|| Error::unknown("tenant", &id))
        })
        .await
    }

    /// `None`: there is no spare. Two creations that see the same one are kept apart by its lock.
    async fn create_from_spare(&self, new: &NewTenant) -> Result<Option<TenantId>, Error> {
        for (id, lane) in self.spares_ready().await? {
            let mut begun = false;
            let work = async {
                let operation = self.reserve(&id, Seat::Spare(lane.clone()), new.clone()).await?;
                begun = true;
                Ok(Some(operation))
            };
            match self.operate(&id, work).await {
                Ok(()) => return Ok(Some(id)),
                // Another creation has it, or had it a moment ago.
                Err(Error::Busy { .. } | Error::Running(_) | Error::Unknown { .. }) if !begun => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Takes the slug, and a spare if there is one; otherwise a seat in a lane.
    async fn reserve(&self, id: &TenantId, seat: Seat, new: NewTenant) -> Result<Operation, Error> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        slugs::take(&transaction, &new.slug, id).await?;
        let (lane, step) = match seat {
            Seat::Spare(lane) => {
                spares::claim(&transaction, id).await?;
                (lane, Step::Claimed)
            }
            Seat::New(lanes) => {
                let size = self.config.lane_size(&new.plan);
                (
                    lane::seat(&transaction, &self.config, &lanes, size).await?,
                    Step::Placed,
                )
            }
        };
        let asked = Asked {
            actor: new.actor.as_deref(),
            context: new.context.clone(),
            input: json!({"slug": new.slug, "plan": new.plan}),
        };
        insert(&transaction, id, &new, &lane).await?;
        let operation = Operation::begin(&transaction, id, Kind::Create, step, asked).await?;
        transaction.commit().await?;
        Ok(operation)
    }

    /// Does what follows the last step; `None` at the end.
    pub(crate) async fn create_step(&self, operation: &Operation) -> Result<Option<Step>, Error> {
        match operation.step {
            Step::Reserved => self.place(operation).await,
            Step::Placed => self.build(operation).await,
            Step::Built => self.migrate(operation).await,
            Step::Migrated | Step::Claimed => self.call_hooks(operation).await,
            Step::Hooked => self.finish(operation).await,
            _ => Ok(None),
        }
    }

    /// Of an operation that an older version began: its slug is taken, and nothing else.
    async fn place(&self, operation: &Operation) -> Result<Option<Step>, Error> {
        let lanes = self.lanes(&self.config.cluster).await?;
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        let size = self.config.lane_tenants_max;
        let lane = lane::seat(&transaction, &self.config, &lanes, size).await?;
        transaction
            .execute(
                "UPDATE terrace.tenant SET lane = $2, version = terrace.bump() WHERE id = $1",
                &[&operation.tenant.as_str(), &lane.as_str()],
            )
            .await?;
        operation
            .record(&transaction, Step::Placed, &json!({"lane": lane}))
            .await?;
        transaction.commit().await?;
        Ok(Some(Step::Placed))
    }

    pub(crate) async fn build(&self, operation: &Operation) -> Result<Option<Step>, Error> {
        self.build_at_home(&operation.tenant).await?;
        self.mark(operation, Step::Built).await
    }

    /// The schemas and roles of every service that is served, in the tenant's home.
    pub(crate) async fn build_at_home(&self, tenant: &TenantId) -> Result<(), Error> {
        let client = self.pool.get().await?;
        let services: Vec<ServiceName> = current(&**client)
            .await?
            .into_iter()
            .map(|(service, _)| service)
            .collect();
        let lane = lane_of(&**client, tenant).await?;
        drop(client);
        let mut home = self.home_of(tenant).await?.get().await?;
        let transaction = home.transaction().await?;
        schemas::build(&transaction, tenant, &lane, &services).await?;
        transaction.commit().await?;
        Ok(())
    }

    pub(crate) async fn migrate(&self, operation: &Operation) -> Result<Option<Step>, Error> {
        let releases = current(&**self.pool.get().await?).await?;
        let mut home = self.home_of(&operation.tenant).await?.get().await?;
        for (_, release) in releases {
            let migrations = self.migrations_of(&release).await?;
            terrace_data_migrate::apply(&mut home, &operation.tenant, &migrations, &self.config.migrate).await?;
        }
        drop(home);
        self.mark(operation, Step::Migrated).await
    }

    pub(crate) async fn call_hooks(&self, operation: &Operation) -> Result<Option<Step>, Error> {
        // The router asks the view where the tenant lives; a hook must find it there.
        self.refresh().await?;
        let services = current(&**self.pool.get().await?).await?;
        for (service, release) in services {
            self.hook(&operation.tenant, &service, &release, operation.context.as_ref())
                .await?;
        }
        self.mark(operation, Step::Hooked).await
    }

    /// Calls the tenant-created hook of one service, unless it was done.
    pub(crate) async fn hook(
        &self,
        tenant: &TenantId,
        service: &ServiceName,
        release: &ReleaseId,
        context: Option<&Json>,
    ) -> Result<(), Error> {
        let key: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&tenant.as_str(), &service.as_str()];
        let home = self.home_of(tenant).await?;
        let client = home.get().await?;
        let waiting = client
            .query_opt(
                "SELECT FROM terrace_events.principal WHERE tenant_id = $1 AND service = $2 AND ready_at IS NULL",
                &key,
            )
            .await?;
        drop(client);
        if waiting.is_none() {
            return Ok(());
        }
        let known = self
            .tenants()
            .by_id(tenant)
            .cloned()
            .ok_or_else(|| Error::unknown("tenant", tenant))?;
        self.hooks()
            .tenant_created(&known, service, release, context)
            .await
            .map_err(|message| Error::Hook {
                hook: "tenant-created",
                service: service.clone(),
                message,
            })?;
        let client = home.get().await?;
        client
            .execute(
                "UPDATE terrace_events.principal SET ready_at = now() WHERE tenant_id = $1 AND service = $2",
                &key,
            )
            .await?;
        Ok(())
    }

    /// Makes the tenant active, unless a release was activated meanwhile that it has not got: then the
    /// steps are walked once more.
    pub(crate) async fn finish(&self, operation: &Operation) -> Result<Option<Step>, Error> {
        let home = self.home_of(&operation.tenant).await?.get().await?;
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        transaction.query(CURRENT_HELD, &[]).await?;
        if is_lacking(&transaction, &**home, &operation.tenant).await? {
            operation.record(&transaction, Step::Placed, &json!({})).await?;
            transaction.commit().await?;
            return Ok(Some(Step::Placed));
        }
        // Before it is active: a stream that flows early does no harm, one that never does would.
        pause_stream(&**home, &operation.tenant, false).await?;
        drop(home);
        transaction
            .execute("UPDATE terrace.tenant SET state = 'active', version = terrace.bump() WHERE id = $1 AND state = 'creating'", &[&operation.tenant.as_str()])
            .await?;
        operation.record(&transaction, Step::Active, &json!({})).await?;
        operation.end(&transaction).await?;
        transaction.commit().await?;
        drop(client);
        self.refresh().await?;
        info!(tenant.id = %operation.tenant, "Finished the {} of a tenant", operation.kind);
        Ok(Some(Step::Active))
    }

    /// The checked migrations of a release, from memory after the first time.
    pub(crate) async fn migrations_of(&self, release: &ReleaseId) -> Result<Migrations, Error> {
        if let Some(known) = self.migrations_lock().get(release) {
            return Ok(known.clone());
        }
        let facts = self.release(release).await?;
        let migrations = Migrations::read(&facts.release.service, &facts.migrations)?;
        self.migrations_lock().insert(release.clone(), migrations.clone());
        Ok(migrations)
    }
}

/// Whether a service is served that has not all of its schema in the tenant's home. The caller's
/// transaction holds the list of services.
pub(crate) async fn is_lacking(
    transaction: &Transaction<'_>,
    home: &impl GenericClient,
    tenant: &TenantId,
) -> Result<bool, Error> {
    let mut there = HashMap::new();
    for row in home.query(THERE, &[&tenant.as_str()]).await? {
        there.insert(row.try_get::<_, String>(0)?, row.try_get::<_, i64>(1)?);
    }
    for row in transaction.query(HEADS, &[]).await? {
        let (service, head): (&str, i64) = (row.try_get(0)?, row.try_get(1)?);
        if there.get(service).is_none_or(|applied| *applied < head) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Holds a tenant's events back, or lets them flow.
pub(crate) async fn pause_stream(home: &impl GenericClient, tenant: &TenantId, paused: bool) -> Result<(), Error> {
    home.execute(
        "UPDATE terrace_events.stream SET paused = $2 WHERE tenant_id = $1 AND paused <> $2",
        &[&tenant.as_str(), &paused],
    )
    .await?;
    Ok(())
}

/// What a tenant may be called.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    if name.trim().is_empty() || name.chars().count() > 200 {
        return Err(Error::Invalid("a tenant's name has 1 to 200 characters".to_owned()));
    }
    Ok(())
}

/// The row of a tenant that is being made.
pub(crate) async fn insert(
    transaction: &Transaction<'_>,
    id: &TenantId,
    new: &NewTenant,
    lane: &LaneId,
) -> Result<(), Error> {
    let inserted = transaction
        .execute(
            "INSERT INTO terrace.tenant (id, slug, name, plan, state, lane, version) VALUES ($1, $2, $3, $4, 'creating', $5, terrace.bump())",
            &[&id.as_str(), &new.slug.as_str(), &new.name.trim(), &new.plan, &lane.as_str()],
        )
        .await;
    match inserted {
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => Err(Error::SlugTaken(new.slug.clone())),
        outcome => Ok(outcome.map(|_| ())?),
    }
}

pub(crate) async fn current(client: &impl GenericClient) -> Result<Vec<(ServiceName, ReleaseId)>, Error> {
    let rows = client.query(CURRENT, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok((
                view::parsed(row, 0, "service name")?,
                view::parsed(row, 1, "release id")?,
            ))
        })
        .collect()
}

pub(crate) async fn lane_of(client: &impl GenericClient, tenant: &TenantId) -> Result<LaneId, Error> {
    let row = client
        .query_opt("SELECT lane FROM terrace.tenant WHERE id = $1", &[&tenant.as_str()])
        .await?;
    let row = row.ok_or_else(|| Error::unknown("tenant", tenant))?;
    view::optional(&row, 0, "lane id")?.ok_or_else(|| Error::Corrupt {
        what: "lane of a tenant",
        value: tenant.to_string(),
    })
}
