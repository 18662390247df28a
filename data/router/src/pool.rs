//! The connections of one lane, and the lease of one of them.

use std::{
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    Config, Error, Lane,
    backend::{Backend, State},
    connect,
    route::Route,
};

/// How long a dropped transaction may take to roll back before its connection is destroyed.
const ROLLBACK_PATIENCE: Duration = Duration::from_secs(2);

/// The connections of one lane.
pub(crate) struct LanePool {
    pub(crate) lane: Arc<Lane>,
    pub(crate) config: Arc<Config>,
    idle: Mutex<Vec<Backend>>,
    permits: Arc<Semaphore>,
    connections_max: usize,
    /// Which of several places accepted writes last.
    primary: AtomicUsize,
    pub(crate) opened: AtomicU64,
    pub(crate) destroyed: AtomicU64,
    pub(crate) flights: AtomicU64,
}

impl LanePool {
    pub(crate) fn new(lane: Arc<Lane>, config: Arc<Config>) -> Self {
        let connections_max = lane.connection_limit.max(1);
        Self {
            lane,
            config,
            idle: Mutex::new(Vec::new()),
            permits: Arc::new(Semaphore::new(connections_max)),
            connections_max,
            primary: AtomicUsize::new(0),
            opened: AtomicU64::new(0),
            destroyed: AtomicU64::new(0),
            flights: AtomicU64::new(0),
        }
    }

    /// A connection: an idle one, best one that served this route before, or a new one. Waits for
    /// its turn in the order of asking; the caller's deadline ends the wait.
    pub(crate) async fn lease(self: &Arc<Self>, route: &Route, must_be_new: bool) -> Result<Lease, Error> {
        let permit = match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let waited = Arc::clone(&self.permits).acquire_owned().await;
                waited.map_err(|_| Error::unavailable("the tenant has moved; try again"))?
            }
        };
        if !must_be_new {
            let mut aside = Vec::new();
            let mut fit = None;
            while let Some(mut backend) = self.take_idle(route.number) {
                if !backend.is_reusable(&self.config) || !backend.is_alive() {
                    self.destroyed.fetch_add(1, Ordering::Relaxed);
                } else if backend.take_up(route) {
                    fit = Some(backend);
                    break;
                } else {
                    aside.push(backend);
                }
            }
            // Those that cannot come forward for this tenant wait for their own; one makes room for the new one.
            if fit.is_none() && aside.pop().is_some() {
                self.destroyed.fetch_add(1, Ordering::Relaxed);
            }
            self.idle().extend(aside);
            if let Some(backend) = fit {
                return Ok(Lease {
                    backend: Some(backend),
                    permit: Some(permit),
                    pool: Arc::clone(self),
                    is_new: false,
                });
            }
        }
        let mut backend = connect::connect(&self.lane, &self.config, &self.primary).await?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        // A new process stands where the server put it, and can only stand back from there.
        backend.take_up(route);
        Ok(Lease {
            backend: Some(backend),
            permit: Some(permit),
            pool: Arc::clone(self),
            is_new: true,
        })
    }

    /// Closes connections that nobody used for long.
    pub(crate) fn sweep(&self) {
        let idle_max = Duration::from_secs(self.config.backend_idle_max_s);
        let mut idle = self.idle();
        let before = idle.len();
        idle.retain(|backend| backend.idle_since.elapsed() < idle_max && backend.is_alive());
        let closed = before - idle.len();
        self.destroyed.fetch_add(closed as u64, Ordering::Relaxed);
    }

    /// No lease is given any more, and what comes back is closed.
    pub(crate) fn close(&self) {
        self.permits.close();
        self.idle().clear();
    }

    pub(crate) fn idle_count(&self) -> usize {
        self.idle().len()
    }

    pub(crate) fn in_use(&self) -> usize {
        self.connections_max.saturating_sub(self.permits.available_permits())
    }

    fn take_idle(&self, route: u64) -> Option<Backend> {
        let mut idle = self.idle();
        // The one that served it last; else the last used of those that know its tables and keep its
        // statements; else the one that knows the fewest. So a tenant has a home also when its lane has
        // more connections than callers, and no connection has to know everybody's tables.
        let index = idle
            .iter()
            .rposition(|backend| backend.last_route() == route)
            .or_else(|| idle.iter().rposition(|backend| backend.has_served(route)))
            .or_else(|| (0..idle.len()).min_by_key(|index| idle.get(*index).map(Backend::relations)))
            .unwrap_or(0);
        (index < idle.len()).then(|| idle.remove(index))
    }

    fn give_back(&self, mut backend: Backend) {
        if backend.is_reusable(&self.config) && !self.permits.is_closed() {
            backend.idle_since = Instant::now();
            self.idle().push(backend);
        } else {
            self.destroyed.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Backend>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection in one hand. Whatever happens to the hand, dropping the lease leaves no connection
/// of an unknown state in the pool: an open transaction is rolled back, a running statement is
/// cancelled and its connection destroyed.
pub(crate) struct Lease {
    backend: Option<Backend>,
    permit: Option<OwnedSemaphorePermit>,
    pool: Arc<LanePool>,
    /// Opened for this lease: its death is no stale connection.
    pub(crate) is_new: bool,
}

impl Lease {
    /// Closes the connection now, whatever its state.
    pub(crate) fn destroy(mut self) {
        if let Some(backend) = &mut self.backend {
            backend.state = State::InFlight;
        }
    }
}

#[expect(clippy::expect_used, reason = "the backend is taken in drop only")]
impl Deref for Lease {
    type Target = Backend;
    fn deref(&self) -> &Backend {
        self.backend.as_ref().expect("a lease holds a backend")
    }
}

#[expect(clippy::expect_used, reason = "the backend is taken in drop only")]
impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Backend {
        self.backend.as_mut().expect("a lease holds a backend")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(mut backend), permit) = (self.backend.take(), self.permit.take()) else {
            return;
        };
        let pool = Arc::clone(&self.pool);
        pool.flights
            .fetch_add(std::mem::take(&mut backend.writes), Ordering::Relaxed);
        match backend.state {
            State::Idle => pool.give_back(backend),
            State::Open | State::Failed => {
                let Ok(runtime) = Handle::try_current() else { return };
                // The permit goes along: the connection still counts until it is settled.
                runtime.spawn(async move {
                    let config = Arc::clone(&pool.config);
                    match timeout(ROLLBACK_PATIENCE, backend.rollback(&config)).await {
                        Ok(Ok(())) => pool.give_back(backend),
                        Ok(Err(_)) | Err(_) => drop(pool.destroyed.fetch_add(1, Ordering::Relaxed)),
                    }
                    drop(permit);
                });
            }
            State::InFlight => {
                pool.destroyed.fetch_add(1, Ordering::Relaxed);
                let Ok(runtime) = Handle::try_current() else { return };
                runtime.spawn(async move {
                    connect::cancel(&backend.cancel).await;
                    drop(backend);
                    drop(permit);
                });
            }
        }
    }
}
