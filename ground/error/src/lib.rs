//! Problem details (RFC 9457) and the stable codes that clients may read.
//!
//! Whatever a client sees of an error is a [`Problem`]. It carries a code, a sentence and the
//! request's id; an inner message (SQL, a trap, a path) never becomes one.

use serde::{Deserialize, Serialize};
use terrace_ground_ids::RequestId;

/// The media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";

macro_rules! codes {
    ($($variant:ident, $status:literal, $code:literal, $title:literal;)*) => {
        /// Why a request failed, in a word that never changes. Each has a line in
        /// `docs/reference/problems.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code {
            $(
                #[doc = $title]
                #[serde(rename = $code)]
                $variant,
            )*
        }

        impl Code {
            /// Every code, in the order of the reference page.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The HTTP status that the code is sent with.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// The code as clients see it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// One short sentence for people.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

codes! {
    MalformedBody, 400, "malformed-body", "The body is not valid JSON of the expected shape";
    MalformedRequest, 400, "malformed-request", "The request is not valid HTTP for this endpoint";
    Unauthenticated, 401, "unauthenticated", "Sign in first";
    TokenExpired, 401, "token-expired", "The session token has expired";
    TokenInvalid, 401, "token-invalid", "The session token is not valid";
    TokenForeign, 403, "token-foreign", "The session token belongs to another workspace";
    PlanLimitReached, 402, "plan-limit-reached", "The plan's limit is reached";
    Forbidden, 403, "forbidden", "This member may not do that";
    CrossSiteRequest, 403, "cross-site-request", "Writes from other sites are refused";
    TenantSuspended, 403, "tenant-suspended", "This workspace is suspended";
    UnknownHost, 404, "unknown-host", "No workspace lives at this address";
    UnknownPath, 404, "unknown-path", "No such endpoint";
    NotFound, 404, "not-found", "No such thing here";
    MethodNotAllowed, 405, "method-not-allowed", "The endpoint does not take this method";
    Conflict, 409, "conflict", "The request conflicts with what is there";
    BodyTooLarge, 413, "body-too-large", "The body is over the limit";
    ValidationFailed, 422, "validation-failed", "A field is not valid";
    TooManyRequests, 429, "too-many-requests", "Too many requests at once";
    HeadersTooLarge, 431, "headers-too-large", "The headers are over the limit";
    Internal, 500, "internal", "Something went wrong on our side";
    ServiceFailed, 502, "service-failed", "The service failed on this request";
    ServiceMemoryLimit, 502, "service-memory-limit", "The service passed its memory limit";
    ServiceUnavailable, 503, "service-unavailable", "The service is not available";
    ServiceOverloaded, 503, "service-overloaded", "The service is at its concurrency limit for this workspace";
    DataUnavailable, 503, "data-unavailable", "The database is not available";
    BackendUnavailable, 503, "backend-unavailable", "The backend is not available; the page still is";
    ServiceCpuLimit, 504, "service-cpu-limit", "The service passed its CPU limit";
    ServiceTimeout, 504, "service-timeout", "The service did not answer in time";
}

/// One field that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// A JSON pointer (RFC 6901) into the body: `/title`.
    pub pointer: String,
    /// What is wrong with it, in a sentence.
    pub detail: String,
}

/// A problem document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A page about this code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code's title.
    pub title: String,
    /// The HTTP status, repeated.
    pub status: u16,
    /// What happened this time, for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    /// The stable code.
    pub code: Code,
    /// What to quote when asking for help.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<RequestId>,
    /// The fields that are not valid, for `validation-failed`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub errors: Vec<FieldError>,
}

impl Problem {
    /// A problem with the code's own title and status.
    pub fn new(code: Code) -> Self {
        Self {
            kind: format!("https://terrace.dev/problems/{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status(),
            detail: None,
            code,
            request_id: None,
            errors: Vec::new(),
        }
    }

    /// Adds what happened this time. Clients read it: no inner message may go here.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds the request's id.
    #[must_use]
    pub fn request(mut self, id: &RequestId) -> Self {
        self.request_id = Some(id.clone());
        self
    }

    /// Adds a field that is not valid.
    #[must_use]
    pub fn field(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.errors.push(FieldError {
            pointer: pointer.into(),
            detail: detail.into(),
        });
        self
    }

    /// The document as JSON bytes, to be sent with [`MEDIA_TYPE`].
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_back_as_it_was_written() {
        let problem = Problem::new(Code::ValidationFailed)
            .detail("The title is empty.")
            .field("/title", "must not be empty")
            .request(&RequestId::random());
        assert_eq!(serde_json::from_slice::<Problem>(&problem.to_json()).unwrap(), problem);
    }

    #[test]
    fn no_two_codes_share_a_word() {
        let mut words: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Code::ALL.len());
    }
}
