//! Where cursors and dead letters are: in the database of the tenant's stream, which is one of several.

use deadpool_postgres::Pool;
use terrace_ground_ids::TenantId;

/// Whether a tenant lives on a cluster.
pub type LivesThere = Box<dyn Fn(&TenantId) -> bool + Send + Sync>;

/// Connections of the platform's own login to the clusters.
pub trait Pools: Send + Sync {
    /// To the one where nodes agree on who works on what; always the same.
    fn turns(&self) -> Pool;

    /// To the one where a tenant's stream is. Called for every statement, so it answers from memory.
    fn of(&self, tenant: &TenantId) -> Pool;

    /// To all of them. A stream that is there of a tenant that does not live there is a copy, and not
    /// looked at. Called at every scan.
    fn all(&self) -> Vec<(Pool, LivesThere)>;
}

impl Pools for Pool {
    fn turns(&self) -> Pool {
        self.clone()
    }

    fn of(&self, _: &TenantId) -> Pool {
        self.clone()
    }

    fn all(&self) -> Vec<(Pool, LivesThere)> {
        vec![(self.clone(), Box::new(|_| true))]
    }
}
