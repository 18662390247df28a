//! The connections of one lane.
//!
//! Opening a connection is the most expensive thing that a request can ask of the database: a process, a
//! password, a catalogue to read. When many requests meet for a moment, most of them are served sooner by
//! connections that come back than by new ones, and opening one for each would keep the machine busy just when
//! it has too much to do. So for each tenant one is opened at a time, none while as many are on their way as wait,
//! and a connection that comes back goes to one who waits, first to its own tenant's.
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

use crate::{Config, Error, Lane, backend::Backend, connect, lease::Lease, route::Route, turnstile::Turn};

/// How long an opening may take before nobody counts on it, and whoever waits takes the last idle one, too.
const LATE: Duration = Duration::from_secs(1);
/// How often whoever waits looks again: nothing else tells that something is late.
const LOOK: Duration = Duration::from_millis(250);

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
    /// For whom what this opening brought is: who made it begin, or the first of all. A later one of the same
    /// tenant is not before others, who count on it and have no opening of their own.
    fn first_for(&self, opening: &Opening) -> Option<(usize, Arc<Route>)> {
        let first = self.waiting.iter().position(|waiting| opening.is_for(waiting));
        let index = first.unwrap_or(0);
        self.waiting
            .get(index)
            .map(|waiting| (index, Arc::clone(&waiting.route)))
    }
}

/// A connection on its way.
#[derive(Clone)]
struct Opening {
    tenant: TenantId,
    since: Instant,
    /// How many had asked when it began.
    asked: u64,
}

impl Opening {
    fn is_late(&self) -> bool {
        self.since.elapsed() >= LATE
    }

    fn is_for(&self, waiting: &Waiting) -> bool {
        waiting.number < self.asked && *waiting.tenant() == self.tenant
    }
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
    pub(crate) async fn lease(
        self: &Arc<Self>,
        route: &Arc<Route>,
        turn: &Turn,
        must_be_new: bool,
    ) -> Result<Lease, Error> {
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
                return Ok(Lease::new(backend, route, false).with(permit, turn));
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
        let answer = loop {
            match timeout(LOOK, &mut waits).await {
                Ok(answer) => break answer,
                // What is late is not counted on, and who waited long takes what it left to others.
                Err(_) => self.serve(&mut self.stock()),
            }
        };
        // Without an answer, the pool was closed.
        let lease = answer.unwrap_or_else(|_| Err(moved()))?;
        Ok(lease.with(permit, turn))
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
        self.lane.tenants_max > 1 && may_open && (route.turnstile.has_one() || route.turnstile.computes())
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
    /// a connection has become free or has gone, and when somebody begins to wait or has waited for some time.
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
            let (route, must_be_new) = (Arc::clone(&waiting.route), waiting.must_be_new);
            let tenant = &route.principal.tenant;
            // For whoever got another one meanwhile it is opened all the same, and is for those who wait now.
            let coming = stock.opening.iter().filter(|opening| !opening.is_late());
            if coming.count() >= stock.waiting.len() {
                return;
            }
            let is_coming = |opening: &Opening| opening.tenant == *tenant && !opening.is_late();
            if stock.opening.iter().any(is_coming) {
                next += 1;
                continue;
            }
            if stock.total >= self.connections_max {
                // There is no other one to be opened, so the last is for whoever comes first.
                let idle = if must_be_new {
                    None
                } else {
                    self.take_idle(stock, &route, false)
                };
                if let Some(backend) = idle {
                    Self::hand(stock, next, backend, false);
                    continue;
                }
                // One that is not fit for it makes room.
                if stock.idle.is_empty() {
                    return;
                }
                drop(stock.idle.remove(0));
                self.count_out(stock, 1);
            }
            self.open(stock, tenant.clone());
            next += 1;
        }
    }

    fn open(self: &Arc<Self>, stock: &mut Stock, tenant: TenantId) {
        let opening = Opening {
            tenant,
            since: Instant::now(),
            asked: stock.asked,
        };
        stock.total += 1;
        stock.opening.push(opening.clone());
        let pool = Arc::clone(self);
        let connecting = self.runtime.spawn({
            let pool = Arc::clone(self);
            async move { connect::connect(&pool.lane, &pool.config, &pool.primary).await }
        });
        self.runtime.spawn(async move {
            // Without an outcome, it panicked: the next one must be opened all the same.
            let broken_off = || Error::unavailable("opening a connection to the database was broken off");
            let outcome = connecting.await.unwrap_or_else(|_| Err(broken_off()));
            pool.was_opened(outcome, &opening);
        });
    }

    /// What became of an opening, for those who made it begin.
    fn was_opened(self: &Arc<Self>, outcome: Result<Backend, Error>, opening: &Opening) {
        let mut stock = self.stock();
        let is_this = |other: &Opening| other.tenant == opening.tenant && other.since == opening.since;
        stock.opening.retain(|other| !is_this(other));
        stock.waiting.retain(|waiting| !waiting.sender.is_closed());
        match outcome {
            Ok(backend) => {
                self.opened.fetch_add(1, Ordering::Relaxed);
                if self.permits.is_closed() {
                    drop(backend);
                    self.count_out(&mut stock, 1);
                } else if let Some((index, route)) = stock.first_for(opening) {
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
                    .partition(|waiting| opening.is_for(waiting));
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
