//! Brings due work to the services that scheduled it: at least once, not before it is due, fair by tenant.
//!
//! A service schedules through events/outbox, in the transaction of its data; a manifest's `[[schedule]]`
//! makes a job for each tenant that is done again and again. The rows are in `terrace_events.job`
//! (data/tenancy/sql/0006_schedule.sql). Like the dispatcher, this gives each (service, tenant) one place
//! in a queue and one worker, and of several nodes one at a time. It calls no service: the platform does,
//! through [`Work`].

mod cron;
mod store;
mod turn;

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use serde::Deserialize;
use terrace_events_dispatch::{DeliverError, Pools, Ready, Turns};
use terrace_ground_ids::{ServiceName, TenantId};
use tokio::task::JoinSet;
use tracing::warn;

pub use cron::{Cron, Error as CronError};

/// Why the scheduler cannot work now.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection.
    #[error("the scheduler has no connection: {0}")]
    Connect(#[from] deadpool_postgres::PoolError),
    /// The database refused or lost a query.
    #[error("the jobs cannot be used: {0}")]
    Query(#[from] tokio_postgres::Error),
    /// The turn cannot be taken.
    #[error(transparent)]
    Turn(#[from] terrace_events_dispatch::Error),
}

/// A job that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What no other job has, and what every bringing of this one has: `j-42`, and for a moment of a
    /// `[[schedule]]` `j-7-1795364700`.
    pub id: String,
    /// What is to be done.
    pub name: String,
    /// The service's own key; empty for none.
    pub key: String,
    /// JSON.
    pub payload: String,
    /// When it was due: seconds since 1970.
    pub due_at: i64,
    /// From 1.
    pub attempt: u32,
}

/// Asks a service to do a job.
#[async_trait]
pub trait Work: Send + Sync {
    /// Called for one job after the other of one (service, tenant), never for two of them at once. It may
    /// be called again for one that was done, after a crash.
    async fn work(&self, service: &ServiceName, tenant: &TenantId, job: &Job) -> Result<(), DeliverError>;
}

/// A line of a service's manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recurring {
    /// Whose manifest.
    pub service: ServiceName,
    /// What is to be done.
    pub name: String,
    /// When.
    pub cron: Cron,
}

/// How the scheduler works.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Jobs at the same time, in this process. Default 4.
    pub concurrency: usize,
    /// Jobs of one (service, tenant) before the next one has its turn. Default 16.
    pub quantum: u32,
    /// Tries before a job is given up. Default 8.
    pub tries_max: u32,
    /// Wait after the first failure, in milliseconds; doubles each time. Default 1,000.
    pub backoff_ms: u64,
    /// Longest wait, in milliseconds. Default 600,000.
    pub backoff_max_ms: u64,
    /// Milliseconds between two looks for what is due. Default 500.
    pub scan_ms: u64,
    /// Seconds between two looks for tenants that lack a job of a manifest. Default 30.
    pub tenants_s: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            concurrency: 4,
            quantum: 16,
            tries_max: 8,
            backoff_ms: 1_000,
            backoff_max_ms: 600_000,
            scan_ms: 500,
            tenants_s: 30,
        }
    }
}

impl Config {
    /// The wait after failure number `attempt` (from 1).
    fn backoff(&self, attempt: u32) -> Duration {
        let doubled = self
            .backoff_ms
            .saturating_mul(1_u64.checked_shl(attempt.saturating_sub(1)).unwrap_or(u64::MAX));
        Duration::from_millis(doubled.min(self.backoff_max_ms))
    }
}

/// Keeps locks of its own, apart from those of the dispatcher.
const LOCKS: i64 = 4;

/// Brings jobs. One per node; several nodes share the work by tenant.
pub struct Scheduler {
    config: Config,
    pools: Arc<dyn Pools>,
    work: Arc<dyn Work>,
    ready: Ready,
    turns: Turns,
    /// None until the manifests are known.
    recurring: RwLock<Option<Arc<[Recurring]>>>,
    changed: tokio::sync::Notify,
}

impl Scheduler {
    /// Nothing is brought before [`Scheduler::run`]. `pools` connect as the platform's own login.
    pub fn new(config: Config, pools: impl Pools + 'static, work: Arc<dyn Work>) -> Self {
        Self {
            turns: Turns::new(pools.turns(), LOCKS),
            config,
            pools: Arc::new(pools),
            work,
            ready: Ready::default(),
            recurring: RwLock::default(),
            changed: tokio::sync::Notify::new(),
        }
    }

    /// Replaces what manifests ask for: after a release was activated.
    pub fn recur(&self, recurring: Vec<Recurring>) {
        *self.recurring.write().unwrap_or_else(PoisonError::into_inner) = Some(recurring.into());
        self.changed.notify_one();
    }

    fn recurring(&self) -> Option<Arc<[Recurring]>> {
        self.recurring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Works until the future is dropped. Jobs that are under way then are cut off, and brought again by
    /// the next run.
    pub async fn run(self: Arc<Self>) {
        let mut tasks = JoinSet::new();
        for _ in 0..self.config.concurrency.max(1) {
            let scheduler = self.clone();
            tasks.spawn(async move {
                loop {
                    scheduler.next().await;
                }
            });
        }
        let mut ticks = tokio::time::interval(Duration::from_millis(self.config.scan_ms.max(1)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut tenants = tokio::time::interval(Duration::from_secs(self.config.tenants_s.max(1)));
        let mut away = false;
        loop {
            let looked = tokio::select! {
                _ = ticks.tick() => self.scan().await,
                _ = tenants.tick() => self.spread().await,
                () = self.changed.notified() => self.spread().await,
            };
            match looked {
                Ok(()) => away = false,
                Err(error) if !away => {
                    away = true;
                    warn!(%error, "Cannot look for due jobs; trying again every {} ms", self.config.scan_ms);
                }
                Err(_) => {}
            }
        }
    }

    /// Takes the next (service, tenant) whose turn it is.
    async fn next(&self) {
        let (key, _) = self.ready.pop().await;
        let again = match self.turn(&key).await {
            Ok(again) => again,
            Err(error) => {
                // The rows tell the next scan that there is work left.
                warn!(service.name = %key.0, tenant.id = %key.1, %error, "Cannot bring jobs now");
                false
            }
        };
        self.ready.done(&key, again);
    }
}
