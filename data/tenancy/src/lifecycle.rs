//! What everything that is done to a tenant shares: an operation with recorded steps, which survives
//! a crash between any two of them.
//!
//! The work of a step and its record commit together where one database transaction can hold both;
//! where it cannot (migrations, hooks), the work may be done again, and doing it again changes nothing.

use std::{sync::Arc, time::Duration};

use serde_json::{Value as Json, json};
use terrace_ground_ids::TenantId;
use tokio::time::Instant;
use tokio_postgres::{Row, Transaction, error::SqlState};
use tracing::{info, warn};

use crate::{Directory, Error, Kind, Running, Step};

/// How long somebody who wants a tenant waits for one who holds it and has nothing under way.
const MOMENT: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// One operation, as far as it is.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) id: i64,
    pub(crate) tenant: TenantId,
    pub(crate) kind: Kind,
    pub(crate) step: Step,
    /// For the hooks: perhaps a first password. Forgotten when the operation ends.
    pub(crate) context: Option<Json>,
    /// What was asked for: a new slug, an archive.
    pub(crate) input: Json,
    actor: Option<String>,
}

/// Who asks for what.
#[derive(Debug, Default)]
pub(crate) struct Asked<'a> {
    pub(crate) actor: Option<&'a str>,
    pub(crate) context: Option<Json>,
    pub(crate) input: Json,
}

impl<'a> Asked<'a> {
    pub(crate) fn by(actor: &'a str, input: Json) -> Self {
        Self {
            actor: Some(actor),
            context: None,
            input,
        }
    }
}

const RUNNING: &str = "SELECT id, kind, step, context::text, input::text, actor FROM terrace.lifecycle
    WHERE tenant = $1 AND state = 'running' ORDER BY id DESC LIMIT 1";

impl Operation {
    /// Begins one, in the transaction of its first step. The caller holds the tenant.
    pub(crate) async fn begin(
        transaction: &Transaction<'_>,
        tenant: &TenantId,
        kind: Kind,
        step: Step,
        asked: Asked<'_>,
    ) -> Result<Self, Error> {
        let inserted = transaction
            .query_one(
                "INSERT INTO terrace.lifecycle (tenant, kind, step, steps, context, input, actor)
                 VALUES ($1, $2, $3, jsonb_build_array(jsonb_build_object('step', $3::text, 'at', clock_timestamp())), $4::text::jsonb, $5::text::jsonb, $6)
                 RETURNING id",
                &[
                    &tenant.as_str(),
                    &kind.as_str(),
                    &step.as_str(),
                    &asked.context.as_ref().map(Json::to_string),
                    &asked.input.to_string(),
                    &asked.actor,
                ],
            )
            .await;
        let row = match inserted {
            // The lock was lost with its connection, and somebody else was faster.
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                return Err(Error::Busy {
                    what: format!("the tenant {tenant}"),
                });
            }
            outcome => outcome?,
        };
        Ok(Self {
            id: row.try_get(0)?,
            tenant: tenant.clone(),
            kind,
            step,
            context: asked.context,
            input: asked.input,
            actor: asked.actor.map(str::to_owned),
        })
    }

    fn read(tenant: &TenantId, row: &Row) -> Result<Self, Error> {
        let (kind, step): (&str, &str) = (row.try_get(1)?, row.try_get(2)?);
        let json = |column: usize| -> Result<Option<Json>, Error> {
            let text: Option<&str> = row.try_get(column)?;
            Ok(text.and_then(|text| serde_json::from_str(text).ok()))
        };
        Ok(Self {
            id: row.try_get(0)?,
            tenant: tenant.clone(),
            kind: Kind::parse(kind).ok_or_else(|| Error::corrupt("kind of operation", kind))?,
            step: Step::parse(step).ok_or_else(|| Error::corrupt("step", step))?,
            context: json(3)?,
            input: json(4)?.unwrap_or(Json::Null),
            actor: row.try_get(5)?,
        })
    }

    /// Who asked, in words.
    pub(crate) fn actor(&self) -> &str {
        self.actor.as_deref().unwrap_or("the platform")
    }

    /// Records, in the transaction of the step's work, that it is done. `evidence` is an object that
    /// is merged into what earlier steps left.
    pub(crate) async fn record(&self, transaction: &Transaction<'_>, step: Step, evidence: &Json) -> Result<(), Error> {
        transaction
            .execute(
                "UPDATE terrace.lifecycle SET step = $2, steps = steps || jsonb_build_object('step', $2::text, 'at', clock_timestamp()),
                        evidence = evidence || $3::text::jsonb, error = NULL, attempts = 0, retry_at = NULL WHERE id = $1",
                &[&self.id, &step.as_str(), &evidence.to_string()],
            )
            .await?;
        Ok(())
    }

    /// Adds to the evidence, without a step.
    pub(crate) async fn note(&self, transaction: &Transaction<'_>, evidence: &Json) -> Result<(), Error> {
        transaction
            .execute(
                "UPDATE terrace.lifecycle SET evidence = evidence || $2::text::jsonb WHERE id = $1",
                &[&self.id, &evidence.to_string()],
            )
            .await?;
        Ok(())
    }

    /// Records the end. What the hooks needed is forgotten here.
    pub(crate) async fn end(&self, transaction: &Transaction<'_>) -> Result<(), Error> {
        transaction
            .execute(
                "UPDATE terrace.lifecycle SET state = 'done', context = NULL, finished_at = clock_timestamp() WHERE id = $1",
                &[&self.id],
            )
            .await?;
        Ok(())
    }
}

