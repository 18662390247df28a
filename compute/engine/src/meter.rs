//! The CPU time of one request, measured where it is spent: in the polls of the guest's task.
//!
//! Waiting costs nothing. The epoch callback asks while a poll lasts, so a loop that never returns
//! is seen too.
//!
//! Reading a thread's CPU clock is a system call, and most polls take microseconds, so they are
//! timed by the clock on the wall. A poll that a tick finds going on for long by that clock is timed by the
//! CPU clock from then on; if it still computes at the next tick, it is interrupted, and its request is no
//! longer short. So on a machine that is short of CPU, where a thread waits for its core in the
//! middle of a poll, that wait is not charged to a long computation, nobody is stopped for it, and no short
//! request is taken for a long one.

use std::{
    cell::Cell,
    pin::pin,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

use crate::turns::Turn;

thread_local! {
    /// What a guest of this thread had spent when it was found to compute, since somebody asked.
    static COMPUTED: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// Whether a guest on this thread was found to compute since the last time that this was asked, because a tick
/// interrupted it or because its poll was long; and what its request had spent by then.
pub(crate) fn take_computed() -> Option<Duration> {
    COMPUTED.take()
}

/// The most that the wall's clock can charge to a poll before its first tick. Ticks are a millisecond
/// apart; what took longer was a host function, or a thread that waited for its core.
const UNSEEN: Duration = Duration::from_millis(5);

/// CPU time up to which a request is short: it is not interrupted.
pub(crate) const SHORT: Duration = Duration::from_millis(2);
/// CPU time after that, by the CPU clock, of a guest that computes.
const COMPUTES: Duration = Duration::from_micros(500);

/// What a guest does that a tick finds at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ticked {
    /// It goes on: it is short, as far as is known.
    GoesOn,
    /// It lets others run.
    Yields,
    /// It ends: its CPU time is used up.
    Ends,
}

/// Not in a poll.
const IDLE: u64 = u64::MAX;

/// CPU time of one instance's current request. Written by the one thread that runs it.
pub(crate) struct Meter {
    base: Instant,
    budget: AtomicU64,
    /// Nanoseconds of polls that have ended.
    spent: AtomicU64,
    /// When the current poll began, in nanoseconds of the clock in use.
    poll_began: AtomicU64,
    /// Whether the current poll is timed by the CPU clock.
    by_cpu: AtomicBool,
    /// Whether the CPU clock times the polls.
    is_measured: AtomicBool,
    /// What was spent when it took over.
    took_over: AtomicU64,
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
            by_cpu: AtomicBool::new(false),
            is_measured: AtomicBool::new(false),
            took_over: AtomicU64::new(0),
            exceeded: AtomicBool::new(false),
            turn: Mutex::new(None),
        }
    }

    /// Starts a request, which the CPU clock times from its beginning if it `is_measured`.
    pub(crate) fn begin(&self, budget: Duration, is_measured: bool) {
        self.is_measured.store(is_measured, Relaxed);
        self.took_over.store(0, Relaxed);
        self.budget.store(nanos(budget), Relaxed);
        self.spent.store(0, Relaxed);
        self.exceeded.store(false, Relaxed);
    }

    /// What the request has used, up to now. During a poll, only its own thread may ask.
    pub(crate) fn spent(&self) -> Duration {
        let began = self.poll_began.load(Relaxed);
        let current = if began == IDLE {
            0
        } else {
            self.now().saturating_sub(began)
        };
        Duration::from_nanos(self.spent.load(Relaxed) + current)
    }

    /// A tick finds the guest at work. That its CPU time is used up is remembered for
    /// [`Meter::exceeded`].
    pub(crate) fn tick(&self) -> Ticked {
        // The clock ticks for all guests at once, and while this one waits.
        let spent = self.spent();
        if spent < SHORT {
            return Ticked::GoesOn;
        }
        if !self.is_measured.load(Relaxed) {
            // Did it compute, or wait for its core? A later tick will tell.
            self.is_measured.store(true, Relaxed);
            let began = self.poll_began.load(Relaxed);
            if began != IDLE {
                let unseen = self.now().saturating_sub(began).min(nanos(UNSEEN));
                self.spent.fetch_add(unseen, Relaxed);
                self.by_cpu.store(true, Relaxed);
                self.poll_began.store(self.now(), Relaxed);
            }
            self.took_over.store(self.spent.load(Relaxed), Relaxed);
            return Ticked::GoesOn;
        }
        if nanos(spent).saturating_sub(self.took_over.load(Relaxed)) < nanos(COMPUTES) {
            return Ticked::GoesOn;
        }
        COMPUTED.set(Some(spent));
        if self.spent() < Duration::from_nanos(self.budget.load(Relaxed)) {
            return Ticked::Yields;
        }
        self.exceeded.store(true, Relaxed);
        Ticked::Ends
    }

    /// Whether the request was stopped for its CPU time.
    pub(crate) fn exceeded(&self) -> bool {
        self.exceeded.load(Relaxed)
    }

    /// Keeps a turn until the end of the poll.
    pub(crate) fn hold(&self, mut turn: Option<Turn>) {
        turn.iter_mut().for_each(Turn::begins);
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = turn;
    }

    /// Runs `future`, charging every poll.
    pub(crate) async fn charge<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        std::future::poll_fn(|context| {
            self.by_cpu.store(self.is_measured.load(Relaxed), Relaxed);
            self.poll_began.store(self.now(), Relaxed);
            let result = future.as_mut().poll(context);
            let began = self.poll_began.swap(IDLE, Relaxed);
            let took = self.now().saturating_sub(began);
            let spent = self.spent.fetch_add(took, Relaxed) + took;
            if self.by_cpu.load(Relaxed) && took >= nanos(SHORT) {
                // What no tick can interrupt, and then a wait.
                COMPUTED.set(Some(Duration::from_nanos(spent)));
            }
            drop(self.turn.lock().unwrap_or_else(PoisonError::into_inner).take());
            result
        })
        .await
    }

    /// Nanoseconds of the clock in use.
    fn now(&self) -> u64 {
        if self.by_cpu.load(Relaxed) {
            let time = clock_gettime(ClockId::ThreadCPUTime);
            u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
        } else {
            nanos(self.base.elapsed())
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(IDLE - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computes until the tick after which it would not go on.
    async fn compute(meter: &Meter, for_at_most: Duration) -> Ticked {
        let began = Instant::now();
        let work = async {
            loop {
                match meter.tick() {
                    Ticked::GoesOn if began.elapsed() < for_at_most => {}
                    ticked => return ticked,
                }
            }
        };
        meter.charge(work).await
    }

    #[tokio::test]
    async fn waiting_costs_nothing_and_work_costs_its_time() {
        let meter = Meter::new();
        meter.begin(Duration::from_millis(50), false);
        meter.charge(tokio::time::sleep(Duration::from_millis(100))).await;
        assert_eq!(meter.tick(), Ticked::GoesOn, "{:?}", meter.spent());
        let began = Instant::now();
        let patience = Duration::from_secs(10);
        while compute(&meter, patience).await == Ticked::Yields && began.elapsed() < patience {}
        assert!(meter.exceeded());
        assert!(meter.spent() >= Duration::from_millis(50) && began.elapsed() >= Duration::from_millis(40));
    }

    #[tokio::test]
    async fn nobody_is_stopped_for_waiting_for_a_core() {
        let meter = Meter::new();
        meter.begin(Duration::from_millis(50), false);
        let ticked = meter.charge(async {
            // As if the system had given the core away before the first tick, and between two.
            std::thread::sleep(Duration::from_millis(200));
            let first = meter.tick();
            std::thread::sleep(Duration::from_millis(200));
            (first, meter.tick())
        });
        assert_eq!(ticked.await, (Ticked::GoesOn, Ticked::GoesOn), "{:?}", meter.spent());
        assert!(
            !meter.exceeded() && meter.spent() < Duration::from_millis(20),
            "{:?}",
            meter.spent()
        );
        assert_eq!(take_computed(), None, "it is not taken for a long one");
    }

    #[tokio::test]
    async fn what_no_tick_sees_is_found_when_its_poll_ends() {
        let meter = Meter::new();
        meter.begin(Duration::from_secs(1), true);
        let work = std::pin::pin!(meter.charge(async {
            while meter.spent() < SHORT + SHORT / 2 {}
            std::future::pending::<()>().await;
        }));
        assert!(futures_util::FutureExt::now_or_never(work).is_none());
        assert!(take_computed().is_some_and(|spent| spent >= SHORT));
        let work = std::pin::pin!(meter.charge(std::future::pending::<()>()));
        assert!(futures_util::FutureExt::now_or_never(work).is_none());
        assert_eq!(take_computed(), None, "it only waits now");
    }

    #[tokio::test]
    async fn a_long_computation_is_not_charged_for_waiting_for_its_core() {
        let meter = Meter::new();
        meter.begin(Duration::from_millis(100), false);
        assert_eq!(compute(&meter, Duration::from_secs(10)).await, Ticked::Yields);
        assert!(take_computed().is_some_and(|spent| spent >= SHORT));
        let before = meter.spent();
        // As if the system had given the core to another process in the middle of a poll.
        meter
            .charge(async { std::thread::sleep(Duration::from_millis(30)) })
            .await;
        assert!(
            meter.spent() - before < Duration::from_millis(10),
            "{:?}",
            meter.spent()
        );
    }
}
