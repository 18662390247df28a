//! Which requests may begin where they arrive, on the thread that read them, and which are kept apart.
//!
//! Handing a request to another thread and its answer back costs more than a short guest does. So a guest
//! that is likely to be short is polled at once by whoever has its request. If a tick interrupts it all the
//! same, it goes on elsewhere, and the requests of this tenant to this release are kept apart for a
//! while: they begin on the guests' threads.
//!
//! What no tick sees (one long copy of memory, a host function) shows in its time afterwards. By the clock
//! on the wall that may have been a wait for the core: from then on such requests are watched, by the
//! thread's CPU clock, and the next long one sets them apart. So a tenant takes some milliseconds from such
//! a thread twice in that while, and not with every request.

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
const SHORT_MICROS: u32 = 500;
/// One request of so many is measured.
const MEASURED: u32 = 16;
/// One request moves the average by this part of its distance from it.
const SMOOTHING: i64 = 8;
/// No request counts for more than this.
const SAMPLE_MAX: i64 = 2_000;
/// How long a tenant's requests to a release are watched, or kept apart.
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
}

/// Whose requests took long, not long ago.
#[derive(Default)]
pub(crate) struct Apart {
    known: RwLock<HashMap<Key, (Standing, Instant)>>,
    count: AtomicUsize,
}

impl Apart {
    /// A request of this tenant to this release has ended, after so much time.
    pub(crate) fn judge(&self, key: &Key, spent: Duration, was_measured: bool) {
        if spent >= SHORT {
            self.note(
                key,
                if was_measured {
                    Standing::Apart
                } else {
                    Standing::Watched
                },
            );
        }
    }

    /// Remembers how this tenant's requests to this release are treated from now on. Who is apart stays so.
    pub(crate) fn note(&self, key: &Key, standing: Standing) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = known.get_mut(key) {
            if entry.0 != Standing::Apart || standing == Standing::Apart {
                *entry = (standing, Instant::now());
            }
        } else if known.len() < REMEMBERED_MAX {
            known.insert(key.clone(), (standing, Instant::now()));
        }
        self.count.store(known.len(), Relaxed);
    }

    /// How this tenant's requests to this release are treated. Takes no lock while all are free.
    pub(crate) fn standing(&self, key: &Key) -> Standing {
        let count = self.count.load(Relaxed);
        if count == 0 {
            return Standing::Free;
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        match known.get(key) {
            Some((standing, since)) if since.elapsed() < REMEMBERED => *standing,
            None if count >= REMEMBERED_MAX => Standing::Apart,
            _ => Standing::Free,
        }
    }

    /// Forgets what is old. To be called every second or so.
    pub(crate) fn sweep(&self) {
        if self.count.load(Relaxed) == 0 {
            return;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (_, since)| since.elapsed() < REMEMBERED);
        self.count.store(known.len(), Relaxed);
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
        apart.note(&a, Standing::Apart);
        assert_eq!(
            (apart.standing(&a), apart.standing(&b)),
            (Standing::Apart, Standing::Free)
        );
        apart.judge(&a, SHORT, false);
        assert_eq!(apart.standing(&a), Standing::Apart, "and stays so");
    }

    #[test]
    fn who_seemed_long_is_watched_and_who_is_long_under_watch_is_kept_apart() {
        let apart = Apart::default();
        let key = key(&ReleaseId::random());
        apart.judge(&key, SHORT / 2, true);
        assert_eq!(apart.standing(&key), Standing::Free);
        apart.judge(&key, SHORT, false);
        assert_eq!(apart.standing(&key), Standing::Watched);
        apart.judge(&key, SHORT / 2, true);
        assert_eq!(
            apart.standing(&key),
            Standing::Watched,
            "a short one between two long ones changes nothing"
        );
        apart.judge(&key, SHORT, true);
        assert_eq!(apart.standing(&key), Standing::Apart);
    }

    #[test]
    fn when_there_are_too_many_to_remember_all_are_kept_apart() {
        let apart = Apart::default();
        let release = ReleaseId::random();
        (0..REMEMBERED_MAX + 5).for_each(|_| apart.note(&key(&release), Standing::Watched));
        assert_eq!(apart.known.read().unwrap().len(), REMEMBERED_MAX);
        assert_eq!(apart.standing(&key(&release)), Standing::Apart);
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
