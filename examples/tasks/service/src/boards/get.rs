//! `GET /api/tasks/boards/{board}`

use terrace_sdk::prelude::*;

use crate::{
    boards::Board,
    tasks::{Column, Task},
};

/// A board is read whole. One that has more tasks than this shows the first of them.
const TASKS_MAX: i64 = 2_000;

/// A board with its tasks.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct BoardDetail {
    /// The board.
    board: Board,
    /// Its columns, from left to right.
    columns: Vec<Column>,
    /// Its tasks, by column and then by position: at most 2,000, of `board.tasks_count`.
    tasks: Vec<Task>,
}

/// A board with its tasks.
#[utoipa::path(get, path = "/api/tasks/boards/{board}", operation_id = "tasks_get_board",
    params(("board" = i64, Path, description = "The board's number")),
    responses(
        (status = 200, description = "The board", body = BoardDetail),
        (status = 404, description = "There is no such board"),
    ))]
pub(crate) async fn get_board(_caller: Caller, db: Db, Path(board): Path<i64>) -> Result<Json<BoardDetail>, Problem> {
    let rows = db
        .query(
            "SELECT board.id, board.title, board.created_by, board.created_at,
                    (SELECT count(*) FROM task WHERE task.board = board.id) AS tasks_count
             FROM board WHERE board.id = $1",
            params![board],
        )
        .await?;
    let board: Board = rows.optional()?.ok_or_else(|| Problem::not_found("board"))?;
    let rows = db
        .query(
            "SELECT id, board, title, description, stage, position, assignee, created_by, created_at, updated_at,
                    version, comments_count
             FROM task WHERE board = $1 ORDER BY stage, position, id LIMIT $2",
            params![board.id, TASKS_MAX],
        )
        .await?;
    Ok(Json(BoardDetail {
        board,
        columns: Column::ALL.to_vec(),
        tasks: rows.all()?,
    }))
}
