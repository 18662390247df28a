//! The router: from a principal and a statement to rows, in one flight.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use terrace_data_guard::{Guard, Reason, Refusal, Seal, SealError, Verdict};
use terrace_ground_ids::{ClusterName, LaneId, TenantId};
use tokio::{runtime::Handle, time::timeout_at};

use crate::{
    Config, Error, ErrorKind, Export, Lane, Placements, Principal, Result, Rows, Transaction, Value,
    flight::Failure,
    pool::LanePool,
    route::Route,
    statements::{Budget, Statements, Watch},
    turnstile::Turnstile,
};

/// How much longer than the server's own timer ours waits, so that the server ends a statement
/// itself where it can and its connection lives on.
const TIMER_GRACE: Duration = Duration::from_millis(50);

/// How long to wait before the second look for a tenant that is being moved, and at most between two.
pub(crate) const LOOK_FIRST: Duration = Duration::from_millis(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs statements of services on the connections of their tenants' lanes. Cheap to clone.
#[derive(Clone)]
pub struct Router {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: Arc<Config>,
    placements: Arc<dyn Placements>,
    /// Where connections live.
    runtime: Handle,
    guard: Guard,
    routes: RwLock<HashMap<Principal, Arc<Route>>>,
    turnstiles: Mutex<HashMap<TenantId, Arc<Turnstile>>>,
    pools: Mutex<HashMap<LaneId, Arc<LanePool>>>,
    statements: Arc<Budget>,
}

/// What one tenant is doing, in this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TenantStats {
    /// Statements and transactions that hold a connection, or are about to.
    pub in_flight: usize,
    /// Requests that wait for their turn.
    pub waiting: usize,
    /// Statements since the process began.
    pub statements: u64,
    /// Statements of those that failed.
    pub failures: u64,
    /// Requests that were turned away because the queue was full.
    pub refused: u64,
    /// Statements that waited too long for a lock.
    pub lock_timeouts: u64,
    /// Statements that passed the deadline of their request, waits for a turn included.
    pub timeouts: u64,
    /// Transactions that met another one and had to begin again, deadlocks included.
    pub conflicts: u64,
}

/// The connections of one lane, in this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneHealth {
    /// The lane.
    pub lane: LaneId,
    /// Its server.
    pub cluster: ClusterName,
    /// Connections in use.
    pub in_use: usize,
    /// Connections that wait in the pool.
    pub idle: usize,
    /// Most there may be.
    pub limit: usize,
    /// Opened since the process began.
    pub opened: u64,
    /// Destroyed or closed since the process began.
    pub destroyed: u64,
    /// Writes to the sockets since the process began.
    pub writes: u64,
}

