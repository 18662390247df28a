//! Which requests may begin where they arrive, on the thread that read them, and which are kept apart.
//!
//! Handing a request to another thread and its answer back costs more than a short guest does. So a guest
//! that is likely to be short is polled at once by whoever has its request. If a tick interrupts it all the
//! same, it goes on elsewhere, and the requests of this tenant to this release are kept apart for a
//! while: they begin on the guests' threads. So a tenant takes two milliseconds from such a thread once
//! in that while, and not with every request.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::idle::Key;

/// The requests of a release are short while they take less CPU time than this on average.
const SHORT_MICROS: u32 = 500;
/// One request of so many is measured.
const MEASURED: u32 = 16;
/// One request moves the average by this part of its distance from it.
const SMOOTHING: i64 = 8;
/// How long a tenant's requests to a release are kept apart after a tick has interrupted one.
const APART_FOR: Duration = Duration::from_mins(1);
/// Tenants and releases that are remembered. With more of them at once, all requests are kept apart.
const APART_MAX: usize = 10_000;

/// Whose requests were interrupted, not long ago.
#[derive(Default)]
pub(crate) struct Apart {
    since: Mutex<HashMap<Key, Instant>>,
    count: AtomicUsize,
}

impl Apart {
    /// A tick has interrupted a request of this tenant to this release.
    pub(crate) fn add(&self, key: Key) {
        let now = Instant::now();
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.len() >= APART_MAX {
            since.retain(|_, since| now.duration_since(*since) < APART_FOR);
        }
        if since.len() < APART_MAX {
            since.insert(key, now);
        }
        self.count.store(since.len(), Relaxed);
    }

    /// Whether the requests of this tenant to this release begin on the guests' threads. Takes no lock
    /// while there is nobody of that kind.
    pub(crate) fn contains(&self, key: &Key) -> bool {
        let count = self.count.load(Relaxed);
        if count == 0 {
            return false;
        }
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        match since.get(key) {
            Some(when) if when.elapsed() < APART_FOR => true,
            Some(_) => {
                since.remove(key);
                self.count.store(since.len(), Relaxed);
                false
            }
            None => count >= APART_MAX,
        }
    }
}

/// The CPU time that a release's requests take on average, over all tenants: recent ones count most.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    micros: AtomicU32,
    requests: AtomicU32,
    /// Whether the next request is to be measured.
    look_closer: AtomicBool,
}

impl Pace {
    /// Whether a request that begins is to be measured by its thread's CPU clock, which costs system calls: one
    /// in so many, and whichever follows one that seemed to take long.
    pub(crate) fn measures(&self) -> bool {
        let number = self.requests.fetch_add(1, Relaxed);
        number.is_multiple_of(MEASURED) || self.look_closer.swap(false, Relaxed)
    }

    /// Counts a request. One that was not measured may only have waited for its core: the next one will tell.
    pub(crate) fn count(&self, cpu: Duration, was_measured: bool) {
        let sample = i64::try_from(cpu.as_micros()).unwrap_or(i64::MAX).min(1 << 30);
        if sample >= i64::from(SHORT_MICROS) {
            self.look_closer.store(true, Relaxed);
        }
        if !was_measured {
            return;
        }
        // Two at the same moment may count as one.
        let before = i64::from(self.micros.load(Relaxed));
        // Rounded away from where it is, or it would stop short of a sample that is near.
        let step = (sample - before + (sample - before).signum() * (SMOOTHING - 1)) / SMOOTHING;
        self.micros
            .store(u32::try_from(before + step).unwrap_or_default(), Relaxed);
    }

    /// Whether its requests are short, as far as is known.
    pub(crate) fn is_short(&self) -> bool {
        self.micros.load(Relaxed) < SHORT_MICROS
    }
}

#[cfg(test)]
mod tests {
    use terrace_ground_ids::{ReleaseId, TenantId};

    use super::*;

    #[test]
    fn who_was_interrupted_is_kept_apart_and_nobody_else() {
        let apart = Apart::default();
        let release = ReleaseId::random();
        let (a, b) = ((TenantId::random(), release.clone()), (TenantId::random(), release));
        assert!(!apart.contains(&a));
        apart.add(a.clone());
        assert!(apart.contains(&a) && !apart.contains(&b));
    }

    #[test]
    fn when_there_are_too_many_to_remember_all_are_kept_apart() {
        let apart = Apart::default();
        let release = ReleaseId::random();
        for _ in 0..APART_MAX + 5 {
            apart.add((TenantId::random(), release.clone()));
        }
        assert_eq!(apart.since.lock().unwrap().len(), APART_MAX);
        assert!(apart.contains(&(TenantId::random(), release)));
    }

    #[test]
    fn a_release_is_judged_by_what_its_requests_take() {
        let pace = Pace::default();
        assert!(pace.is_short(), "until it is known otherwise");
        pace.count(Duration::from_millis(2), true);
        assert!(pace.is_short(), "once is no habit");
        (0..100).for_each(|_| pace.count(Duration::from_millis(2), true));
        assert!(!pace.is_short());
        (0..100).for_each(|_| pace.count(Duration::from_micros(30), true));
        assert_eq!(pace.micros.load(Relaxed), 30);
    }

    #[test]
    fn a_request_that_seemed_long_is_judged_by_the_next_one() {
        let pace = Pace::default();
        assert!(pace.measures(), "the first");
        assert!(!pace.measures());
        (0..100).for_each(|_| pace.count(Duration::from_millis(20), false));
        assert!(pace.is_short(), "it may have waited for its core");
        assert!(pace.measures() && !pace.measures());
        let measured = (0..10 * MEASURED).filter(|_| pace.measures()).count();
        assert_eq!(measured, 10);
    }
}
