//! The connections of one lane.
//!
//! Opening a connection is the most expensive thing that a request can ask of the database: a process, a
//! password, a catalogue to read. When many requests meet for a moment, most of them are served sooner by
//! connections that come back than by new ones, and opening one for each would keep the machine busy just when
//! it has too much to do. So for each tenant one is opened at a time, and no more than wait; and a connection that
//! comes back goes to one who waits, first to its own tenant's.
//!
//! The last idle connection of a shared lane is for a tenant that has none. One that has a connection, or whose
//! statements compute for long, opens one instead, while it may: else who asks for many at once, and keeps them,
//! would have all that there are, and its neighbours would wait for new ones.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use terrace_ground_ids::TenantId;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, oneshot},
    time::timeout,
};

use crate::{Config, Error, Lane, backend::Backend, connect, lease::Lease, route::Route};

/// How long an opening may take before nobody counts on it, and whoever waits takes the last idle one, too.
const LATE: Duration = Duration::from_secs(1);

/// The connections of one lane.
pub(crate) struct LanePool {
    pub(crate) lane: Arc<Lane>,
    pub(crate) config: Arc<Config>,
    /// Where connections are opened and closed. A socket hears of its data from the runtime that it was opened
    /// in, for life; whoever needs one may be on a thread where guests compute.
    pub(crate) runtime: Handle,
    stock: Mutex<Stock>,
    permits: Arc<Semaphore>,
    connections_max: usize,
    /// Which of several places accepted writes last.
    primary: AtomicUsize,
    pub(crate) opened: AtomicU64,
    pub(crate) destroyed: AtomicU64,
    pub(crate) flights: AtomicU64,
}

/// What there is, and who waits for it.
#[derive(Default)]
struct Stock {
    idle: Vec<Backend>,
    /// In the order of asking.
    waiting: VecDeque<Waiting>,
    /// Connections that are there: idle, leased, being settled, being opened.
    total: usize,
    /// What is being opened.
    opening: Vec<Opening>,
    /// How often somebody began to wait.
    asked: u64,
}

impl Stock {
    /// The first that waits of this tenant, or the first of all.
    fn first_of(&self, tenant: &TenantId) -> Option<(usize, Arc<Route>)> {
        let of_tenant = self.waiting.iter().position(|waiting| waiting.tenant() == tenant);
        let index = of_tenant.unwrap_or(0);
        self.waiting
            .get(index)
            .map(|waiting| (index, Arc::clone(&waiting.route)))
    }
}

/// A connection on its way.
struct Opening {
    tenant: TenantId,
    since: Instant,
}

/// Someone who waits for a connection, and holds a permit for it.
struct Waiting {
    number: u64,
    since: Instant,
    route: Arc<Route>,
    /// An idle one turned out to be dead.
    must_be_new: bool,
    sender: oneshot::Sender<Result<Lease, Error>>,
}

impl Waiting {
    fn tenant(&self) -> &TenantId {
        &self.route.principal.tenant
    }
}

impl LanePool {
    pub(crate) fn new(lane: Arc<Lane>, config: Arc<Config>, runtime: Handle) -> Self {
        let connections_max = lane.connection_limit.max(1);
        Self {
            lane,
            config,
            runtime,
            stock: Mutex::default(),
            permits: Arc::new(Semaphore::new(connections_max)),
            connections_max,
            primary: AtomicUsize::new(0),
            opened: AtomicU64::new(0),
            destroyed: AtomicU64::new(0),
            flights: AtomicU64::new(0),
        }
    }

