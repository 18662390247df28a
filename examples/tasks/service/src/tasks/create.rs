//! `POST /api/tasks/boards/{board}/tasks`

use terrace_sdk::prelude::*;

use crate::{
    boards::topic,
    entitlements,
    idempotency::{self, Claim},
    tasks::{Column, Task},
};

/// A task to be made.
#[derive(Debug, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTask {
    /// 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    title: String,
    /// The column to put it in, at the end; `todo` when left out.
    column: Option<Column>,
}

/// Makes a task at the end of a column.
#[utoipa::path(post, path = "/api/tasks/boards/{board}/tasks", operation_id = "tasks_create_task", request_body = NewTask,
    params(
        ("board" = i64, Path, description = "The board's number"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repetition safe"),
    ),
    responses(
        (status = 201, description = "The new task", body = Task),
        (status = 402, description = "The plan has no room for another task: `plan-limit-reached`"),
        (status = 404, description = "There is no such board"),
        (status = 422, description = "The title is not valid"),
    ))]
pub(crate) async fn create_task(
    caller: Caller,
    db: Db,
    Path(board): Path<i64>,
    key: IdempotencyKey,
    Json(new): Json<NewTask>,
) -> Result<(StatusCode, Json<Task>), Problem> {
    Check::new().text("/title", &new.title, 1..=200).finish()?;
    let column = new.column.unwrap_or(Column::Todo);
    let mut tx = db.begin().await?;
    let claim = match idempotency::claim(&mut tx, &caller, key, &format!("create_task/{board}"), &new).await? {
        Claim::Answered(task) => return Ok((StatusCode::CREATED, Json(task))),
        Claim::New(claim) => claim,
    };
    let task: Task = tx
        .query(
            "INSERT INTO task (board, title, stage, position, created_by)
             VALUES ($1, $2, $3,
                     (SELECT coalesce(max(position), 0) + 1024 FROM task WHERE board = $1 AND stage = $3), $4)
             RETURNING id, board, title, description, stage, position, assignee, created_by, created_at, updated_at,
                       version, comments_count",
            params![board, new.title.trim(), column.as_str(), caller.member],
        )
        .await
        .map_err(|error| error.on("task_board_fkey", Problem::not_found("board")))?
        .one()?;
    entitlements::take_one(&mut tx).await?;
    tx.publish("task.created", topic(board), &task)?;
    idempotency::answer(&mut tx, claim, &task).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(task)))
}
