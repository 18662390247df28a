//! `DELETE /api/identity/session`

use terrace_sdk::{
    axum::http::HeaderMap,
    axum::response::{IntoResponse, Response},
    prelude::*,
    token,
};

use crate::session::{refresh_cookie, signed_out};

/// Signs out: ends the family of the refresh token, and takes both cookies back.
///
/// Public, because a session that has expired must still be able to end.
#[utoipa::path(delete, path = "/api/identity/session", operation_id = "identity_delete_session", security(()),
    responses((status = 204, description = "Signed out")))]
pub(crate) async fn delete_session(db: Db, headers: HeaderMap) -> Result<Response, Problem> {
    if let Some(token) = refresh_cookie(&headers) {
        db.query(
            "DELETE FROM refresh WHERE family IN (SELECT family FROM refresh WHERE digest = $1)",
            params![token::digest(&token)],
        )
        .await?;
    }
    signed_out(StatusCode::NO_CONTENT.into_response())
}
