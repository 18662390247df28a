//! What each tenant's statements took, by their fingerprint: for operators, in bounded memory.
//!
//! The router times every statement from the moment it is sent to the end of its answer (one in a
//! transaction of its own with its COMMIT); waits for a turn and for a connection are not in it. A statement
//! that is known costs two looks at the clock, a lock that only its tenant's other statements take, and a
//! search among at most [`Config::tenant_statements_max`] numbers. What is kept of its text is its shape, which
//! holds no value (data/guard/src/shape.rs). Nothing here is written anywhere: it begins with the process and
//! covers the last hour to two.

use std::{
    cmp::Reverse,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use terrace_data_guard::Verdict;
use terrace_ground_ids::ServiceName;

use crate::{Config, flight::Failure, route::Route, router::is_elsewhere};

/// After so long what was counted becomes the past, and what was the past before is forgotten.
const HOUR: Duration = Duration::from_secs(3_600);

/// What the statements of one shape took together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementStats {
    /// The service that sent them.
    pub service: ServiceName,
    /// PostgreSQL's kind of fingerprint: constants, parameters and the length of IN lists do not count.
    pub fingerprint: u64,
    /// The text of one of them without its values.
    pub shape: Arc<str>,
    /// How often it ran.
    pub calls: u64,
    /// How many of those failed or were stopped.
    pub failures: u64,
    /// All of them together.
    pub total: Duration,
    /// The longest.
    pub max: Duration,
}

/// The statements of one tenant in this process, over the last hour to two.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statements {
    /// By shape, those that took the most time together first.
    pub items: Vec<StatementStats>,
    /// Runs of statements for which there was no room.
    pub other_calls: u64,
    /// The time of those.
    pub other_total: Duration,
}

/// How many entries the ledgers of all tenants may have together.
#[derive(Debug)]
pub(crate) struct Budget(AtomicUsize);

impl Budget {
    pub(crate) fn new(entries: usize) -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(entries)))
    }

    fn take(&self) -> bool {
        let less = |left: usize| left.checked_sub(1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    fn give(&self, entries: usize) {
        self.0.fetch_add(entries, Ordering::Relaxed);
    }
}

/// One per tenant.
#[derive(Debug)]
pub(crate) struct Ledger {
    hours: Mutex<Hours>,
    entries_max: usize,
    budget: Arc<Budget>,
}

#[derive(Debug, Default)]
struct Hours {
    begun: Option<Instant>,
    now: Hour,
    before: Hour,
}

#[derive(Debug, Default)]
struct Hour {
    /// Of `entries`, in the same order: what is searched lies together.
    keys: Vec<u64>,
    entries: Vec<StatementStats>,
    other_calls: u64,
    other_total: Duration,
    /// The time of statements without an entry since one was given up for another.
    pressure: Duration,
}

impl Ledger {
    pub(crate) fn new(config: &Config, budget: &Arc<Budget>) -> Self {
        Self {
            hours: Mutex::default(),
            entries_max: config.tenant_statements_max,
            budget: Arc::clone(budget),
        }
    }

    /// Adds one run. `subject` is asked for service, fingerprint and shape when there is no entry yet.
    fn add(&self, run: &Run, at: Instant, subject: impl FnOnce() -> (ServiceName, u64, Arc<str>)) {
        let mut hours = self.lock();
        self.turn(&mut hours, at);
        let hour = &mut hours.now;
        let index = hour.keys.iter().position(|key| *key == run.key);
        if let Some(entry) = index.and_then(|index| hour.entries.get_mut(index)) {
            entry.calls += u64::from(run.is_call);
            entry.failures += u64::from(run.has_failed);
            entry.total += run.took;
            entry.max = entry.max.max(run.took);
            return;
        }
        let has_room = hour.keys.len() < self.entries_max && self.budget.take();
        if !has_room && !hour.give_one_up(run.took) {
            hour.other_calls += u64::from(run.is_call);
            hour.other_total += run.took;
            return;
        }
        let (service, fingerprint, shape) = subject();
        hour.keys.push(run.key);
        hour.entries.push(StatementStats {
            service,
            fingerprint,
            shape,
            calls: u64::from(run.is_call),
            failures: u64::from(run.has_failed),
            total: run.took,
            max: run.took,
        });
    }

    /// What was counted, of both hours.
    pub(crate) fn read(&self, at: Instant) -> Statements {
        let mut hours = self.lock();
        self.turn(&mut hours, at);
        let mut items = hours.now.entries.clone();
        for (key, old) in hours.before.keys.iter().zip(&hours.before.entries) {
            let index = hours.now.keys.iter().position(|known| known == key);
            match index.and_then(|index| items.get_mut(index)) {
                Some(entry) => {
                    entry.calls += old.calls;
                    entry.failures += old.failures;
                    entry.total += old.total;
                    entry.max = entry.max.max(old.max);
                }
                None => items.push(old.clone()),
            }
        }
        let statements = Statements {
            other_calls: hours.now.other_calls + hours.before.other_calls,
            other_total: hours.now.other_total + hours.before.other_total,
            items: Vec::new(),
        };
        drop(hours);
        items.sort_by_key(|entry| Reverse(entry.total));
        Statements { items, ..statements }
    }

    /// Forgets what is too old. To be called now and then for tenants that do nothing any more.
    pub(crate) fn sweep(&self, at: Instant) {
        let mut hours = self.lock();
        self.turn(&mut hours, at);
    }

    fn turn(&self, hours: &mut Hours, at: Instant) {
        let begun = *hours.begun.get_or_insert(at);
        let age = at.saturating_duration_since(begun);
        if age < HOUR {
            return;
        }
        let mut gone = std::mem::take(&mut hours.before).entries.len();
        let last = std::mem::take(&mut hours.now);
        if age < 2 * HOUR {
            hours.before = last;
        } else {
            gone += last.entries.len();
        }
        hours.begun = Some(at);
        self.budget.give(gone);
    }

    fn lock(&self) -> MutexGuard<'_, Hours> {
        self.hours.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let hours = self.lock();
        let entries = hours.now.entries.len() + hours.before.entries.len();
        drop(hours);
        self.budget.give(entries);
    }
}

