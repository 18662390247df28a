//! What operators do to tenants, over the directory.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use terrace_control::{
    DeletedTenant, Destination, Error, LaneKind, Lifecycle, NewImport, NewRestore, Operation, OperationKind,
    OperationState, OperationStep, Pieces, Plan, Rename, Tenant, TenantRef,
};
use terrace_data_tenancy::{self as tenancy, Kind, OperationFacts, Standing};
use terrace_ground_ids::{ArchiveId, TenantId};
use tracing::warn;

use super::control::{Plane, refuse};

/// Between two looks whether a move has begun.
const BEGUN_EVERY: Duration = Duration::from_millis(20);

/// Most operations in a list.
const LISTED: u32 = 200;

impl Plane {
    pub(super) fn describe_operation(&self, facts: OperationFacts) -> Operation {
        let remaining = facts.remaining().iter().map(|step| step.as_str().to_owned()).collect();
        let slug = self
            .directory
            .tenants()
            .by_id(&facts.tenant)
            .map(|tenant| tenant.slug.clone());
        Operation {
            id: facts.id,
            slug,
            tenant: facts.tenant,
            kind: match facts.kind {
                Kind::Create => OperationKind::Create,
                Kind::Delete => OperationKind::Delete,
                Kind::Suspend => OperationKind::Suspend,
                Kind::Resume => OperationKind::Resume,
                Kind::Plan => OperationKind::Plan,
                Kind::Rename => OperationKind::Rename,
                Kind::Export => OperationKind::Export,
                Kind::Import => OperationKind::Import,
                Kind::Restore => OperationKind::Restore,
                Kind::Move => OperationKind::Move,
            },
            state: match facts.state {
                Standing::Running => OperationState::Running,
                Standing::Done => OperationState::Done,
                Standing::Cancelled => OperationState::Cancelled,
            },
            steps: facts
                .steps
                .into_iter()
                .map(|(step, at)| OperationStep {
                    step: step.as_str().to_owned(),
                    at,
                })
                .collect(),
            remaining,
            actor: facts.actor,
            error: facts.error,
            attempts: facts.attempts,
            retry_at: facts.retry_at,
            started_at: facts.started_at,
            finished_at: facts.finished_at,
            evidence: facts.evidence,
        }
    }

    /// The tenant after a change. It was there a moment ago; a deletion may have overtaken.
    fn changed(&self, id: &TenantId) -> Result<Tenant, Error> {
        let known = self.find(&TenantRef::Id(id.clone()))?;
        self.describe(&known)
            .ok_or_else(|| Error::Internal("a tenant that was changed has no place".into()))
    }

    /// The id of a tenant; of one that is gone when it was given by its id.
    fn id_of(&self, tenant: &TenantRef) -> Result<TenantId, Error> {
        match (self.find(tenant), tenant) {
            (Ok(known), _) => Ok(known.id.clone()),
            (Err(_), TenantRef::Id(id)) => Ok(id.clone()),
            (Err(error), TenantRef::Slug(_)) => Err(error),
        }
    }
}

#[async_trait]
impl Lifecycle for Plane {
    async fn suspend(&self, tenant: &TenantRef, operator: &str) -> Result<Tenant, Error> {
        let id = self.find(tenant)?.id.clone();
        self.directory.suspend_tenant(&id, operator).await.map_err(refuse)?;
        self.changed(&id)
    }

    async fn resume(&self, tenant: &TenantRef, operator: &str) -> Result<Tenant, Error> {
        let id = self.find(tenant)?.id.clone();
        self.directory.resume_tenant(&id, operator).await.map_err(refuse)?;
        self.changed(&id)
    }

    async fn change_plan(&self, tenant: &TenantRef, plan: Plan, operator: &str) -> Result<Tenant, Error> {
        let id = self.find(tenant)?.id.clone();
        self.directory
            .change_plan(&id, plan.as_str(), operator)
            .await
            .map_err(refuse)?;
        self.changed(&id)
    }

    async fn rename(&self, tenant: &TenantRef, rename: Rename, operator: &str) -> Result<Tenant, Error> {
        let id = self.find(tenant)?.id.clone();
        let rename = tenancy::Rename {
            slug: rename.slug,
            name: rename.name,
            release_old_slug: rename.release_old_slug,
        };
        self.directory
            .rename_tenant(&id, rename, operator)
            .await
            .map_err(refuse)?;
        self.changed(&id)
    }

