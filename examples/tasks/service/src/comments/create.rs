//! `POST /api/tasks/tasks/{task}/comments`

use terrace_sdk::prelude::*;

use crate::{
    boards::topic,
    comments::Comment,
    idempotency::{self, Claim},
};

/// A comment to be made.
#[derive(Debug, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewComment {
    /// 1 to 4,000 characters.
    #[schema(min_length = 1, max_length = 4_000)]
    text: String,
}

/// Says something about a task.
#[utoipa::path(post, path = "/api/tasks/tasks/{task}/comments", operation_id = "tasks_create_comment",
    request_body = NewComment,
    params(
        ("task" = i64, Path, description = "The task's number"),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a repetition safe"),
    ),
    responses(
        (status = 201, description = "The new comment", body = Comment),
        (status = 404, description = "There is no such task"),
        (status = 422, description = "The text is not valid"),
    ))]
pub(crate) async fn create_comment(
    caller: Caller,
    db: Db,
    Path(task): Path<i64>,
    key: IdempotencyKey,
    Json(new): Json<NewComment>,
) -> Result<(StatusCode, Json<Comment>), Problem> {
    Check::new().text("/text", &new.text, 1..=4_000).finish()?;
    let mut tx = db.begin().await?;
    let claim = match idempotency::claim(&mut tx, &caller, key, &format!("create_comment/{task}"), &new).await? {
        Claim::Answered(comment) => return Ok((StatusCode::CREATED, Json(comment))),
        Claim::New(claim) => claim,
    };
    // Counting first takes the task's row lock, and finds out whether there is one.
    let counted = tx
        .query(
            "UPDATE task SET comments_count = comments_count + 1 WHERE id = $1 RETURNING board",
            params![task],
        )
        .await?;
    let Some(row) = counted.first() else {
        return Err(Problem::not_found("task"));
    };
    let board: i64 = row.get("board")?;
    let comment: Comment = tx
        .query(
            "INSERT INTO comment (task, text, author, author_name) VALUES ($1, $2, $3, $4)
             RETURNING id, task, text, author, author_name, created_at",
            params![task, new.text.trim(), caller.member, caller.name],
        )
        .await?
        .one()?;
    tx.publish("comment.created", topic(board), &comment)?;
    idempotency::answer(&mut tx, claim, &comment).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(comment)))
}
