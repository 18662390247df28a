//! Secrets that an operator has set for this service, for all tenants or for the one of the request.
//!
//! ```
//! # use terrace_sdk::{Problem, secrets};
//! # async fn example() -> Result<(), Problem> {
//! let key = secrets::get("webhook-key").await?;
//! # drop(key);
//! # Ok(())
//! # }
//! ```
//!
//! The manifest lists the names: `secrets = ["webhook-key"]`. One that is only sent in a header is
//! better listed in `[http.credentials]`: then the host adds it, and the service never holds it.

use crate::host;

/// Why there is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The manifest's `secrets` does not list the name.
    #[error("the manifest does not list the secret")]
    NotListed,
    /// No operator has set it.
    #[error("the secret is not set: an operator does it with `terrace secret set`")]
    NotSet,
    /// It cannot be read at the moment.
    #[error("the secret cannot be read at the moment")]
    Unavailable,
}

/// The secret as it is now. Ask again with each request rather than keep it: an operator may change it.
///
/// # Errors
/// See [`Error`].
pub async fn get(name: &str) -> Result<String, Error> {
    host::secret(name).await
}
