//! A release: compiled once, linked once, instantiated for as many tenants as there are.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use bytes::Bytes;
use terrace_compute_capability::{Guest, Isolation, Limits, Shared};
use terrace_ground_ids::{ReleaseId, ServiceName};
use tokio::sync::OnceCell;
use wasmtime_wasi_http::handler::ProxyPre;

use crate::{apart::Pace, preview::Preview};

/// What is needed to load a release. All of it comes from the manifest and the upload.
#[derive(Debug, Clone)]
pub struct ReleaseSpec {
    /// The release.
    pub id: ReleaseId,
    /// Its service.
    pub service: ServiceName,
    /// The WebAssembly component.
    pub component: Bytes,
    /// The capabilities to grant: `sql`, `events`, ...
    pub capabilities: Vec<String>,
    /// Whether instances are reused within a tenant.
    pub isolation: Isolation,
    /// What one request may use.
    pub limits: Limits,
    /// The services that it may call.
    pub calls: Vec<ServiceName>,
    /// What the manifest grants to single capabilities (hosts, names of secrets), each in its own type.
    /// The engine hands it on and looks at none of it.
    pub grants: Shared,
}

/// A release that is ready to run. Dropping the last reference frees its code; requests that run
/// hold one.
pub struct Release {
    pub(crate) facts: Arc<terrace_compute_capability::Release>,
    pub(crate) isolation: Isolation,
    /// Empty until its code is loaded.
    pub(crate) code: OnceCell<Code>,
    /// Where the code is to be had.
    pub(crate) source: Source,
    /// Requests that run, of all tenants.
    pub(crate) running: AtomicU32,
    /// Set once: from then on no instance of it waits for another request.
    pub(crate) retired: AtomicBool,
    pub(crate) pace: Pace,
}

/// What is loaded of a release.
pub(crate) struct Code {
    pub(crate) pre: ProxyPre<Guest>,
    pub(crate) imports: Vec<String>,
}

/// What code is made of.
pub(crate) struct Source {
    /// Of the component, in hexadecimal.
    pub(crate) sha256: String,
    pub(crate) preview: Preview,
    pub(crate) capabilities: Vec<String>,
}

impl Release {
    /// Its id.
    pub fn id(&self) -> &ReleaseId {
        &self.facts.id
    }

    /// Its service.
    pub fn service(&self) -> &ServiceName {
        &self.facts.service
    }

    /// Its limits.
    pub fn limits(&self) -> &Limits {
        &self.facts.limits
    }

    /// The interfaces that its component imports, with their versions; none of a release whose code is
    /// not loaded yet.
    pub fn imports(&self) -> &[String] {
        self.code.get().map_or(&[], |code| &code.imports)
    }

    /// Whether its manifest lists a capability.
    pub fn is_granted(&self, capability: &str) -> bool {
        self.source.capabilities.iter().any(|listed| listed == capability)
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    /// The services that it may call.
    pub fn calls(&self) -> &[ServiceName] {
        &self.facts.calls
    }
}

/// A place among the requests that a release works on, of all tenants together.
pub(crate) struct ServicePlace(Arc<Release>);

impl ServicePlace {
    /// A place, unless `service_concurrency` are taken. A request from another service finds one also
    /// then: with each depth there are as many more, so that nobody waits for themselves.
    pub(crate) fn take(release: &Arc<Release>, depth: u8) -> Option<Self> {
        let max = release
            .limits()
            .service_concurrency
            .saturating_mul(u32::from(depth) + 1);
        release
            .running
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |running| {
                (running < max).then_some(running + 1)
            })
            .ok()?;
        Some(Self(release.clone()))
    }
}

impl Drop for ServicePlace {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Release {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Release({} {})", self.facts.service, self.facts.id)
    }
}
