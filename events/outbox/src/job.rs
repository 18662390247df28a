//! Work for later, checked before it is written.

use serde_json::Value as Json;

use crate::{DATA_BYTES_MAX, NAME_BYTES_MAX, has_nul};

/// The farthest that a job may lie ahead: 366 days.
pub const DELAY_MAX_MS: u64 = 366 * 24 * 60 * 60 * 1_000;

/// Why something is no job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// The name is not made of dotted words.
    #[error("`{0}` is not a job's name: expected dotted words of `a-z`, `0-9` and `-`, like `reminder.send`")]
    Name(String),
    /// The key is too long or has a control character; or there is none, where one is needed.
    #[error(
        "a job's key is at most {NAME_BYTES_MAX} bytes without control characters, and one that is taken back has one"
    )]
    Key,
    /// The payload is not JSON that PostgreSQL's `jsonb` can hold.
    #[error("a job's payload must be JSON: {0}")]
    Payload(String),
    /// The payload is over [`DATA_BYTES_MAX`].
    #[error("a job's payload is at most {DATA_BYTES_MAX} bytes, and this has {0}")]
    TooLarge(usize),
    /// The delay is over [`DELAY_MAX_MS`].
    #[error("a job lies at most 366 days ahead")]
    TooFar,
}

/// A job that is about to be written, or taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    name: String,
    key: String,
    payload: String,
    /// None: it is taken back.
    delay_ms: Option<u64>,
}

impl NewJob {
    /// Checks the parts of a job. `key` may be empty; `payload` is JSON text.
    ///
    /// # Errors
    /// One variant of [`JobError`] per part. What passes here fails in the database only when too many
    /// jobs wait.
    pub fn new(name: &str, key: &str, payload: &str, delay_ms: u64) -> Result<Self, JobError> {
        check_name(name)?;
        check_key(key)?;
        if payload.len() > DATA_BYTES_MAX {
            return Err(JobError::TooLarge(payload.len()));
        }
        let parsed: Json = serde_json::from_str(payload).map_err(|error| JobError::Payload(error.to_string()))?;
        if has_nul(&parsed) {
            return Err(JobError::Payload("the character U+0000 cannot be stored".to_owned()));
        }
        if delay_ms > DELAY_MAX_MS {
            return Err(JobError::TooFar);
        }
        Ok(Self {
            name: name.to_owned(),
            key: key.to_owned(),
            payload: payload.to_owned(),
            delay_ms: Some(delay_ms),
        })
    }

    /// Takes back a job that waits.
    ///
    /// # Errors
    /// [`JobError::Name`], [`JobError::Key`].
    pub fn cancel(name: &str, key: &str) -> Result<Self, JobError> {
        check_name(name)?;
        check_key(key)?;
        if key.is_empty() {
            return Err(JobError::Key);
        }
        Ok(Self {
            name: name.to_owned(),
            key: key.to_owned(),
            payload: String::new(),
            delay_ms: None,
        })
    }

    /// As the database's function takes it. The payload goes in as the service wrote it.
    pub(crate) fn to_json(&self) -> String {
        let (name, key) = (Json::from(self.name.as_str()), Json::from(self.key.as_str()));
        match self.delay_ms {
            Some(delay_ms) => format!(
                "{{\"name\":{name},\"key\":{key},\"delay_ms\":{delay_ms},\"payload\":{}}}",
                self.payload
            ),
            None => format!("{{\"name\":{name},\"key\":{key}}}"),
        }
    }
}

/// Whether this may be a job's name.
///
/// # Errors
/// [`JobError::Name`].
pub fn check_name(name: &str) -> Result<(), JobError> {
    if name.len() > NAME_BYTES_MAX || !name.split('.').all(crate::is_word) {
        return Err(JobError::Name(name.chars().take(64).collect()));
    }
    Ok(())
}

fn check_key(key: &str) -> Result<(), JobError> {
    if key.len() > NAME_BYTES_MAX || key.chars().any(char::is_control) {
        return Err(JobError::Key);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_job_is_refused_before_the_commit() {
        let new = |name: &str, key: &str, payload: &str, delay_ms| NewJob::new(name, key, payload, delay_ms).err();
        for name in ["", "Send", "a..b", "a b", &"a".repeat(129)] {
            assert!(matches!(new(name, "", "1", 0), Some(JobError::Name(_))), "{name}");
            assert!(NewJob::cancel(name, "k").is_err());
        }
        for key in ["a\nb", &"k".repeat(129)] {
            assert_eq!(new("a", key, "1", 0), Some(JobError::Key));
        }
        for payload in ["", "{", r#""\u0000""#] {
            assert!(
                matches!(new("a", "", payload, 0), Some(JobError::Payload(_))),
                "{payload}"
            );
        }
        let large = format!("\"{}\"", "x".repeat(DATA_BYTES_MAX));
        assert!(matches!(new("a", "", &large, 0), Some(JobError::TooLarge(_))));
        assert_eq!(new("a", "", "1", DELAY_MAX_MS + 1), Some(JobError::TooFar));
        assert_eq!(new("a", "", "1", DELAY_MAX_MS), None);
        assert_eq!(NewJob::cancel("a", ""), Err(JobError::Key));
    }
}
