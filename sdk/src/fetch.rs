//! Requests to the hosts that the manifest lists.
//!
//! ```
//! # use terrace_sdk::{Problem, fetch};
//! # #[derive(serde::Deserialize)] struct Rates;
//! # async fn example() -> Result<Rates, Problem> {
//! let rates: Rates = fetch::get("https://api.example.com/rates").send().await?.json()?;
//! # Ok(rates)
//! # }
//! ```
//!
//! The manifest grants the capability and lists the hosts:
//!
//! ```toml
//! capabilities = ["http"]
//! [http]
//! allow = ["https://api.example.com"]
//! ```
//!
//! A component speaks the standard `wasi:http/outgoing-handler`, so any other client for it works too.
//! Redirects are not followed: a service that wants to asks again, and is checked again.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request as HttpRequest, StatusCode, header::CONTENT_TYPE};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Problem, host};

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The manifest does not list the host, or the address may not be reached. The service's log says
    /// which, and what to change.
    #[error("the request to {0} is denied; the log says why")]
    Denied(String),
    /// The address, a header or the body is not possible.
    #[error("the request cannot be sent: {0}")]
    Invalid(String),
    /// Something did not come in time.
    #[error("{0} did not answer in time")]
    Timeout(String),
    /// No connection, or one that broke off; or over a limit.
    #[error("no answer from {0}: {1}")]
    Failed(String, String),
}

/// A request that is being put together.
#[derive(Debug)]
#[must_use = "a request goes out when it is sent"]
pub struct Request {
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Vec<u8>,
    wrong: Option<String>,
}

/// An answer, with its whole body.
#[derive(Debug, Clone)]
pub struct Response {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

/// GET.
pub fn get(url: &str) -> Request {
    request(Method::GET, url)
}

/// POST.
pub fn post(url: &str) -> Request {
    request(Method::POST, url)
}

/// Any method.
pub fn request(method: Method, url: &str) -> Request {
    Request {
        method,
        url: url.to_owned(),
        headers: HeaderMap::new(),
        body: Vec::new(),
        wrong: None,
    }
}

impl Request {
    /// Adds a header. One that `[http.credentials]` sets for the host is replaced by the host's.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) => drop(self.headers.append(name, value)),
            _ => self.wrong = Some(format!("`{name}` is no possible header")),
        }
        self
    }

    /// The body, as it is.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The body, as JSON.
    pub fn json<T: Serialize + ?Sized>(mut self, body: &T) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => self.body = body,
            Err(_) => self.wrong = Some("the body cannot be written as JSON".to_owned()),
        }
        self.headers
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self
    }

    /// Sends it, and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn send(self) -> Result<Response, Error> {
        if let Some(wrong) = self.wrong {
            return Err(Error::Invalid(wrong));
        }
        let mut request = HttpRequest::builder()
            .method(self.method)
            .uri(&self.url)
            .body(self.body);
        match &mut request {
            Ok(request) => *request.headers_mut() = self.headers,
            Err(_) => return Err(Error::Invalid(format!("`{}` is no possible address", self.url))),
        }
        let request = request.map_err(|error| Error::Invalid(error.to_string()))?;
        host::fetch(request).await
    }
}

impl Response {
    /// True for 200..300.
    pub fn is_success(&self) -> bool {
        self.status.is_success()
    }

    /// The body of a success.
    ///
    /// # Errors
    /// `service-failed` when it is no success or has another shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        if !self.is_success() {
            crate::log::warn!("a request to another host was answered {}", self.status);
            return Err(Problem::new(crate::Code::ServiceFailed));
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            crate::log::error!("a request to another host gave another shape than expected: {error}");
            Problem::new(crate::Code::ServiceFailed)
        })
    }
}
