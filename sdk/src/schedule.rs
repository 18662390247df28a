//! Work for later, for this tenant: scheduled with the data that asks for it, and done in a request of
//! its own.
//!
//! ```
//! # use std::time::Duration;
//! # use terrace_sdk::{Problem, Router, prelude::*, schedule::{self, Job}};
//! # async fn example(db: Db) -> Result<(), Problem> {
//! let mut tx = db.begin().await?;
//! // ... the data ...
//! tx.after(Duration::from_secs(3_600), schedule::job("reminder.send").key("task/7").payload(&7))?;
//! tx.commit().await?;
//! # Ok(())
//! # }
//!
//! async fn work(job: Json<Job>) -> Result<(), Problem> {
//!     match job.name.as_str() {
//!         "reminder.send" => { /* ... */ }
//!         _ => {}
//!     }
//!     Ok(())
//! }
//! # let _ =
//! Router::new().on_job(work);
//! ```
//!
//! A job comes at least once: after a crash perhaps a second time, with the same [`Job::id`]. What comes
//! again and again is in the manifest (`[[schedule]]`). `contracts/wit/schedule.wit` says what is promised.

use std::time::Duration;

use axum::handler::Handler;
use serde::{Deserialize, Serialize};

use crate::{
    Router,
    db::{Error, Transaction},
};

/// A job that is due. Take it as `Json<Job>` in the handler that [`Router::on_job`] gets.
#[derive(Debug, Clone, Deserialize)]
pub struct Job {
    /// What no other job has, and what each bringing of this one has.
    pub id: String,
    /// What is to be done: `reminder.send`.
    pub name: String,
    /// The key that it was given; empty for none.
    pub key: String,
    /// What was said when it was scheduled; null for one of the manifest.
    pub payload: serde_json::Value,
    /// When it was due: seconds since 1970.
    pub due_at: i64,
    /// From 1.
    pub attempt: u32,
}

/// A job that is to be scheduled: [`job`] begins one.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    name: String,
    key: String,
    payload: Result<String, String>,
}

/// Begins a job. `name` is dotted words: `reminder.send`.
pub fn job(name: &str) -> NewJob {
    NewJob {
        name: name.to_owned(),
        key: String::new(),
        payload: Ok("null".to_owned()),
    }
}

impl NewJob {
    /// While a job with the same name and key waits, this one replaces it.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }

    /// What the job is to know, as JSON of at most 64 KiB.
    #[must_use]
    pub fn payload<T: Serialize + ?Sized>(mut self, payload: &T) -> Self {
        self.payload = serde_json::to_string(payload).map_err(|error| error.to_string());
        self
    }
}

impl Transaction {
    /// Has the job done after `delay`, if this transaction commits. At most 366 days ahead.
    ///
    /// # Errors
    /// [`crate::db::ErrorKind::BadValue`] for a name, key, payload or delay that may not be,
    /// [`crate::db::ErrorKind::Limit`] over 1,000 events and jobs. That too many jobs of the tenant wait
    /// is an error of the commit.
    pub fn after(&mut self, delay: Duration, job: NewJob) -> Result<(), Error> {
        let payload = job
            .payload
            .map_err(|error| Error::bad_value(format!("job {}: {error}", job.name)))?;
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.0.after(&job.name, &job.key, payload, delay_ms)
    }

    /// Takes back the job of this name and key, if it still waits and this transaction commits.
    ///
    /// # Errors
    /// As [`Transaction::after`].
    pub fn cancel(&mut self, name: &str, key: &str) -> Result<(), Error> {
        self.0.cancel(name, key)
    }
}

impl Router {
    /// Handles each job that is due: `async fn(Db, Json<Job>)`. An answer outside 200..300 brings the job
    /// again, later.
    #[must_use]
    pub fn on_job<H: Handler<T, ()>, T: 'static>(self, handler: H) -> Self {
        self.internal("/_terrace/jobs", handler)
    }
}