impl Router {
    /// A router that asks `placements` where tenants live. Opens nothing until it is used. Its connections
    /// belong to the runtime that it is made in, wherever it is used.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(config: Config, placements: Arc<dyn Placements>) -> Self {
        let guard = Guard::new(config.verdicts_max);
        Self::with_guard(config, placements, guard)
    }

    /// A router without its first fence, to test the other two.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[doc(hidden)]
    pub fn without_guard_for_tests(config: Config, placements: Arc<dyn Placements>) -> Self {
        Self::with_guard(config, placements, Guard::removed_for_tests())
    }

    fn with_guard(config: Config, placements: Arc<dyn Placements>, guard: Guard) -> Self {
        let statements = Budget::new(config.statements_max);
        let inner = Inner {
            config: Arc::new(config),
            placements,
            runtime: Handle::current(),
            guard,
            routes: RwLock::default(),
            turnstiles: Mutex::default(),
            pools: Mutex::default(),
            statements,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Runs one statement in a transaction of its own: `BEGIN`, the role, the time limit, the
    /// statement and `COMMIT` in one write, one round trip (one more the first time a connection
    /// sees the statement).
    pub async fn query(&self, principal: &Principal, deadline: Instant, sql: &str, params: &[Value]) -> Result<Rows> {
        let verdict = self.inner.check(sql)?;
        let mut route = self.inner.route(principal).await?;
        route.turnstile.statements.fetch_add(1, Ordering::Relaxed);
        let mut wait = LOOK_FIRST;
        loop {
            let outcome = within(deadline, self.inner.query(&route, deadline, &verdict, sql, params)).await;
            match outcome {
                Err(error) if is_elsewhere(&error, &route) && Instant::now() < deadline => {
                    route = self.inner.look_again(principal, &mut wait).await?;
                }
                outcome => {
                    if let Err(error) = &outcome {
                        route.turnstile.failed(error);
                    }
                    return outcome;
                }
            }
        }
    }

    /// A transaction. Nothing is sent, and no connection is taken, before its first statement.
    pub async fn begin(&self, principal: &Principal, deadline: Instant) -> Result<Transaction> {
        let route = self.inner.route(principal).await?;
        Ok(Transaction::new(Arc::clone(&self.inner), route, deadline))
    }

    /// A connection that sees one moment of the principal's schema, to copy its tables out. For
    /// exports by the platform, never for a service: what is copied is not parsed by the guard. It
    /// waits for its turn like a statement of the tenant, and takes one of its connections.
    pub async fn export(&self, principal: &Principal, deadline: Instant) -> Result<Export> {
        let route = self.inner.route(principal).await?;
        within(deadline, Export::begin(Arc::clone(&self.inner), route, deadline)).await
    }

    /// The fingerprint of a statement that the guard allows; the error of a query when it does not.
    /// For the seal of a release. Remembered with the verdict.
    pub fn fingerprint(&self, sql: &str) -> Result<u64> {
        let verdict = self.inner.check(sql)?;
        verdict
            .fingerprint(sql)
            .ok_or_else(|| Error::new(ErrorKind::Syntax, "the statement has no fingerprint"))
    }

    /// The list of a sealed release, checked by this router's guard.
    pub fn seal(&self, statements: &[String]) -> std::result::Result<Seal, SealError> {
        Seal::of(&self.inner.guard, statements.iter().map(String::as_str))
    }

    /// One text over the simple protocol, in a transaction that is rolled back. To test the tags.
    #[doc(hidden)]
    pub async fn simple_for_tests(
        &self,
        principal: &Principal,
        deadline: Instant,
        texts: &[&str],
    ) -> Vec<Result<Rows>> {
        let route = match self.inner.route(principal).await {
            Ok(route) => route,
            Err(error) => return vec![Err(error)],
        };
        let mut outcomes = Vec::new();
        let leased = async {
            let turn = route.turnstile.enter().await?;
            route.pool.lease(&route, &turn, false).await
        };
        let mut lease = match leased.await {
            Ok(lease) => lease,
            Err(error) => return vec![Err(error)],
        };
        for text in texts {
            let timeout_ms = timeout_ms(deadline).unwrap_or(1_000);
            match lease.simple(&route, text, timeout_ms, &self.inner.config).await {
                Ok(rows) => outcomes.push(Ok(rows)),
                Err(Failure::Statement(error)) => outcomes.push(Err(error)),
                Err(failure) => {
                    outcomes.push(Err(settle(lease, &route, failure, false)));
                    return outcomes;
                }
            }
        }
        outcomes
    }

    /// What this tenant is doing here. All zero when it has not been seen.
    pub fn stats(&self, tenant: &TenantId) -> TenantStats {
        let turnstile = lock(&self.inner.turnstiles).get(tenant).cloned();
        turnstile.map_or_else(TenantStats::default, |turnstile| stats(&turnstile))
    }

    /// What every tenant is doing here that was seen, in no order.
    pub fn all_stats(&self) -> Vec<(TenantId, TenantStats)> {
        let turnstiles = lock(&self.inner.turnstiles);
        turnstiles
            .iter()
            .map(|(tenant, turnstile)| (tenant.clone(), stats(turnstile)))
            .collect()
    }

    /// What this tenant's statements took here, by their fingerprint, over the last hour to two.
    pub fn statements(&self, tenant: &TenantId) -> Statements {
        let turnstile = lock(&self.inner.turnstiles).get(tenant).cloned();
        turnstile.map_or_else(Statements::default, |turnstile| turnstile.ledger.read(Instant::now()))
    }

    /// The connections of every lane that was used.
    pub fn health(&self) -> Vec<LaneHealth> {
        let pools = lock(&self.inner.pools);
        let health = pools.values().map(|pool| LaneHealth {
            lane: pool.lane.id.clone(),
            cluster: pool.lane.cluster.name.clone(),
            in_use: pool.in_use(),
            idle: pool.idle_count(),
            limit: pool.lane.connection_limit,
            opened: pool.opened.load(Ordering::Relaxed),
            destroyed: pool.destroyed.load(Ordering::Relaxed),
            writes: pool.flights.load(Ordering::Relaxed),
        });
        health.collect()
    }

    /// Closes connections that nobody used for long, and forgets the times of statements that ran long ago.
    /// To be called every minute or so.
    pub fn sweep(&self) {
        let pools: Vec<_> = lock(&self.inner.pools).values().cloned().collect();
        pools.iter().for_each(|pool| pool.sweep());
        let turnstiles: Vec<_> = lock(&self.inner.turnstiles).values().cloned().collect();
        let now = Instant::now();
        turnstiles.iter().for_each(|turnstile| turnstile.ledger.sweep(now));
    }

    /// Forgets a tenant that was deleted. What runs for it ends by itself.
    pub fn forget(&self, tenant: &TenantId) {
        self.inner
            .routes
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|principal, _| principal.tenant != *tenant);
        lock(&self.inner.turnstiles).remove(tenant);
    }
}