impl Directory {
    /// Takes up every operation that a crash or an error has left half done. At every start of a
    /// node, and whenever an operator asks. Returns each with how it went; one that another node is
    /// busy with is left out.
    ///
    /// # Errors
    /// When the directory's database is away.
    pub async fn resume(self: &Arc<Self>) -> Result<Vec<(TenantId, Result<(), Error>)>, Error> {
        self.take_up("SELECT tenant FROM terrace.lifecycle WHERE state = 'running' ORDER BY id")
            .await
    }

    /// The same for those whose time has come: one that failed waits longer each time. Every few
    /// seconds on every node, so that what one node left is finished by another.
    ///
    /// # Errors
    /// As [`Directory::resume`].
    pub async fn resume_due(self: &Arc<Self>) -> Result<Vec<(TenantId, Result<(), Error>)>, Error> {
        self.take_up("SELECT tenant FROM terrace.lifecycle WHERE state = 'running' AND coalesce(retry_at, started_at) <= now() ORDER BY id")
            .await
    }

    /// Finishes what was begun on one tenant; false when there is nothing to finish.
    ///
    /// # Errors
    /// [`Error::Running`] when a node is at it just now; otherwise why it cannot be finished.
    pub async fn finish_operation(self: &Arc<Self>, tenant: &TenantId) -> Result<bool, Error> {
        if self.running(tenant).await?.is_none() {
            return Ok(false);
        }
        let (directory, id) = (self.clone(), tenant.clone());
        detached(async move { directory.resume_one(&id).await }).await?;
        Ok(true)
    }

    async fn take_up(self: &Arc<Self>, which: &str) -> Result<Vec<(TenantId, Result<(), Error>)>, Error> {
        let client = self.pool.get().await?;
        let rows = client.query(which, &[]).await?;
        drop(client);
        let mut outcomes = Vec::new();
        for row in &rows {
            let tenant: TenantId = crate::view::parsed(row, 0, "tenant id")?;
            let directory = self.clone();
            let id = tenant.clone();
            match detached(async move { directory.resume_one(&id).await }).await {
                Err(Error::Busy { .. } | Error::Running(_)) => {}
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
            info!(tenant.id = %tenant, "Taking up the {} of a tenant after the step {}", operation.kind, operation.step.as_str());
            self.drive(operation).await
        };
        self.holding_tenant(tenant, work).await
    }

    /// Begins an operation, unless another was begun and is not done, and runs it to its end. `begin`
    /// makes the first step; without an operation there was nothing to do.
    pub(crate) async fn operate(
        &self,
        tenant: &TenantId,
        begin: impl Future<Output = Result<Option<Operation>, Error>>,
    ) -> Result<(), Error> {
        let work = async {
            self.nothing_runs(tenant).await?;
            match begin.await? {
                Some(operation) => self.drive(operation).await,
                None => Ok(()),
            }
        };
        self.holding_tenant(tenant, work).await
    }

    /// That no operation was begun on the tenant and left. The caller holds it.
    pub(crate) async fn nothing_runs(&self, tenant: &TenantId) -> Result<(), Error> {
        match self.running(tenant).await? {
            None => Ok(()),
            Some(operation) => Err(Error::Running(Running::of(&operation, false))),
        }
    }

    /// [`Directory::holding`], with an error that names what is under way. An operation lets go a moment
    /// after it is done for everybody to see, and holds a moment before: that is waited for.
    pub(crate) async fn holding_tenant<T>(
        &self,
        tenant: &TenantId,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let patience = Instant::now() + MOMENT;
        let hold = loop {
            match self.hold(tenant.as_str()).await {
                Err(Error::Busy { .. }) => {}
                outcome => break outcome?,
            }
            if let Some(operation) = self.running(tenant).await? {
                return Err(Error::Running(Running::of(&operation, true)));
            }
            if Instant::now() >= patience {
                return Err(Error::Busy {
                    what: format!("the tenant {tenant}"),
                });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        };
        let outcome = work.await;
        hold.release().await;
        outcome
    }

    pub(crate) async fn running(&self, tenant: &TenantId) -> Result<Option<Operation>, Error> {
        let client = self.pool.get().await?;
        let row = client.query_opt(RUNNING, &[&tenant.as_str()]).await?;
        row.map(|row| Operation::read(tenant, &row)).transpose()
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
                Kind::Suspend => self.suspend_step(&operation).await,
                Kind::Resume => self.resume_step(&operation).await,
                Kind::Plan => self.plan_step(&operation).await,
                Kind::Rename => self.rename_step(&operation).await,
                Kind::Export => self.export_step(&operation).await,
                Kind::Move => self.move_step(&operation).await,
                Kind::Import | Kind::Restore => self.import_step(&operation).await,
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
        // Two seconds, four, eight, up to five minutes.
        let update = "UPDATE terrace.lifecycle SET error = $2, attempts = attempts + 1,
                retry_at = now() + least(2 ^ least(attempts + 1, 10), 300) * interval '1 second' WHERE id = $1 AND state = 'running'";
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
