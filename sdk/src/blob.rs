//! Files of this tenant: pictures, reports, attachments. They last, like rows.
//!
//! ```
//! # use std::time::Duration;
//! # use terrace_sdk::{Problem, blob};
//! # async fn example(pdf: Vec<u8>) -> Result<String, Problem> {
//! blob::put("invoices/2026/7.pdf", "application/pdf", pdf).await?;
//! let link = blob::read_link("invoices/2026/7.pdf", Duration::from_secs(600))?;
//! # Ok(link)
//! # }
//! ```
//!
//! A browser uploads without passing through the service: give it a [`write_link`], and let it `PUT` the
//! file there. `contracts/wit/blob.wit` says what is promised and what is not.

use std::time::Duration;

use serde::Serialize;

use crate::host;

/// What went wrong, roughly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A name, type, link or content that may not be.
    BadValue,
    /// A file or the tenant's room is full.
    Limit,
    /// The database is away or too slow.
    Unavailable,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Roughly.
    pub kind: ErrorKind,
    /// What to do, for the author of the service.
    pub message: String,
}

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Info {
    /// Its name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// As it was given: `image/png`.
    pub content_type: String,
    /// SHA-256 of the content, 64 hexadecimal digits.
    pub sha256: String,
    /// When it was written, in milliseconds since 1970.
    pub written_at: u64,
}

/// Writes a file, instead of the one that may be there. A name is parts between `/`.
///
/// # Errors
/// [`ErrorKind::BadValue`] and [`ErrorKind::Limit`]: nothing was changed; [`ErrorKind::Unavailable`].
pub async fn put(name: &str, content_type: &str, content: impl Into<Vec<u8>>) -> Result<Info, Error> {
    host::blob_put(name, content_type, content.into()).await
}

/// A file, whole.
///
/// # Errors
/// [`ErrorKind::BadValue`] for a name that no file has, [`ErrorKind::Unavailable`].
pub async fn get(name: &str) -> Result<Option<Vec<u8>>, Error> {
    host::blob_get(name).await
}

/// What is known of a file.
///
/// # Errors
/// As [`get`].
pub async fn stat(name: &str) -> Result<Option<Info>, Error> {
    host::blob_stat(name).await
}

/// Removes files, at most 1,000. Those that are not there are removed already.
///
/// # Errors
/// As [`get`].
pub async fn delete<T: AsRef<str>>(names: &[T]) -> Result<(), Error> {
    host::blob_delete(names.iter().map(|name| name.as_ref().to_owned()).collect()).await
}

/// The first 1,000 files whose names begin with `prefix` and come after `after`, by name.
///
/// # Errors
/// As [`get`].
pub async fn list(prefix: &str, after: &str) -> Result<Vec<Info>, Error> {
    host::blob_list(prefix, after).await
}

/// A path on the tenant's host where a browser gets the file, for at most 7 days.
///
/// # Errors
/// [`ErrorKind::BadValue`].
pub fn read_link(name: &str, life: Duration) -> Result<String, Error> {
    host::blob_link(name, false, seconds(life))
}

/// A path on the tenant's host where a browser may `PUT` the file, for at most 7 days.
///
/// # Errors
/// [`ErrorKind::BadValue`].
pub fn write_link(name: &str, life: Duration) -> Result<String, Error> {
    host::blob_link(name, true, seconds(life))
}

fn seconds(life: Duration) -> u32 {
    u32::try_from(life.as_secs()).unwrap_or(u32::MAX)
}
