//! Problem documents as responses.

use http::{HeaderValue, Response, StatusCode, header};
use terrace_ground_error::{Code, MEDIA_TYPE, Problem};

use crate::body::{self, Body};

/// The response that carries `problem`, with the headers that its code calls for.
pub fn problem_response(problem: &Problem) -> Response<Body> {
    let mut response = Response::new(body::full(problem.to_json()));
    *response.status_mut() = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if matches!(
        problem.code,
        Code::ServiceOverloaded | Code::TooManyRequests | Code::DataUnavailable | Code::ServiceUnavailable
    ) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if problem.code == Code::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
