//! The seals of releases: which statements a sealed release may send, and what was refused.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use terrace_compute_capability::Invocation;
use terrace_data_guard::{Seal, without_values};
use terrace_data_router::{Error, ErrorKind, Router};
use terrace_ground_ids::ReleaseId;

/// Seals by release. A release that is not here is not sealed.
#[derive(Default)]
pub struct Seals(RwLock<HashMap<ReleaseId, Arc<Sealed>>>);

struct Sealed {
    seal: Seal,
    refused: AtomicU64,
}

impl Seals {
    /// Seals a release. Called when it is loaded, before its first request.
    pub fn put(&self, release: ReleaseId, seal: Seal) {
        let sealed = Arc::new(Sealed {
            seal,
            refused: AtomicU64::new(0),
        });
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(release)
            .or_insert(sealed);
    }

    /// Statements of a sealed release that were refused since the process began; none when it is not
    /// sealed.
    pub fn refused(&self, release: &ReleaseId) -> Option<u64> {
        self.get(release).map(|sealed| sealed.refused.load(Ordering::Relaxed))
    }

    fn get(&self, release: &ReleaseId) -> Option<Arc<Sealed>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(release)
            .cloned()
    }

    /// Refuses what is not on the list of the release that runs. What the guard refuses stays the
    /// guard's refusal.
    pub(crate) fn check(&self, router: &Router, invocation: &Invocation, statement: &str) -> Result<(), Error> {
        let Some(sealed) = self.get(&invocation.release) else {
            return Ok(());
        };
        if sealed.seal.allows(router.fingerprint(statement)?) {
            return Ok(());
        }
        sealed.refused.fetch_add(1, Ordering::Relaxed);
        // Either a test is missing, or somebody has made a service say what its author did not write.
        tracing::warn!(
            tenant.id = %invocation.tenant.id,
            service = %invocation.service,
            release.id = %invocation.release,
            request.id = %invocation.request,
            "Refused a statement that the sealed release does not list: {}",
            without_values(statement)
        );
        Err(Error::new(
            ErrorKind::Unsealed,
            "the release is sealed, and this statement is not on its list (statements.sql); run the service's tests to record it",
        ))
    }
}
