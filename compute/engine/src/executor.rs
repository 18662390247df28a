//! Where guests run.
//!
//! A request that is likely to be short begins where it arrived (see [`Apart`]), and most end there, within
//! microseconds. What is neither likely to be short nor known to be long begins on a thread of its tenant, one
//! of as many as there are cores, which run nothing but guests. A guest that computes for longer than two
//! milliseconds moves to a third set of threads, one fewer than there are cores, where such guests take turns;
//! and where one took more than ten, there begins what is of its kind, and what is of a release that nobody knows
//! yet. So a request seldom waits for more than two milliseconds of a long one, unless it is of that kind itself.
//! Both sets have a lower priority: what accepts requests, the guests there, and a database on the same
//! machine do not wait for them.

use std::{
    hash::{BuildHasher as _, RandomState},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use terrace_compute_capability::{Accounts, Invocation, Logs};
use terrace_ground_ids::{ReleaseId, TenantId};
use tokio::{
    runtime::{Handle, Runtime},
    sync::mpsc,
};

use crate::{
    Config, Error, Fault, Release,
    apart::{Apart, Standing},
    idle::{Idle, Key},
    instance::Instance,
    meter::{Meter, SHORT, take_computed},
    task::{self, Job},
    ticker::Ticker,
    turns::Turns,
};

/// How many more requests a tenant's own thread may have than the quietest one, before a request
/// goes there. Staying is worth something, but not much: its idle instances are on its own thread, and making
/// one takes less than a tenth of what each request before it may take.
const PATIENCE: usize = 1;

/// Where guests run, a poll can last milliseconds. What comes from elsewhere (a new request, a socket, a
/// timer) must not wait for 31 or 61 of them. Where they take turns, each poll may be a long one.
const POLLS_IN_A_ROW: u32 = 1;
const EVENTS_EVERY: u32 = 7;
const EVENTS_EVERY_LONG: u32 = 1;

/// How long a thread rests after each turn. A lower priority only helps against threads of the same group:
/// where the system divides a core by groups first (control groups, sessions), a group that computes without
/// a pause kept others waiting for 120 ms at times (decision 0020).
const REST: Duration = Duration::from_micros(50);

/// What the tasks of one thread share.
pub(crate) struct Worker {
    pub(crate) config: Arc<Config>,
    pub(crate) logs: Arc<Logs>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) turns: Arc<Turns>,
    pub(crate) apart: Arc<Apart>,
    /// Where guests take turns that compute for longer than a tick.
    long: Handle,
    pub(crate) idle: Idle<Instance>,
    /// Instances alive, over all threads.
    pub(crate) live: Arc<AtomicUsize>,
    in_flight: AtomicUsize,
    /// Of those, the ones that are on this thread.
    load: AtomicUsize,
}

/// All guest threads.
pub(crate) struct Executor {
    /// Taken only when the executor is dropped.
    long: Option<Runtime>,
    threads: Vec<(mpsc::UnboundedSender<Request>, Arc<Worker>)>,
    apart: Arc<Apart>,
    live: Arc<AtomicUsize>,
    hasher: RandomState,
}

