//! `GET /api/tasks/tasks/{task}`

use terrace_sdk::{axum::response::IntoResponse, prelude::*};

use crate::{comments::Comment, tasks::Task};

/// A task with the newest of its comments.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct TaskDetail {
    /// The task.
    task: Task,
    /// Its newest comments, oldest of them first: at most 100, of `task.comments_count`.
    comments: Vec<Comment>,
}

/// A task with its comments. `ETag` is its version.
#[utoipa::path(get, path = "/api/tasks/tasks/{task}", operation_id = "tasks_get_task",
    params(("task" = i64, Path, description = "The task's number")),
    responses(
        (status = 200, description = "The task", body = TaskDetail),
        (status = 404, description = "There is no such task"),
    ))]
pub(crate) async fn get_task(_caller: Caller, db: Db, Path(task): Path<i64>) -> Result<impl IntoResponse, Problem> {
    let rows = db
        .query(
            "SELECT id, board, title, description, stage, position, assignee, created_by, created_at, updated_at,
                    version, comments_count
             FROM task WHERE id = $1",
            params![task],
        )
        .await?;
    let task: Task = rows.optional()?.ok_or_else(|| Problem::not_found("task"))?;
    let rows = db
        .query(
            "SELECT id, task, text, author, author_name, created_at FROM comment WHERE task = $1
             ORDER BY id DESC LIMIT 100",
            params![task.id],
        )
        .await?;
    let mut comments: Vec<Comment> = rows.all()?;
    comments.reverse();
    let etag = [("etag", format!("\"{}\"", task.version))];
    Ok((etag, Json(TaskDetail { task, comments })))
}