    async fn operations(&self, tenant: Option<&TenantRef>) -> Result<Vec<Operation>, Error> {
        let id = tenant.map(|tenant| self.id_of(tenant)).transpose()?;
        let operations = self.directory.operations(id.as_ref(), LISTED).await.map_err(refuse)?;
        if let (true, Some(tenant)) = (operations.is_empty(), tenant) {
            // Who exists was created or imported, and that is on record; unless an older version did it.
            self.find(tenant)?;
        }
        Ok(operations
            .into_iter()
            .map(|facts| self.describe_operation(facts))
            .collect())
    }

    async fn finish(&self, tenant: &TenantRef) -> Result<Vec<Operation>, Error> {
        let id = self.id_of(tenant)?;
        self.directory
            .finish_operation(&id)
            .await
            .map_err(|error| match refuse(error) {
                // The operator is the one to read why; they can read the same in the operation.
                Error::Internal(error) => Error::Conflict(format!("It cannot be finished now: {error}")),
                error => error,
            })?;
        self.operations(Some(&TenantRef::Id(id))).await
    }

    async fn export(&self, tenant: &TenantRef, operator: &str) -> Result<Pieces, Error> {
        let id = self.find(tenant)?.id.clone();
        let export = self.directory.export_tenant(&id, operator).await.map_err(refuse)?;
        let pieces = stream::unfold(export, move |mut export| {
            let id = id.clone();
            async move {
                let piece = export.recv().await?;
                let piece = piece.map_err(|error| {
                    warn!(tenant.id = %id, "An export broke off: {error}");
                    Box::<dyn std::error::Error + Send + Sync>::from("the export broke off")
                });
                Some((piece, export))
            }
        });
        Ok(pieces.boxed())
    }

    async fn begin_archive(&self) -> Result<ArchiveId, Error> {
        self.directory.begin_archive().await.map_err(refuse)
    }

    async fn put_part(&self, archive: &ArchiveId, number: u32, content: Bytes) -> Result<(), Error> {
        self.directory
            .put_archive_part(archive, number, content)
            .await
            .map_err(refuse)
    }

    async fn import(&self, import: NewImport, operator: &str) -> Result<Tenant, Error> {
        let new = tenancy::NewImport {
            archive: import.archive,
            slug: import.slug,
            name: import.name,
            plan: import.plan.map(|plan| plan.as_str().to_owned()),
            force: import.force,
            actor: Some(operator.to_owned()),
        };
        let begun = self.directory.import_tenant(new).await.map_err(refuse)?;
        self.changed(&begun.tenant)
    }

    async fn restore(&self, restore: NewRestore, operator: &str) -> Result<Tenant, Error> {
        // By the id of one that is gone, so that the directory can say that it was deleted.
        let new = tenancy::NewRestore {
            archive: restore.archive,
            tenant: self.id_of(&restore.tenant)?,
            force: restore.force,
            actor: Some(operator.to_owned()),
        };
        let begun = self.directory.restore_tenant(new).await.map_err(refuse)?;
        self.changed(&begun.tenant)
    }

    async fn evidence(&self, tenant: &TenantRef) -> Result<DeletedTenant, Error> {
        let id = self.id_of(tenant)?;
        let tombstone = self.directory.tombstone(&id).await.map_err(refuse)?;
        Ok(DeletedTenant {
            id,
            deleted_at: tombstone.deleted_at,
            deleted_by: tombstone.deleted_by,
            evidence: tombstone.evidence,
        })
    }

    async fn relocate(&self, tenant: &TenantRef, to: Destination, operator: &str) -> Result<Tenant, Error> {
        let id = self.find(tenant)?.id.clone();
        let to = tenancy::Destination {
            cluster: to.cluster,
            lane: to.lane.map(|lane| match lane {
                LaneKind::Own => tenancy::LaneKind::Own,
                LaneKind::Shared => tenancy::LaneKind::Shared,
            }),
        };
        let mut running = tokio::spawn({
            let (directory, id, operator) = (self.directory.clone(), id.clone(), operator.to_owned());
            async move { directory.relocate_tenant(&id, to, &operator).await }
        });
        // Until it has begun, its end is the answer; from then on, its operation is.
        loop {
            let ended = tokio::time::timeout(BEGUN_EVERY, &mut running).await;
            match ended {
                Ok(ended) => {
                    ended
                        .map_err(|panic| Error::Internal(Box::new(panic)))?
                        .map_err(refuse)?;
                    return self.changed(&id);
                }
                Err(_) => {
                    let operation = self.directory.running_operation(&id).await.map_err(refuse)?;
                    if operation.is_some_and(|operation| operation.kind == Kind::Move) {
                        return self.changed(&id);
                    }
                }
            }
        }
    }

    async fn cancel_move(&self, tenant: &TenantRef) -> Result<Tenant, Error> {
        let id = self.find(tenant)?.id.clone();
        self.directory.cancel_move(&id).await.map_err(refuse)?;
        self.changed(&id)
    }
}
