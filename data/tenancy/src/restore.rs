//! Restoring a tenant: what an archive holds is made and verified beside it, and then the two change
//! places in one transaction.
//!
//! Until that transaction nothing of the tenant is touched, so an archive that turns out not to fit costs
//! nothing. It renames schemas and roles; it copies no row but those of the stream. The tenant keeps its
//! id, its names, its settings and its lane. What it was before stays as a suspended tenant of its own,
//! until an operator deletes it: a restore that was a mistake can be undone by hand.
//!
//! Loading into the tenant's own schemas would need no renaming, and was rejected: between the first
//! table and the last the tenant is neither here nor there, and a crash or a bad row leaves it so.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use serde_json::json;
use terrace_ground_ids::{LaneId, TenantId};
use tokio_postgres::{Transaction, error::SqlState};
use tracing::info;

use crate::{
    Directory, Error, State, Step,
    create::{CURRENT_HELD, is_lacking, lane_of},
    lane,
    lifecycle::Operation,
    load::input,
    schemas, view,
};

/// How often the tables of the tenant are asked for while its requests hold them.
const SWAP_ATTEMPTS: u32 = 20;

/// Says that the home has done what an operation asked of it once and only once.
const DONE: &str = "INSERT INTO terrace.done (operation) VALUES ($1) ON CONFLICT DO NOTHING";

/// What a name has in front of it while two tenants change places; no id begins so.
const ASIDE: &str = "aside_";

impl Directory {
    /// The last step: the two change places.
    pub(crate) async fn swap(&self, operation: &Operation) -> Result<Option<Step>, Error> {
        let of = input(operation)?
            .of
            .ok_or_else(|| Error::corrupt("input of a restore", operation.id))?;
        let work = async {
            // What was left half done on the tenant comes first, so that this can always be finished.
            if let Some(left) = self.running(&of).await? {
                Box::pin(self.drive(left)).await?;
            }
            self.swap_patiently(operation, &of).await
        };
        self.holding_tenant(&of, work).await
    }