    /// A connection: an idle one, best one that served this route before; or the first that comes back or is
    /// opened. Waits for its turn in the order of asking; the caller's deadline ends the wait.
    pub(crate) async fn lease(self: &Arc<Self>, route: &Arc<Route>, must_be_new: bool) -> Result<Lease, Error> {
        let moved = || Error::unavailable("the tenant has moved; try again");
        let permit = match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let waited = Arc::clone(&self.permits).acquire_owned().await;
                waited.map_err(|_| moved())?
            }
        };
        let mut waits = {
            let mut stock = self.stock();
            if self.permits.is_closed() {
                return Err(moved());
            }
            let leaves_last = self.leaves_last(&stock, route);
            if !must_be_new && let Some(backend) = self.take_idle(&mut stock, route, leaves_last) {
                return Ok(Lease::new(backend, route, false).with(permit));
            }
            let (sender, receiver) = oneshot::channel();
            let number = stock.asked;
            stock.asked += 1;
            stock.waiting.push_back(Waiting {
                number,
                since: Instant::now(),
                route: Arc::clone(route),
                must_be_new,
                sender,
            });
            self.serve(&mut stock);
            receiver
        };
        let answer = match timeout(LATE, &mut waits).await {
            Ok(answer) => answer,
            Err(_) => {
                // What it has left to others until now, it may take.
                self.serve(&mut self.stock());
                waits.await
            }
        };
        // Without an answer, the pool was closed.
        let lease = answer.unwrap_or_else(|_| Err(moved()))?;
        Ok(lease.with(permit))
    }

    /// Closes connections that nobody used for long.
    pub(crate) fn sweep(&self) {
        let idle_max = Duration::from_secs(self.config.backend_idle_max_s);
        let mut stock = self.stock();
        let before = stock.idle.len();
        stock
            .idle
            .retain(|backend| backend.idle_since.elapsed() < idle_max && backend.is_alive());
        let closed = before - stock.idle.len();
        self.count_out(&mut stock, closed);
    }

    /// No lease is given any more, and what comes back is closed.
    pub(crate) fn close(&self) {
        self.permits.close();
        let mut stock = self.stock();
        stock.waiting.clear();
        let closed = stock.idle.drain(..).count();
        self.count_out(&mut stock, closed);
    }

    pub(crate) fn idle_count(&self) -> usize {
        self.stock().idle.len()
    }

    pub(crate) fn in_use(&self) -> usize {
        self.connections_max.saturating_sub(self.permits.available_permits())
    }

    pub(crate) fn give_back(self: &Arc<Self>, mut backend: Backend) {
        if !backend.is_reusable(&self.config) {
            return self.destroy(backend);
        }
        backend.idle_since = Instant::now();
        let mut stock = self.stock();
        if self.permits.is_closed() {
            drop(stock);
            return self.destroy(backend);
        }
        let own = |waiting: &Waiting| !waiting.must_be_new && backend.served_last(waiting.tenant());
        if let Some(first) = stock
            .waiting
            .iter()
            .position(own)
            .and_then(|at| stock.waiting.remove(at))
        {
            stock.waiting.push_front(first);
        }
        stock.idle.push(backend);
        self.serve(&mut stock);
    }

    pub(crate) fn destroy(self: &Arc<Self>, backend: Backend) {
        drop(backend);
        let mut stock = self.stock();
        self.count_out(&mut stock, 1);
        self.serve(&mut stock);
    }

    /// Whether the last idle connection is not for this tenant.
    fn leaves_last(&self, stock: &Stock, route: &Route) -> bool {
        let may_open = stock.total < self.connections_max;
        let has_one = route.turnstile.leases.load(Ordering::Relaxed) > 0;
        self.lane.tenants_max > 1 && may_open && (has_one || route.turnstile.computes())
    }

    /// An idle connection that is fit for this route.
    fn take_idle(&self, stock: &mut Stock, route: &Route, leaves_last: bool) -> Option<Backend> {
        let mut unfit = Vec::new();
        let mut fit = None;
        while let Some(mut backend) = best(&mut stock.idle, route, leaves_last) {
            if !backend.is_reusable(&self.config) || !backend.is_alive() {
                self.count_out(stock, 1);
            } else if backend.take_up(route) {
                fit = Some(backend);
                break;
            } else {
                // It cannot come forward for this tenant, and waits for its own.
                unfit.push(backend);
            }
        }
        stock.idle.extend(unfit);
        fit
    }

    /// Gives what is idle to those who wait, and opens a connection if that is not enough. To be called whenever
    /// a connection has become free, or has gone.
    fn serve(self: &Arc<Self>, stock: &mut Stock) {
        stock.waiting.retain(|waiting| !waiting.sender.is_closed());
        if self.permits.is_closed() {
            return stock.waiting.clear();
        }
        let mut index = 0;
        while let Some(waiting) = stock.waiting.get(index)
            && !stock.idle.is_empty()
        {
            let route = Arc::clone(&waiting.route);
            let found = if waiting.must_be_new {
                None
            } else {
                let leaves_last = waiting.since.elapsed() < LATE && self.leaves_last(stock, &route);
                self.take_idle(stock, &route, leaves_last)
            };
            match found {
                Some(backend) => Self::hand(stock, index, backend, false),
                None => index += 1,
            }
        }
        let mut next = 0;
        while let Some(waiting) = stock.waiting.get(next) {
            next += 1;
            let tenant = waiting.tenant().clone();
            // For whoever got another one meanwhile it is opened all the same, and is for those who wait now. One
            // that is late may never come.
            let coming = stock.opening.iter().filter(|opening| opening.since.elapsed() < LATE);
            if coming.count() >= stock.waiting.len() {
                return;
            }
            if stock.opening.iter().any(|opening| opening.tenant == tenant) {
                continue;
            }
            if stock.total >= self.connections_max {
                // One that is fit for none of them makes room.
                if stock.idle.is_empty() {
                    return;
                }
                drop(stock.idle.remove(0));
                self.count_out(stock, 1);
            }
            self.open(stock, tenant);
        }
    }

    fn open(self: &Arc<Self>, stock: &mut Stock, tenant: TenantId) {
        stock.total += 1;
        stock.opening.push(Opening {
            tenant: tenant.clone(),
            since: Instant::now(),
        });
        let (pool, asked) = (Arc::clone(self), stock.asked);
        let opening = self.runtime.spawn({
            let pool = Arc::clone(self);
            async move { connect::connect(&pool.lane, &pool.config, &pool.primary).await }
        });
        self.runtime.spawn(async move {
            // Without an outcome, it panicked: the next one must be opened all the same.
            let broken_off = || Error::unavailable("opening a connection to the database was broken off");
            let outcome = opening.await.unwrap_or_else(|_| Err(broken_off()));
            pool.was_opened(outcome, &tenant, asked);
        });
    }

    /// What became of opening a connection, for those of this tenant that asked before number `asked`.
    fn was_opened(self: &Arc<Self>, outcome: Result<Backend, Error>, tenant: &TenantId, asked: u64) {
        let mut stock = self.stock();
        stock.opening.retain(|opening| opening.tenant != *tenant);
        match outcome {
            Ok(backend) => {
                self.opened.fetch_add(1, Ordering::Relaxed);
                stock.waiting.retain(|waiting| !waiting.sender.is_closed());
                if self.permits.is_closed() {
                    drop(backend);
                    self.count_out(&mut stock, 1);
                } else if let Some((index, route)) = stock.first_of(tenant) {
                    let mut backend = backend;
                    // A new process stands where the server put it, and can only stand back from there.
                    backend.take_up(&route);
                    Self::hand(&mut stock, index, backend, true);
                } else {
                    stock.idle.push(backend);
                }
            }
            Err(error) => {
                // Those who came later are owed an attempt of their own.
                stock.total = stock.total.saturating_sub(1);
                let (failed, others) = std::mem::take(&mut stock.waiting)
                    .into_iter()
                    .partition(|waiting| waiting.number < asked && waiting.tenant() == tenant);
                stock.waiting = others;
                for waiting in VecDeque::into_iter(failed) {
                    let idle = if waiting.must_be_new {
                        None
                    } else {
                        self.take_idle(&mut stock, &waiting.route, false)
                    };
                    match idle {
                        Some(backend) => {
                            stock.waiting.push_front(waiting);
                            Self::hand(&mut stock, 0, backend, false);
                        }
                        None => drop(waiting.sender.send(Err(error.clone()))),
                    }
                }
            }
        }
        self.serve(&mut stock);
    }

    /// Gives a connection to the one who waits at `index`; if it does not wait any more, it is idle.
    fn hand(stock: &mut Stock, index: usize, backend: Backend, is_new: bool) {
        let Some(waiting) = stock.waiting.remove(index) else {
            return stock.idle.push(backend);
        };
        let lease = Lease::new(backend, &waiting.route, is_new);
        if let Err(Ok(unsent)) = waiting.sender.send(Ok(lease)) {
            stock.idle.extend(unsent.into_backend());
        }
    }

    fn count_out(&self, stock: &mut Stock, gone: usize) {
        stock.total = stock.total.saturating_sub(gone);
        self.destroyed.fetch_add(gone as u64, Ordering::Relaxed);
    }

    fn stock(&self) -> MutexGuard<'_, Stock> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one that served this route last; else the last used of those that know its tables and keep its
/// statements; else the one that knows the fewest. So a tenant has a home also when its lane has
/// more connections than callers, and no connection has to know everybody's tables. With `leaves_last`, the last
/// one only if it served the tenant itself last.
fn best(idle: &mut Vec<Backend>, route: &Route, leaves_last: bool) -> Option<Backend> {
    if let [last] = idle.as_slice()
        && leaves_last
        && !last.served_last(&route.principal.tenant)
    {
        return None;
    }
    let last = |is_fit: &dyn Fn(&Backend) -> bool| idle.iter().rposition(is_fit);
    let index = last(&|backend| backend.last_route() == route.number)
        .or_else(|| last(&|backend| backend.has_served(route.number)))
        .or_else(|| {
            let all = idle.iter().enumerate();
            all.min_by_key(|(_, backend)| backend.relations())
                .map(|(index, _)| index)
        })?;
    Some(idle.remove(index))
}
