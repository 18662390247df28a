//! The two tables behind all stores of a (tenant, service). They come into being with the first write:
//! a tenant that never writes costs the catalogue nothing.

use async_trait::async_trait;
use terrace_ground_ids::{ServiceName, TenantId};

/// Makes the tables, run as the tenant's owner role with the schema as the search path. The keys are
/// compared by their bytes: a cursor must not depend on the language of the database. The second table
/// has one row, which every write takes first: it counts what is kept, and gives versions.
pub const MAKE: &str = "
    CREATE TABLE IF NOT EXISTS terrace_keyvalue (
        bucket  text   NOT NULL,
        key     text   COLLATE \"C\" NOT NULL,
        value   bytea  NOT NULL,
        version bigint NOT NULL,
        PRIMARY KEY (bucket, key)
    );
    CREATE TABLE IF NOT EXISTS terrace_keyvalue_usage (
        one     boolean PRIMARY KEY DEFAULT true CHECK (one),
        keys    bigint  NOT NULL DEFAULT 0,
        bytes   bigint  NOT NULL DEFAULT 0,
        version bigint  NOT NULL DEFAULT 0
    ) WITH (fillfactor = 10);
    INSERT INTO terrace_keyvalue_usage DEFAULT VALUES ON CONFLICT DO NOTHING;
";

/// The tables cannot be made now.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// Who may make tables in a tenant's schema. The platform implements it over the directory.
#[async_trait]
pub trait Tables: Send + Sync + 'static {
    /// Runs [`MAKE`] in the schema of this service of this tenant. Called when a write found no table,
    /// perhaps by several requests at once; after it, the write is tried once more.
    async fn make(&self, tenant: &TenantId, service: &ServiceName) -> Result<(), Unavailable>;
}