impl Hour {
    /// Makes room for a statement that took so long, by forgetting the one with the least time: when the
    /// statements without an entry have taken more than that since the last time. So one that runs often gets
    /// its entry, and a stream of statements that are all different takes no entry from those that matter.
    fn give_one_up(&mut self, took: Duration) -> bool {
        let least = (0..self.entries.len()).min_by_key(|index| self.entries.get(*index).map(|entry| entry.total));
        let Some(least) = least else { return false };
        self.pressure += took;
        if self.entries.get(least).is_none_or(|entry| entry.total >= self.pressure) {
            return false;
        }
        self.pressure = Duration::ZERO;
        self.keys.swap_remove(least);
        let gone = self.entries.swap_remove(least);
        self.other_calls += gone.calls;
        self.other_total += gone.total;
        true
    }
}

/// One run of a statement, or without `is_call` more time of one that was added before.
struct Run {
    key: u64,
    is_call: bool,
    has_failed: bool,
    took: Duration,
}

/// Where the text of a statement without its values comes from.
enum Text<'a> {
    Verdict(&'a Verdict, &'a str),
    Known(Arc<str>),
}

/// Times one run of a statement. However it ends, and when it is dropped in the middle, the run is counted.
pub(crate) struct Watch<'a> {
    route: &'a Route,
    key: u64,
    fingerprint: u64,
    text: Text<'a>,
    begun: Instant,
    /// Until somebody says otherwise: a run that is dropped was stopped.
    has_failed: bool,
    is_call: bool,
    is_counted: bool,
}

impl<'a> Watch<'a> {
    /// Begins. The first time that this process sees the statement, its fingerprint is computed before.
    pub(crate) fn begin(route: &'a Route, verdict: &'a Verdict, sql: &'a str) -> Self {
        let is_counted = route.turnstile.ledger.entries_max > 0;
        let fingerprint = if is_counted { verdict.fingerprint(sql) } else { None };
        Self {
            route,
            key: fingerprint.unwrap_or_default() ^ route.salt,
            fingerprint: fingerprint.unwrap_or_default(),
            text: Text::Verdict(verdict, sql),
            begun: Instant::now(),
            has_failed: true,
            is_call: true,
            is_counted: is_counted && fingerprint.is_some(),
        }
    }

    /// Begins again for more rows of the same run.
    pub(crate) fn resume(route: &'a Route, seen: &Seen) -> Self {
        Self {
            route,
            key: seen.fingerprint ^ route.salt,
            fingerprint: seen.fingerprint,
            text: Text::Known(Arc::clone(&seen.shape)),
            begun: Instant::now(),
            has_failed: true,
            is_call: false,
            is_counted: route.turnstile.ledger.entries_max > 0,
        }
    }

