//! Work for later: scheduled as it should not be, and done.

use std::time::Duration;

use terrace_sdk::{
    prelude::*,
    schedule::{self, Job},
};

use crate::{Done, done};

/// Jobs of one transaction.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
pub(crate) struct Later {
    /// Which.
    jobs: Vec<LaterJob>,
    /// Whether the transaction is taken back.
    #[serde(default)]
    rollback: bool,
}

/// One of them.
#[derive(Debug, Default, serde::Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub(crate) struct LaterJob {
    /// What is to be done.
    name: String,
    /// The key.
    key: String,
    /// When.
    delay_ms: u64,
    /// Bytes of the payload.
    size: usize,
    /// How often, beyond once.
    copies: u32,
}

/// Schedules any job at all.
#[utoipa::path(post, path = "/api/hostile/schedule", operation_id = "hostile_schedule", security(()), request_body = Later,
    responses((status = 200, description = "Whether it was committed, or the error", body = Done)))]
pub(crate) async fn schedule_any(db: Db, Json(later): Json<Later>) -> Result<Json<Done>, Problem> {
    let mut tx = db.begin().await?;
    for job in &later.jobs {
        for _ in 0..=job.copies {
            let new = schedule::job(&job.name)
                .key(job.key.clone())
                .payload(&"x".repeat(job.size));
            if let Err(error) = tx.after(Duration::from_millis(job.delay_ms), new) {
                return Ok(done(error.message));
            }
        }
    }
    if later.rollback {
        tx.rollback().await;
        return Ok(done("rolled back"));
    }
    Ok(done(match tx.commit().await {
        Ok(()) => "committed".to_owned(),
        Err(error) => format!("{:?}: {}", error.kind, error.message),
    }))
}

/// Writes down which job it did. `fails.once` fails the first time, after its effect.
pub(crate) async fn work(db: Db, Json(job): Json<Job>) -> Result<StatusCode, Problem> {
    db.query(
        "INSERT INTO counter (name, value) VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET value = counter.value + 1",
        params![format!("job {} {}", job.name, job.id)],
    )
    .await?;
    if job.name == "fails.once" && job.attempt == 1 {
        return Err(Problem::new(Code::Conflict));
    }
    Ok(StatusCode::NO_CONTENT)
}
