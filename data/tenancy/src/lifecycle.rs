//! What creations and deletions share: an operation with recorded steps, which survives a crash
//! between any two of them.
//!
//! The work of a step and its record commit together where one database transaction can hold both;
//! where it cannot (migrations, hooks), the work may be done again, and doing it again changes nothing.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use terrace_ground_ids::TenantId;
use tokio_postgres::Transaction;
use tracing::{info, warn};

use crate::{Directory, Error, Step};

/// What is being done to a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Create,
    Delete,
}

impl Kind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
        }
    }
}

/// One operation, as far as it is.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) id: i64,
    pub(crate) tenant: TenantId,
    pub(crate) kind: Kind,
    pub(crate) step: Step,
    pub(crate) context: Option<Json>,
}

impl Operation {
    /// Begins one, in the transaction of its first step.
    pub(crate) async fn begin(
        transaction: &Transaction<'_>,
        tenant: &TenantId,
        kind: Kind,
        step: Step,
        context: Option<Json>,
    ) -> Result<Self, Error> {
        let row = transaction
            .query_one(
                "INSERT INTO terrace.lifecycle (tenant, kind, step, steps, context)
                 VALUES ($1, $2, $3, jsonb_build_array(jsonb_build_object('step', $3::text, 'at', clock_timestamp())), $4::text::jsonb) RETURNING id",
                &[&tenant.as_str(), &kind.as_str(), &step.as_str(), &context.as_ref().map(Json::to_string)],
            )
            .await?;
        Ok(Self {
            id: row.try_get(0)?,
            tenant: tenant.clone(),
            kind,
            step,
            context,
        })
    }

    /// Records, in the transaction of the step's work, that it is done. `evidence` is an object that
    /// is merged into what earlier steps left.
    pub(crate) async fn record(&self, transaction: &Transaction<'_>, step: Step, evidence: &Json) -> Result<(), Error> {
        transaction
            .execute(
                "UPDATE terrace.lifecycle SET step = $2, steps = steps || jsonb_build_object('step', $2::text, 'at', clock_timestamp()),
                        evidence = evidence || $3::text::jsonb, error = NULL WHERE id = $1",
                &[&self.id, &step.as_str(), &evidence.to_string()],
            )
            .await?;
        Ok(())
    }

    /// Records the end. What the hooks needed (perhaps a first password) is forgotten here.
    pub(crate) async fn end(&self, transaction: &Transaction<'_>) -> Result<(), Error> {
        transaction
            .execute(
                "UPDATE terrace.lifecycle SET state = 'done', context = NULL, finished_at = now() WHERE id = $1",
                &[&self.id],
            )
            .await?;
        Ok(())
    }
}

impl Directory {
    /// Takes up every creation and deletion that a crash or an error has left half done. At every
    /// start of a node, and whenever an operator asks. Returns each with how it went; one that another
    /// node is busy with is left out.
    ///
    /// # Errors
    /// When the directory's database is away.
    pub async fn resume(self: &Arc<Self>) -> Result<Vec<(TenantId, Result<(), Error>)>, Error> {
        let client = self.pool.get().await?;
        let rows = client
            .query(
                "SELECT tenant FROM terrace.lifecycle WHERE state = 'running' ORDER BY id",
                &[],
            )
            .await?;
        drop(client);
        let mut outcomes = Vec::new();
        for row in &rows {
            let tenant: TenantId = crate::view::parsed(row, 0, "tenant id")?;
            let directory = self.clone();
            let id = tenant.clone();
            match detached(async move { directory.resume_one(&id).await }).await {
                Err(Error::Busy { .. }) => {}
                outcome => {
                    if let Err(error) = &outcome {
                        warn!(tenant.id = %tenant, %error, "Cannot finish what was begun on a tenant");
                    }
                    outcomes.push((tenant, outcome));
                }
            }
        }
        Ok(outcomes)
    }

    async fn resume_one(&self, tenant: &TenantId) -> Result<(), Error> {
        let work = async {
            // Read under the lock: before it, the operation may have been another's.
            let Some(operation) = self.running(tenant).await? else {
                return Ok(());
            };
            info!(tenant.id = %tenant, "Taking up the {} of a tenant after the step {}", operation.kind.as_str(), operation.step.as_str());
            self.drive(operation).await
        };
        self.holding(tenant.as_str(), work).await
    }

    pub(crate) async fn running(&self, tenant: &TenantId) -> Result<Option<Operation>, Error> {
        let client = self.pool.get().await?;
        let row = client
            .query_opt(
                "SELECT id, kind, step, context::text FROM terrace.lifecycle WHERE tenant = $1 AND state = 'running' ORDER BY id DESC LIMIT 1",
                &[&tenant.as_str()],
            )
            .await?;
        let Some(row) = row else { return Ok(None) };
        let (kind, step, context): (&str, &str, Option<&str>) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        Ok(Some(Operation {
            id: row.try_get(0)?,
            tenant: tenant.clone(),
            kind: if kind == "create" { Kind::Create } else { Kind::Delete },
            step: Step::parse(step).ok_or_else(|| Error::Corrupt {
                what: "step",
                value: step.to_owned(),
            })?,
            context: context.and_then(|text| serde_json::from_str(text).ok()),
        }))
    }

    /// Runs an operation to its end. The caller holds the tenant.
    pub(crate) async fn drive(&self, mut operation: Operation) -> Result<(), Error> {
        let hooks = self.hooks();
        loop {
            if let Err(message) = hooks.step_done(&operation.tenant, operation.step).await {
                return Err(Error::Stopped {
                    step: operation.step.as_str(),
                    message,
                });
            }
            let next = match operation.kind {
                Kind::Create => self.create_step(&operation).await,
                Kind::Delete => self.delete_step(&operation).await,
            };
            match next {
                Ok(Some(step)) => operation.step = step,
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.record_error(&operation, &error).await;
                    return Err(error);
                }
            }
        }
    }

    async fn record_error(&self, operation: &Operation, error: &Error) {
        let Ok(client) = self.pool.get().await else { return };
        let update = "UPDATE terrace.lifecycle SET error = $2, attempts = attempts + 1 WHERE id = $1";
        if let Err(lost) = client.execute(update, &[&operation.id, &error.to_string()]).await {
            warn!(tenant.id = %operation.tenant, %error, %lost, "Cannot record why an operation stopped");
        }
    }

    /// One step that is nothing but its record.
    pub(crate) async fn mark(&self, operation: &Operation, step: Step) -> Result<Option<Step>, Error> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        operation.record(&transaction, step, &json!({})).await?;
        transaction.commit().await?;
        Ok(Some(step))
    }
}

/// Runs to the end even when the caller goes away, as a request does when its client hangs up.
pub(crate) async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    match tokio::spawn(work).await {
        Ok(outcome) => outcome,
        Err(panic) => Err(Error::Stopped {
            step: "unknown",
            message: panic.to_string(),
        }),
    }
}
