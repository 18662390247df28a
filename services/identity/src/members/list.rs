//! `GET /api/identity/members`

use terrace_sdk::{
    paging::{self, PageQuery},
    prelude::*,
};

use crate::members::{Member, email_key};

/// One page of members.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(crate) struct MemberPage {
    /// Members, by address.
    items: Vec<Member>,
    /// Where the next page begins; null on the last one.
    #[schema(required)]
    next_page_token: Option<String>,
}

/// Members of this workspace, by address.
#[utoipa::path(get, path = "/api/identity/members", operation_id = "identity_list_members", params(PageQuery),
    responses((status = 200, description = "One page", body = MemberPage)))]
pub(crate) async fn list_members(
    _caller: Caller,
    db: Db,
    Query(page): Query<PageQuery>,
) -> Result<Json<MemberPage>, Problem> {
    let size = page.size()?;
    let after: String = page.after()?.unwrap_or_default();
    let rows = db
        .query(
            "SELECT id, email, name, role, created_at FROM member WHERE email_key > $1 ORDER BY email_key LIMIT $2",
            params![after, i64::try_from(size).unwrap_or(i64::MAX).saturating_add(1)],
        )
        .await?;
    let mut items: Vec<Member> = rows.all()?;
    let next_page_token = paging::cut(&mut items, size, |member| email_key(&member.email));
    Ok(Json(MemberPage { items, next_page_token }))
}
