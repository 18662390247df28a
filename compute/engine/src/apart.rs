//! Which requests may begin where they arrive, on the thread that read them, and which are kept apart.
//!
//! Handing a request to another thread and its answer back costs more than a short guest does. So a guest
//! that is likely to be short is polled at once by whoever has its request. If a tick interrupts it all the
//! same, it goes on elsewhere, and the requests of this tenant to this release are kept apart: they begin
//! on the guests' threads, or where guests that compute take turns when it was five times as long.
//!
//! They are kept apart for a hundred times what the long one took. So a tenant takes a hundredth of such a
//! thread for its long requests, however it mixes them with short ones; and one whose request was slow once
//! (the first meets cold memory, and a busy machine makes any slow at times) is back soon.
//!
//! What no tick sees (one long copy of memory, a host function) shows in its time afterwards. By the clock
//! on the wall that may have been a wait for the core: it only has the next ones measured by the CPU clock,
//! for a minute.

use std::{
    collections::HashMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::{idle::Key, meter::SHORT};

/// The requests of a release are short while they take less CPU time than this on average.
const SHORT_MICROS: u32 = 1_000;
/// The requests of a tenant to a release are kept apart for so many times what one took that was long.
const APART_FACTOR: u32 = 100;
/// And at most for as long.
const APART_MAX: Duration = Duration::from_mins(1);
/// After one that took this, they take turns from their beginning.
const COMPUTES: Duration = Duration::from_millis(10);
/// One request of so many is measured.
const MEASURED: u32 = 16;
/// One request moves the average by this part of its distance from it.
const SMOOTHING: i64 = 8;
/// A release is known after so many requests.
const KNOWN: u32 = 6;
/// No request counts for more than this.
const SAMPLE_MAX: i64 = 2_000;
/// How long whose requests were long is remembered, after the last that was.
const REMEMBERED: Duration = Duration::from_mins(1);
/// Tenants and releases that are remembered. With more of them at once, all requests are kept apart.
const REMEMBERED_MAX: usize = 10_000;

/// How a tenant's requests to a release are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// They may begin where they arrive.
    Free,
    /// The same, and all are measured.
    Watched,
    /// They begin on the guests' threads.
    Apart,
    /// They begin where guests take turns.
    Computes,
}

/// Whose requests took long, not long ago.
#[derive(Default)]
pub(crate) struct Apart {
    known: RwLock<HashMap<Key, Known>>,
    count: AtomicUsize,
}

#[derive(Clone, Copy)]
struct Known {
    /// Until when they are kept apart.
    apart_until: Instant,
    /// Until when they take turns from their beginning.
    turns_until: Instant,
    /// When one was long, or seemed so, the last time.
    since: Instant,
}

impl Apart {
    /// A request of this tenant to this release has ended, after so much time.
    pub(crate) fn count(&self, key: &Key, spent: Duration, was_measured: bool) {
        if spent >= SHORT {
            if was_measured {
                self.computes(key, spent);
            } else {
                self.watch(key);
            }
        }
    }

    /// A request of this tenant to this release was found to compute, and has spent so much until now.
    pub(crate) fn computes(&self, key: &Key, spent: Duration) {
        self.note(key, spent.max(SHORT));
    }

    /// A request of this tenant to this release took long, or waited for its core: the next ones will tell.
    pub(crate) fn watch(&self, key: &Key) {
        self.note(key, Duration::ZERO);
    }

    fn note(&self, key: &Key, spent: Duration) {
        let now = Instant::now();
        let apart_until = now + (spent * APART_FACTOR).min(APART_MAX);
        let turns_until = if spent >= COMPUTES { apart_until } else { now };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = known.get_mut(key) {
            entry.apart_until = entry.apart_until.max(apart_until);
            entry.turns_until = entry.turns_until.max(turns_until);
            entry.since = now;
        } else if known.len() < REMEMBERED_MAX {
            let entry = Known {
                apart_until,
                turns_until,
                since: now,
            };
            known.insert(key.clone(), entry);
        }
        self.count.store(known.len(), Relaxed);
    }

    /// How this tenant's requests to this release are treated. Takes no lock while all are free.
    pub(crate) fn standing(&self, key: &Key) -> Standing {
        let count = self.count.load(Relaxed);
        if count == 0 {
            return Standing::Free;
        }
        let entry = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            known.get(key).copied()
        };
        match entry {
            None if count >= REMEMBERED_MAX => Standing::Apart,
            None => Standing::Free,
            Some(entry) => {
                let now = Instant::now();
                if entry.turns_until > now {
                    Standing::Computes
                } else if entry.apart_until > now {
                    Standing::Apart
                } else if now - entry.since < REMEMBERED {
                    Standing::Watched
                } else {
                    Standing::Free
                }
            }
        }
    }

    /// Forgets what is old. To be called every second or so.
    pub(crate) fn sweep(&self) {
        if self.count.load(Relaxed) == 0 {
            return;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, entry| entry.since.elapsed() < REMEMBERED);
        self.count.store(known.len(), Relaxed);
    }
}

/// The CPU time that a release's requests take on average, over all tenants: recent ones count most.
#[derive(Debug)]
pub(crate) struct Pace {
    micros: AtomicU32,
    requests: AtomicU32,
    /// How many have ended, up to the number after which a release is known.
    known_by: AtomicU32,
    /// Whether the next request is to be measured.
    look_closer: AtomicBool,
}

impl Default for Pace {
    /// A release is not taken for short before it has shown that it is: six requests that take nothing do.
    fn default() -> Self {
        Self {
            micros: AtomicU32::new(2 * SHORT_MICROS),
            requests: AtomicU32::new(0),
            known_by: AtomicU32::new(0),
            look_closer: AtomicBool::new(false),
        }
    }
}

