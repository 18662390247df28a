//! New releases on trial: compared with the one before them, and taken away when they use up their
//! error budget. Each node judges by the requests that it has seen itself.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use terrace_compute_gateway::{Counts, Deployed};
use terrace_data_tenancy::{Cause, Happened, Service, Switch};
use terrace_ground_ids::{ReleaseId, ServiceName};
use tracing::{error, warn};

use super::{budget, deployments::Deployments};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// Between two sweeps of old releases.
const SWEEP: Duration = Duration::from_secs(3600);

/// What is watched, by service.
#[derive(Default)]
pub(crate) struct Trials {
    by_service: HashMap<ServiceName, Trial>,
}

/// One new release, and what it is compared with.
struct Trial {
    subject: Arc<Deployed>,
    subject_at_start: Counts,
    rival: Rival,
    is_canary: bool,
    /// There is no way back: its migrations have taken away what the release before it uses.
    is_final: bool,
}

/// What a new release is compared with.
enum Rival {
    /// The current release, which a canary runs beside: both are counted from the same moment on.
    Beside(Arc<Deployed>, Counts),
    /// The release that was replaced, by all that it did on this node. It may be gone by now.
    Before(Counts),
}

impl Rival {
    fn counts(&self) -> Counts {
        match self {
            Self::Beside(rival, at_start) => rival.tally.counts().since(*at_start),
            Self::Before(counts) => *counts,
        }
    }
}

/// What is to be taken away, and why.
struct Verdict {
    service: ServiceName,
    release: ReleaseId,
    is_canary: bool,
    why: String,
}

impl Trials {
    /// Follows a new table: what is new in it is watched from now on, what left it no more.
    pub(crate) fn begin(&mut self, services: &[Service], find: impl Fn(&ReleaseId) -> Option<Arc<Deployed>>) {
        let mut before = std::mem::take(&mut self.by_service);
        for service in services {
            let (subject, rival, is_canary) = match (&service.canary, &service.trial_since) {
                (Some(canary), _) => (Some(&canary.release), service.current.as_ref(), true),
                (None, Some(_)) => (service.current.as_ref(), service.previous.as_ref(), false),
                (None, None) => continue,
            };
            let Some(subject) = subject.and_then(&find) else {
                continue;
            };
            let known = before.remove(&service.name);
            let goes_on = known.filter(|known| Arc::ptr_eq(&known.subject, &subject) && known.is_canary == is_canary);
            let trial = goes_on.unwrap_or_else(|| {
                let rival = match rival.and_then(&find) {
                    Some(rival) if is_canary => {
                        let at_start = rival.tally.counts();
                        Rival::Beside(rival, at_start)
                    }
                    rival => Rival::Before(rival.map(|rival| rival.tally.counts()).unwrap_or_default()),
                };
                Trial {
                    subject_at_start: subject.tally.counts(),
                    subject,
                    rival,
                    is_canary,
                    is_final: false,
                }
            });
            self.by_service.insert(service.name.clone(), trial);
        }
    }
}

