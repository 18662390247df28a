//! `GET /api/identity/members/{member}`

use terrace_sdk::prelude::*;

use crate::members::Member;

/// One member.
#[utoipa::path(get, path = "/api/identity/members/{member}", operation_id = "identity_get_member",
    params(("member" = String, Path, description = "The member's id")),
    responses(
        (status = 200, description = "The member", body = Member),
        (status = 404, description = "There is no such member"),
    ))]
pub(crate) async fn get_member(_caller: Caller, db: Db, Path(member): Path<String>) -> Result<Json<Member>, Problem> {
    let rows = db
        .query(
            "SELECT id, email, name, role, created_at FROM member WHERE id = $1",
            params![member],
        )
        .await?;
    rows.optional()?.map(Json).ok_or_else(|| Problem::not_found("member"))
}
