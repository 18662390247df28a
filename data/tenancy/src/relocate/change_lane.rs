//! A move within one cluster: the tenant gets another lane. Nothing is copied, and nobody waits.
//!
//! For a moment both lanes may act for the tenant, which does no harm: it is one database. A node that does
//! not know of the new lane yet is refused as soon as the old one has lost its right, and looks again.

use serde_json::json;
use tracing::info;

use super::Ends;
use crate::{Directory, Error, Step, lane, lifecycle::Operation};

impl Directory {
    pub(super) async fn lane_step(&self, operation: &Operation, ends: &Ends) -> Result<Option<Step>, Error> {
        match operation.step {
            Step::Chosen => {
                ends.grant(&ends.input.to_lane).await?;
                self.mark(operation, Step::Prepared).await
            }
            Step::Prepared => {
                self.record_switch(operation, ends).await?;
                self.refresh().await?;
                Ok(Some(Step::Switched))
            }
            Step::Switched => {
                // Again: a service may have come in between, built for the old lane.
                ends.wait_for_builders().await?;
                ends.grant(&ends.input.to_lane).await?;
                ends.revoke(&ends.input.from_lane).await?;
                self.mark(operation, Step::Parted).await
            }
            Step::Parted => self.leave_lane(operation, ends).await,
            _ => Ok(None),
        }
    }

    async fn leave_lane(&self, operation: &Operation, ends: &Ends) -> Result<Option<Step>, Error> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        lane::leave(&transaction, &ends.input.from_lane).await?;
        operation.record(&transaction, Step::Moved, &json!({})).await?;
        operation.end(&transaction).await?;
        transaction.commit().await?;
        info!(tenant.id = %ends.tenant, "Moved a tenant into the lane {}", ends.input.to_lane);
        Ok(Some(Step::Moved))
    }
}

impl Ends {
    /// Whoever builds schemas of the tenant is done, or will find the new lane.
    async fn wait_for_builders(&self) -> Result<(), Error> {
        let source = self.source.get().await?;
        let lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, 2))";
        source.execute(lock, &[&self.tenant.as_str()]).await?;
        Ok(())
    }

    pub(super) fn is_one_cluster(&self) -> bool {
        self.input.from == self.input.to
    }
}
