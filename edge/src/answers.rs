//! What the edge answers by itself: problem documents, two pages, its health.

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use terrace_ground_error::{Code, MEDIA_TYPE, Problem};
use terrace_ground_ids::RequestId;

use crate::{body::Body, hygiene};

/// A problem document with `code`'s status. `detail` is read by clients.
pub(crate) fn problem(code: Code, detail: &str, id: &RequestId) -> Response<Body> {
    let document = Problem::new(code).detail(detail).request(id).to_json();
    let mut response = Response::new(Body::from(document));
    *response.status_mut() = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        headers.insert(hygiene::REQUEST_ID, id);
    }
    response
}

/// Adds `Retry-After` in seconds.
pub(crate) fn retry_after(mut response: Response<Body>, seconds: u64) -> Response<Body> {
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// Adds `Allow` for a site: a static file can only be read.
pub(crate) fn method_not_allowed(id: &RequestId) -> Response<Body> {
    let mut response = problem(
        Code::MethodNotAllowed,
        "A site answers GET and HEAD. Writes go to /api.",
        id,
    );
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

/// True when a person is looking: a GET or HEAD that takes HTML.
pub(crate) fn is_navigation<B>(request: &Request<B>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
        && request.headers().get_all(header::ACCEPT).iter().any(|value| {
            value
                .as_bytes()
                .windows(9)
                .any(|part| part.eq_ignore_ascii_case(b"text/html"))
        })
}

/// The pages that are part of the edge, because there is no site to take them from.
#[derive(Debug)]
pub(crate) struct Pages {
    unknown_host: Page,
    starting: Page,
}

impl Pages {
    pub(crate) fn new() -> Self {
        Self {
            unknown_host: Page::new(include_str!("pages/unknown_host.html")),
            starting: Page::new(include_str!("pages/starting.html")),
        }
    }

    /// No tenant lives at this host.
    pub(crate) fn unknown_host<B>(&self, request: &Request<B>, id: &RequestId) -> Response<Body> {
        if is_navigation(request) {
            self.unknown_host.response(StatusCode::NOT_FOUND)
        } else {
            problem(
                Code::UnknownHost,
                "No workspace lives at this host. Check the spelling of the address.",
                id,
            )
        }
    }

    /// The edge has never seen a snapshot, or the host's site has not arrived yet.
    pub(crate) fn starting<B>(&self, request: &Request<B>, id: &RequestId) -> Response<Body> {
        if is_navigation(request) {
            retry_after(self.starting.response(StatusCode::SERVICE_UNAVAILABLE), 2)
        } else {
            retry_after(problem(Code::BackendUnavailable, "Terrace is starting.", id), 2)
        }
    }
}

/// A page with its style inside, allowed by the style's hash.
#[derive(Debug)]
struct Page {
    html: &'static str,
    policy: HeaderValue,
}

impl Page {
    fn new(html: &'static str) -> Self {
        let style = html
            .split_once("<style>")
            .and_then(|(_, rest)| rest.split_once("</style>"))
            .map_or("", |(style, _)| style);
        let hash = data_encoding::BASE64.encode(&Sha256::digest(style.as_bytes()));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        Self {
            html,
            policy: HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'")),
        }
    }

    fn response(&self, status: StatusCode) -> Response<Body> {
        let mut response = Response::new(Body::from(self.html));
        *response.status_mut() = status;
        let headers: &mut HeaderMap = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    }
}

/// The document at `/.well-known/terrace/edge`.
#[derive(Debug, Serialize)]
pub(crate) struct Health {
    /// `serving` or `starting`.
    pub(crate) status: &'static str,
    /// The snapshot's version.
    pub(crate) snapshot: Option<String>,
    /// False while the disk refuses to keep the snapshot; a restart would show an older one.
    pub(crate) persisted: bool,
    /// Builds in memory.
    pub(crate) builds: usize,
    /// `up` or `down`.
    pub(crate) node: &'static str,
}

impl Health {
    pub(crate) fn response(&self) -> Response<Body> {
        let mut response = Response::new(Body::from(serde_json::to_vec(self).unwrap_or_default()));
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
