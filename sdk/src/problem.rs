//! Problem details (RFC 9457), as a service answers them.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use crate::host;

pub use terrace_ground_error::Code;

/// An answer that is no success. One pointer wide: every `Result` of a handler carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(Box<Document>);

/// The body of every answer that is no success. It carries a stable code; an inner message never
/// gets here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
struct Document {
    /// A page about this code.
    #[serde(rename = "type")]
    #[schema(example = "https://terrace.dev/problems/not-found")]
    kind: String,
    /// The code in one short sentence.
    title: String,
    /// The HTTP status, repeated.
    status: u16,
    /// What happened this time, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The stable code.
    #[schema(value_type = String, example = "not-found")]
    code: Code,
    /// What to quote when asking for help.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    /// The fields that are not valid, for `validation-failed`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldError>,
}

/// One field that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// A JSON pointer (RFC 6901) into the body: `/title`.
    pub pointer: String,
    /// What is wrong with it, in a sentence.
    pub detail: String,
}

impl Problem {
    /// A problem with the code's own title and status.
    pub fn new(code: Code) -> Self {
        Self(Box::new(Document {
            kind: format!("https://terrace.dev/problems/{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status(),
            detail: None,
            code,
            request_id: None,
            errors: Vec::new(),
        }))
    }

    /// `not-found`: `what` is missing, as in `Problem::not_found("board")`.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound).detail(format!("There is no such {what}."))
    }

    /// `conflict`, with a sentence that says with what.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(Code::Conflict).detail(detail)
    }

    /// `forbidden`, with a sentence that says who may.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(Code::Forbidden).detail(detail)
    }

    /// `validation-failed` for one field.
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(Code::ValidationFailed).field(pointer, detail)
    }

    /// `internal`. The cause goes to the log, with the request's id, and never to the client.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        crate::log::error!("{cause}");
        Self::new(Code::Internal)
    }

    /// Adds what happened this time. Clients read it: no inner message may go here.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds a field that is not valid.
    #[must_use]
    pub fn field(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.0.errors.push(FieldError {
            pointer: pointer.into(),
            detail: detail.into(),
        });
        self
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    pub(crate) fn fields(&self) -> &[FieldError] {
        &self.0.errors
    }
}

impl PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        Document::schema()
    }
}

impl ToSchema for Problem {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Document::schemas(schemas);
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        self.0.request_id = host::request_id();
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(terrace_ground_error::MEDIA_TYPE));
        response
    }
}

/// Lets `?` turn an error of the SDK into an answer, and an author's own error type be one.
impl From<crate::calls::Error> for Problem {
    fn from(error: crate::calls::Error) -> Self {
        match error {
            crate::calls::Error::Timeout => Self::new(Code::ServiceTimeout),
            crate::calls::Error::UnknownService => Self::new(Code::ServiceUnavailable),
            crate::calls::Error::Failed | crate::calls::Error::TooDeep => Self::new(Code::ServiceFailed),
        }
    }
}

/// What a service lacks is not the client's business: it goes to the log.
impl From<crate::secrets::Error> for Problem {
    fn from(error: crate::secrets::Error) -> Self {
        match error {
            crate::secrets::Error::Unavailable => Self::new(Code::DataUnavailable),
            crate::secrets::Error::NotListed | crate::secrets::Error::NotSet => Self::internal(error),
        }
    }
}

impl From<crate::config::Error> for Problem {
    fn from(error: crate::config::Error) -> Self {
        match error {
            crate::config::Error::Unavailable => Self::new(Code::DataUnavailable),
            crate::config::Error::NotListed => Self::internal(error),
        }
    }
}

impl From<crate::blob::Error> for Problem {
    fn from(error: crate::blob::Error) -> Self {
        match error.kind {
            crate::blob::ErrorKind::BadValue => Self::new(Code::ValidationFailed).detail(error.message),
            crate::blob::ErrorKind::Limit => Self::new(Code::PlanLimitReached).detail(error.message),
            crate::blob::ErrorKind::Unavailable => Self::new(Code::DataUnavailable),
        }
    }
}

impl From<crate::cache::Error> for Problem {
    fn from(error: crate::cache::Error) -> Self {
        Self::internal(error)
    }
}

impl From<crate::fetch::Error> for Problem {
    fn from(error: crate::fetch::Error) -> Self {
        let code = match error {
            crate::fetch::Error::Timeout(_) => Code::ServiceTimeout,
            crate::fetch::Error::Failed(..) => Code::ServiceFailed,
            crate::fetch::Error::Denied(_) | crate::fetch::Error::Invalid(_) => return Self::internal(error),
        };
        crate::log::warn!("{error}");
        Self::new(code)
    }
}

impl From<crate::password::Error> for Problem {
    fn from(error: crate::password::Error) -> Self {
        use crate::password::Error;
        match error {
            Error::TooShort | Error::TooLong => Self::invalid("/password", format!("{error}.")),
            Error::Busy => Self::new(Code::ServiceOverloaded),
            Error::MalformedHash => Self::internal(error),
        }
    }
}