impl Deployments {
    /// Looks twice a second at what is on trial, and lets go of what is drained. Sweeps old releases
    /// once an hour.
    pub(super) async fn watch(self: Arc<Self>) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut sweeps = tokio::time::interval(SWEEP);
        loop {
            tokio::select! {
                _ = looks.tick() => {
                    for verdict in self.verdicts().await {
                        self.take_away(verdict).await;
                    }
                }
                _ = sweeps.tick() => self.sweep().await,
            }
        }
    }

    async fn verdicts(&self) -> Vec<Verdict> {
        let mut table = self.table.lock().await;
        self.retire(&mut table);
        let (view, now) = (self.directory.tenants(), Timestamp::now());
        let trial_max = i64::try_from(self.config.trial_seconds).unwrap_or(i64::MAX);
        let is_over = |service: &ServiceName| {
            let service = view.services().iter().find(|one| one.name == *service);
            let since = service.and_then(|service| service.trial_since);
            since.is_none_or(|since| now.as_second().saturating_sub(since.as_second()) > trial_max)
        };
        table
            .trials
            .by_service
            .retain(|service, trial| trial.is_canary || !is_over(service));
        let judge = |(service, trial): (&ServiceName, &Trial)| {
            if trial.is_final {
                return None;
            }
            let new = trial.subject.tally.counts().since(trial.subject_at_start);
            Some(Verdict {
                why: budget::broken(&self.config, new, trial.rival.counts())?,
                service: service.clone(),
                release: trial.subject.release.id().clone(),
                is_canary: trial.is_canary,
            })
        };
        table.trials.by_service.iter().filter_map(judge).collect()
    }

    /// Goes back, in the directory first: every node follows it. Another node may have been faster, or
    /// an operator; then nothing is changed.
    async fn take_away(&self, verdict: Verdict) {
        let Verdict {
            service,
            release,
            is_canary,
            why,
        } = verdict;
        warn!(service = %service, release = %release, "A release used up its error budget: {why}");
        if !is_canary && self.is_final(&service, &release).await {
            return;
        }
        let outcome = if is_canary {
            let cause = Cause::new(Happened::CanaryAbortedByBudget, "terrace").detail(&why);
            let aborted = self.directory.abort_canary(&service, Some(&release), cause).await;
            aborted.map(drop)
        } else {
            self.go_back(&service, &release, &why).await
        };
        if let Err(problem) = outcome {
            // Looked at again in half a second.
            error!(service = %service, release = %release, "Cannot take a failing release away: {problem}");
            return;
        }
        if let Err(problem) = self.apply().await {
            error!(service = %service, "Cannot load the release before: {problem:#}");
        }
    }

    /// Whether the release has to stay, because the one before it cannot run on the schemas that are
    /// there now. Said once; then somebody has to repair it.
    async fn is_final(&self, service: &ServiceName, release: &ReleaseId) -> bool {
        let view = self.directory.tenants();
        let known = view.services().iter().find(|one| one.name == *service);
        let Some(previous) = known.and_then(|known| known.previous.clone()) else {
            return false;
        };
        let taken = match self.directory.taken_since(release, &previous).await {
            Ok(taken) => taken,
            Err(problem) => {
                error!(service = %service, "Cannot see whether there is a way back: {problem}");
                return true;
            }
        };
        if taken.is_empty() {
            return false;
        }
        error!(service = %service, release = %release, "It stays: {previous} would miss what its migrations took away ({})", taken.join("; "));
        if let Some(trial) = self.table.lock().await.trials.by_service.get_mut(service) {
            trial.is_final = true;
        }
        true
    }

    async fn go_back(
        &self,
        service: &ServiceName,
        release: &ReleaseId,
        why: &str,
    ) -> Result<(), terrace_data_tenancy::Error> {
        let view = self.directory.tenants();
        let known = view.services().iter().find(|one| one.name == *service);
        let Some(previous) = known.and_then(|known| known.previous.clone()) else {
            return Ok(());
        };
        let switch = Switch {
            cause: Cause::new(Happened::RolledBackByBudget, "terrace").detail(why),
            instead_of: Some(release.clone()),
        };
        let back = self.directory.switch_to(service, &previous, switch, Arc::new(|_| {}));
        back.await.map(drop)
    }

    /// Removes old releases, their components, and what was compiled of them here.
    pub(crate) async fn sweep(&self) {
        if let Err(problem) = self.directory.sweep_releases(self.config.keep).await {
            warn!("Cannot remove old releases: {problem}");
            return;
        }
        match self.directory.component_hashes().await {
            Ok(hashes) => {
                let (engine, hashes) = (self.engine.clone(), hashes.into_iter().collect());
                let _ = tokio::task::spawn_blocking(move || engine.keep_compiled(&hashes)).await;
            }
            Err(problem) => warn!("Cannot see which components are used: {problem}"),
        }
    }
}
