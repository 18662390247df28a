//! How many requests are on their way at once: of one tenant, and of all.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use terrace_ground_ids::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Config;

/// The turnstiles of all tenants that have a request on its way.
pub(crate) struct Quota {
    requests: Arc<Semaphore>,
    lookups: Arc<Semaphore>,
    tenant_requests_max: usize,
    tenant_lookups_max: usize,
    tenants: Mutex<HashMap<TenantId, Weak<Tenant>>>,
}

struct Tenant {
    requests: Arc<Semaphore>,
    lookups: Arc<Semaphore>,
}

/// The right to look up one name. Whoever does the work holds it until the work has ended, so it may
/// outlive the request.
pub struct Place {
    /// The tenant's turnstiles are forgotten with the last of these.
    _tenant: Arc<Tenant>,
    _permits: [OwnedSemaphorePermit; 2],
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Place")
    }
}

/// A request's place. Dropping it lets the next in.
pub(crate) struct Turn {
    tenant: Arc<Tenant>,
    lookups: Arc<Semaphore>,
    _permits: [OwnedSemaphorePermit; 2],
}

impl Quota {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            requests: Arc::new(Semaphore::new(config.requests_max)),
            lookups: Arc::new(Semaphore::new(config.lookups_max)),
            tenant_requests_max: config.tenant_requests_max,
            tenant_lookups_max: config.tenant_lookups_max,
            tenants: Mutex::default(),
        }
    }

    /// Waits for a place of the tenant's, and then for one of the node's: who waits for its own tenant
    /// holds nobody else up. None never comes; the caller has a timeout.
    pub(crate) async fn enter(&self, id: &TenantId) -> Option<Turn> {
        let tenant = self.tenant(id);
        let own = tenant.requests.clone().acquire_owned().await.ok()?;
        let shared = self.requests.clone().acquire_owned().await.ok()?;
        Some(Turn {
            tenant,
            lookups: self.lookups.clone(),
            _permits: [own, shared],
        })
    }

    fn tenant(&self, id: &TenantId) -> Arc<Tenant> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = tenants.get(id).and_then(Weak::upgrade) {
            return known;
        }
        // Those who are gone leave an entry behind; it goes when the map would have to grow.
        if tenants.len() == tenants.capacity() {
            tenants.retain(|_, tenant| tenant.strong_count() > 0);
        }
        let tenant = Arc::new(Tenant {
            requests: Arc::new(Semaphore::new(self.tenant_requests_max)),
            lookups: Arc::new(Semaphore::new(self.tenant_lookups_max)),
        });
        tenants.insert(id.clone(), Arc::downgrade(&tenant));
        tenant
    }
}

impl Turn {
    /// Waits for the right to look up a name.
    pub(crate) async fn lookup(&self) -> Option<Place> {
        let own = self.tenant.lookups.clone().acquire_owned().await.ok()?;
        let shared = self.lookups.clone().acquire_owned().await.ok()?;
        Some(Place {
            _tenant: self.tenant.clone(),
            _permits: [own, shared],
        })
    }
}
