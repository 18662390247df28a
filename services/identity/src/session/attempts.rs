//! How many wrong passwords an address may get: guessing must not pay.
//!
//! An address that nobody has is counted too, so the answers tell nobody which ones exist. A try
//! costs a password hash before it costs a row, and rows go after a window: a flood of made-up
//! addresses cannot fill the table. Who is signed in already is not touched, because a refresh token
//! needs no password.

use terrace_sdk::{prelude::*, token};

use crate::members;

/// Wrong passwords for one address in one window; then even the right one has to wait. Tries that are
/// under way at the same moment are bounded by the host's share of hashes per tenant.
const WRONG_MAX: i64 = 10;
/// How long a window lasts, from its first wrong password on.
const WINDOW_MINUTES: i64 = 15;

/// Whether another password may be tried for `email`.
///
/// # Errors
/// `too-many-requests` when the window is full.
pub(crate) async fn check(db: &Db, email: &str) -> Result<(), Problem> {
    let rows = db
        .query(
            "SELECT wrong FROM attempt WHERE digest = $1 AND since > now() - interval '15 minutes'",
            params![digest(email)],
        )
        .await?;
    let wrong: Option<i64> = rows.first().map(|row| row.get("wrong")).transpose()?;
    if wrong.unwrap_or_default() < WRONG_MAX {
        return Ok(());
    }
    log::warn!("an address is closed after too many wrong passwords");
    Err(Problem::new(Code::TooManyRequests).detail(format!(
        "Too many wrong passwords for this address. Wait {WINDOW_MINUTES} minutes, then try again."
    )))
}

/// Counts a wrong password for `email`, and forgets what is over.
pub(crate) async fn count(db: &Db, email: &str) -> Result<(), Problem> {
    let mut tx = db.begin().await?;
    tx.query(
        "DELETE FROM attempt WHERE since < now() - interval '15 minutes'",
        params![],
    )
    .await?;
    tx.query(
        "INSERT INTO attempt (digest, wrong, since) VALUES ($1, 1, now())
         ON CONFLICT (digest) DO UPDATE SET wrong = attempt.wrong + 1",
        params![digest(email)],
    )
    .await?;
    tx.commit().await?;
    Ok(())
}

/// Starts again for `email`, whose password was right.
pub(crate) async fn forget(tx: &mut Transaction, email: &str) -> Result<(), Problem> {
    tx.query("DELETE FROM attempt WHERE digest = $1", params![digest(email)])
        .await?;
    Ok(())
}

fn digest(email: &str) -> Vec<u8> {
    token::digest(&members::email_key(email))
}
