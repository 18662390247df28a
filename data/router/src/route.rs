//! Everything that is decided once per principal: its schema, its role, its lane, its turnstile.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{Principal, pool::LanePool, turnstile::Turnstile};

/// The way of one principal to its data. Kept until its lane changes.
pub(crate) struct Route {
    /// A number that no other route of this process has: half of the key of a prepared statement.
    pub(crate) number: u64,
    pub(crate) principal: Principal,
    pub(crate) schema: String,
    /// Of its service: the same statement of two services is counted apart.
    pub(crate) salt: u64,
    /// The statement that takes the role.
    pub(crate) set_role: String,
    pub(crate) pool: Arc<LanePool>,
    pub(crate) turnstile: Arc<Turnstile>,
}

impl Route {
    pub(crate) fn new(principal: &Principal, pool: Arc<LanePool>, turnstile: Arc<Turnstile>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let schema = principal.schema();
        let mut salt = DefaultHasher::new();
        principal.service.hash(&mut salt);
        // The name comes from ids that have no quote in them.
        let set_role = format!("SET LOCAL ROLE \"{schema}\"");
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            principal: principal.clone(),
            schema,
            salt: salt.finish(),
            set_role,
            pool,
            turnstile,
        }
    }
}
