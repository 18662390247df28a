//! One request to a service: who asks, on whose behalf, until when.

use std::{sync::Arc, time::Instant};

use terrace_ground_ids::{ReleaseId, RequestId, ServiceName, Slug, TenantId};

/// What a service may know about the tenant it runs for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantFacts {
    /// The id.
    pub id: TenantId,
    /// The first label of its host.
    pub slug: Slug,
    /// Its name, for people.
    pub name: String,
    /// Its plan: `free`, `team`.
    pub plan: String,
}

/// The member who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The member's id.
    pub member: String,
    /// The member's name.
    pub name: String,
    /// `owner` or `member`.
    pub role: String,
}

/// One request to a service. Made by the gateway, by the event dispatcher and, for calls between
/// services, by [`Invocation::call`]. A guest reads parts of it and changes none.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The tenant. Everything that the request touches is bound to it.
    pub tenant: Arc<TenantFacts>,
    /// The service that runs.
    pub service: ServiceName,
    /// The release that runs.
    pub release: ReleaseId,
    /// Who asks. None for public operations and for the platform's own calls.
    pub caller: Option<Arc<Caller>>,
    /// The id that every log line of the request carries.
    pub request: RequestId,
    /// When the answer is of no use any more. The engine takes the earlier of this and the
    /// release's own wall limit.
    pub deadline: Instant,
    /// 0 for a request from outside, 1 for a call made by that one, and so on.
    pub depth: u8,
    /// The sequence number of the event that is being delivered: the first transaction that commits
    /// advances the service's cursor to it.
    pub delivery: Option<u64>,
}

impl Invocation {
    /// The invocation of a service that this one calls: same tenant, caller, request and deadline;
    /// one deeper. A delivery stays with the service it was made to.
    #[must_use]
    pub fn call(&self, service: ServiceName, release: ReleaseId) -> Self {
        Self {
            service,
            release,
            depth: self.depth.saturating_add(1),
            delivery: None,
            ..self.clone()
        }
    }
}
