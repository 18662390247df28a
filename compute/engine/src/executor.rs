//! The threads that run guests, and nothing but guests.
//!
//! A request begins on a thread of its tenant, one of as many as there are cores. Most end there,
//! within microseconds. A guest that computes for longer than two milliseconds moves to a second set of threads
//! with a lower priority, where such guests take turns: so a short request never waits for more than
//! those of a long one, and what is on the machine besides guests (what accepts requests, a
//! database) does not wait for the rest.

use std::{
    hash::{BuildHasher as _, RandomState},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use terrace_compute_capability::{Accounts, Logs};
use terrace_ground_ids::{ReleaseId, TenantId};
use tokio::{
    runtime::{Handle, Runtime},
    sync::mpsc,
};

use crate::{
    Config, Error, Fault, idle::Idle, instance::Instance, meter::take_ticked, task::Job, ticker::Ticker, turns::Turns,
};

/// How many more requests a tenant's own thread may have than the quietest one, before a request
/// goes there. Staying is worth something: its idle instances are on its own thread.
const PATIENCE: usize = 4;

/// What the tasks of one thread share.
pub(crate) struct Worker {
    pub(crate) config: Arc<Config>,
    pub(crate) logs: Arc<Logs>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) turns: Arc<Turns>,
    /// Where guests go on that compute for longer than a tick.
    long: Handle,
    pub(crate) idle: Idle<Instance>,
    /// Instances alive, over all threads.
    pub(crate) live: Arc<AtomicUsize>,
    in_flight: AtomicUsize,
}

/// All guest threads.
pub(crate) struct Executor {
    /// Taken only when the executor is dropped.
    long: Option<Runtime>,
    threads: Vec<(mpsc::UnboundedSender<Job>, Arc<Worker>)>,
    live: Arc<AtomicUsize>,
    hasher: RandomState,
}

impl Executor {
    /// Starts the threads. They end when the executor is dropped.
    pub(crate) fn start(
        config: &Arc<Config>,
        logs: &Arc<Logs>,
        accounts: &Arc<Accounts>,
        ticker: &Arc<Ticker>,
    ) -> Result<Self, Error> {
        let count = config.thread_count();
        let live = Arc::new(AtomicUsize::new(0));
        let turns = Arc::new(Turns::new(count));
        let niceness = config.niceness;
        let long = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(count)
            .thread_name("terrace-long")
            .on_thread_start(move || step_back(niceness))
            .enable_all()
            .build()
            .map_err(|error| Error::Start(error.to_string()))?;
        let mut threads = Vec::with_capacity(count);
        for number in 0..count {
            let worker = Arc::new(Worker {
                config: config.clone(),
                logs: logs.clone(),
                accounts: accounts.clone(),
                ticker: ticker.clone(),
                turns: turns.clone(),
                long: long.handle().clone(),
                idle: Idle::new(config.idle_max.div_ceil(count), config.idle_per_tenant_max),
                live: live.clone(),
                in_flight: AtomicUsize::new(0),
            });
            // Unbounded, because every job in it holds a permit of `Admission`.
            let (sender, jobs) = mpsc::unbounded_channel();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                // A guest's first poll can last milliseconds. What comes from elsewhere (a new request, a
                // socket, a timer) must not wait for 31 of them.
                .global_queue_interval(1)
                .event_interval(7)
                .thread_name("terrace-guest-aux")
                .build()
                .map_err(|error| Error::Start(error.to_string()))?;
            std::thread::Builder::new()
                .name(format!("terrace-guest-{number}"))
                .spawn({
                    let worker = worker.clone();
                    move || runtime.block_on(work(jobs, worker))
                })
                .map_err(|error| Error::Start(error.to_string()))?;
            threads.push((sender, worker));
        }
        Ok(Self {
            long: Some(long),
            threads,
            live,
            hasher: RandomState::new(),
        })
    }

    /// Hands a request to the tenant's own thread, or to the quietest one when that is busy.
    pub(crate) fn run(&self, tenant: &TenantId, job: Job) -> Result<(), Fault> {
        let load = |at: usize| self.threads[at].1.in_flight.load(Ordering::Relaxed);
        #[expect(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
        let home = self.hasher.hash_one(tenant) as usize % self.threads.len();
        let quietest = (0..self.threads.len()).min_by_key(|at| load(*at)).unwrap_or(home);
        let at = if load(home) > load(quietest) + PATIENCE {
            quietest
        } else {
            home
        };
        let (sender, worker) = &self.threads[at];
        worker.in_flight.fetch_add(1, Ordering::Relaxed);
        sender.send(job).map_err(|_| {
            // The thread ended: it was the runtime itself that panicked.
            worker.in_flight.fetch_sub(1, Ordering::Relaxed);
            Fault::Internal
        })
    }

    /// Drops the idle instances of a release, on all threads.
    pub(crate) fn retire(&self, release: &ReleaseId) {
        for (_, worker) in &self.threads {
            drop(worker.idle.take_release(release));
        }
    }

    /// Instances alive, and idle ones among them.
    pub(crate) fn instances(&self) -> (usize, usize) {
        (
            self.live.load(Ordering::Relaxed),
            self.threads.iter().map(|(_, worker)| worker.idle.len()).sum(),
        )
    }

    /// Requests that run.
    pub(crate) fn in_flight(&self) -> usize {
        self.threads
            .iter()
            .map(|(_, worker)| worker.in_flight.load(Ordering::Relaxed))
            .sum()
    }
}

/// Lets other threads of the machine go first. Only Linux has this for one thread.
fn step_back(niceness: u8) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, i32::from(niceness.min(19))) {
        tracing::warn!("Guests run at the same priority as the platform: {error}");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = niceness;
}

/// The life of a thread.
async fn work(mut jobs: mpsc::UnboundedReceiver<Job>, worker: Arc<Worker>) {
    let idle_for = Duration::from_secs(worker.config.idle_seconds);
    let mut sweep = tokio::time::interval(Duration::from_secs(1).min(idle_for.max(Duration::from_millis(10))));
    loop {
        tokio::select! {
            job = jobs.recv() => match job {
                Some(job) => {
                    let worker = worker.clone();
                    tokio::spawn(short(worker.clone(), Box::pin(async move {
                        let _count = InFlight(worker.clone());
                        job.run(worker).await;
                    })));
                }
                None => return,
            },
            _ = sweep.tick() => drop(worker.idle.expire(idle_for)),
        }
    }
}

/// Runs a request until its end, or until a tick has interrupted it: then it goes on elsewhere.
async fn short(worker: Arc<Worker>, mut run: Pin<Box<dyn Future<Output = ()> + Send>>) {
    let ended = std::future::poll_fn(|context| {
        take_ticked();
        match run.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending if take_ticked() => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    });
    if !ended.await {
        worker.long.spawn(run);
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        if let Some(long) = self.long.take() {
            // Waiting for a guest would hold up whoever drops the engine, perhaps on an executor.
            long.shutdown_background();
        }
    }
}

/// Counts a request out, also when its task panics.
struct InFlight(Arc<Worker>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
