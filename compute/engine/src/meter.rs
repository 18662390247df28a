//! The CPU time of one request, measured where it is spent: in the polls of the guest's task.
//!
//! Waiting costs nothing. The epoch callback asks while a poll lasts, so a loop that never returns
//! is seen too.

use std::{
    pin::pin,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::turns::Turn;

/// Not in a poll.
const IDLE: u64 = u64::MAX;

/// CPU time of one instance's current request. Written by the one thread that runs it.
pub(crate) struct Meter {
    base: Instant,
    budget: AtomicU64,
    /// Nanoseconds of polls that have ended.
    spent: AtomicU64,
    /// When the current poll began, in nanoseconds since `base`.
    poll_began: AtomicU64,
    exceeded: AtomicBool,
    /// Held from the moment it is given until the end of the poll.
    turn: Mutex<Option<Turn>>,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self {
            base: Instant::now(),
            budget: AtomicU64::new(0),
            spent: AtomicU64::new(0),
            poll_began: AtomicU64::new(IDLE),
            exceeded: AtomicBool::new(false),
            turn: Mutex::new(None),
        }
    }

    /// Starts a request.
    pub(crate) fn begin(&self, budget: Duration) {
        self.budget
            .store(u64::try_from(budget.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        self.spent.store(0, Relaxed);
        self.exceeded.store(false, Relaxed);
    }

    /// What the request has used, up to now.
    pub(crate) fn spent(&self) -> Duration {
        let began = self.poll_began.load(Relaxed);
        let current = if began == IDLE {
            0
        } else {
            self.now().saturating_sub(began)
        };
        Duration::from_nanos(self.spent.load(Relaxed) + current)
    }

    /// Whether the budget is used up; remembered for [`Meter::exceeded`].
    pub(crate) fn is_over(&self) -> bool {
        let over = self.spent() >= Duration::from_nanos(self.budget.load(Relaxed));
        if over {
            self.exceeded.store(true, Relaxed);
        }
        over
    }

    /// Whether the request was stopped for its CPU time.
    pub(crate) fn exceeded(&self) -> bool {
        self.exceeded.load(Relaxed)
    }

    /// Keeps a turn until the end of the poll.
    pub(crate) fn hold(&self, turn: Option<Turn>) {
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = turn;
    }

    /// Runs `future`, charging every poll.
    pub(crate) async fn charge<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        std::future::poll_fn(|context| {
            let began = self.now();
            self.poll_began.store(began, Relaxed);
            let result = future.as_mut().poll(context);
            self.poll_began.store(IDLE, Relaxed);
            self.spent.fetch_add(self.now().saturating_sub(began), Relaxed);
            drop(self.turn.lock().unwrap_or_else(PoisonError::into_inner).take());
            result
        })
        .await
    }

    fn now(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_nanos()).unwrap_or(IDLE - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_costs_nothing_and_work_costs_its_time() {
        let meter = Meter::new();
        meter.begin(Duration::from_millis(5));
        meter.charge(tokio::time::sleep(Duration::from_millis(10))).await;
        assert!(
            meter.spent() < Duration::from_millis(5) && !meter.is_over(),
            "{:?}",
            meter.spent()
        );
        meter
            .charge(async {
                let began = Instant::now();
                while began.elapsed() < Duration::from_millis(6) {}
                assert!(meter.is_over());
            })
            .await;
        assert!(meter.spent() >= Duration::from_millis(6) && meter.exceeded());
    }
}
