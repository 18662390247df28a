//! Forwarding of `/api`: one request in, one answer out, both streaming, nothing sent twice.
//!
//! While the node cannot be reached a request is held, because a restart is short and a failed
//! click is not. It is only ever repeated when the node has seen nothing of it, or when repeating
//! it means nothing (GET and HEAD, once).

use std::{net::IpAddr, sync::Arc, time::Duration, time::Instant};

use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts, uri::PathAndQuery};
use hyper::body::Incoming;
use terrace_ground_error::Code;
use terrace_ground_ids::RequestId;
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::timeout,
};

use crate::{
    Config, answers,
    body::{self, Body, Fault, Source, Upload},
    hygiene,
    manifest::{Host, STRICT_TRANSPORT_SECURITY},
    node::Node,
};

/// How long the rest of a refused body is read before the refusal is sent.
const REFUSED_BODY_DRAIN: Duration = Duration::from_secs(2);

/// Sends requests to the node on behalf of clients.
#[derive(Debug)]
pub(crate) struct Forwarder {
    pub(crate) config: Arc<Config>,
    pub(crate) node: Arc<Node>,
    /// Becomes true when the edge drains: event streams end.
    pub(crate) closing: watch::Receiver<bool>,
}

/// A request to forward, apart from its own head and body.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) host: Arc<Host>,
    /// The client's Host header, unchanged.
    pub(crate) host_header: HeaderValue,
    pub(crate) peer: IpAddr,
    pub(crate) id: RequestId,
}

/// How often a read is sent again when the node broke it off before it answered.
const REPEATS_MAX: u32 = 2;
const REPEAT_PAUSE: Duration = Duration::from_millis(100);

impl Forwarder {
    /// Forwards `request` and marks the answer with the request's id and the site's newest build.
    pub(crate) async fn forward(&self, call: Call, request: Request<Incoming>) -> Response<Body> {
        let mut response = self.attempt(&call, request).await.unwrap_or_else(|refusal| *refusal);
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(call.id.as_str()) {
            headers.insert(hygiene::REQUEST_ID, id);
        }
        if let Some(site) = &call.host.site {
            headers.insert(hygiene::TERRACE_LATEST, site.current.name.clone());
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if self.config.secure {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT_SECURITY);
        }
        // No cache between here and the browser may keep a tenant's data unless the service says so.
        headers
            .entry(header::CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
        response
    }

    async fn attempt(&self, call: &Call, request: Request<Incoming>) -> Result<Response<Body>, Box<Response<Body>>> {
        let (parts, incoming) = request.into_parts();
        let refuse = |code, detail: &str| Box::new(answers::problem(code, detail, &call.id));
        let Some(path) = parts.uri.path_and_query().filter(|path| !has_dot_segment(path.path())) else {
            return Err(refuse(
                Code::UnknownPath,
                "The path has dot segments, which no endpoint has.",
            ));
        };
        if declared_length(&parts).is_some_and(|length| length > self.config.body_bytes_max) {
            if !parts.headers.contains_key(header::EXPECT) {
                body::drain(
                    incoming,
                    self.config.body_bytes_max.saturating_mul(2),
                    REFUSED_BODY_DRAIN,
                )
                .await;
            }
            return Err(Box::new(self.too_large(call)));
        }
        let Ok(slot) = Arc::clone(&call.host.bounds.forwards).try_acquire_owned() else {
            let detail = format!(
                "{} requests of this host are being answered already. Try again shortly.",
                self.config.forwards_per_host_max
            );
            return Err(Box::new(answers::retry_after(
                answers::problem(Code::ServiceOverloaded, &detail, &call.id),
                1,
            )));
        };
        let source = Source::new(incoming, self.config.body_bytes_max);
        let response = self.send(call, &parts, path, &source).await?;
        self.pass_on(call, response, slot)
    }

    /// Sends until an answer comes, holding the request while the node is away.
    async fn send(
        &self,
        call: &Call,
        parts: &Parts,
        path: &PathAndQuery,
        source: &Source,
    ) -> Result<Response<Incoming>, Box<Response<Body>>> {
        let is_idempotent = source.is_empty() && (parts.method == Method::GET || parts.method == Method::HEAD);
        let (mut deadline, mut repeats) = (None, 0);
        loop {
            if let Some(since) = self.node.outage() {
                self.hold(call, *deadline.get_or_insert(since + self.config.hold()))
                    .await?;
            }
            let request = self.request(call, parts, path, source);
            let Ok(answer) = timeout(self.config.response_head_timeout(), self.node.send(request)).await else {
                return Err(Box::new(answers::problem(
                    Code::ServiceTimeout,
                    "The node did not begin to answer in time. It may still carry the request out.",
                    &call.id,
                )));
            };
            let error = match answer {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            match source.fault() {
                Some(Fault::TooLarge) => return Err(Box::new(self.too_large(call))),
                Some(Fault::Stalled) => {
                    return Err(Box::new(answers::problem(
                        Code::MalformedRequest,
                        "The body stopped arriving.",
                        &call.id,
                    )));
                }
                Some(Fault::Broken) => {
                    return Err(Box::new(answers::problem(
                        Code::MalformedRequest,
                        "The body broke off.",
                        &call.id,
                    )));
                }
                None => {}
            }
            if error.is_connect() && !source.started() {
                // Nothing was sent; the outage that has begun decides how long this goes on.
                continue;
            }
            if is_idempotent && repeats < REPEATS_MAX {
                // At once for a connection that was closed while idle; after a moment for a node that
                // was killed, whose listening socket takes that long to go.
                if repeats > 0 {
                    tokio::time::sleep(REPEAT_PAUSE).await;
                }
                repeats += 1;
                continue;
            }
            tracing::warn!(request.id = %call.id, method = %parts.method, path = path.path(), "The node broke off a request: {error}");
            let lost = if is_idempotent {
                answers::retry_after(
                    answers::problem(
                        Code::BackendUnavailable,
                        "The backend broke off while it answered.",
                        &call.id,
                    ),
                    1,
                )
            } else {
                // No Retry-After: it would invite a client to do the same thing twice.
                answers::problem(
                    Code::BackendUnavailable,
                    "The backend broke off. The request may or may not have been carried out; look before you repeat it.",
                    &call.id,
                )
            };
            return Err(Box::new(lost));
        }
    }

    /// Waits for the node, within the bounds on time and number.
    async fn hold(&self, call: &Call, deadline: Instant) -> Result<(), Box<Response<Body>>> {
        let unavailable = |detail| {
            Box::new(answers::retry_after(
                answers::problem(Code::BackendUnavailable, detail, &call.id),
                2,
            ))
        };
        if Instant::now() >= deadline {
            return Err(unavailable(
                "The backend cannot be reached. The page stays; what it shows may be old.",
            ));
        }
        let (Ok(_place), Ok(_any)) = (call.host.bounds.parked.try_acquire(), self.node.parked.try_acquire()) else {
            return Err(unavailable(
                "The backend cannot be reached, and as many requests as allowed wait for it already.",
            ));
        };
        if self.node.back(deadline).await {
            Ok(())
        } else {
            Err(unavailable(
                "The backend cannot be reached. The request was held for a while and not sent.",
            ))
        }
    }

    fn request(&self, call: &Call, parts: &Parts, path: &PathAndQuery, source: &Source) -> Request<Upload> {
        let mut request = Request::new(source.upload(self.config.body_idle_timeout()));
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = self.node.uri(path.clone());
        *request.headers_mut() = hygiene::request(
            &parts.headers,
            &call.host_header,
            call.peer,
            self.config.secure,
            &call.id,
        );
        request
    }

    fn pass_on(
        &self,
        call: &Call,
        response: Response<Incoming>,
        slot: OwnedSemaphorePermit,
    ) -> Result<Response<Body>, Box<Response<Body>>> {
        let (mut parts, incoming) = response.into_parts();
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Box::new(answers::problem(
                Code::ServiceFailed,
                "The backend wanted to switch protocols, which no endpoint may.",
                &call.id,
            )));
        }
        hygiene::response(&mut parts.headers);
        let is_stream = parts
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
        let body = if is_stream {
            let Ok(stream) = Arc::clone(&call.host.bounds.streams).try_acquire_owned() else {
                let detail = format!(
                    "{} event streams of this host are open already.",
                    self.config.streams_per_host_max
                );
                return Err(Box::new(answers::retry_after(
                    answers::problem(Code::ServiceOverloaded, &detail, &call.id),
                    5,
                )));
            };
            let mut closing = self.closing.clone();
            Body::stream(
                incoming,
                stream,
                Some(Box::pin(
                    async move { drop(closing.wait_for(|closing| *closing).await) },
                )),
            )
        } else {
            Body::stream(incoming, slot, None)
        };
        let mut passed = Response::new(body);
        *passed.status_mut() = parts.status;
        *passed.headers_mut() = parts.headers;
        Ok(passed)
    }