    async fn swap_patiently(&self, operation: &Operation, of: &TenantId) -> Result<Option<Step>, Error> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.swap_held(operation, of).await {
                Err(Error::Query(error))
                    if attempt < SWAP_ATTEMPTS
                        && matches!(
                            error.code(),
                            Some(&SqlState::LOCK_NOT_AVAILABLE | &SqlState::T_R_DEADLOCK_DETECTED)
                        ) =>
                {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn swap_held(&self, operation: &Operation, of: &TenantId) -> Result<Option<Step>, Error> {
        let made = &operation.tenant;
        let mut home = self.home_of(of).await?.get().await?;
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        transaction.query(CURRENT_HELD, &[]).await?;
        let row = transaction
            .query_opt(
                "SELECT t.plan, t.state, m.plan FROM terrace.tenant t, terrace.tenant m WHERE t.id = $1 AND m.id = $2 FOR UPDATE",
                &[&of.as_str(), &made.as_str()],
            )
            .await?;
        let Some(row) = row else {
            drop(transaction);
            drop((client, home));
            return self.undo_restore(operation, of).await;
        };
        let (plan, state, told): (String, State, String) =
            (row.try_get(0)?, view::state(row.try_get(1)?)?, row.try_get(2)?);
        let at_home = home.transaction().await?;
        let is_first = at_home.execute(DONE, &[&operation.id]).await? == 1;
        if is_first && is_lacking(&transaction, &*at_home, made).await? {
            operation.record(&transaction, Step::Placed, &json!({})).await?;
            transaction.commit().await?;
            return Ok(Some(Step::Placed));
        }
        if is_first && plan != told {
            // It pays for something else by now; its services must hear of it before they serve.
            transaction
                .execute(
                    "UPDATE terrace.tenant SET plan = $2, version = terrace.bump() WHERE id = $1",
                    &[&made.as_str(), &plan],
                )
                .await?;
            operation.record(&transaction, Step::Migrated, &json!({})).await?;
            transaction.commit().await?;
            return Ok(Some(Step::Migrated));
        }
        // After a crash between the two commits they have changed places already; once more would undo it.
        if is_first {
            still(&at_home, of).await?;
            let lanes = [lane_of(&*transaction, of).await?, lane_of(&*transaction, made).await?];
            change_places(&at_home, of, made, &lanes).await?;
            change_streams(&at_home, of, made, state).await?;
            at_home.commit().await?;
        } else {
            at_home.rollback().await?;
        }
        self.record_swap(&transaction, operation, of).await?;
        transaction.commit().await?;
        drop((client, home));
        self.refresh().await?;
        self.forget_archives().await?;
        info!(tenant.id = %of, "Restored a tenant; what it was before is {made}");
        Ok(Some(Step::Swapped))
    }

    async fn record_swap(
        &self,
        transaction: &Transaction<'_>,
        operation: &Operation,
        of: &TenantId,
    ) -> Result<(), Error> {
        let made = &operation.tenant;
        transaction
            .execute(
                "UPDATE terrace.tenant SET epoch = epoch + 1, version = terrace.bump() WHERE id = $1",
                &[&of.as_str()],
            )
            .await?;
        transaction
            .execute(
                "UPDATE terrace.tenant SET state = 'suspended', epoch = epoch + 1, version = terrace.bump(),
                        name = left((SELECT name FROM terrace.tenant WHERE id = $2), 160) || ' (before its restore)' WHERE id = $1",
                &[&made.as_str(), &of.as_str()],
            )
            .await?;
        let evidence = json!({"restored": of});
        operation.record(transaction, Step::Swapped, &evidence).await?;
        operation.end(transaction).await?;
        // So that the tenant itself tells of it, too.
        transaction
            .execute(
                "INSERT INTO terrace.lifecycle (tenant, kind, state, step, steps, actor, finished_at, evidence)
                 SELECT $2, kind, 'done', step, jsonb_build_array(jsonb_build_object('step', step, 'at', clock_timestamp())), actor, clock_timestamp(),
                        evidence || jsonb_build_object('kept_as', tenant)
                 FROM terrace.lifecycle WHERE id = $1",
                &[&operation.id, &of.as_str()],
            )
            .await?;
        Ok(())
    }

    /// The tenant was deleted meanwhile, and stays so: what was made beside it goes, too.
    async fn undo_restore(&self, operation: &Operation, of: &TenantId) -> Result<Option<Step>, Error> {
        let deletion = self.begin_delete(&operation.tenant, operation.actor()).await?;
        info!(tenant.id = %of, "A tenant was deleted before its restore was done; what was made for it goes, too");
        Box::pin(self.drive(deletion)).await?;
        Ok(None)
    }
}

/// Waits until no transaction has a table of the tenant, and keeps the next ones from them.
async fn still(transaction: &Transaction<'_>, tenant: &TenantId) -> Result<(), Error> {
    let row = transaction
        .query_one(
            "SELECT string_agg(format('%I.%I', n.nspname, c.relname), ', ' ORDER BY n.nspname, c.relname)
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE starts_with(n.nspname, $1) AND c.relkind IN ('r', 'p')",
            &[&format!("{tenant}_")],
        )
        .await?;
    let tables: Option<String> = row.try_get(0)?;
    if let Some(tables) = tables {
        schemas::become_owner(transaction, tenant).await?;
        transaction
            .batch_execute(&format!(
                "SET LOCAL lock_timeout = '1s'; LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE"
            ))
            .await?;
        schemas::become_self(transaction, tenant).await?;
    }
    Ok(())
}

/// Schemas, roles, ledgers: each gets the other's names. The rows of principals name both already, and
/// each lane keeps its tenant.
async fn change_places(
    transaction: &Transaction<'_>,
    of: &TenantId,
    made: &TenantId,
    lanes: &[LaneId; 2],
) -> Result<(), Error> {
    let mut sql = String::new();
    for (what, list) in [
        (
            "SCHEMA",
            "SELECT nspname::text FROM pg_namespace WHERE starts_with(nspname, $1)",
        ),
        (
            "ROLE",
            "SELECT rolname::text FROM pg_roles WHERE starts_with(rolname, $1)",
        ),
    ] {
        let mut names = [Vec::new(), Vec::new()];
        for (tenant, names) in [of, made].into_iter().zip(&mut names) {
            for row in transaction.query(list, &[&format!("{tenant}_")]).await? {
                names.push(row.try_get::<_, String>(0)?);
            }
        }
        let [theirs, ours] = names;
        let mut rename = |from: &str, to: &str| {
            // Writing to a String cannot fail.
            let _ = write!(sql, "ALTER {what} \"{from}\" RENAME TO \"{to}\";");
        };
        for name in &theirs {
            rename(name, &format!("{ASIDE}{name}"));
        }
        for name in &ours {
            rename(name, &name.replacen(made.as_str(), of.as_str(), 1));
        }
        for name in &theirs {
            rename(&format!("{ASIDE}{name}"), &name.replacen(of.as_str(), made.as_str(), 1));
        }
    }
    let owners = format!("\"{}\", \"{}\"", of.owner_role(), made.owner_role());
    // Only a member of the owner may rename what it owns.
    let is_superuser = schemas::is_superuser(transaction).await?;
    if !is_superuser {
        transaction
            .batch_execute(&format!("GRANT {owners} TO CURRENT_USER"))
            .await?;
    }
    transaction.batch_execute(&sql).await?;
    if !is_superuser {
        transaction
            .batch_execute(&format!("REVOKE {owners} FROM CURRENT_USER"))
            .await?;
    }
    for (from, to) in [
        (of.to_string(), format!("{ASIDE}{of}")),
        (made.to_string(), of.to_string()),
        (format!("{ASIDE}{of}"), made.to_string()),
    ] {
        transaction
            .execute(
                "UPDATE terrace.migration SET schema = $2 || substr(schema, length($1) + 1) WHERE starts_with(schema, $1 || '_')",
                &[&from, &to],
            )
            .await?;
    }
    let [theirs, ours] = lanes;
    if theirs != ours {
        for (tenant, right, wrong) in [(of, theirs, ours), (made, ours, theirs)] {
            change_lane(transaction, tenant, right, wrong).await?;
        }
    }
    Ok(())
}

async fn change_lane(
    transaction: &Transaction<'_>,
    tenant: &TenantId,
    right: &LaneId,
    wrong: &LaneId,
) -> Result<(), Error> {
    let options = schemas::member_options(transaction).await?;
    let (right, wrong) = (lane::login(right), lane::login(wrong));
    let rows = transaction
        .query(
            "SELECT role FROM terrace_events.principal WHERE tenant_id = $1 ORDER BY role",
            &[&tenant.as_str()],
        )
        .await?;
    let roles: BTreeSet<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let mut sql = String::new();
    for role in roles {
        // Writing to a String cannot fail.
        let _ = write!(
            sql,
            "REVOKE \"{role}\" FROM \"{wrong}\"; GRANT \"{role}\" TO \"{right}\"{options};"
        );
    }
    transaction.batch_execute(&sql).await?;
    Ok(())
}

/// The streams change places. What comes from the archive is numbered from behind what anybody can have
/// seen of the tenant, and one number is left out: a browser that was at the end is told to start over,
/// and none takes an old event for a new one.
async fn change_streams(
    transaction: &Transaction<'_>,
    of: &TenantId,
    made: &TenantId,
    state: State,
) -> Result<(), Error> {
    let row = transaction
        .query_one(
            "SELECT greatest(t.last_seq + 2 - m.first_seq, 0) FROM terrace_events.stream t, terrace_events.stream m
             WHERE t.tenant_id = $1 AND m.tenant_id = $2 FOR UPDATE",
            &[&of.as_str(), &made.as_str()],
        )
        .await?;
    let shift: i64 = row.try_get(0)?;
    let aside = format!("{ASIDE}{of}");
    for table in ["log", "cursor", "dead_letter", "stream"] {
        let numbers = if table == "stream" {
            "first_seq = first_seq + $3, last_seq = last_seq + $3"
        } else {
            "seq = seq + $3"
        };
        for (from, to, shift) in [
            (of.as_str(), &*aside, 0),
            (made.as_str(), of.as_str(), shift),
            (&aside, made.as_str(), 0),
        ] {
            transaction
                .execute(
                    &format!("UPDATE terrace_events.{table} SET tenant_id = $2, {numbers} WHERE tenant_id = $1"),
                    &[&from, &to, &shift],
                )
                .await?;
        }
    }
    transaction
        .execute(
            "UPDATE terrace_events.stream SET paused = CASE WHEN tenant_id = $1 THEN $3 ELSE true END WHERE tenant_id IN ($1, $2)",
            &[&of.as_str(), &made.as_str(), &(state == State::Suspended)],
        )
        .await?;
    Ok(())
}
