//! `POST /api/tasks/boards`

use terrace_sdk::prelude::*;

use crate::{
    boards::Board,
    idempotency::{self, Claim},
};

/// A board to be made.
#[derive(Debug, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewBoard {
    /// 1 to 120 characters.
    #[schema(min_length = 1, max_length = 120)]
    title: String,
}

/// Makes a board.
#[utoipa::path(post, path = "/api/tasks/boards", operation_id = "tasks_create_board", request_body = NewBoard,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repetition safe")),
    responses(
        (status = 201, description = "The new board", body = Board),
        (status = 422, description = "The title is not valid"),
    ))]
pub(crate) async fn create_board(
    caller: Caller,
    db: Db,
    key: IdempotencyKey,
    Json(new): Json<NewBoard>,
) -> Result<(StatusCode, Json<Board>), Problem> {
    Check::new().text("/title", &new.title, 1..=120).finish()?;
    let mut tx = db.begin().await?;
    let claim = match idempotency::claim(&mut tx, &caller, key, "create_board", &new).await? {
        Claim::Answered(board) => return Ok((StatusCode::CREATED, Json(board))),
        Claim::New(claim) => claim,
    };
    let board: Board = tx
        .query(
            "INSERT INTO board (title, created_by) VALUES ($1, $2)
             RETURNING id, title, created_by, created_at, 0::bigint AS tasks_count",
            params![new.title.trim(), caller.member],
        )
        .await?
        .one()?;
    tx.publish("board.created", "boards", &board)?;
    idempotency::answer(&mut tx, claim, &board).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(board)))
}
