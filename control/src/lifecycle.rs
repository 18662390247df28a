//! What is done to tenants, as a trait of its own beside [`crate::Platform`].

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use terrace_ground_ids::{ArchiveId, ClusterName, Slug};
use utoipa::ToSchema;

use crate::{DeletedTenant, Error, Operation, Plan, Tenant, TenantRef};

/// An archive that is being made. It is whole when it ends without an error.
pub type Pieces = BoxStream<'static, Result<Bytes, Box<dyn std::error::Error + Send + Sync>>>;

/// New names for a tenant; everything in it was checked.
#[derive(Debug, Clone)]
pub struct Rename {
    /// The first label of its host.
    pub slug: Option<Slug>,
    /// Its name, to show.
    pub name: Option<String>,
    /// Lets others have the old slug at once.
    pub release_old_slug: bool,
}

/// A tenant to make from an archive; everything in it was checked.
#[derive(Debug, Clone)]
pub struct NewImport {
    /// The uploaded archive.
    pub archive: ArchiveId,
    /// The first label of its host.
    pub slug: Slug,
    /// Its name, to show; the archive's when absent.
    pub name: Option<String>,
    /// What it pays for; the archive's when absent.
    pub plan: Option<Plan>,
    /// Bring back a tenant that was deleted here.
    pub force: bool,
}

/// A tenant to bring back to what an archive says; everything in it was checked.
#[derive(Debug, Clone)]
pub struct NewRestore {
    /// The uploaded archive.
    pub archive: ArchiveId,
    /// The tenant.
    pub tenant: TenantRef,
    /// Take the archive of another tenant, too.
    pub force: bool,
}

/// How many neighbours a tenant's lane has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LaneKind {
    /// None: a login of its own, with connections of its own.
    Own,
    /// At most 63.
    Shared,
}

/// Where a tenant is to live; what is absent stays. One of them is there.
#[derive(Debug, Clone)]
pub struct Destination {
    /// On this cluster.
    pub cluster: Option<ClusterName>,
    /// In a lane of this kind.
    pub lane: Option<LaneKind>,
}

/// Changes to tenants that exist, and what came of them. Each is an operation with recorded steps that
/// goes on when the caller leaves; [`Error::Conflict`] names another that is in the way. `operator` is
/// who asked.
#[async_trait]
pub trait Lifecycle: Send + Sync + 'static {
    /// Stops serving a tenant; no error when it is suspended already.
    async fn suspend(&self, tenant: &TenantRef, operator: &str) -> Result<Tenant, Error>;

    /// Serves it again; no error when it is active already.
    async fn resume(&self, tenant: &TenantRef, operator: &str) -> Result<Tenant, Error>;

    /// Changes what it pays for.
    async fn change_plan(&self, tenant: &TenantRef, plan: Plan, operator: &str) -> Result<Tenant, Error>;

    /// Changes what it is called. [`Error::Conflict`] if the slug is taken.
    async fn rename(&self, tenant: &TenantRef, rename: Rename, operator: &str) -> Result<Tenant, Error>;

    /// The newest 200 operations: of one tenant (of one that is gone, by its id), or of all.
    async fn operations(&self, tenant: Option<&TenantRef>) -> Result<Vec<Operation>, Error>;

    /// Finishes what was begun on the tenant and left; returns its operations.
    async fn finish(&self, tenant: &TenantRef) -> Result<Vec<Operation>, Error>;

    /// Begins to export it.
    async fn export(&self, tenant: &TenantRef, operator: &str) -> Result<Pieces, Error>;

    /// Makes room for an archive.
    async fn begin_archive(&self) -> Result<ArchiveId, Error>;

    /// Takes one part of it, at most 4 MiB.
    async fn put_part(&self, archive: &ArchiveId, number: u32, content: Bytes) -> Result<(), Error>;

    /// Checks the archive and begins to make a tenant from it. [`Error::Invalid`] for an archive that
    /// does not fit; nothing was written then.
    async fn import(&self, import: NewImport, operator: &str) -> Result<Tenant, Error>;

    /// Checks the archive and begins to make what takes the tenant's place; returns that.
    async fn restore(&self, restore: NewRestore, operator: &str) -> Result<Tenant, Error>;

    /// What is left of a tenant that was deleted, by its id.
    async fn evidence(&self, tenant: &TenantRef) -> Result<DeletedTenant, Error>;

    /// Begins to move it to another cluster.
    async fn relocate(&self, tenant: &TenantRef, to: Destination, operator: &str) -> Result<Tenant, Error>;

    /// Gives up a move that has not switched.
    async fn cancel_move(&self, tenant: &TenantRef) -> Result<Tenant, Error>;
}
