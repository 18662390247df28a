//! Brings events to the services that consume them: in order per tenant, at least once, fair by tenant.
//!
//! A consumer is a service; its place in each tenant's stream is a cursor row. A delivery that fails
//! is tried again, later and later; after the last try the event becomes a dead letter and the stream
//! goes on. A service whose transaction advances the cursor itself (events/outbox) sees the effect of
//! each event exactly once. This crate calls no service: the platform does, through [`Deliver`].

mod cursor;
mod pools;
mod ready;
mod turn;
mod turns;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use serde::Deserialize;
use terrace_events_log::{Bell, Event, Log};
use terrace_ground_ids::{ServiceName, TenantId};
use tokio::task::JoinSet;
use tracing::warn;

pub use cursor::DeadLetter;
pub use deadpool_postgres::Pool;
pub use pools::{LivesThere, Pools};
pub use ready::{Key, Ready};
pub use turns::Turns;

/// The locks of this crate, among those of the platform.
const LOCKS: i64 = 3;

/// Why the dispatcher cannot work now.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection.
    #[error("the dispatcher has no connection: {0}")]
    Connect(#[from] deadpool_postgres::PoolError),
    /// The database refused or lost a query.
    #[error("a cursor cannot be used: {0}")]
    Query(#[from] tokio_postgres::Error),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] terrace_events_log::Error),
}

/// Why a delivery did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliverError {
    /// The service was called and did not answer 2xx. Counts as a try.
    #[error("{0}")]
    Failed(String),
    /// The service could not be called: overloaded, not loaded, its database away. Does not count:
    /// an outage must not turn a backlog into dead letters.
    #[error("{0}")]
    Unavailable(String),
    /// The tenant is suspended. Nothing is recorded; the event waits until its stream goes on, which the
    /// next scan after that sees.
    #[error("the tenant is suspended")]
    Paused,
}

/// Calls a service with one event.
#[async_trait]
pub trait Deliver: Send + Sync {
    /// Called for one event after the other of one (service, tenant), never for two of them at once.
    /// It may be called again for an event that succeeded, after a crash; and after a failure, which
    /// is why the caller's first transaction must commit the cursor too.
    async fn deliver(&self, service: &ServiceName, tenant: &TenantId, event: &Event) -> Result<(), DeliverError>;
}

/// What each service consumes: exact event types.
pub type Subscriptions = BTreeMap<ServiceName, BTreeSet<String>>;

/// How the dispatcher works.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Deliveries at the same time, in this process. Default 4.
    pub concurrency: usize,
    /// Events of one (service, tenant) before the next one has its turn. Default 16.
    pub quantum: u32,
    /// Tries before an event becomes a dead letter. Default 8.
    pub tries_max: u32,
    /// Wait after the first failure, in milliseconds; doubles each time. Default 500.
    pub backoff_ms: u64,
    /// Longest wait, in milliseconds. Default 60,000.
    pub backoff_max_ms: u64,
    /// Milliseconds between two looks at all cursors: for other nodes' commits, and after a start. Default 1,000.
    pub scan_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            concurrency: 4,
            quantum: 16,
            tries_max: 8,
            backoff_ms: 500,
            backoff_max_ms: 60_000,
            scan_ms: 1_000,
        }
    }
}

impl Config {
    /// The wait after failure number `attempt` (from 1), before jitter.
    fn backoff(&self, attempt: u32) -> Duration {
        let doubled = self
            .backoff_ms
            .saturating_mul(1_u64.checked_shl(attempt.saturating_sub(1)).unwrap_or(u64::MAX));
        Duration::from_millis(doubled.min(self.backoff_max_ms))
    }
}

/// Turns a wait into the wait that is taken: a test gives the identity.
pub type Jitter = Arc<dyn Fn(Duration) -> Duration + Send + Sync>;

/// Delivers events. One per node; several nodes share the work by tenant.
pub struct Dispatcher {
    pub(crate) config: Config,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) pools: Arc<dyn Pools>,
    pub(crate) bell: Bell,
    pub(crate) deliver: Arc<dyn Deliver>,
    pub(crate) ready: ready::Ready,
    pub(crate) turns: turns::Turns,
    jitter: Jitter,
    subscriptions: RwLock<Arc<Subscriptions>>,
}

