//! How many requests a release answered, and how many of them failed: what an error budget is drawn from.

use std::sync::atomic::{AtomicU64, Ordering};

use http::Response;
use terrace_compute_engine::Fault;

/// The counters of one release on this node, since it was loaded.
#[derive(Debug, Default)]
pub struct Tally {
    requests: AtomicU64,
    failed: AtomicU64,
}

/// What a tally showed at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Requests that the release answered, or should have.
    pub requests: u64,
    /// Those that ended in a 5xx.
    pub failed: u64,
}

impl Tally {
    /// What it shows now.
    pub fn counts(&self) -> Counts {
        // Failures first: read in this order, they are never more than the requests.
        let failed = self.failed.load(Ordering::Acquire);
        let requests = self.requests.load(Ordering::Acquire);
        Counts { requests, failed }
    }

    /// Counts one outcome. What is not the release's doing (a client that left, a tenant with too many
    /// requests at once, a body that is too large) counts as nothing.
    pub(crate) fn count<B>(&self, outcome: &Result<Response<B>, Fault>) {
        let failed = match outcome {
            Ok(response) => response.status().is_server_error(),
            Err(Fault::Cancelled | Fault::Overloaded | Fault::RequestTooLarge) => return,
            Err(_) => true,
        };
        self.requests.fetch_add(1, Ordering::AcqRel);
        if failed {
            self.failed.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl Counts {
    /// What came since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(before.requests),
            failed: self.failed.saturating_sub(before.failed),
        }
    }

    /// The failed ones among a hundred. 0 without requests.
    pub fn failed_percent(self) -> f64 {
        if self.requests == 0 {
            0.0
        } else {
            self.failed as f64 * 100.0 / self.requests as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_release_did_itself_counts_against_it() {
        let tally = Tally::default();
        let status = |status: u16| Ok(Response::builder().status(status).body(()).unwrap_or_default());
        for outcome in [
            status(200),
            status(404),
            status(503),
            Err(Fault::Trap),
            Err(Fault::Cancelled),
            Err(Fault::Overloaded),
        ] {
            tally.count(&outcome);
        }
        let counts = tally.counts();
        assert_eq!(counts, Counts { requests: 4, failed: 2 });
        assert!((counts.failed_percent() - 50.0).abs() < f64::EPSILON);
        assert_eq!(counts.since(counts), Counts::default());
    }
}
