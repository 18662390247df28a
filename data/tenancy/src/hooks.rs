//! What the platform does inside a lifecycle: call services, and watch the steps.

use async_trait::async_trait;
use serde_json::Value as Json;
use terrace_ground_ids::{ReleaseId, ServiceName, TenantId};

use crate::Tenant;

/// The platform's part in the lifecycle of tenants.
#[async_trait]
pub trait Hooks: Send + Sync {
    /// Called once for each (tenant, service), when the schema is migrated and before the tenant is
    /// active (or, for a service that is new to old tenants, before its release is). After a crash it
    /// is called again, so it must be idempotent. Services without the hook: return `Ok`.
    ///
    /// `context` is what [`crate::NewTenant`] carried; `None` for a service that came later.
    async fn tenant_created(
        &self,
        tenant: &Tenant,
        service: &ServiceName,
        release: &ReleaseId,
        context: Option<&Json>,
    ) -> Result<(), String>;

    /// Called for each service of a tenant whose plan was changed by an operator; [`Tenant::plan`] is
    /// the new one. After a crash it is called again. Services without the hook: return `Ok`.
    async fn plan_changed(&self, _tenant: &Tenant, _service: &ServiceName, _release: &ReleaseId) -> Result<(), String> {
        Ok(())
    }

    /// Called after each step of a lifecycle has committed. An error stops the operation there, as a
    /// crash would; `resume` takes it up again. Most implementations only log.
    async fn step_done(&self, _tenant: &TenantId, _step: Step) -> Result<(), String> {
        Ok(())
    }
}

/// The steps of the operations. Each is recorded when it is done; [`crate::Kind::steps`] has their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Rename: the new slug is taken. Create, before there were spares: id and slug are.
    Reserved,
    /// Create: id, slug and a seat in a lane are taken.
    Placed,
    /// Create: a spare with migrated schemas is taken.
    Claimed,
    /// Create, import: schemas, roles and grants are there.
    Built,
    /// Create, import: every schema is at the head of its service's current release.
    Migrated,
    /// Create, import: the services' hooks were called.
    Hooked,
    /// Create, import: the tenant is served. The end.
    Active,
    /// Delete: the tenant is not served any more.
    Marked,
    /// Delete: schemas and roles are gone.
    Dropped,
    /// Delete: events, cursors and the migration ledger are gone.
    Forgotten,
    /// Delete: only the tombstone is left. The end.
    Deleted,
    /// Suspend: requests are refused and events wait.
    Suspended,
    /// Suspend: what ran when it began has ended. The end.
    Quiet,
    /// Resume: the tenant is served again.
    Served,
    /// Resume: its events go on. The end.
    Resumed,
    /// Plan: the directory has the new plan.
    Planned,
    /// Plan: the services that asked for it know. The end.
    Told,
    /// Rename: the tenant answers to its new names. The end.
    Renamed,
    /// Export: it has begun to be read.
    Opened,
    /// Export: its reader has all of it. The end.
    Exported,
    /// Import: the archive was checked, and id, slug and a seat in a lane are taken.
    Received,
    /// Import, move: the schemas are at the right migrations.
    Prepared,
    /// Import: every table has its rows.
    Loaded,
    /// Import: events and cursors are there.
    Streamed,
    /// Import: the digest of what is there is the archive's.
    Verified,
    /// Move: the target and a seat in one of its lanes are taken.
    Chosen,
    /// Move: the target follows the source, and its first copy has begun.
    Followed,
    /// Move: every table was copied, and is followed.
    Copied,
    /// Move: the tenant lives at the target.
    Switched,
    /// Move: the target follows the source no more.
    Parted,
    /// Move: nothing is left at the source. The end.
    Moved,
    /// Restore: the tenant has what was made beside it, and that has what the tenant was. The end.
    Swapped,
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 32] = [
        Self::Reserved,
        Self::Placed,
        Self::Claimed,
        Self::Built,
        Self::Migrated,
        Self::Hooked,
        Self::Active,
        Self::Marked,
        Self::Dropped,
        Self::Forgotten,
        Self::Deleted,
        Self::Suspended,
        Self::Quiet,
        Self::Served,
        Self::Resumed,
        Self::Planned,
        Self::Told,
        Self::Renamed,
        Self::Opened,
        Self::Exported,
        Self::Received,
        Self::Prepared,
        Self::Loaded,
        Self::Streamed,
        Self::Verified,
        Self::Chosen,
        Self::Followed,
        Self::Copied,
        Self::Switched,
        Self::Parted,
        Self::Moved,
        Self::Swapped,
    ];

    /// The step as the directory stores it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Placed => "placed",
            Self::Claimed => "claimed",
            Self::Built => "built",
            Self::Migrated => "migrated",
            Self::Hooked => "hooked",
            Self::Active => "active",
            Self::Marked => "marked",
            Self::Dropped => "dropped",
            Self::Forgotten => "forgotten",
            Self::Deleted => "deleted",
            Self::Suspended => "suspended",
            Self::Quiet => "quiet",
            Self::Served => "served",
            Self::Resumed => "resumed",
            Self::Planned => "planned",
            Self::Told => "told",
            Self::Renamed => "renamed",
            Self::Opened => "opened",
            Self::Exported => "exported",
            Self::Received => "received",
            Self::Prepared => "prepared",
            Self::Loaded => "loaded",
            Self::Streamed => "streamed",
            Self::Verified => "verified",
            Self::Chosen => "chosen",
            Self::Followed => "followed",
            Self::Copied => "copied",
            Self::Switched => "switched",
            Self::Parted => "parted",
            Self::Moved => "moved",
            Self::Swapped => "swapped",
        }
    }

    /// Of a move: whether the tenant still lives where it was.
    pub(crate) const fn is_before_switch(self) -> bool {
        matches!(self, Self::Chosen | Self::Prepared | Self::Followed | Self::Copied)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == text)
    }
}

/// For a directory that serves no services: tests, and tools that only look.
pub(crate) struct NoHooks;

#[async_trait]
impl Hooks for NoHooks {
    async fn tenant_created(&self, _: &Tenant, _: &ServiceName, _: &ReleaseId, _: Option<&Json>) -> Result<(), String> {
        Ok(())
    }
}
