//! Tables that a capability keeps in a tenant's schema. They come into being with the first write: a
//! tenant that never writes costs the catalogue nothing.

use async_trait::async_trait;
use terrace_ground_ids::{ServiceName, TenantId};

/// Whose tables. `data/tenancy` says what is in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnTables {
    /// Those behind `wasi:keyvalue`.
    KeyValue,
    /// Those behind `blob`.
    Blob,
}

/// The tables cannot be made now.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// Who may make tables in a tenant's schema. The platform implements it over the directory.
#[async_trait]
pub trait Tables: Send + Sync + 'static {
    /// Makes the tables in the schema of this service of this tenant. Called when a write found none,
    /// perhaps by several requests at once; after it, the write is tried once more.
    async fn make(&self, which: OwnTables, tenant: &TenantId, service: &ServiceName) -> Result<(), Unavailable>;
}