impl Worker {
    /// Whether a request waits for a turn before it begins: its like compute, or may, and some of its tenant's
    /// wait. Else each new one would compute a tick before anybody else's turn. Not one of a release that is
    /// known to be short: of such a tenant, one that was long by chance would have all others wait.
    pub(crate) fn begins_with_turn(&self, job: &Job, standing: Standing) -> bool {
        standing == Standing::Computes || !job.release.pace.is_short() && self.turns.is_waiting(&job.key.0)
    }
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
        // What computes leaves a core to everybody else, where there are several: a call of the host or a copy
        // of memory that no tick interrupts would be on all of them at once.
        let at_once = count.saturating_sub(1).max(1);
        let turns = Arc::new(Turns::new(at_once));
        let apart = Arc::new(Apart::default());
        let niceness = config.niceness;
        let long = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(at_once)
            .thread_name("terrace-long")
            .on_thread_start(move || step_back(niceness))
            .global_queue_interval(POLLS_IN_A_ROW)
            .event_interval(EVENTS_EVERY_LONG)
            .enable_all()
            .build()
            .map_err(|error| Error::Start(error.to_string()))?;
        let mut threads = Vec::with_capacity(count);
        for number in 0..count {
            // Unbounded, because every request in it holds a permit of `Admission`.
            let (sender, requests) = mpsc::unbounded_channel();
            let worker = Arc::new(Worker {
                config: config.clone(),
                logs: logs.clone(),
                accounts: accounts.clone(),
                ticker: ticker.clone(),
                turns: turns.clone(),
                apart: apart.clone(),
                long: long.handle().clone(),
                idle: Idle::new(config.idle_max.div_ceil(count), config.idle_per_tenant_max),
                live: live.clone(),
                in_flight: AtomicUsize::new(0),
                load: AtomicUsize::new(0),
            });
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .global_queue_interval(POLLS_IN_A_ROW)
                .event_interval(EVENTS_EVERY)
                .thread_name("terrace-guest-aux")
                .build()
                .map_err(|error| Error::Start(error.to_string()))?;
            std::thread::Builder::new()
                .name(format!("terrace-guest-{number}"))
                .spawn({
                    let worker = worker.clone();
                    move || {
                        step_back(niceness);
                        runtime.block_on(work(requests, worker));
                    }
                })
                .map_err(|error| Error::Start(error.to_string()))?;
            threads.push((sender, worker));
        }
        Ok(Self {
            long: Some(long),
            threads,
            apart,
            live,
            hasher: RandomState::new(),
        })
    }

    /// Runs a request: here and now, if it is likely to be short, or on a thread of its tenant.
    pub(crate) async fn run(&self, job: Job) -> Result<(), Fault> {
        if self.begins_here(&job) {
            // Before and after, the thread's other tasks have their say. So of requests that arrive
            // together first all are read, then all guests run, then all answers are sent: what each of
            // these touches stays in the core's caches, and a client is woken once for many answers. Under
            // load that is twice the throughput.
            tokio::task::yield_now().await;
            // One of those that arrived together may have been long.
            if self.begins_here(&job) {
                self.begin_here(job).await;
                tokio::task::yield_now().await;
                return Ok(());
            }
        }
        self.hand_over(job)
    }

    fn begins_here(&self, job: &Job) -> bool {
        // One service's call of another stays off its caller's stack, and out of its CPU time.
        job.invocation.depth == 0
            && job.release.pace.is_short()
            && matches!(self.apart.standing(&job.key), Standing::Free | Standing::Watched)
    }

    /// Polls a request once. If that is not enough for it, it becomes a task of its own.
    async fn begin_here(&self, job: Job) {
        let (_, worker) = &self.threads[here() % self.threads.len()];
        let mut request = Request::new(worker.clone(), job);
        let progress = std::future::poll_fn(|context| Poll::Ready(request.poll(context))).await;
        match progress {
            Progress::Ended { .. } => {}
            Progress::Waits => drop(tokio::spawn(request.short())),
            Progress::Computes => request.takes_turns(),
        }
    }

    /// To where its like take turns, or to the tenant's own thread, or to the quietest one when that is busy.
    fn hand_over(&self, job: Job) -> Result<(), Fault> {
        let load = |at: usize| self.threads[at].1.load.load(Ordering::Relaxed);
        let home = self.home(&job.invocation.tenant.id);
        let quietest = (0..self.threads.len()).min_by_key(|at| load(*at)).unwrap_or(home);
        let at = if load(home) > load(quietest) + PATIENCE {
            quietest
        } else {
            home
        };
        let (sender, worker) = &self.threads[at];
        let standing = self.apart.standing(&job.key);
        let (is_known, waits_for_turn) = (job.release.pace.is_known(), worker.begins_with_turn(&job, standing));
        let mut request = Request::new(worker.clone(), job);
        if waits_for_turn {
            // Who has a turn must not stand behind those that need none.
            request.takes_turns();
            return Ok(());
        }
        if !is_known {
            request.shows_itself(sender.clone());
            return Ok(());
        }
        request.load = Some(Load::on(worker.clone()));
        // It fails when the thread ended: it was the runtime itself that panicked.
        sender.send(request).map_err(|_| Fault::Internal)
    }

    fn home(&self, tenant: &TenantId) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
        let hash = self.hasher.hash_one(tenant) as usize;
        hash % self.threads.len()
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

    /// See `Engine::time_instance`.
    pub(crate) async fn time_instance(
        &self,
        release: &Release,
        invocation: &Arc<Invocation>,
    ) -> Result<[Duration; 2], Fault> {
        let (_, worker) = &self.threads[here() % self.threads.len()];
        let began = Instant::now();
        let instance = task::instantiate(release, invocation, &Arc::new(Meter::new()), worker).await;
        let made = began.elapsed();
        drop(instance.map_err(|_| Fault::Instantiate)?);
        Ok([made, began.elapsed() - made])
    }

    /// Requests that run.
    pub(crate) fn in_flight(&self) -> usize {
        self.threads
            .iter()
            .map(|(_, worker)| worker.in_flight.load(Ordering::Acquire))
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
async fn work(mut requests: mpsc::UnboundedReceiver<Request>, worker: Arc<Worker>) {
    let idle_for = Duration::from_secs(worker.config.idle_seconds);
    let mut sweep = tokio::time::interval(Duration::from_secs(1).min(idle_for.max(Duration::from_millis(10))));
    loop {
        tokio::select! {
            request = requests.recv() => match request {
                Some(request) => drop(tokio::spawn(request.short())),
                None => return,
            },
            _ = sweep.tick() => {
                drop(worker.idle.expire(idle_for));
                worker.apart.sweep();
            }
        }
    }
}

/// A number of this thread, among those on which requests begin where they arrive. Each keeps its own idle
/// instances: on another core, all that an instance touches would have to come over first.
fn here() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = THREADS.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.with(|number| *number)
}

