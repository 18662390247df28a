//! Deleting a tenant: marked, dropped, forgotten, and then only a tombstone with the evidence.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Value as Json, json};
use terrace_ground_ids::TenantId;
use tokio_postgres::error::SqlState;
use tracing::info;

use crate::{
    Directory, Error, Kind, Step,
    lifecycle::{Asked, Operation, detached},
    schemas,
};

/// How often the schemas are tried to be dropped while requests still hold their tables.
const DROP_ATTEMPTS: u32 = 10;

/// What is left of a tenant.
#[derive(Debug, Clone)]
pub struct Tombstone {
    /// What was removed, counted.
    pub evidence: Json,
    /// When the deletion was done.
    pub deleted_at: Timestamp,
    /// The operator who asked; `None`: the platform itself.
    pub deleted_by: Option<String>,
}

impl Directory {
    /// Deletes a tenant and everything of it; returns the evidence: what was removed, and what was
    /// found left (nothing). From the first step on nothing runs in it. A creation that is half done
    /// is cancelled, as is anything else that was left; what runs is [`Error::Running`].
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Running`]; any other leaves it to `resume`, or to another call.
    pub async fn delete_tenant(self: &Arc<Self>, tenant: &TenantId, actor: &str) -> Result<Json, Error> {
        let (directory, tenant, actor) = (self.clone(), tenant.clone(), actor.to_owned());
        detached(async move {
            let work = async {
                let operation = match directory.running(&tenant).await? {
                    Some(operation) if operation.kind == Kind::Delete => operation,
                    _ => directory.begin_delete(&tenant, &actor).await?,
                };
                directory.drive(operation).await
            };
            directory.holding_tenant(&tenant, work).await?;
            directory.evidence(&tenant).await
        })
        .await
    }

    /// What a deletion left as its proof.
    ///
    /// # Errors
    /// [`Error::Unknown`] when no such tenant was deleted.
    pub async fn tombstone(&self, tenant: &TenantId) -> Result<Tombstone, Error> {
        let client = self.pool.get().await?;
        let row = client
            .query_opt(
                "SELECT evidence::text, (extract(epoch FROM deleted_at) * 1000000)::bigint,
                        (SELECT actor FROM terrace.lifecycle l WHERE l.tenant = d.tenant AND kind = 'delete' ORDER BY id DESC LIMIT 1)
                 FROM terrace.tombstone d WHERE tenant = $1",
                &[&tenant.as_str()],
            )
            .await?;
        let row = row.ok_or_else(|| Error::unknown("deleted tenant", tenant))?;
        let text: &str = row.try_get(0)?;
        Ok(Tombstone {
            evidence: serde_json::from_str(text).map_err(|_| Error::corrupt("evidence", tenant))?,
            deleted_at: Timestamp::from_microsecond(row.try_get(1)?).unwrap_or_default(),
            deleted_by: row.try_get(2)?,
        })
    }

    /// The counts of [`Directory::tombstone`].
    ///
    /// # Errors
    /// [`Error::Unknown`] when no such tenant was deleted.
    pub async fn evidence(&self, tenant: &TenantId) -> Result<Json, Error> {
        Ok(self.tombstone(tenant).await?.evidence)
    }

    pub(crate) async fn begin_delete(&self, tenant: &TenantId, actor: &str) -> Result<Operation, Error> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        let marked = transaction
            .execute(
                "UPDATE terrace.tenant SET state = 'deleting', version = terrace.bump() WHERE id = $1",
                &[&tenant.as_str()],
            )
            .await?;
        if marked == 0 {
            return Err(Error::unknown("tenant", tenant));
        }
        transaction
            .execute(
                "UPDATE terrace.lifecycle SET state = 'cancelled', context = NULL, finished_at = now() WHERE tenant = $1 AND state = 'running'",
                &[&tenant.as_str()],
            )
            .await?;
        let operation = Operation::begin(
            &transaction,
            tenant,
            Kind::Delete,
            Step::Marked,
            Asked::by(actor, json!({})),
        )
        .await?;
        transaction.commit().await?;
        drop(client);
        self.refresh().await?;
        Ok(operation)
    }

    /// Does what follows the last step; `None` at the end.
    pub(crate) async fn delete_step(&self, operation: &Operation) -> Result<Option<Step>, Error> {
        match operation.step {
            Step::Marked => {
                self.clean_moves(&operation.tenant).await?;
                self.drop_patiently(operation).await
            }
            Step::Dropped => self.forget(operation).await,
            Step::Forgotten => self.bury(operation).await,
            _ => Ok(None),
        }
    }

    /// Requests that began before the mark may hold their tables for as long as they may run.
    async fn drop_patiently(&self, operation: &Operation) -> Result<Option<Step>, Error> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.drop_all(operation).await {
                Err(Error::Query(error))
                    if attempt < DROP_ATTEMPTS && error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) =>
                {
                    tokio::time::sleep(Duration::from_millis(200) * attempt).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn drop_all(&self, operation: &Operation) -> Result<Option<Step>, Error> {
        let mut home = self.home_of(&operation.tenant).await?.get().await?;
        let transaction = home.transaction().await?;
        let removed = schemas::remove(&transaction, &operation.tenant).await?;
        let evidence = json!({"schemas": removed.schemas, "roles": removed.roles, "tables": removed.tables, "rows": removed.rows, "bytes": removed.bytes});
        self.note(operation, &evidence).await?;
        transaction.commit().await?;
        drop(home);
        self.mark(operation, Step::Dropped).await
    }

    /// Puts counts on record before they come true: after a crash there would be nothing left to count.
    /// What an attempt before this one counted stays.
    async fn note(&self, operation: &Operation, evidence: &Json) -> Result<(), Error> {
        let client = self.pool.get().await?;
        client
            .execute(
                "UPDATE terrace.lifecycle SET evidence = $2::text::jsonb || evidence WHERE id = $1",
                &[&operation.id, &evidence.to_string()],
            )
            .await?;
        Ok(())
    }

    async fn forget(&self, operation: &Operation) -> Result<Option<Step>, Error> {
        let id = operation.tenant.as_str();
        let mut home = self.home_of(&operation.tenant).await?.get().await?;
        let transaction = home.transaction().await?;
        let mut evidence = serde_json::Map::new();
        // The stream goes before the cursors: whoever would make a cursor looks for the stream first.
        for (name, sql) in [
            ("events", "DELETE FROM terrace_events.log WHERE tenant_id = $1"),
            ("streams", "DELETE FROM terrace_events.stream WHERE tenant_id = $1"),
            ("cursors", "DELETE FROM terrace_events.cursor WHERE tenant_id = $1"),
            (
                "dead_letters",
                "DELETE FROM terrace_events.dead_letter WHERE tenant_id = $1",
            ),
            ("jobs", "DELETE FROM terrace_events.job WHERE tenant_id = $1"),
            ("pending", "DELETE FROM terrace_events.pending WHERE tenant_id = $1"),
            (
                "principals",
                "DELETE FROM terrace_events.principal WHERE tenant_id = $1",
            ),
            (
                "migrations",
                "DELETE FROM terrace.migration WHERE starts_with(schema, $1 || '_')",
            ),
        ] {
            evidence.insert(name.to_owned(), transaction.execute(sql, &[&id]).await?.into());
        }
        self.note(operation, &evidence.into()).await?;
        transaction.commit().await?;
        drop(home);
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        let mut evidence = serde_json::Map::new();
        for (name, sql) in [
            ("settings", "DELETE FROM terrace.setting WHERE tenant = $1"),
            // An import that was not finished: the archive is the tenant's, too.
            (
                "archives",
                "DELETE FROM terrace.archive WHERE id IN (SELECT input ->> 'archive' FROM terrace.lifecycle WHERE tenant = $1 AND kind IN ('import', 'restore'))",
            ),
        ] {
            evidence.insert(name.to_owned(), transaction.execute(sql, &[&id]).await?.into());
        }
        operation
            .record(&transaction, Step::Forgotten, &evidence.into())
            .await?;
        transaction.commit().await?;
        Ok(Some(Step::Forgotten))
    }

    async fn bury(&self, operation: &Operation) -> Result<Option<Step>, Error> {
        let id = operation.tenant.as_str();
        let home = self.home_of(&operation.tenant).await?.get().await?;
        let row = home
            .query_one(
                "SELECT (SELECT count(*) FROM pg_namespace WHERE starts_with(nspname, $1)) + (SELECT count(*) FROM pg_roles WHERE starts_with(rolname, $1))",
                &[&format!("{id}_")],
            )
            .await?;
        let left: i64 = row.try_get(0)?;
        drop(home);
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        operation
            .record(&transaction, Step::Deleted, &json!({"left": left}))
            .await?;
        transaction.execute("UPDATE terrace.lane SET tenants = tenants - 1 WHERE id = (SELECT lane FROM terrace.tenant WHERE id = $1)", &[&id]).await?;
        transaction
            .execute("DELETE FROM terrace.tenant WHERE id = $1", &[&id])
            .await?;
        transaction
            .execute("DELETE FROM terrace.slug WHERE tenant = $1", &[&id])
            .await?;
        // What was done stays on record; what the customer and its people are called does not.
        transaction
            .execute(
                "UPDATE terrace.lifecycle SET input = NULL, error = NULL, context = NULL WHERE tenant = $1",
                &[&id],
            )
            .await?;
        transaction
            .execute(
                "INSERT INTO terrace.tombstone (tenant, evidence, version) SELECT tenant, evidence, terrace.bump() FROM terrace.lifecycle WHERE id = $1",
                &[&operation.id],
            )
            .await?;
        operation.end(&transaction).await?;
        transaction.commit().await?;
        drop(client);
        self.refresh().await?;
        info!(tenant.id = %operation.tenant, "Deleted a tenant");
        Ok(Some(Step::Deleted))
    }
}
