//! A small memory that the instances of this service share: for this tenant, on this node.
//!
//! ```
//! # use std::time::Duration;
//! # use terrace_sdk::{Problem, cache};
//! # async fn compute() -> Result<u64, Problem> { Ok(7) }
//! # async fn example() -> Result<u64, Problem> {
//! let total = cache::get_or("totals/7", Duration::from_secs(60), compute).await?;
//! # Ok(total)
//! # }
//! ```
//!
//! Only for what can be computed again. An entry may be gone at any moment, another node knows nothing
//! of it, and what is deleted here may live there until its time is over: `contracts/wit/cache.wit`
//! says what is promised and what is not.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use crate::host;

/// Why a value was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A key has 1 to 256 bytes.
    #[error("a key of the cache has 1 to 256 bytes")]
    KeyLength,
    /// A value has at most 65,536 bytes.
    #[error("a value of the cache has at most 65,536 bytes")]
    ValueTooLarge,
    /// The value cannot be written as JSON.
    #[error("the value cannot be written as JSON")]
    NotJson,
}

/// The value under a key; none when there is none, or one of another shape.
pub fn get<T: DeserializeOwned>(key: &str) -> Option<T> {
    serde_json::from_slice(&bytes(key)?).ok()
}

/// Keeps a value, as JSON, for at most `ttl`, which is cut to whole seconds and to a day.
///
/// # Errors
/// See [`Error`].
pub fn set<T: Serialize + ?Sized>(key: &str, value: &T, ttl: Duration) -> Result<(), Error> {
    set_bytes(key, serde_json::to_vec(value).map_err(|_| Error::NotJson)?, ttl)
}

/// The value under a key; computed and kept when there is none. What cannot be kept is returned all
/// the same. Two requests that come at once may both compute.
///
/// # Errors
/// Those of `compute`.
pub async fn get_or<T, E, F>(key: &str, ttl: Duration, compute: impl FnOnce() -> F) -> Result<T, E>
where
    T: Serialize + DeserializeOwned,
    F: Future<Output = Result<T, E>>,
{
    if let Some(known) = get(key) {
        return Ok(known);
    }
    let value = compute().await?;
    if let Err(error) = set(key, &value, ttl) {
        crate::log::warn!("the cache does not keep `{key}`: {error}");
    }
    Ok(value)
}

/// The bytes under a key.
pub fn bytes(key: &str) -> Option<Vec<u8>> {
    host::cache_get(key)
}

/// Keeps bytes for at most `ttl`.
///
/// # Errors
/// See [`Error`].
pub fn set_bytes(key: &str, value: Vec<u8>, ttl: Duration) -> Result<(), Error> {
    host::cache_set(key, value, u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX))
}

/// Forgets a value, on this node.
pub fn delete(key: &str) {
    host::cache_delete(key);
}