/// A request under way.
struct Request {
    key: Key,
    worker: Arc<Worker>,
    run: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// While it is on a thread of guests.
    load: Option<Load>,
}

/// How far one poll brought a request.
enum Progress {
    Ended {
        /// By a poll that was long, and found to be only now.
        computed: bool,
    },
    Waits,
    /// It was found to compute: it goes on elsewhere, and the next ones of its kind begin elsewhere.
    Computes,
}

impl Request {
    fn new(worker: Arc<Worker>, job: Job) -> Self {
        let key = job.key.clone();
        worker.in_flight.fetch_add(1, Ordering::Relaxed);
        let count = InFlight(worker.clone());
        let run = Box::pin({
            let worker = worker.clone();
            async move {
                job.run(worker).await;
                drop(count);
            }
        });
        Self {
            key,
            worker,
            run,
            load: None,
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Progress {
        take_computed();
        let began = Instant::now();
        let poll = self.run.as_mut().poll(context);
        match (poll, take_computed()) {
            (Poll::Ready(()), computed) => Progress::Ended {
                computed: computed.is_some(),
            },
            (Poll::Pending, Some(spent)) => {
                self.worker.apart.computes(&self.key, spent);
                Progress::Computes
            }
            (Poll::Pending, None) => {
                // Its end would tell too, but may be far.
                if began.elapsed() >= SHORT {
                    self.worker.apart.watch(&self.key);
                }
                Progress::Waits
            }
        }
    }

    /// Runs it until its end, or until it computes. It is not polled any more once its like take turns: many that
    /// wait may wake at the same moment.
    async fn short(mut self) {
        let computes = std::future::poll_fn(|context| {
            if self.worker.apart.standing(&self.key) == Standing::Computes {
                return Poll::Ready(true);
            }
            match self.poll(context) {
                Progress::Ended { .. } => Poll::Ready(false),
                Progress::Waits => Poll::Pending,
                Progress::Computes => Poll::Ready(true),
            }
        });
        if computes.await {
            self.takes_turns();
        }
    }

    /// Where guests take turns, a poll that computed is followed by a rest.
    fn poll_and_rest(&mut self, context: &mut Context<'_>) -> Progress {
        let progress = self.poll(context);
        if matches!(progress, Progress::Computes | Progress::Ended { computed: true }) {
            std::thread::sleep(REST);
        }
        progress
    }

    /// It goes on where guests take turns.
    fn takes_turns(mut self) {
        self.load = None;
        let long = self.worker.long.clone();
        let run = std::future::poll_fn(move |context| match self.poll_and_rest(context) {
            Progress::Ended { .. } => Poll::Ready(()),
            Progress::Waits | Progress::Computes => Poll::Pending,
        });
        long.spawn(run);
    }

    /// Of a release that nobody knows: its first poll is where guests take turns, though without one, for it may
    /// be a copy of memory of a hundred milliseconds, and no tick interrupts that. If it only waits then, it goes
    /// on at its tenant's thread.
    fn shows_itself(mut self, thread: mpsc::UnboundedSender<Self>) {
        let long = self.worker.long.clone();
        long.spawn(async move {
            let first = std::future::poll_fn(|context| Poll::Ready(self.poll_and_rest(context)));
            match first.await {
                Progress::Ended { .. } => {}
                Progress::Computes => self.takes_turns(),
                Progress::Waits => {
                    self.load = Some(Load::on(self.worker.clone()));
                    drop(thread.send(self));
                }
            }
        });
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
        self.0.in_flight.fetch_sub(1, Ordering::Release);
    }
}

/// Counts a request among those of a thread.
struct Load(Arc<Worker>);

impl Load {
    fn on(worker: Arc<Worker>) -> Self {
        worker.load.fetch_add(1, Ordering::Relaxed);
        Self(worker)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.load.fetch_sub(1, Ordering::Relaxed);
    }
}
