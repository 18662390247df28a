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

mod change_lane;
mod leave;
mod marks;
mod prepare;
mod switch;

use std::sync::Arc;

use deadpool_postgres::Pool;
use serde::{Deserialize, Serialize};
use serde_json::json;
use terrace_ground_ids::{ClusterName, LaneId, TenantId};
use tokio_postgres::Transaction;
use tracing::info;

use crate::{
    Directory, Error, Kind, Step,
    change::settled,
    create::lane_of,
    lane::{self, Lanes},
    lifecycle::{Asked, Operation, detached},
};

/// How many neighbours a tenant's lane has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneKind {
    /// None.
    Own,
    /// As many as [`crate::Config::lane_tenants_max`] allows.
    Shared,
}

/// Where a tenant is to live; what is absent stays.
#[derive(Debug, Clone, Default)]
pub struct Destination {
    /// On this cluster.
    pub cluster: Option<ClusterName>,
    /// In a lane of this kind.
    pub lane: Option<LaneKind>,
}

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
        let to = Destination {
            cluster: Some(to.clone()),
            lane: None,
        };
        self.relocate_tenant(tenant, to, actor).await
    }

    /// The same, and to another lane: on another cluster, or on the one where the tenant is, where nothing is
    /// copied and nobody waits.
    ///
    /// # Errors
    /// As [`Directory::move_tenant`].
    pub async fn relocate_tenant(
        self: &Arc<Self>,
        tenant: &TenantId,
        to: Destination,
        actor: &str,
    ) -> Result<(), Error> {
        let (directory, tenant, actor) = (self.clone(), tenant.clone(), actor.to_owned());
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

    async fn begin_move(&self, tenant: &TenantId, to: &Destination, actor: &str) -> Result<Option<Operation>, Error> {
        self.refresh().await?;
        self.clean_moves(tenant).await?;
        let from = self.cluster_of(tenant).await?;
        let target = to.cluster.clone().unwrap_or_else(|| from.clone());
        if from != target {
            self.check_move(&from, &target).await?;
        }
        let lanes = self.lanes(&target).await?;
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
        let now = lane::size(&transaction, tenant).await?;
        let size = match to.lane {
            Some(LaneKind::Own) => 1,
            Some(LaneKind::Shared) => self.config.lane_tenants_max.max(1),
            None => now,
        };
        if from == target && size == now {
            return Ok(None);
        }
        let operation = self.take_seat(&transaction, tenant, &lanes, size, actor).await?;
        transaction.commit().await?;
        info!(tenant.id = %tenant, "Began to move a tenant to {target}, into a lane of {size}");
        Ok(Some(operation))
    }

    /// Begins a move in the transaction of whatever it follows from.
    pub(crate) async fn take_seat(
        &self,
        transaction: &Transaction<'_>,
        tenant: &TenantId,
        to: &Lanes,
        size: u32,
        actor: &str,
    ) -> Result<Operation, Error> {
        let input = Input {
            from: self.cluster_in(transaction, tenant).await?,
            to: to.cluster().clone(),
            from_lane: lane_of(transaction, tenant).await?,
            to_lane: lane::seat(transaction, &self.config, to, size).await?,
        };
        let asked = Asked::by(
            actor,
            serde_json::to_value(&input).map_err(|error| Error::corrupt("input of a move", error))?,
        );
        let operation = Operation::begin(transaction, tenant, Kind::Move, Step::Chosen, asked).await?;
        operation
            .note(
                transaction,
                &json!({"from": input.from, "to": input.to, "lane": input.to_lane, "lane_tenants": size}),
            )
            .await?;
        transaction.execute("SELECT terrace.bump()", &[]).await?;
        Ok(operation)
    }

    /// Whether a tenant can be moved between these two clusters.
    async fn check_move(&self, from: &ClusterName, to: &ClusterName) -> Result<(), Error> {
        let view = self.tenants();
        let target = view.cluster(to).ok_or_else(|| Error::unknown("cluster", to))?;
        if target.draining {
            return Err(Error::Invalid(format!(
                "the cluster `{to}` is being drained; `terrace cluster open {to}` lets it take tenants"
            )));
        }
        let level: String = {
            let source = self.known_cluster_pool(from).await?.get().await?;
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
        Ok(())
    }

    /// Does what follows the last step; `None` at the end.
    pub(crate) async fn move_step(&self, operation: &Operation) -> Result<Option<Step>, Error> {
        if operation.step == Step::Moved {
            return Ok(None);
        }
        let ends = self.ends(operation).await?;
        if ends.is_one_cluster() {
            return self.lane_step(operation, &ends).await;
        }
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
        self.both(&operation.tenant, input).await
    }

    async fn both(&self, tenant: &TenantId, input: Input) -> Result<Ends, Error> {
        Ok(Ends {
            tenant: tenant.clone(),
            name: format!("move_{tenant}"),
            source: self.known_cluster_pool(&input.from).await?,
            target: self.known_cluster_pool(&input.to).await?,
            input,
        })
    }
}
