//! The end of a move: nothing of it, and nothing of the tenant, is left where it does not live.

use deadpool_postgres::{Object, Pool};
use serde_json::json;
use terrace_ground_ids::TenantId;
use tokio_postgres::GenericClient;
use tracing::info;

use super::{Ends, Input};
use crate::{Directory, Error, Step, lane, lifecycle::Operation, schemas};

impl Directory {
    /// The target follows the source no more. Only then may anything be removed there.
    pub(super) async fn part(&self, operation: &Operation, ends: &Ends) -> Result<Option<Step>, Error> {
        ends.unsubscribe().await?;
        self.mark(operation, Step::Parted).await
    }

    pub(super) async fn leave_source(&self, operation: &Operation, ends: &Ends) -> Result<Option<Step>, Error> {
        ends.unpublish().await?;
        // Before the end is written down: whoever then asks finds nothing of the move.
        ends.target
            .get()
            .await?
            .execute(
                "DELETE FROM terrace_events.mark WHERE tenant_id = $1",
                &[&ends.tenant.as_str()],
            )
            .await?;
        let removed = remove_from(&ends.source, &ends.tenant).await?;
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        lane::leave(&transaction, &ends.input.from_lane).await?;
        let evidence = json!({"rows": removed.rows, "bytes": removed.bytes});
        operation.record(&transaction, Step::Moved, &evidence).await?;
        operation.end(&transaction).await?;
        transaction.commit().await?;
        info!(tenant.id = %ends.tenant, "Moved a tenant to {}", ends.input.to);
        Ok(Some(Step::Moved))
    }

    /// Removes what moves of a tenant that were given up have left: by an operator, or because the tenant
    /// is deleted.
    pub(crate) async fn clean_moves(&self, tenant: &TenantId) -> Result<(), Error> {
        let rows = {
            let client = self.pool.get().await?;
            client
                .query(
                    "SELECT id, step, input::text FROM terrace.lifecycle WHERE tenant = $1 AND kind = 'move' AND state = 'cancelled'
                       AND input IS NOT NULL AND NOT evidence ? 'cleaned' ORDER BY id",
                    &[&tenant.as_str()],
                )
                .await?
        };
        for row in &rows {
            let (id, step, input): (i64, &str, &str) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let input: Input = serde_json::from_str(input).map_err(|error| Error::corrupt("input of a move", error))?;
            let step = Step::parse(step).ok_or_else(|| Error::corrupt("step", step))?;
            let ends = self.both(tenant, input).await?;
            let (stays, side, left) = if step.is_before_switch() {
                (&ends.input.from_lane, &ends.target, &ends.input.to_lane)
            } else {
                (&ends.input.to_lane, &ends.source, &ends.input.from_lane)
            };
            if ends.is_one_cluster() {
                ends.grant(stays).await?;
                ends.revoke(left).await?;
            } else {
                let parted = ends.unsubscribe().await;
                if step.is_before_switch() {
                    // First of all the tenant goes on, and its log is kept for nobody: also when the server
                    // that it did not move to never answers again.
                    ends.grant(stays).await?;
                }
                ends.unpublish().await?;
                parted?;
                remove_from(side, tenant).await?;
            }
            let mut client = self.pool.get().await?;
            let transaction = client.transaction().await?;
            lane::leave(&transaction, left).await?;
            transaction
                .execute(
                    "UPDATE terrace.lifecycle SET evidence = evidence || '{\"cleaned\": true}' WHERE id = $1",
                    &[&id],
                )
                .await?;
            transaction.commit().await?;
        }
        Ok(())
    }
}

impl Ends {
    /// Ends the subscription, and with it the slot at the source.
    pub(super) async fn unsubscribe(&self) -> Result<(), Error> {
        let target = Object::take(self.target.get().await?);
        let there = "SELECT FROM pg_subscription WHERE subname = $1";
        if target.query_opt(there, &[&self.name]).await?.is_some() {
            target
                .batch_execute(&format!("DROP SUBSCRIPTION \"{}\"", self.name))
                .await?;
        }
        Ok(())
    }

    pub(super) async fn unpublish(&self) -> Result<(), Error> {
        let source = self.source.get().await?;
        drop_slot(&**source, &self.name).await?;
        source
            .execute(
                "DELETE FROM terrace_events.mark WHERE tenant_id = $1",
                &[&self.tenant.as_str()],
            )
            .await?;
        source
            .batch_execute(&format!(
                "SET client_min_messages = error; DROP PUBLICATION IF EXISTS \"{}\"; RESET client_min_messages",
                self.name
            ))
            .await?;
        self.restore_identities(&**source).await
    }

    /// What was said of tables without a key when they were published (prepare.rs).
    async fn restore_identities(&self, source: &impl GenericClient) -> Result<(), Error> {
        let row = source
            .query_one(
                "SELECT coalesce(string_agg(format('ALTER TABLE %I.%I REPLICA IDENTITY DEFAULT', n.nspname, c.relname), ';'), '')
                 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE starts_with(n.nspname, $1) AND c.relkind = 'r' AND c.relreplident = 'f'",
                &[&format!("{}_", self.tenant)],
            )
            .await?;
        let back: &str = row.try_get(0)?;
        // Left as it is when somebody has a table for long: it does no harm.
        drop(
            source
                .batch_execute(&format!("BEGIN; SET LOCAL lock_timeout = '1s'; {back}; COMMIT"))
                .await,
        );
        Ok(source.batch_execute("ROLLBACK").await?)
    }
}

/// Where a tenant has rows beside its schemas; they are followed, too. `principal` has others at each end.
pub(super) const TABLES: [&str; 7] = ["log", "stream", "cursor", "dead_letter", "job", "pending", "mark"];

/// A slot that nobody reads keeps the log from being removed.
pub(super) async fn drop_slot(source: &impl GenericClient, name: &str) -> Result<(), Error> {
    source
        .execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active",
            &[&name],
        )
        .await?;
    Ok(())
}

/// Everything of a tenant on a cluster where it does not live.
async fn remove_from(pool: &Pool, tenant: &TenantId) -> Result<schemas::Removed, Error> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let removed = schemas::remove(&transaction, tenant).await?;
    forget_streams(&*transaction, tenant).await?;
    for sql in [
        "DELETE FROM terrace_events.principal WHERE tenant_id = $1",
        "DELETE FROM terrace.migration WHERE starts_with(schema, $1 || '_')",
    ] {
        transaction.execute(sql, &[&tenant.as_str()]).await?;
    }
    transaction.commit().await?;
    Ok(removed)
}

pub(super) async fn forget_streams(client: &impl GenericClient, tenant: &TenantId) -> Result<(), Error> {
    for table in TABLES {
        client
            .execute(
                &format!("DELETE FROM terrace_events.{table} WHERE tenant_id = $1"),
                &[&tenant.as_str()],
            )
            .await?;
    }
    Ok(())
}