impl Pace {
    /// Whether a request that begins is to be measured by its thread's CPU clock, which costs system calls: one
    /// in so many, whichever follows one that seemed to take long, and all while they are not short.
    pub(crate) fn measures(&self) -> bool {
        let number = self.requests.fetch_add(1, Relaxed);
        number.is_multiple_of(MEASURED) || !self.is_short() || self.look_closer.swap(false, Relaxed)
    }

    /// One of its requests has ended, of whatever tenant.
    pub(crate) fn ended(&self) {
        if !self.is_known() {
            self.known_by.fetch_add(1, Relaxed);
        }
    }

    /// Counts a request. One that was not measured may only have waited for its core: the next one will tell.
    pub(crate) fn count(&self, cpu: Duration, was_measured: bool) {
        let sample = i64::try_from(cpu.as_micros()).unwrap_or(i64::MAX).min(SAMPLE_MAX);
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

    /// Whether enough of its requests have ended to say how long they are.
    pub(crate) fn is_known(&self) -> bool {
        self.known_by.load(Relaxed) >= KNOWN
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

    fn key(release: &ReleaseId) -> Key {
        (TenantId::random(), release.clone())
    }

    #[test]
    fn who_was_interrupted_is_kept_apart_and_nobody_else() {
        let apart = Apart::default();
        let release = ReleaseId::random();
        let (a, b) = (key(&release), key(&release));
        assert_eq!(apart.standing(&a), Standing::Free);
        apart.computes(&a, SHORT);
        assert_eq!(
            (apart.standing(&a), apart.standing(&b)),
            (Standing::Apart, Standing::Free)
        );
        apart.count(&a, SHORT, false);
        assert_eq!(apart.standing(&a), Standing::Apart, "and stays so");
    }

    #[test]
    fn who_only_seemed_long_is_watched_and_who_is_long_by_the_cpu_clock_is_kept_apart() {
        let apart = Apart::default();
        let key = key(&ReleaseId::random());
        apart.count(&key, SHORT / 2, true);
        assert_eq!(apart.standing(&key), Standing::Free);
        apart.count(&key, SHORT, false);
        assert_eq!(apart.standing(&key), Standing::Watched);
        apart.count(&key, SHORT / 2, true);
        assert_eq!(
            apart.standing(&key),
            Standing::Watched,
            "a short one between two long ones changes nothing"
        );
        apart.count(&key, SHORT, true);
        assert_eq!(apart.standing(&key), Standing::Apart);
    }

    #[test]
    fn the_longer_one_was_the_longer_are_its_like_kept_apart() {
        let apart = Apart::default();
        let key = key(&ReleaseId::random());
        let left = || {
            let entry = *apart.known.read().unwrap().get(&key).unwrap();
            entry.apart_until.saturating_duration_since(entry.since)
        };
        apart.computes(&key, SHORT);
        assert_eq!(left(), SHORT * APART_FACTOR);
        assert_eq!(apart.standing(&key), Standing::Apart);
        apart.count(&key, SHORT * 10, true);
        assert_eq!(left(), SHORT * 10 * APART_FACTOR);
        apart.count(&key, SHORT, true);
        assert!(left() > SHORT * 9 * APART_FACTOR, "a shorter one takes nothing back");
        apart.count(&key, APART_MAX, true);
        assert_eq!(left(), APART_MAX);
        // Their time is over.
        let past = Instant::now();
        assert_eq!(apart.standing(&key), Standing::Computes, "one was very long");
        {
            let mut known = apart.known.write().unwrap();
            let entry = known.get_mut(&key).unwrap();
            (entry.apart_until, entry.turns_until) = (past, past);
        }
        assert_eq!(apart.standing(&key), Standing::Watched);
    }

    #[test]
    fn when_there_are_too_many_to_remember_all_are_kept_apart() {
        let apart = Apart::default();
        let release = ReleaseId::random();
        (0..REMEMBERED_MAX + 5).for_each(|_| apart.computes(&key(&release), SHORT));
        assert_eq!(apart.known.read().unwrap().len(), REMEMBERED_MAX);
        assert_eq!(apart.standing(&key(&release)), Standing::Apart);
    }

    /// A release that is known to be short.
    fn short() -> Pace {
        let pace = Pace::default();
        (0..KNOWN).for_each(|_| {
            pace.ended();
            pace.count(Duration::ZERO, true);
        });
        assert!(pace.is_short() && pace.is_known());
        pace
    }

    #[test]
    fn a_release_is_judged_by_what_its_requests_take() {
        let pace = Pace::default();
        assert!(!pace.is_short() && !pace.is_known(), "until it is known");
        assert!((0..20).all(|_| pace.measures()), "and each of its requests tells");
        let pace = short();
        pace.count(Duration::from_micros(400), true);
        assert!(pace.is_short());
        (0..100).for_each(|_| pace.count(Duration::from_millis(2), true));
        assert!(!pace.is_short());
        (0..100).for_each(|_| pace.count(Duration::from_micros(30), true));
        assert_eq!(pace.micros.load(Relaxed), 30);
    }

    #[test]
    fn a_request_that_seemed_long_is_judged_by_the_next_one() {
        let pace = short();
        assert!(pace.measures(), "the first");
        assert!(!pace.measures());
        (0..100).for_each(|_| pace.count(Duration::from_millis(20), false));
        assert!(pace.is_short(), "it may have waited for its core");
        assert!(pace.measures() && !pace.measures());
        let measured = (0..10 * MEASURED).filter(|_| pace.measures()).count();
        assert_eq!(measured, 10);
    }
}
