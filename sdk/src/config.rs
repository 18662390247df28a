//! Plain values that an operator has set for this service, for all tenants or for the one of the
//! request.
//!
//! ```
//! # use terrace_sdk::{Problem, config};
//! # async fn example() -> Result<(), Problem> {
//! let greeting = config::get("greeting").await?.unwrap_or_else(|| "Hello".to_owned());
//! # drop(greeting);
//! # Ok(())
//! # }
//! ```
//!
//! The manifest lists the names: `config = ["greeting"]`.

use crate::host;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The manifest's `config` does not list the name.
    #[error("the manifest does not list the value")]
    NotListed,
    /// It cannot be read at the moment.
    #[error("the value cannot be read at the moment")]
    Unavailable,
}

/// The value as it is now; none when nobody has set it.
///
/// # Errors
/// See [`Error`].
pub async fn get(name: &str) -> Result<Option<String>, Error> {
    host::config(name).await
}
