//! `GET /api/tasks/tasks/{task}/comments`

use terrace_sdk::{
    paging::{self, PageQuery},
    prelude::*,
};

use crate::comments::Comment;

/// One page of comments.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct CommentPage {
    /// Comments, newest first.
    items: Vec<Comment>,
    /// Where the next page begins; null on the last one.
    #[schema(required)]
    next_page_token: Option<String>,
}

/// Comments on a task, newest first.
#[utoipa::path(get, path = "/api/tasks/tasks/{task}/comments", operation_id = "tasks_list_comments",
    params(("task" = i64, Path, description = "The task's number"), PageQuery),
    responses(
        (status = 200, description = "One page", body = CommentPage),
        (status = 404, description = "There is no such task"),
    ))]
pub(crate) async fn list_comments(
    _caller: Caller,
    db: Db,
    Path(task): Path<i64>,
    Query(page): Query<PageQuery>,
) -> Result<Json<CommentPage>, Problem> {
    let size = page.size()?;
    let before: i64 = page.after()?.unwrap_or(i64::MAX);
    if db
        .query("SELECT id FROM task WHERE id = $1", params![task])
        .await?
        .is_empty()
    {
        return Err(Problem::not_found("task"));
    }
    let rows = db
        .query(
            "SELECT id, task, text, author, author_name, created_at FROM comment WHERE task = $1 AND id < $2
             ORDER BY id DESC LIMIT $3",
            params![task, before, i64::try_from(size).unwrap_or(i64::MAX).saturating_add(1)],
        )
        .await?;
    let mut items: Vec<Comment> = rows.all()?;
    let next_page_token = paging::cut(&mut items, size, |comment| comment.id);
    Ok(Json(CommentPage { items, next_page_token }))
}