impl Inner {
    pub(crate) fn check(&self, sql: &str) -> Result<Arc<Verdict>> {
        self.guard.check(sql).map_err(|Refusal { reason, message }| {
            let kind = if reason == Reason::Syntax {
                ErrorKind::Syntax
            } else {
                ErrorKind::Refused
            };
            Error::new(kind, message)
        })
    }

    async fn query(
        &self,
        route: &Arc<Route>,
        deadline: Instant,
        verdict: &Verdict,
        sql: &str,
        params: &[Value],
    ) -> Result<Rows> {
        let turn = route.turnstile.enter().await?;
        let mut must_be_new = false;
        loop {
            let mut lease = route.pool.lease(route, &turn, must_be_new).await?;
            let timeout_ms = timeout_ms(deadline)?;
            let watch = Watch::begin(route, verdict, sql);
            let failure = match lease
                .statement(route, verdict, params, timeout_ms, true, &self.config)
                .await
            {
                Ok(rows) => {
                    watch.done();
                    return Ok(rows);
                }
                Err(failure) => failure,
            };
            watch.failed(&failure);
            // A connection that died while it was idle is found out only by using it. Once, and only
            // when the statement certainly did not run or may run twice, it is tried on a new one.
            if let Failure::Lost { nothing_ran, .. } = &failure
                && (*nothing_ran || verdict.is_read_only())
                && !lease.is_new
            {
                must_be_new = true;
                continue;
            }
            return Err(settle(lease, route, failure, true));
        }
    }

    /// The way of this principal, made or renewed when its lane is another than before.
    async fn route(&self, principal: &Principal) -> Result<Arc<Route>> {
        let placement = self.placements.placement(&principal.tenant).await?;
        let known = self
            .routes
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(principal)
            .cloned();
        if let Some(route) = known
            && is_same(&route.pool.lane, &placement.lane)
        {
            return Ok(route);
        }
        let pool = self.pool(&placement.lane);
        let turnstile = self.turnstile(&principal.tenant, &placement.lane);
        let route = Arc::new(Route::new(principal, pool, turnstile));
        self.routes
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(principal.clone(), Arc::clone(&route));
        Ok(route)
    }

    /// The way after the lane turned out not to be the tenant's any more, or not yet. This is how the
    /// requests of a tenant that is being moved wait for it.
    pub(crate) async fn look_again(&self, principal: &Principal, wait: &mut Duration) -> Result<Arc<Route>> {
        tokio::time::sleep(*wait).await;
        *wait = (*wait * 2).min(LOOK_EVERY);
        self.placements.look_again(&principal.tenant).await;
        self.route(principal).await
    }

    fn turnstile(&self, tenant: &TenantId, lane: &Lane) -> Arc<Turnstile> {
        let mut turnstiles = lock(&self.turnstiles);
        let turnstile = match turnstiles.get(tenant) {
            Some(known) if known.fits(&self.config, lane) => return Arc::clone(known),
            Some(known) => Arc::new(known.renewed(&self.config, lane)),
            None => Arc::new(Turnstile::new(&self.config, lane, &self.statements)),
        };
        turnstiles.insert(tenant.clone(), Arc::clone(&turnstile));
        turnstile
    }

