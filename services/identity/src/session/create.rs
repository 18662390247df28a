//! `POST /api/identity/session`

use terrace_sdk::{axum::response::Response, password, prelude::*, token};

use crate::{
    members::{self, Member},
    session::{Session, attempts, issue, signed_in},
};

/// Who wants to sign in.
#[derive(serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    /// The member's address.
    email: String,
    /// The member's password.
    password: String,
}

/// Signs a member in. Sets the cookies `__Host-session` and `__Host-refresh`.
#[utoipa::path(post, path = "/api/identity/session", operation_id = "identity_create_session", security(()),
    request_body = Credentials,
    responses(
        (status = 200, description = "Signed in", body = Session),
        (status = 401, description = "There is no such member, or the password is another one"),
        (status = 429, description = "Ten wrong passwords for this address within fifteen minutes"),
    ))]
pub(crate) async fn create_session(
    tenant: Tenant,
    db: Db,
    Json(given): Json<Credentials>,
) -> Result<Response, Problem> {
    attempts::check(&db, &given.email).await?;
    let rows = db
        .query(
            "SELECT id, email, name, role, created_at, password_hash FROM member WHERE email_key = $1",
            params![members::email_key(&given.email)],
        )
        .await?;
    let hash: Option<String> = rows.first().map(|row| row.get("password_hash")).transpose()?;
    // An address that nobody has is checked against a dummy, so that it costs the same time, and it
    // gets the same answer.
    let wrong = || Problem::new(Code::Unauthenticated).detail("The address or the password is wrong.");
    let right = match password::verify(&given.password, hash.as_deref()).await {
        Ok(right) => right,
        Err(password::Error::TooShort | password::Error::TooLong) => false,
        Err(error) => return Err(error.into()),
    };
    let (true, Some(member)) = (right, rows.optional::<Member>()?) else {
        attempts::count(&db, &given.email).await?;
        return Err(wrong());
    };
    let mut tx = db.begin().await?;
    tx.query(
        "DELETE FROM refresh WHERE member = $1 AND expires_at < now()",
        params![&member.id],
    )
    .await?;
    attempts::forget(&mut tx, &given.email).await?;
    let refresh = issue(&mut tx, &member.id, &token::random()).await?;
    tx.commit().await?;
    log::info!("member {} signed in", member.id);
    signed_in(member, tenant, &refresh)
}
