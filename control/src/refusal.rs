//! An answer that is a problem document, and what of its cause goes to the log instead.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use terrace_ground_error::{Code, MEDIA_TYPE, Problem};

use crate::Error;

/// A refused request. [`crate::request::seal`] adds the request's id and logs the cause.
#[derive(Debug, Clone)]
pub(crate) struct Refusal(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    problem: Problem,
    cause: Option<String>,
    retry_after_seconds: Option<u32>,
}

impl Refusal {
    pub(crate) fn new(code: Code) -> Self {
        Problem::new(code).into()
    }

    pub(crate) fn detail(code: Code, detail: impl Into<String>) -> Self {
        Problem::new(code).detail(detail).into()
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::detail(Code::NotFound, detail)
    }

    /// "Come back in `seconds`."
    pub(crate) fn busy(detail: &str, seconds: u32) -> Self {
        let mut refusal = Self::detail(Code::TooManyRequests, detail);
        refusal.0.retry_after_seconds = Some(seconds);
        refusal
    }

    /// A fault of ours: the client reads `internal`, the log reads the cause.
    pub(crate) fn internal(cause: impl std::fmt::Display) -> Self {
        let mut refusal = Self::new(Code::Internal);
        refusal.0.cause = Some(cause.to_string());
        refusal
    }

    pub(crate) fn problem_mut(&mut self) -> &mut Problem {
        &mut self.0.problem
    }

    pub(crate) fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(Box::new(Inner {
            problem,
            cause: None,
            retry_after_seconds: None,
        }))
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound(detail) => Self::not_found(detail),
            Error::Conflict(detail) => Self::detail(Code::Conflict, detail),
            Error::Invalid(errors) => {
                let mut problem = Problem::new(Code::ValidationFailed);
                problem.errors = errors;
                problem.into()
            }
            Error::Unavailable(cause) => {
                let mut refusal = Self::detail(
                    Code::DataUnavailable,
                    "The database does not answer. Nothing was changed; try again.",
                );
                refusal.0.cause = Some(cause);
                refusal.0.retry_after_seconds = Some(1);
                refusal
            }
            Error::Internal(error) => Self::internal(causes(error.as_ref())),
        }
    }
}

/// The error and what led to it, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        line = format!("{line}: {error}");
        source = error.source();
    }
    line
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Inner {
            problem,
            retry_after_seconds,
            ..
        } = &*self.0;
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], problem.to_json()).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // For `seal`, which writes the body again, with the request's id in it.
        response.extensions_mut().insert(self);
        response
    }
}
