//! Calls to other services of the same tenant: in the same process, with the same caller.
//!
//! `calls::get("identity", "/api/identity/members").await?.json::<Members>()?`

use serde::{Serialize, de::DeserializeOwned};

use crate::{Problem, host};

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The manifest's `calls` does not list the service, or it is not deployed.
    #[error("the called service is not known")]
    UnknownService,
    /// The called service trapped or passed one of its limits.
    #[error("the called service failed")]
    Failed,
    /// Calls nest too deeply.
    #[error("calls nest too deeply")]
    TooDeep,
    /// The request's deadline passed.
    #[error("the called service did not answer in time")]
    Timeout,
}

/// A request to another service.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Its name: `identity`.
    pub service: String,
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// JSON.
    pub body: Option<String>,
}

/// Its answer.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The HTTP status.
    pub status: u16,
    /// JSON, usually.
    pub body: String,
}

impl Incoming {
    /// True for 200..300.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body of a success.
    ///
    /// # Errors
    /// `service-failed` when it is no success or has another shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        if !self.is_success() {
            crate::log::warn!("a call to another service was answered {}", self.status);
            return Err(Error::Failed.into());
        }
        serde_json::from_str(&self.body).map_err(|error| {
            crate::log::error!("a call to another service gave another shape than expected: {error}");
            Error::Failed.into()
        })
    }
}

/// Reads from another service.
///
/// # Errors
/// See [`Error`].
pub async fn get(service: &str, path: &str) -> Result<Incoming, Error> {
    send(service, "GET", path, None).await
}

/// Sends JSON to another service.
///
/// # Errors
/// See [`Error`]; [`Error::Failed`] also when `body` is no JSON.
pub async fn post<T: Serialize + ?Sized>(service: &str, path: &str, body: &T) -> Result<Incoming, Error> {
    let body = serde_json::to_string(body).map_err(|_| Error::Failed)?;
    send(service, "POST", path, Some(body)).await
}

async fn send(service: &str, method: &str, path: &str, body: Option<String>) -> Result<Incoming, Error> {
    host::call(Outgoing {
        service: service.to_owned(),
        method: method.to_owned(),
        path: path.to_owned(),
        body,
    })
    .await
}
