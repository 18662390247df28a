//! A transaction of several statements, which a service holds open.

mod savepoint;
mod scan;

pub use savepoint::Savepoint;
pub use scan::Scan;

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use crate::{
    Error, ErrorKind, Result, Rows, Trusted, Value,
    backend::State,
    flight::Failure,
    lease::Lease,
    route::Route,
    router::{Inner, LOOK_FIRST, is_elsewhere, settle, timeout_ms, within},
    statements::Watch,
    turnstile::Turn,
};

/// A transaction of one principal. Dropping it, or a future of it, rolls back; whatever state its
/// connection was in, the pool stays in order.
pub struct Transaction {
    inner: Arc<Inner>,
    route: Arc<Route>,
    deadline: Instant,
    // Declared before the turn, so that the connection is given back before the turn is.
    lease: Option<Lease>,
    turn: Option<Turn>,
    is_over: bool,
    /// Savepoints that are set, the oldest first.
    savepoints: Vec<Savepoint>,
    savepoints_made: u32,
    scans: Vec<scan::Open>,
    scans_made: u32,
}

/// From where a flight sets out.
#[derive(Clone, Copy)]
struct Start {
    /// It opens the transaction.
    is_first: bool,
    /// Nobody has used the connection before.
    is_new: bool,
}

impl Start {
    fn of(lease: &Lease) -> Self {
        Self {
            is_first: lease.state == State::Idle,
            is_new: lease.is_new,
        }
    }
}

impl Transaction {
    pub(crate) fn new(inner: Arc<Inner>, route: Arc<Route>, deadline: Instant) -> Self {
        Self {
            inner,
            route,
            deadline,
            lease: None,
            turn: None,
            is_over: false,
            savepoints: Vec::new(),
            savepoints_made: 0,
            scans: Vec::new(),
            scans_made: 0,
        }
    }

    /// Runs one statement. The first one takes a connection and opens the transaction in its flight.
    ///
    /// After an error of the database nothing but [`Transaction::rollback`] succeeds, as in PostgreSQL.
    pub async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Rows> {
        let verdict = self.inner.check(sql)?;
        self.route.turnstile.statements.fetch_add(1, Ordering::Relaxed);
        let outcome = within(self.deadline, async {
            let inner = Arc::clone(&self.inner);
            let timeout_ms = timeout_ms(self.deadline)?;
            let mut wait = LOOK_FIRST;
            loop {
                let route = Arc::clone(&self.route);
                let lease = self.lease().await?;
                let start = Start::of(lease);
                let watch = Watch::begin(&route, &verdict, sql);
                match lease
                    .statement(&route, &verdict, params, timeout_ms, false, &inner.config)
                    .await
                {
                    Ok(rows) => {
                        watch.done();
                        return Ok(rows);
                    }
                    Err(failure) => {
                        watch.failed(&failure);
                        self.begin_again(failure, start, &mut wait).await?;
                    }
                }
            }
        })
        .await;
        self.note(&outcome);
        outcome
    }

    /// Runs the platform's own statements and commits, all in one flight. Returns a result for each
    /// of them.
    pub async fn commit(mut self, epilogue: &[Trusted]) -> Result<Vec<Rows>> {
        if self.lease.is_none() && epilogue.is_empty() && !self.is_over {
            return Ok(Vec::new());
        }
        let outcome = within(self.deadline, async {
            let inner = Arc::clone(&self.inner);
            let timeout_ms = timeout_ms(self.deadline)?;
            let mut wait = LOOK_FIRST;
            loop {
                let route = Arc::clone(&self.route);
                let lease = self.lease().await?;
                if lease.state == State::Failed {
                    return Err(Error::new(
                        ErrorKind::Other,
                        "an earlier statement failed, so the transaction was rolled back",
                    ));
                }
                let start = Start::of(lease);
                match lease.commit(&route, epilogue, timeout_ms, &inner.config).await {
                    Ok(results) => return Ok(results),
                    Err(failure @ Failure::Statement(_)) => self.begin_again(failure, start, &mut wait).await?,
                    Err(failure) => return Err(self.fail(failure, true)),
                }
            }
        })
        .await;
        self.note(&outcome);
        outcome
    }

    /// Ends the transaction without effect. Dropping does the same, without waiting for it.
    pub async fn rollback(mut self) {
        if let Some(mut lease) = self.lease.take() {
            let config = Arc::clone(&self.inner.config);
            let outcome = within(self.deadline, async {
                match lease.rollback(&config).await {
                    Ok(()) => Ok(()),
                    Err(_) => Err(Error::unavailable("the connection to the database was lost")),
                }
            });
            // When it fails, the connection is not idle, and the lease destroys it.
            drop(outcome.await);
        }
    }

    /// The connection, taken when there is none yet.
    async fn lease(&mut self) -> Result<&mut Lease> {
        if self.is_over || self.lease.as_ref().is_some_and(|lease| lease.state == State::InFlight) {
            return Err(Error::new(ErrorKind::Other, "the transaction is over"));
        }
        if self.lease.is_none() {
            self.lease = Some(self.take(false).await?);
        }
        self.lease
            .as_mut()
            .ok_or_else(|| Error::new(ErrorKind::Other, "the transaction has no connection"))
    }

    async fn take(&mut self, must_be_new: bool) -> Result<Lease> {
        let turn = match &self.turn {
            Some(turn) => turn,
            None => self.turn.insert(self.route.turnstile.enter().await?),
        };
        self.route.pool.lease(&self.route, turn, must_be_new).await
    }

    /// Makes ready for sending a flight again that has failed, when nothing has run: neither of it, nor of
    /// this transaction before it. Otherwise the failure is the answer.
    async fn begin_again(&mut self, failure: Failure, start: Start, wait: &mut Duration) -> Result<()> {
        match failure {
            Failure::Statement(error) if start.is_first && is_elsewhere(&error, &self.route) => {
                self.go_elsewhere(wait).await
            }
            // It died while it was idle.
            Failure::Lost { .. } if start.is_first && !start.is_new => self.replace().await,
            failure => Err(self.fail(failure, false)),
        }
    }

    /// The tenant is being moved: the transaction begins again where the tenant is by then.
    async fn go_elsewhere(&mut self, wait: &mut Duration) -> Result<()> {
        // Rolled back on its way into the pool.
        self.lease = None;
        self.turn = None;
        let principal = self.route.principal.clone();
        self.route = self.inner.look_again(&principal, wait).await?;
        Ok(())
    }

    async fn replace(&mut self) -> Result<()> {
        if let Some(dead) = self.lease.take() {
            dead.destroy();
        }
        self.lease = Some(self.take(true).await?);
        Ok(())
    }

    fn fail(&mut self, failure: Failure, had_commit: bool) -> Error {
        if let Failure::Statement(error) = failure {
            return error;
        }
        self.is_over = true;
        match self.lease.take() {
            Some(lease) => settle(lease, &self.route, failure, had_commit),
            None => Error::unavailable("the connection to the database was lost"),
        }
    }

    fn note<T>(&mut self, outcome: &Result<T>) {
        if let Err(error) = outcome {
            self.route.turnstile.failed(error);
            // The timer has dropped the work in the middle: end the statement now, not when the
            // service lets go of the transaction.
            if self.lease.as_ref().is_some_and(|lease| lease.state == State::InFlight) {
                self.is_over = true;
                self.lease = None;
            }
        }
    }
}
