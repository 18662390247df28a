//! `PATCH /api/tasks/tasks/{task}`

use terrace_sdk::{axum::response::IntoResponse, calls, nullable, prelude::*};

use crate::{
    boards::topic,
    tasks::{Column, Task},
};

/// What is to be different. What is left out stays as it is.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskChange {
    /// 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    title: Option<String>,
    /// At most 10,000 characters.
    #[schema(max_length = 10_000)]
    description: Option<String>,
    /// The column to move it to: at its end, unless a position says otherwise.
    column: Option<Column>,
    /// Its place in the column.
    position: Option<f64>,
    /// A member's id, or null for nobody.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    assignee: Option<Option<String>>,
}

impl TaskChange {
    fn check(&self) -> Result<(), Problem> {
        let mut check = Check::new();
        if let Some(title) = &self.title {
            check = check.text("/title", title, 1..=200);
        }
        if let Some(description) = &self.description {
            check = check.text("/description", description, 0..=10_000);
        }
        let finite = self
            .position
            .is_none_or(|position| position.is_finite() && position.abs() < 1e12);
        check.that("/position", finite, "must be a number below 1e12").finish()
    }

    fn moves(&self) -> bool {
        self.column.is_some() || self.position.is_some()
    }

    fn edits(&self) -> bool {
        self.title.is_some() || self.description.is_some() || self.assignee.is_some()
    }
}

/// Changes a task: its words, its place, who does it.
#[utoipa::path(patch, path = "/api/tasks/tasks/{task}", operation_id = "tasks_update_task", request_body = TaskChange,
    params(
        ("task" = i64, Path, description = "The task's number"),
        ("If-Match" = Option<String>, Header, description = "The version that the change is meant for"),
    ),
    responses(
        (status = 200, description = "The task as it is now", body = Task),
        (status = 404, description = "There is no such task"),
        (status = 409, description = "It is no longer the version that `If-Match` names"),
        (status = 422, description = "A field is not valid, or nobody has the assignee's id"),
    ))]
pub(crate) async fn update_task(
    _caller: Caller,
    db: Db,
    Path(id): Path<i64>,
    IfMatch(seen): IfMatch,
    Json(change): Json<TaskChange>,
) -> Result<impl IntoResponse, Problem> {
    change.check()?;
    // Before the transaction, so that no row is locked while another service is asked.
    if let Some(Some(assignee)) = &change.assignee {
        check_member(assignee).await?;
    }
    let mut tx = db.begin().await?;
    let task = apply(&mut tx, id, seen, &change).await?;
    if change.moves() {
        tx.publish("task.moved", topic(task.board), &task)?;
    }
    if change.edits() {
        tx.publish("task.updated", topic(task.board), &task)?;
    }
    tx.commit().await?;
    Ok(([("etag", format!("\"{}\"", task.version))], Json(task)))
}

async fn apply(tx: &mut Transaction, id: i64, seen: Option<i64>, change: &TaskChange) -> Result<Task, Problem> {
    let rows = tx
        .query(
            "SELECT id, board, title, description, stage, position, assignee, created_by, created_at, updated_at,
                    version, comments_count
             FROM task WHERE id = $1 FOR UPDATE",
            params![id],
        )
        .await?;
    let task: Task = rows.optional()?.ok_or_else(|| Problem::not_found("task"))?;
    if seen.is_some_and(|seen| seen != task.version) {
        return Err(Problem::conflict(format!(
            "It was changed since: it is at version {} now.",
            task.version
        )));
    }
    if !change.moves() && !change.edits() {
        return Ok(task);
    }
    let column = change.column.unwrap_or(task.column);
    let position = match change.position {
        Some(position) => position,
        None if column == task.column => task.position,
        None => end_of(tx, task.board, column).await?,
    };
    let title = change.title.as_deref().map_or(task.title.as_str(), str::trim);
    let description = change.description.as_deref().unwrap_or(&task.description);
    let assignee = change.assignee.clone().unwrap_or(task.assignee);
    let rows = tx
        .query(
            "UPDATE task SET title = $2, description = $3, stage = $4, position = $5, assignee = $6,
                             version = version + 1, updated_at = now()
             WHERE id = $1
             RETURNING id, board, title, description, stage, position, assignee, created_by, created_at, updated_at,
                       version, comments_count",
            params![id, title, description, column.as_str(), position, assignee],
        )
        .await?;
    Ok(rows.one()?)
}

async fn end_of(tx: &mut Transaction, board: i64, column: Column) -> Result<f64, Problem> {
    let rows = tx
        .query(
            "SELECT coalesce(max(position), 0) + 1024 AS position FROM task WHERE board = $1 AND stage = $2",
            params![board, column.as_str()],
        )
        .await?;
    match rows.first() {
        Some(row) => Ok(row.get("position")?),
        None => Ok(1024.0),
    }
}

/// Asks identity. The id becomes part of an address, so it may hold nothing but what ids hold.
async fn check_member(member: &str) -> Result<(), Problem> {
    let unknown = || Problem::invalid("/assignee", "no member has this id");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if member.is_empty() || member.len() > 64 || !member.bytes().all(plain) {
        return Err(unknown());
    }
    let answer = calls::get("identity", &format!("/api/identity/members/{member}")).await?;
    match answer.status {
        200..300 => Ok(()),
        404 => Err(unknown()),
        status => {
            log::warn!("identity answered {status} when asked for a member");
            Err(calls::Error::Failed.into())
        }
    }
}