    fn too_large(&self, call: &Call) -> Response<Body> {
        let detail = format!("A body may have {} bytes at most.", self.config.body_bytes_max);
        answers::problem(Code::BodyTooLarge, &detail, &call.id)
    }
}

/// True for `/api` and everything under it: all that is ever forwarded.
pub(crate) fn is_api(path: &str) -> bool {
    path.strip_prefix("/api")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// True when a server that resolves `..` would read another path than the edge did.
fn has_dot_segment(path: &str) -> bool {
    path.split(['/', '\\']).any(|segment| {
        let segment = segment.split(';').next().unwrap_or_default();
        segment.len() <= 6 && matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
    }) || path.to_ascii_lowercase().contains("%2f..")
}

fn declared_length(parts: &Parts) -> Option<u64> {
    parts.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_api_paths_are_api_paths() {
        assert!(is_api("/api") && is_api("/api/tasks") && is_api("/api/"));
        assert!(
            !is_api("/apis") && !is_api("/internal/health") && !is_api("/Api/x") && !is_api("/%61pi/x") && !is_api("/")
        );
    }

    #[test]
    fn a_path_that_climbs_is_seen_in_every_spelling() {
        for path in [
            "/api/../internal/x",
            "/api/%2e%2e/internal",
            "/api/.%2E/x",
            "/api/./x",
            "/api/..;a/x",
            "/api\\..\\x",
            "/api/x%2f../y",
        ] {
            assert!(has_dot_segment(path), "{path}");
        }
        for path in ["/api/tasks/v1.2", "/api/...", "/api/.well-known", "/api/a..b"] {
            assert!(!has_dot_segment(path), "{path}");
        }
    }
}
