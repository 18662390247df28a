//! The error budget of a new release: how many of its requests may fail before it is taken away.

use terrace_compute_gateway::Counts;

use crate::config::Releases;

/// A new release must fail so many times as often as the old one. What fails on both is not its doing.
const WORSE_BY: f64 = 2.0;

/// Why a release is to be taken away, as a sentence; `None` while it keeps to its budget. `old` is
/// what it is compared with: the release that the other tenants have, or the one before it.
pub(crate) fn broken(config: &Releases, new: Counts, old: Counts) -> Option<String> {
    let (is, was) = (new.failed_percent(), old.failed_percent());
    let judged = new.requests >= config.budget_requests.max(1);
    (judged && is > config.budget_percent && is > was * WORSE_BY).then(|| {
        format!(
            "{} of {} requests failed ({is:.1} %); the budget is {} %, and the release before it failed on {was:.1} % of {}",
            new.failed, new.requests, config.budget_percent, old.requests
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(requests: u64, failed: u64) -> Counts {
        Counts { requests, failed }
    }

    #[test]
    fn a_release_is_taken_away_when_it_fails_often_and_more_often_than_the_old_one() {
        let config = Releases::default();
        let is_broken = |new, old| broken(&config, new, old).is_some();
        let fine = counts(1_000, 1);
        assert!(is_broken(counts(100, 3), fine));
        assert!(!is_broken(counts(99, 99), fine), "too few to judge");
        assert!(!is_broken(counts(100, 2), fine), "within its budget");
        assert!(!is_broken(counts(100, 10), counts(1_000, 60)), "the old one fails, too");
        assert!(is_broken(counts(100, 10), counts(0, 0)), "nothing to compare with");
        assert!(!is_broken(counts(0, 0), fine));
    }
}
