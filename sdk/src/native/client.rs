//! Asks a service as a client would, without a network: what a service's unit tests are written in.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use http::{HeaderMap, Method, Request, StatusCode, header::CONTENT_TYPE};
use serde::de::DeserializeOwned;
use tower::ServiceExt as _;

use crate::{
    Caller, Router,
    native::{Facts, Host, scope},
    request::Role,
};

/// A client of one service, with an identity that it says itself.
#[derive(Clone)]
pub struct Client {
    router: axum::Router,
    host: Arc<dyn Host>,
    facts: Facts,
    headers: HeaderMap,
}

/// What the service answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Vec<u8>,
}

impl Client {
    /// A client that is nobody.
    pub fn new(router: Router, host: Arc<dyn Host>, facts: Facts) -> Self {
        Self {
            router: router.into_axum(),
            host,
            facts,
            headers: HeaderMap::new(),
        }
    }

    /// The same client as a member.
    #[must_use]
    pub fn member(&self, member: &str, role: Role) -> Self {
        let caller = Caller {
            member: member.to_owned(),
            name: member.to_owned(),
            role,
        };
        let facts = Facts {
            caller: Some(caller),
            ..self.facts.clone()
        };
        Self { facts, ..self.clone() }
    }

    /// The same client with one more header. Panics on a header that HTTP does not allow.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test's own mistake should stop the test")]
    pub fn header(&self, name: &'static str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.insert(name, value.parse().expect("a header value"));
        client
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, Body::empty()).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, Body::empty()).await
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: serde_json::Value) -> Answer {
        self.send(Method::POST, path, Body::from(body.to_string())).await
    }

    /// PUT of JSON.
    pub async fn put(&self, path: &str, body: serde_json::Value) -> Answer {
        self.send(Method::PUT, path, Body::from(body.to_string())).await
    }

    /// PATCH of JSON.
    pub async fn patch(&self, path: &str, body: serde_json::Value) -> Answer {
        self.send(Method::PATCH, path, Body::from(body.to_string())).await
    }

    /// Any request, with `content-type: application/json`. Panics on a path that is none.
    #[expect(clippy::expect_used, reason = "a test's own mistake should stop the test")]
    pub async fn send(&self, method: Method, path: &str, body: Body) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .body(body)
            .expect("a request");
        request
            .headers_mut()
            .insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        request.headers_mut().extend(self.headers.clone());
        let answer = async {
            let response = match self.router.clone().oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            let (parts, body) = response.into_parts();
            let body = to_bytes(body, usize::MAX).await.expect("a whole body").to_vec();
            Answer {
                status: parts.status,
                headers: parts.headers,
                body,
            }
        };
        scope(Arc::clone(&self.host), self.facts.clone(), answer).await
    }
}

impl Answer {
    /// The body as a `T`. Panics, with the body, when it is none.
    #[expect(clippy::panic, reason = "a test should stop and show what came")]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {} {}", self.status, String::from_utf8_lossy(&self.body)))
    }

    /// The body as JSON. Panics, with the body, when it is none.
    pub fn value(&self) -> serde_json::Value {
        self.json()
    }

    /// The code of a problem document; empty for anything else.
    pub fn code(&self) -> String {
        let problem: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        problem
            .and_then(|problem| Some(problem.get("code")?.as_str()?.to_owned()))
            .unwrap_or_default()
    }
}
