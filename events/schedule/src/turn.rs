//! One turn of one (service, tenant): a few due jobs, one after the other.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use terrace_events_dispatch::{DeliverError, Key};
use tracing::{debug, warn};

use crate::{Error, Scheduler, store::Row};

impl Scheduler {
    /// True when there may be more.
    pub(crate) async fn turn(&self, key: &Key) -> Result<bool, Error> {
        if !self.turns.take(key).await? {
            return Ok(false);
        }
        let outcome = self.some(key).await;
        self.turns.give(key).await?;
        outcome
    }

    async fn some(&self, key: &Key) -> Result<bool, Error> {
        let quantum = self.config.quantum.max(1);
        let rows = self.due(key, quantum).await?;
        for row in &rows {
            let outcome = self.one(key, row).await;
            let Err(error) = outcome else {
                debug!(service.name = %key.0, tenant.id = %key.1, job.id = %row.job.id, "Did a job");
                self.done(key, row).await?;
                continue;
            };
            let counts = matches!(error, DeliverError::Failed(_));
            let message = error.to_string();
            if counts && row.job.attempt >= self.config.tries_max {
                warn!(service.name = %key.0, tenant.id = %key.1, job.id = %row.job.id, "Gave up on a job after {} tries: {message}", row.job.attempt);
                self.give_up(key, row, &message).await?;
                continue;
            }
            self.again(key, row, counts, &message, self.config.backoff(row.job.attempt))
                .await?;
            if !counts {
                // It is not this job that cannot be done, but all of them.
                return Ok(false);
            }
        }
        Ok(rows.len() >= quantum as usize)
    }

    /// A panic counts as a failure of this job: it must not take a worker, and with it all other tenants,
    /// away.
    async fn one(&self, key: &Key, row: &Row) -> Result<(), DeliverError> {
        let work = AssertUnwindSafe(self.work.work(&key.0, &key.1, &row.job));
        work.catch_unwind()
            .await
            .unwrap_or_else(|_| Err(DeliverError::Failed("the job panicked".to_owned())))
    }
}
