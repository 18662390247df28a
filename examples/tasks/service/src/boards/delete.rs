//! `DELETE /api/tasks/boards/{board}`

use terrace_sdk::prelude::*;

use crate::{boards::topic, entitlements};

/// What subscribers learn of a board that is gone.
#[derive(Debug, serde::Serialize)]
struct BoardDeleted {
    id: i64,
    /// How many tasks went with it: the meter counts them.
    tasks: i64,
}

/// Deletes a board with its tasks and comments.
#[utoipa::path(delete, path = "/api/tasks/boards/{board}", operation_id = "tasks_delete_board",
    params(("board" = i64, Path, description = "The board's number")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "There is no such board"),
    ))]
pub(crate) async fn delete_board(_caller: Caller, db: Db, Path(board): Path<i64>) -> Result<StatusCode, Problem> {
    let mut tx = db.begin().await?;
    // The row lock keeps new tasks out (their foreign key waits for it), so that the number of tasks
    // that is given back is the number that is deleted.
    if tx
        .query("SELECT id FROM board WHERE id = $1 FOR UPDATE", params![board])
        .await?
        .is_empty()
    {
        return Err(Problem::not_found("board"));
    }
    let deleted = tx
        .query("DELETE FROM task WHERE board = $1", params![board])
        .await?
        .affected();
    tx.query("DELETE FROM board WHERE id = $1", params![board]).await?;
    let tasks = i64::try_from(deleted).unwrap_or(i64::MAX);
    entitlements::give_back(&mut tx, tasks).await?;
    let deleted = BoardDeleted { id: board, tasks };
    tx.publish("board.deleted", topic(board), &deleted)?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
