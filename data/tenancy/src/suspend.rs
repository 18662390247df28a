//! Putting a tenant on hold, and serving it again.
//!
//! A suspended tenant keeps its data and its events. Its requests are refused by the gateway, its live
//! streams are ended by the platform, and its events wait; both follow from the state that is written
//! here, on this node at once and on the others within their poll.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use terrace_ground_ids::TenantId;
use tracing::info;

use crate::{
    Directory, Error, Kind, State, Step,
    create::pause_stream,
    lifecycle::{Asked, Operation, detached},
    view,
};

/// How long a suspension waits for what ran when it began.
const QUIET_MAX: Duration = Duration::from_secs(5);
const QUIET_EVERY: Duration = Duration::from_millis(20);

// Who has read or written the tenant's tables in a transaction that is still open holds a lock on them.
const BUSY: &str = "SELECT count(DISTINCT l.pid) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND starts_with(n.nspname, $1) AND l.pid <> pg_backend_pid()
      AND EXISTS (SELECT FROM pg_stat_activity a WHERE a.pid = l.pid AND a.backend_type = 'client backend')";

impl Directory {
    /// Stops serving an active tenant; returns when what ran in it has ended. Once more is no error.
    ///
    /// # Errors
    /// [`Error::Unknown`]; [`Error::Invalid`] when it is being made or removed; [`Error::Running`].
    pub async fn suspend_tenant(self: &Arc<Self>, tenant: &TenantId, actor: &str) -> Result<(), Error> {
        self.turn(tenant, actor, Kind::Suspend).await
    }

    /// Serves a suspended tenant again: its events go on where they stopped. Once more is no error.
    ///
    /// # Errors
    /// As [`Directory::suspend_tenant`].
    pub async fn resume_tenant(self: &Arc<Self>, tenant: &TenantId, actor: &str) -> Result<(), Error> {
        self.turn(tenant, actor, Kind::Resume).await
    }

    async fn turn(self: &Arc<Self>, tenant: &TenantId, actor: &str, kind: Kind) -> Result<(), Error> {
        let (directory, tenant, actor) = (self.clone(), tenant.clone(), actor.to_owned());
        detached(async move {
            let begin = directory.begin_turn(&tenant, &actor, kind);
            directory.operate(&tenant, begin).await
        })
        .await
    }

    async fn begin_turn(&self, tenant: &TenantId, actor: &str, kind: Kind) -> Result<Option<Operation>, Error> {
        let (from, to, step) = match kind {
            Kind::Suspend => (State::Active, State::Suspended, Step::Suspended),
            _ => (State::Suspended, State::Active, Step::Served),
        };
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        let row = transaction
            .query_opt(
                "SELECT state FROM terrace.tenant WHERE id = $1 FOR UPDATE",
                &[&tenant.as_str()],
            )
            .await?;
        let now = view::state(row.ok_or_else(|| Error::unknown("tenant", tenant))?.try_get(0)?)?;
        if now == to {
            return Ok(None);
        }
        if now != from {
            return Err(Error::Invalid(format!("the tenant is {now}, not {from}")));
        }
        let operation = Operation::begin(&transaction, tenant, kind, step, Asked::by(actor, json!({}))).await?;
        transaction
            .execute(
                "UPDATE terrace.tenant SET state = $2, version = terrace.bump() WHERE id = $1",
                &[&tenant.as_str(), &to.as_str()],
            )
            .await?;
        transaction.commit().await?;
        drop(client);
        self.refresh().await?;
        info!(tenant.id = %tenant, "The tenant is {to} now");
        Ok(Some(operation))
    }

    /// Does what follows the last step; `None` at the end.
    pub(crate) async fn resume_step(&self, operation: &Operation) -> Result<Option<Step>, Error> {
        if operation.step != Step::Served {
            return Ok(None);
        }
        let home = self.home_of(&operation.tenant).await?.get().await?;
        pause_stream(&**home, &operation.tenant, false).await?;
        drop(home);
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        operation.record(&transaction, Step::Resumed, &json!({})).await?;
        operation.end(&transaction).await?;
        transaction.commit().await?;
        Ok(Some(Step::Resumed))
    }

    /// Does what follows the last step; `None` at the end.
    pub(crate) async fn suspend_step(&self, operation: &Operation) -> Result<Option<Step>, Error> {
        if operation.step != Step::Suspended {
            return Ok(None);
        }
        let prefix = format!("{}_", operation.tenant);
        let end = Instant::now() + QUIET_MAX;
        let home = self.home_of(&operation.tenant).await?.get().await?;
        pause_stream(&**home, &operation.tenant, true).await?;
        let busy = loop {
            let busy: i64 = home.query_one(BUSY, &[&prefix]).await?.try_get(0)?;
            if busy == 0 || Instant::now() >= end {
                break busy;
            }
            tokio::time::sleep(QUIET_EVERY).await;
        };
        drop(home);
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        // Whatever is left then ends by its own deadline; new requests are refused already.
        operation
            .record(&transaction, Step::Quiet, &json!({"still_running": busy}))
            .await?;
        operation.end(&transaction).await?;
        transaction.commit().await?;
        Ok(Some(Step::Quiet))
    }
}
