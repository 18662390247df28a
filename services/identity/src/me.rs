//! `GET /api/identity/me`

use terrace_sdk::prelude::*;

use crate::{members::Member, session::Session};

/// Who is signed in, and where.
#[utoipa::path(get, path = "/api/identity/me", operation_id = "identity_get_me",
    responses(
        (status = 200, description = "The member and the workspace", body = Session),
        (status = 401, description = "Nobody is signed in, or the member is gone"),
    ))]
pub(crate) async fn get_me(tenant: Tenant, caller: Caller, db: Db) -> Result<Json<Session>, Problem> {
    let rows = db
        .query(
            "SELECT id, email, name, role, created_at FROM member WHERE id = $1",
            params![caller.member],
        )
        .await?;
    let member: Member = rows.optional()?.ok_or_else(|| Problem::new(Code::Unauthenticated))?;
    Ok(Json(Session::new(member, tenant)))
}
