//! Everything that is decided once per principal: its schema, its role, its lane, its turnstile.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::{Principal, pool::LanePool, turnstile::Turnstile};

/// The way of one principal to its data. Kept until its lane changes.
pub(crate) struct Route {
    /// A number that no other route of this process has: half of the key of a prepared statement.
    pub(crate) number: u64,
    pub(crate) principal: Principal,
    pub(crate) schema: String,
    /// The statement that takes the role.
    pub(crate) set_role: String,
    pub(crate) pool: Arc<LanePool>,
    pub(crate) turnstile: Arc<Turnstile>,
}

impl Route {
    pub(crate) fn new(principal: &Principal, pool: Arc<LanePool>, turnstile: Arc<Turnstile>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let schema = principal.schema();
        // The name comes from ids that have no quote in them.
        let set_role = format!("SET LOCAL ROLE \"{schema}\"");
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            principal: principal.clone(),
            schema,
            set_role,
            pool,
            turnstile,
        }
    }
}