impl Dispatcher {
    /// Nothing is delivered before [`Dispatcher::run`]. `pools` connect as the platform's own login.
    pub fn new(
        config: Config,
        log: Arc<dyn Log>,
        bell: Bell,
        pools: impl Pools + 'static,
        deliver: Arc<dyn Deliver>,
        subscriptions: Subscriptions,
    ) -> Self {
        Self {
            turns: Turns::new(pools.turns(), LOCKS),
            config,
            log,
            pools: Arc::new(pools),
            bell,
            deliver,
            ready: ready::Ready::default(),
            jitter: Arc::new(half_or_whole),
            subscriptions: RwLock::new(Arc::new(subscriptions)),
        }
    }

    /// The same with another jitter.
    #[must_use]
    pub fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Replaces what services consume: after a release was activated. A service that is new to a
    /// stream begins with the oldest event that is kept.
    pub fn subscribe(&self, subscriptions: Subscriptions) {
        *self.subscriptions.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(subscriptions);
    }

    pub(crate) fn subscriptions(&self) -> Arc<Subscriptions> {
        self.subscriptions
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn wait(&self, attempt: u32) -> Duration {
        (self.jitter)(self.config.backoff(attempt))
    }

    /// Delivers until the future is dropped. Deliveries that are under way then are cut off, and done
    /// again by the next run.
    pub async fn run(self: Arc<Self>) {
        let mut tasks = JoinSet::new();
        for _ in 0..self.config.concurrency.max(1) {
            let dispatcher = self.clone();
            tasks.spawn(async move {
                loop {
                    dispatcher.next().await;
                }
            });
        }
        let dispatcher = self.clone();
        tasks.spawn(async move {
            loop {
                for tenant in dispatcher.bell.rung().await {
                    for service in dispatcher.subscriptions().keys() {
                        dispatcher.ready.push((service.clone(), tenant.clone()), false);
                    }
                }
            }
        });
        let mut ticks = tokio::time::interval(Duration::from_millis(self.config.scan_ms.max(1)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut away = false;
        loop {
            ticks.tick().await;
            match self.scan().await {
                Ok(()) => away = false,
                Err(error) if !away => {
                    away = true;
                    warn!(%error, "Cannot look for events to deliver; trying again every {} ms", self.config.scan_ms);
                }
                Err(_) => {}
            }
        }
    }

    /// Takes the next (service, tenant) whose turn it is.
    async fn next(self: &Arc<Self>) {
        let (key, thorough) = self.ready.pop().await;
        let turn = self.turn(&key, thorough).await;
        let again = match turn {
            Ok(turn::Outcome::More) => true,
            Ok(turn::Outcome::Done) => false,
            Ok(turn::Outcome::Later(wait)) => {
                self.later(key.clone(), wait);
                false
            }
            Err(error) => {
                // The cursor tells the next scan that there is work left.
                warn!(service.name = %key.0, tenant.id = %key.1, %error, "Cannot deliver events now");
                false
            }
        };
        self.ready.done(&key, again);
    }

    fn later(self: &Arc<Self>, key: ready::Key, wait: Duration) {
        let dispatcher = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            if let Some(dispatcher) = dispatcher.upgrade() {
                dispatcher.ready.push(key, false);
            }
        });
    }
}

/// Between half of the wait and all of it: consumers that failed together do not come back together.
fn half_or_whole(wait: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let random = f64::from(u32::try_from(RandomState::new().hash_one(0_u8) >> 32).unwrap_or(0)) / f64::from(u32::MAX);
    wait.mul_f64(0.5 + random / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_limit() {
        let config = Config {
            backoff_ms: 500,
            backoff_max_ms: 3_000,
            ..Config::default()
        };
        let waits: Vec<u128> = [1, 2, 3, 4, 80]
            .map(|attempt| config.backoff(attempt).as_millis())
            .into();
        assert_eq!(waits, [500, 1_000, 2_000, 3_000, 3_000]);
        let wait = half_or_whole(Duration::from_secs(2));
        assert!(wait >= Duration::from_secs(1) && wait <= Duration::from_secs(2));
    }
}
