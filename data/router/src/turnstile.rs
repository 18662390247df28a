//! A tenant's turn: how many of its requests run, how many may wait, and what is counted.
//!
//! Fairness between tenants begins here: a tenant that sends everything at once fills its own queue,
//! and never more than its share of a lane's.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::{
    Config, Error, ErrorKind, Lane,
    statements::{Budget, Ledger},
};

/// For how long a tenant is remembered whose statement computed for long.
const COMPUTING_REMEMBERED: Duration = Duration::from_secs(5);

/// One per tenant.
#[derive(Debug)]
pub(crate) struct Turnstile {
    turns: Arc<Semaphore>,
    turns_max: usize,
    waiting: AtomicUsize,
    waiting_max: usize,
    /// Connections that the tenant has in its hands, or that still settle what it left.
    leases: AtomicUsize,
    pub(crate) statements: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) lock_timeouts: AtomicU64,
    pub(crate) timeouts: AtomicU64,
    pub(crate) conflicts: AtomicU64,
    pub(crate) ledger: Arc<Ledger>,
    /// Whether there is something in `computed_at`.
    has_computed: AtomicBool,
    /// When a statement of the tenant was last found to compute for long.
    computed_at: Mutex<Option<Instant>>,
}

/// The right to use one connection, until the last copy is dropped: the connection has one too, until it is settled.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    _permit: Arc<OwnedSemaphorePermit>,
}

impl Turn {
    fn new(permit: OwnedSemaphorePermit) -> Self {
        Self {
            _permit: Arc::new(permit),
        }
    }
}

/// One of the tenant's connections, counted until dropped.
#[derive(Debug)]
pub(crate) struct InHand(Arc<Turnstile>);

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.leases.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Turnstile {
    pub(crate) fn new(config: &Config, lane: &Lane, budget: &Arc<Budget>) -> Self {
        Self::with(config, lane, Arc::new(Ledger::new(config, budget)))
    }

    fn with(config: &Config, lane: &Lane, ledger: Arc<Ledger>) -> Self {
        let turns_max = turns_max(config, lane);
        Self {
            turns: Arc::new(Semaphore::new(turns_max)),
            turns_max,
            waiting: AtomicUsize::new(0),
            leases: AtomicUsize::new(0),
            waiting_max: config.tenant_queue_max,
            statements: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            lock_timeouts: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
            conflicts: AtomicU64::new(0),
            ledger,
            has_computed: AtomicBool::new(false),
            computed_at: Mutex::new(None),
        }
    }

    /// Whether it lets as many through as this lane has room for.
    pub(crate) fn fits(&self, config: &Config, lane: &Lane) -> bool {
        self.turns_max == turns_max(config, lane)
    }

    /// The one after a change of lane: who has a turn keeps it, and what was counted is kept.
    pub(crate) fn renewed(&self, config: &Config, lane: &Lane) -> Self {
        let count = |count: &AtomicU64| AtomicU64::new(count.load(Ordering::Relaxed));
        Self {
            statements: count(&self.statements),
            failures: count(&self.failures),
            refused: count(&self.refused),
            lock_timeouts: count(&self.lock_timeouts),
            timeouts: count(&self.timeouts),
            conflicts: count(&self.conflicts),
            ..Self::with(config, lane, Arc::clone(&self.ledger))
        }
    }

    /// Waits for a turn, in the order of asking. The caller's deadline ends the wait.
    pub(crate) async fn enter(&self) -> Result<Turn, Error> {
        match Arc::clone(&self.turns).try_acquire_owned() {
            Ok(permit) => return Ok(Turn::new(permit)),
            Err(TryAcquireError::Closed) => return Err(Error::unavailable("the tenant was removed")),
            Err(TryAcquireError::NoPermits) => {}
        }
        let waiting = Waiting::enter(&self.waiting);
        if waiting.place > self.waiting_max {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Error::unavailable(
                "too many requests of this tenant are waiting for the database",
            ));
        }
        let permit = Arc::clone(&self.turns)
            .acquire_owned()
            .await
            .map_err(|_| Error::unavailable("the tenant was removed"))?;
        Ok(Turn::new(permit))
    }

    /// Counts a connection that the tenant got.
    pub(crate) fn take_in_hand(self: &Arc<Self>) -> InHand {
        self.leases.fetch_add(1, Ordering::Relaxed);
        InHand(Arc::clone(self))
    }

    /// Whether the tenant has a connection.
    pub(crate) fn has_one(&self) -> bool {
        self.leases.load(Ordering::Relaxed) > 0
    }

    /// A statement of the tenant was found to compute for long.
    pub(crate) fn note_computing(&self, now: Instant) {
        *self.computed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        self.has_computed.store(true, Ordering::Relaxed);
    }

    /// Whether one was, not long ago. Takes no lock for a tenant whose statements are short.
    pub(crate) fn computes(&self) -> bool {
        if !self.has_computed.load(Ordering::Relaxed) {
            return false;
        }
        let mut computed_at = self.computed_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = computed_at.is_some_and(|at| at.elapsed() < COMPUTING_REMEMBERED);
        if !is_fresh {
            *computed_at = None;
            self.has_computed.store(false, Ordering::Relaxed);
        }
        is_fresh
    }

    /// Counts a statement that failed, and what kind of failure it was.
    pub(crate) fn failed(&self, error: &Error) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let kind = match (error.kind, error.sqlstate.as_deref()) {
            (ErrorKind::Timeout, Some("55P03")) => &self.lock_timeouts,
            (ErrorKind::Timeout, _) => &self.timeouts,
            (ErrorKind::Conflict, _) => &self.conflicts,
            _ => return,
        };
        kind.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.turns_max.saturating_sub(self.turns.available_permits())
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// A tenant may hold half of the connections of a lane that it shares: were it all of them, one that waits
/// for a lock of its own would keep its lane mates from the database.
fn turns_max(config: &Config, lane: &Lane) -> usize {
    let share = if lane.tenants_max > 1 {
        lane.connection_limit.div_ceil(2)
    } else {
        lane.connection_limit
    };
    config.tenant_in_flight_max.min(share).max(1)
}

/// Counted while it lives, so that a wait that is given up is not counted for ever.
struct Waiting<'a> {
    count: &'a AtomicUsize,
    place: usize,
}

impl<'a> Waiting<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        let place = count.fetch_add(1, Ordering::Relaxed) + 1;
        Self { count, place }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}