    fn pool(&self, lane: &Arc<Lane>) -> Arc<LanePool> {
        let mut pools = lock(&self.pools);
        if let Some(pool) = pools.get(&lane.id) {
            if is_same(&pool.lane, lane) {
                return Arc::clone(pool);
            }
            // Another password, limit or server: connections of the old kind are not kept.
            pool.close();
        }
        let pool = Arc::new(LanePool::new(
            Arc::clone(lane),
            Arc::clone(&self.config),
            self.runtime.clone(),
        ));
        pools.insert(lane.id.clone(), Arc::clone(&pool));
        pool
    }
}

/// Runs `work` until shortly after the deadline. Being dropped is how it is stopped.
pub(crate) async fn within<T>(deadline: Instant, work: impl Future<Output = Result<T>>) -> Result<T> {
    match timeout_at((deadline + TIMER_GRACE).into(), work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::timeout(
            "the deadline of the request passed while it used the database",
        )),
    }
}

/// What is left until the deadline, rounded up to one of a few steps: each step is a statement that
/// connections keep prepared. The exact end is the router's own timer.
pub(crate) fn timeout_ms(deadline: Instant) -> Result<u64> {
    const STEPS_MS: [u64; 12] = [10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000];
    rounded(deadline, &STEPS_MS)
}

/// The same for an export, which may take hours.
pub(crate) fn export_timeout_ms(deadline: Instant) -> Result<u64> {
    const STEPS_MS: [u64; 5] = [60_000, 600_000, 3_600_000, 21_600_000, 86_400_000];
    rounded(deadline, &STEPS_MS)
}

fn rounded(deadline: Instant, steps_ms: &[u64]) -> Result<u64> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(Error::timeout("the deadline of the request has passed"));
    }
    let step = steps_ms.iter().find(|step| Duration::from_millis(**step) >= left);
    Ok(step.or(steps_ms.last()).copied().unwrap_or(60_000))
}

/// Ends a lease after a failure: the connection goes back if it is in order, and is destroyed if it
/// is not.
pub(crate) fn settle(lease: crate::lease::Lease, route: &Route, failure: Failure, had_commit: bool) -> Error {
    match failure {
        Failure::Statement(error) => error,
        Failure::Lost { nothing_ran, error } => {
            lease.destroy();
            let is_unknown = had_commit && !nothing_ran;
            match error.map(crate::flight::ServerError::into_error) {
                Some(error) if !is_unknown => error,
                _ if is_unknown => {
                    Error::unavailable("the connection was lost during the commit: the outcome is unknown")
                }
                _ => Error::unavailable("the connection to the database was lost"),
            }
        }
        Failure::Unexpected(what) => {
            lease.destroy();
            tracing::error!(
                tenant.id = %route.principal.tenant,
                service = %route.principal.service,
                lane.id = %route.pool.lane.id,
                "Destroyed a connection that answered with {what}"
            );
            Error::new(
                ErrorKind::Refused,
                "the database answered as no allowed statement would; the connection was closed",
            )
        }
        Failure::TooLarge => {
            lease.destroy();
            Error::new(ErrorKind::Limit, "the result is far larger than a result may be")
        }
    }
}

/// Whether PostgreSQL refused the role, which comes before every statement: nothing has run. No
/// statement that the guard lets through can be refused so.
pub(crate) fn is_elsewhere(error: &Error, route: &Route) -> bool {
    // The words are in the server's language; the name of the role is in all of them.
    matches!(error.sqlstate.as_deref(), Some("42501" | "22023")) && error.message.contains(&route.schema)
}

fn stats(turnstile: &Turnstile) -> TenantStats {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    TenantStats {
        in_flight: turnstile.in_flight(),
        waiting: turnstile.waiting(),
        statements: count(&turnstile.statements),
        failures: count(&turnstile.failures),
        refused: count(&turnstile.refused),
        lock_timeouts: count(&turnstile.lock_timeouts),
        timeouts: count(&turnstile.timeouts),
        conflicts: count(&turnstile.conflicts),
    }
}

fn is_same(a: &Arc<Lane>, b: &Arc<Lane>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