    /// It ran.
    pub(crate) fn done(mut self) {
        self.has_failed = false;
    }

    /// It failed. When the tenant lives elsewhere it did not run at all, and nothing is counted.
    pub(crate) fn failed(mut self, failure: &Failure) {
        if let Failure::Statement(error) = failure
            && is_elsewhere(error, self.route)
        {
            self.is_counted = false;
        }
    }

    /// What is needed to resume.
    pub(crate) fn seen(&self) -> Seen {
        Seen {
            fingerprint: self.fingerprint,
            shape: self.shape(),
        }
    }

    fn shape(&self) -> Arc<str> {
        match &self.text {
            Text::Verdict(verdict, sql) => verdict.shape(sql),
            Text::Known(shape) => Arc::clone(shape),
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if self.is_counted {
            let at = Instant::now();
            let run = Run {
                key: self.key,
                is_call: self.is_call,
                has_failed: self.has_failed,
                took: at.saturating_duration_since(self.begun),
            };
            let subject = || (self.route.principal.service.clone(), self.fingerprint, self.shape());
            self.route.turnstile.ledger.add(&run, at, subject);
        }
    }
}

/// A statement whose run goes on later.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    fingerprint: u64,
    shape: Arc<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(entries_max: usize, budget: &Arc<Budget>) -> Ledger {
        let config = Config {
            tenant_statements_max: entries_max,
            ..Config::default()
        };
        Ledger::new(&config, budget)
    }

    fn add(ledger: &Ledger, key: u64, took_ms: u64, at: Instant) {
        let run = Run {
            key,
            is_call: true,
            has_failed: false,
            took: Duration::from_millis(took_ms),
        };
        ledger.add(&run, at, || ("tasks".parse().unwrap(), key, "SELECT $1".into()));
    }

    fn left(budget: &Budget) -> usize {
        budget.0.load(Ordering::Relaxed)
    }

    #[test]
    fn two_hours_are_remembered_and_what_is_forgotten_makes_room_for_others() {
        let budget = Budget::new(10);
        let ledger = ledger(4, &budget);
        let start = Instant::now();
        add(&ledger, 1, 5, start);
        let later = start + HOUR;
        add(&ledger, 1, 7, later);
        add(&ledger, 2, 1, later);
        let known = ledger.read(later);
        let shown: Vec<_> = known.items.iter().map(|each| (each.fingerprint, each.calls)).collect();
        assert_eq!(shown, [(1, 2), (2, 1)]);
        assert_eq!(known.items[0].max, Duration::from_millis(7));
        assert_eq!(left(&budget), 7);
        assert_eq!(ledger.read(later + HOUR).items.len(), 2);
        ledger.sweep(later + 2 * HOUR);
        assert_eq!(ledger.read(later + 2 * HOUR), Statements::default());
        assert_eq!(left(&budget), 10);
        add(&ledger, 3, 1, later + 2 * HOUR);
        drop(ledger);
        assert_eq!(left(&budget), 10, "a tenant that is forgotten gives back what it had");
    }

    #[test]
    fn statements_that_are_all_different_take_no_entry_from_those_that_matter_and_one_that_runs_often_gets_one() {
        let budget = Budget::new(10);
        let ledger = ledger(3, &budget);
        let now = Instant::now();
        for key in 1..=3 {
            add(&ledger, key, 1_000 * key, now);
        }
        for key in 100..200 {
            add(&ledger, key, 1, now);
        }
        let keys = |ledger: &Ledger| {
            ledger
                .read(now)
                .items
                .iter()
                .map(|each| each.fingerprint)
                .collect::<Vec<_>>()
        };
        assert_eq!(keys(&ledger), [3, 2, 1]);
        assert_eq!(ledger.read(now).other_calls, 100);
        for _ in 0..2_000 {
            add(&ledger, 7, 1, now);
        }
        assert_eq!(keys(&ledger), [3, 2, 7]);
        let known = ledger.read(now);
        let calls: u64 = known.items.iter().map(|each| each.calls).sum();
        assert_eq!(
            calls + known.other_calls,
            3 + 100 + 2_000,
            "nothing is lost from the sum"
        );
        assert_eq!(left(&budget), 7);
    }
}
