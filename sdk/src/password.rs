//! Passwords: argon2id, in the host, with bounded concurrency.

use crate::host;

/// Why a password could not be hashed or checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Under the platform's minimum.
    #[error("the password is too short")]
    TooShort,
    /// Over the platform's maximum.
    #[error("the password is too long")]
    TooLong,
    /// Too many passwords are being hashed at this moment.
    #[error("too many passwords are being checked at once")]
    Busy,
    /// What the service kept is no hash.
    #[error("the stored password hash is malformed")]
    MalformedHash,
}

/// A PHC string to keep: it carries its algorithm, its parameters and its salt.
///
/// # Errors
/// See [`Error`].
pub async fn hash(password: &str) -> Result<String, Error> {
    host::hash(password).await
}

/// False for a wrong password. With no hash, a dummy is checked, so that an unknown user costs the
/// same time as a known one.
///
/// # Errors
/// See [`Error`].
pub async fn verify(password: &str, hash: Option<&str>) -> Result<bool, Error> {
    host::verify(password, hash).await
}
