//! `GET /api/tasks/boards`

use terrace_sdk::{
    paging::{self, PageQuery},
    prelude::*,
};

use crate::boards::Board;

/// One page of boards.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct BoardPage {
    /// Boards, oldest first.
    items: Vec<Board>,
    /// Where the next page begins; null on the last one.
    #[schema(required)]
    next_page_token: Option<String>,
}

/// Boards of this workspace, oldest first.
#[utoipa::path(get, path = "/api/tasks/boards", operation_id = "tasks_list_boards", params(PageQuery),
    responses((status = 200, description = "One page", body = BoardPage)))]
pub(crate) async fn list_boards(
    _caller: Caller,
    db: Db,
    Query(page): Query<PageQuery>,
) -> Result<Json<BoardPage>, Problem> {
    let size = page.size()?;
    let after: i64 = page.after()?.unwrap_or(0);
    let rows = db
        .query(
            "SELECT board.id, board.title, board.created_by, board.created_at,
                    (SELECT count(*) FROM task WHERE task.board = board.id) AS tasks_count
             FROM board WHERE board.id > $1 ORDER BY board.id LIMIT $2",
            params![after, i64::try_from(size).unwrap_or(i64::MAX).saturating_add(1)],
        )
        .await?;
    let mut items: Vec<Board> = rows.all()?;
    let next_page_token = paging::cut(&mut items, size, |board| board.id);
    Ok(Json(BoardPage { items, next_page_token }))
}
