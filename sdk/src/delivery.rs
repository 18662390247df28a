//! What the platform itself asks of a service: to take an event, or to prepare for a new tenant.

use axum::handler::Handler;
use serde::Deserialize;

use crate::Router;

/// An event that the service's manifest lists under `consumes`. Take it as `Json<Delivery>`.
///
/// The first transaction that commits while it is handled advances the service's cursor in the same
/// commit, so its effect happens exactly once. A handler that commits none sees an event again
/// after a crash. An answer outside 200..300 brings it again, later.
#[derive(Debug, Clone, Deserialize)]
pub struct Delivery {
    /// Its place in the tenant's stream: dense, from 1.
    pub seq: u64,
    /// `tasks.task.created`: the service that published it, then what it called it.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is about: `board/7`.
    pub topic: String,
    /// What the publisher said.
    pub data: serde_json::Value,
    /// When it was committed, in RFC 3339.
    pub time: String,
}

/// A tenant came to be. Sent to services whose manifest lists the hook `tenant-created`; it may come
/// more than once.
#[derive(Debug, Clone, Deserialize)]
pub struct TenantCreated {
    /// Its first member, who may do everything.
    pub owner: Option<Owner>,
}

/// An operator changed what the tenant pays for. Sent to services whose manifest lists the hook
/// `plan-changed`; it may come more than once.
#[derive(Debug, Clone, Deserialize)]
pub struct PlanChanged {
    /// The new plan: `team`.
    pub plan: String,
}

/// The first member of a tenant.
#[derive(Clone, Deserialize)]
pub struct Owner {
    /// The address to sign in with.
    pub email: String,
    /// What to call them.
    pub name: String,
    /// In the clear: the service hashes it. Never written to a log.
    pub password: String,
}

impl std::fmt::Debug for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Owner")
            .field("email", &self.email)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Router {
    /// Handles each event that the manifest's `consumes` lists: `async fn(Db, Json<Delivery>)`.
    #[must_use]
    pub fn on_event<H: Handler<T, ()>, T: 'static>(self, handler: H) -> Self {
        self.internal("/_terrace/events", handler)
    }

    /// Handles the hook `tenant-created`: `async fn(Db, Json<TenantCreated>)`. It must be idempotent.
    #[must_use]
    pub fn on_tenant_created<H: Handler<T, ()>, T: 'static>(self, handler: H) -> Self {
        self.internal("/_terrace/hooks/tenant-created", handler)
    }

    /// Handles the hook `plan-changed`: `async fn(Db, Json<PlanChanged>)`. It must be idempotent.
    #[must_use]
    pub fn on_plan_changed<H: Handler<T, ()>, T: 'static>(self, handler: H) -> Self {
        self.internal("/_terrace/hooks/plan-changed", handler)
    }
}
