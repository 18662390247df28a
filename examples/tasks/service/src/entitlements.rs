//! What the tenant's plan allows. billing says it, by an event; this service keeps to it, in the
//! transaction that makes or deletes a task.

use terrace_sdk::{Delivery, prelude::*};

/// What billing publishes when a plan changes.
#[derive(Debug, serde::Deserialize)]
struct EntitlementChanged {
    feature: String,
    /// None: as many as they like.
    limit: Option<i64>,
}

/// Takes `billing.entitlement-changed`.
pub(crate) async fn changed(db: Db, Json(delivery): Json<Delivery>) -> Result<StatusCode, Problem> {
    let changed: EntitlementChanged = terrace_sdk::serde_json::from_value(delivery.data)
        .map_err(|error| Problem::invalid("/data", format!("is no entitlement: {error}")))?;
    let mut tx = db.begin().await?;
    tx.query(
        "INSERT INTO entitlement (feature, allowed) VALUES ($1, $2)
         ON CONFLICT (feature) DO UPDATE SET allowed = excluded.allowed",
        params![changed.feature, changed.limit],
    )
    .await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Counts one task more.
///
/// It comes after everything that may wait: the row is the tenant's one point where creations queue.
pub(crate) async fn take_one(tx: &mut Transaction) -> Result<(), Problem> {
    let taken = tx
        .query(
            "UPDATE entitlement SET used = used + 1 WHERE feature = 'tasks' AND (allowed IS NULL OR used < allowed)",
            params![],
        )
        .await?;
    if taken.affected() == 1 {
        return Ok(());
    }
    let rows = tx
        .query("SELECT allowed FROM entitlement WHERE feature = 'tasks'", params![])
        .await?;
    let allowed: Option<i64> = rows.first().map(|row| row.get("allowed")).transpose()?.flatten();
    let allowed = allowed.unwrap_or_default();
    Err(Problem::new(Code::PlanLimitReached).detail(format!(
        "This workspace's plan has room for {allowed} tasks, and all of it is used. Delete tasks that are done, or ask an owner to change the plan."
    )))
}

/// Counts so many tasks less.
pub(crate) async fn give_back(tx: &mut Transaction, tasks: i64) -> Result<(), Problem> {
    tx.query(
        "UPDATE entitlement SET used = used - $1 WHERE feature = 'tasks'",
        params![tasks],
    )
    .await?;
    Ok(())
}
