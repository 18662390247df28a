//! Marks: numbers that go through the replication behind everything that was done before them.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::Ends;
use crate::Error;

/// How long a mark is waited for outside of a switch.
const MARK_MAX: Duration = Duration::from_secs(60);

impl Ends {
    /// Sends a mark through the replication; returns its number.
    pub(super) async fn put_mark(&self) -> Result<i64, Error> {
        let source = self.source.get().await?;
        let row = source
            .query_one(
                "UPDATE terrace_events.mark SET number = number + 1 WHERE tenant_id = $1 RETURNING number",
                &[&self.tenant.as_str()],
            )
            .await?;
        Ok(row.try_get(0)?)
    }

    pub(super) async fn see_mark(&self, number: i64) -> Result<(), Error> {
        let target = self.target.get().await?;
        loop {
            let row = target
                .query_opt(
                    "SELECT FROM terrace_events.mark WHERE tenant_id = $1 AND number >= $2",
                    &[&self.tenant.as_str(), &number],
                )
                .await?;
            if row.is_some() {
                return Ok(());
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// How long a change takes to the target.
    pub(super) async fn lag(&self) -> Result<Duration, Error> {
        let begun = Instant::now();
        let number = self.put_mark().await?;
        match timeout(MARK_MAX, self.see_mark(number)).await {
            Ok(seen) => seen.map(|()| begun.elapsed()),
            Err(_) => Err(Error::Lag(format!(
                "a change did not come to the target within {} s: look at the log of its PostgreSQL",
                MARK_MAX.as_secs()
            ))),
        }
    }
}
