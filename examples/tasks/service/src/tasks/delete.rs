//! `DELETE /api/tasks/tasks/{task}`

use terrace_sdk::prelude::*;

use crate::{boards::topic, entitlements, tasks::TaskDeleted};

/// Deletes a task with its comments.
#[utoipa::path(delete, path = "/api/tasks/tasks/{task}", operation_id = "tasks_delete_task",
    params(("task" = i64, Path, description = "The task's number")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "There is no such task"),
    ))]
pub(crate) async fn delete_task(_caller: Caller, db: Db, Path(task): Path<i64>) -> Result<StatusCode, Problem> {
    let mut tx = db.begin().await?;
    let rows = tx
        .query("DELETE FROM task WHERE id = $1 RETURNING board", params![task])
        .await?;
    let Some(row) = rows.first() else {
        return Err(Problem::not_found("task"));
    };
    let board: i64 = row.get("board")?;
    entitlements::give_back(&mut tx, 1).await?;
    tx.publish("task.deleted", topic(board), &TaskDeleted { id: task, board })?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
