//! Counts tasks from events.
//!
//! Exact, because the cursor of the stream moves in the transaction that counts: an event that is
//! delivered twice finds its number already passed, and the whole transaction is undone.

use terrace_sdk::{Delivery, prelude::*};

/// What a deleted board says of itself.
#[derive(Debug, serde::Deserialize)]
struct BoardDeleted {
    tasks: i64,
}

/// Takes the events of tasks.
pub(crate) async fn count(db: Db, Json(delivery): Json<Delivery>) -> Result<StatusCode, Problem> {
    let difference = match delivery.kind.as_str() {
        "tasks.task.created" => 1,
        "tasks.task.deleted" => -1,
        "tasks.board.deleted" => {
            let board: BoardDeleted = terrace_sdk::serde_json::from_value(delivery.data)
                .map_err(|error| Problem::invalid("/data", format!("is no deleted board: {error}")))?;
            -board.tasks
        }
        other => {
            log::warn!("an event of type {other} came, and the manifest does not list it");
            return Ok(StatusCode::NO_CONTENT);
        }
    };
    let mut tx = db.begin().await?;
    tx.query(
        "UPDATE meter SET used = used + $1 WHERE feature = 'tasks'",
        params![difference],
    )
    .await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How many tasks there are.
pub(crate) async fn read(tx: &mut Transaction) -> Result<i64, Problem> {
    let rows = tx
        .query("SELECT used FROM meter WHERE feature = 'tasks'", params![])
        .await?;
    Ok(rows.first().map(|row| row.get("used")).transpose()?.unwrap_or(0))
}
