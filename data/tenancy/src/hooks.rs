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

    /// Called after each step of a lifecycle has committed. An error stops the operation there, as a
    /// crash would; `resume` takes it up again. Most implementations only log.
    async fn step_done(&self, _tenant: &TenantId, _step: Step) -> Result<(), String> {
        Ok(())
    }
}

/// The steps of the lifecycles, in order. Each is recorded when it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Create: id and slug are taken.
    Reserved,
    /// Create: the tenant has a lane.
    Placed,
    /// Create: schemas, roles and grants are there.
    Built,
    /// Create: every schema is at the head of its service's current release.
    Migrated,
    /// Create: the services' hooks were called.
    Hooked,
    /// Create: the tenant is served. The end.
    Active,
    /// Delete: the tenant is not served any more.
    Marked,
    /// Delete: schemas and roles are gone.
    Dropped,
    /// Delete: events, cursors and the migration ledger are gone.
    Forgotten,
    /// Delete: only the tombstone is left. The end.
    Deleted,
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 10] = [
        Self::Reserved,
        Self::Placed,
        Self::Built,
        Self::Migrated,
        Self::Hooked,
        Self::Active,
        Self::Marked,
        Self::Dropped,
        Self::Forgotten,
        Self::Deleted,
    ];

    /// The step as the directory stores it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Placed => "placed",
            Self::Built => "built",
            Self::Migrated => "migrated",
            Self::Hooked => "hooked",
            Self::Active => "active",
            Self::Marked => "marked",
            Self::Dropped => "dropped",
            Self::Forgotten => "forgotten",
            Self::Deleted => "deleted",
        }
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
