//! `POST /api/identity/session/refresh`

use terrace_sdk::{
    axum::http::HeaderMap,
    axum::response::{IntoResponse, Response},
    clock,
    prelude::*,
    token,
};

use crate::{
    members::Member,
    session::{Session, issue, refresh_cookie, signed_in, signed_out},
};

/// Two tabs may use one token at the same moment, because they share the cookie: within so many
/// seconds the second use is believed. After that, a used token was stolen, or its successor was.
const GRACE_SECONDS: i64 = 10;

/// What a presented token turned out to be.
enum Verdict {
    Rotated(Member, String),
    /// Nothing is known of it, or it is too old.
    Unknown,
    /// It was used before: its family has ended.
    Reused,
}

/// Renews the session by the cookie `__Host-refresh`, which is replaced by the next one.
#[utoipa::path(post, path = "/api/identity/session/refresh", operation_id = "identity_refresh_session", security(()),
    responses(
        (status = 200, description = "Renewed", body = Session),
        (status = 401, description = "Sign in again: the token is not known, has expired, or was used before"),
    ))]
pub(crate) async fn refresh_session(tenant: Tenant, db: Db, headers: HeaderMap) -> Result<Response, Problem> {
    let verdict = match refresh_cookie(&headers) {
        Some(token) => rotate(&db, &token).await?,
        None => Verdict::Unknown,
    };
    match verdict {
        Verdict::Rotated(member, refresh) => signed_in(member, tenant, &refresh),
        Verdict::Unknown => signed_out(Problem::new(Code::Unauthenticated).into_response()),
        Verdict::Reused => {
            log::warn!("a refresh token was used twice: its family was ended");
            signed_out(Problem::new(Code::Unauthenticated).into_response())
        }
    }
}

async fn rotate(db: &Db, token: &str) -> Result<Verdict, Problem> {
    let digest = token::digest(token);
    let mut tx = db.begin().await?;
    let rows = tx
        .query(
            "SELECT family, member, expires_at, used_at FROM refresh WHERE digest = $1 FOR UPDATE",
            params![&digest[..]],
        )
        .await?;
    let Some(row) = rows.first() else {
        return Ok(Verdict::Unknown);
    };
    let (family, member) = (row.get::<String>("family")?, row.get::<String>("member")?);
    let (expires_at, used_at) = (
        row.get::<Timestamp>("expires_at")?,
        row.get::<Option<Timestamp>>("used_at")?,
    );
    let now = clock::now();
    if expires_at < now {
        return Ok(Verdict::Unknown);
    }
    if used_at.is_some_and(|used_at| used_at.plus_seconds(GRACE_SECONDS) < now) {
        tx.query("DELETE FROM refresh WHERE family = $1", params![family])
            .await?;
        tx.commit().await?;
        return Ok(Verdict::Reused);
    }
    // The first use counts: a second one within the grace does not prolong it.
    tx.query(
        "UPDATE refresh SET used_at = coalesce(used_at, $2) WHERE digest = $1",
        params![&digest[..], now],
    )
    .await?;
    let refresh = issue(&mut tx, &member, &family).await?;
    let rows = tx
        .query(
            "SELECT id, email, name, role, created_at FROM member WHERE id = $1",
            params![member],
        )
        .await?;
    let member = rows.one::<Member>()?;
    tx.commit().await?;
    Ok(Verdict::Rotated(member, refresh))
}
