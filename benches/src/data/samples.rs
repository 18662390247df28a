//! Times of one thing, done many times.

use std::time::Duration;

/// What was seen of one thing.
#[derive(Debug, Clone, Default)]
pub(super) struct Samples {
    times: Vec<Duration>,
    /// How long it was watched; the rounds added up.
    watched: Duration,
    is_sorted: bool,
}

impl Samples {
    pub(super) fn add(&mut self, times: Vec<Duration>, watched: Duration) {
        self.times.extend(times);
        self.watched += watched;
        self.is_sorted = false;
    }

    pub(super) fn count(&self) -> usize {
        self.times.len()
    }

    pub(super) fn per_second(&self) -> f64 {
        self.times.len() as f64 / self.watched.as_secs_f64().max(1e-9)
    }

    /// The time that this share of them kept under, in microseconds; 0.5 is the median.
    pub(super) fn micros(&mut self, share: f64) -> f64 {
        if !self.is_sorted {
            self.times.sort_unstable();
            self.is_sorted = true;
        }
        let at = (self.times.len() as f64 * share) as usize;
        let last = self.times.len().saturating_sub(1);
        self.times
            .get(at.min(last))
            .map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
    }

    /// The slowest, in microseconds.
    pub(super) fn worst(&mut self) -> f64 {
        self.micros(1.0)
    }

    /// `p50 61 µs, p99 140 µs`
    pub(super) fn in_micros(&mut self) -> String {
        format!("p50 {:.0} µs, p99 {:.0} µs", self.micros(0.5), self.micros(0.99))
    }

    /// `p50 0.31 ms, p99 1.20 ms`
    pub(super) fn in_millis(&mut self) -> String {
        format!(
            "p50 {:.2} ms, p99 {:.2} ms",
            self.micros(0.5) / 1e3,
            self.micros(0.99) / 1e3
        )
    }
}
