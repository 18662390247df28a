//! `Idempotency-Key`: a POST that is sent twice happens once, and gets the same answer twice.
//!
//! The key's row is written in the transaction of the operation itself. A repetition that comes
//! while the first is still running waits on the row, and then finds the answer, or nothing.

use serde::{Serialize, de::DeserializeOwned};
use terrace_sdk::{prelude::*, serde_json, token};

/// What a key turned out to be.
pub(crate) enum Claim<T> {
    /// The request came before, and this was the answer.
    Answered(T),
    /// It is new: go on, and give it to [`answer`]. None when the client sent no key.
    New(Option<Claimed>),
}

/// A key whose answer is still to be written.
pub(crate) struct Claimed {
    member: String,
    key: String,
}

/// Looks the key up, or takes it. The same key with another body is a mistake of the client's.
pub(crate) async fn claim<B: Serialize, T: DeserializeOwned>(
    tx: &mut Transaction,
    caller: &Caller,
    IdempotencyKey(key): IdempotencyKey,
    operation: &str,
    body: &B,
) -> Result<Claim<T>, Problem> {
    let Some(key) = key else { return Ok(Claim::New(None)) };
    let body = serde_json::to_string(body).map_err(Problem::internal)?;
    let fingerprint: String = token::digest(&format!("{operation} {body}"))
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    tx.query(
        "DELETE FROM idempotency WHERE member = $1 AND created_at < now() - interval '1 day'",
        params![&caller.member],
    )
    .await?;
    let taken = tx
        .query(
            "INSERT INTO idempotency (member, key, fingerprint) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
            params![&caller.member, &key, &fingerprint],
        )
        .await?;
    if taken.affected() == 1 {
        return Ok(Claim::New(Some(Claimed {
            member: caller.member.clone(),
            key,
        })));
    }
    let rows = tx
        .query(
            "SELECT fingerprint, answer FROM idempotency WHERE member = $1 AND key = $2",
            params![&caller.member, &key],
        )
        .await?;
    let row = rows
        .first()
        .ok_or_else(|| Problem::conflict("The first request with this key is not over. Try again."))?;
    if row.get::<String>("fingerprint")? != fingerprint {
        return Err(Problem::new(Code::ValidationFailed).detail("This `Idempotency-Key` was used for another request."));
    }
    let answer: String = row.get::<Option<String>>("answer")?.unwrap_or_default();
    serde_json::from_str(&answer)
        .map(Claim::Answered)
        .map_err(Problem::internal)
}

/// Keeps the answer for a repetition.
pub(crate) async fn answer<T: Serialize>(
    tx: &mut Transaction,
    claim: Option<Claimed>,
    answer: &T,
) -> Result<(), Problem> {
    let Some(claimed) = claim else { return Ok(()) };
    let answer = serde_json::to_string(answer).map_err(Problem::internal)?;
    tx.query(
        "UPDATE idempotency SET answer = $3 WHERE member = $1 AND key = $2",
        params![claimed.member, claimed.key, answer],
    )
    .await?;
    Ok(())
}
