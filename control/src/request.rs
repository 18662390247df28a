//! What happens to every request: its id, the refusal of cross-site writes, and a problem document
//! for every error, also for those that axum answers by itself.

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use terrace_ground_error::{Code, MEDIA_TYPE};
use terrace_ground_ids::RequestId;

use crate::refusal::Refusal;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Outermost: gives the request its id (the edge's, or a new one) and completes the answer.
pub(crate) async fn seal(request: Request, next: Next) -> Response {
    let id = request
        .headers()
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<RequestId>().ok())
        .unwrap_or_else(RequestId::random);
    let method = request.method().clone();
    let path = request.uri().path().to_owned();

    let mut response = complete(next.run(request).await, &id, &method, &path);
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        headers.insert(REQUEST_ID, value);
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

fn complete(mut response: Response, id: &RequestId, method: &Method, path: &str) -> Response {
    let mut refusal = match response.extensions_mut().remove::<Refusal>() {
        Some(refusal) => refusal,
        None if is_bare_error(&response) => Refusal::new(code_of(response.status())),
        None => return response,
    };
    if let Some(cause) = refusal.cause() {
        tracing::error!(request.id = %id, "{method} {path} failed: {cause}");
    }
    refusal.problem_mut().request_id = Some(id.clone());
    let problem = refusal.into_response();
    merge(problem, response)
}

/// The problem, with the headers of the first answer that say something else (`Allow`).
fn merge(mut problem: Response, answered: Response) -> Response {
    for (name, value) in answered.headers() {
        if name != header::CONTENT_LENGTH && !problem.headers().contains_key(name) {
            problem.headers_mut().insert(name, value.clone());
        }
    }
    problem
}

fn is_bare_error(response: &Response) -> bool {
    let status = response.status();
    let is_problem = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value == MEDIA_TYPE);
    (status.is_client_error() || status.is_server_error()) && !is_problem
}

fn code_of(status: StatusCode) -> Code {
    match status {
        StatusCode::NOT_FOUND => Code::UnknownPath,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => Code::BodyTooLarge,
        status if status.is_client_error() => Code::MalformedRequest,
        _ => Code::Internal,
    }
}

/// A browser says where a request comes from. A write that another site caused is refused, whatever
/// cookie came with it; clients that are not browsers send no such header and carry no cookie.
pub(crate) async fn refuse_cross_site(request: Request, next: Next) -> Response {
    let is_write = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let site = request.headers().get("sec-fetch-site").map(HeaderValue::as_bytes);
    if is_write && !matches!(site, None | Some(b"same-origin" | b"none")) {
        return Refusal::new(Code::CrossSiteRequest).into_response();
    }
    next.run(request).await
}

/// For every path that is nothing.
pub(crate) async fn unknown_path() -> Refusal {
    Refusal::new(Code::UnknownPath)
}

/// For every method that a path does not take; axum adds `Allow`.
pub(crate) async fn method_not_allowed() -> Refusal {
    Refusal::new(Code::MethodNotAllowed)
}
