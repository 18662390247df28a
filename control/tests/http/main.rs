//! The control plane's API over HTTP, with a platform that lives in memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access;
mod input;
mod lifecycle;
mod memory;
mod releases;
mod settings;
mod streams;
mod tenants;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
};
use http_body_util::BodyExt as _;
use serde_json::Value;
use terrace_control::{Config, State};
use terrace_ground_token::{CONTROL_AUDIENCE, Keys, Member};
use tower::ServiceExt as _;

use memory::Memory;

const OPERATOR_TOKEN: &str = "op_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const EMAIL: &str = "operator@terrace.example";
const PASSWORD: &str = "terrace-demo-2026";
const TENANT: &str = "t_7f3k9q2m";

fn keys() -> Keys {
    Keys::from_seed(&[7; 32])
}

fn app() -> Router {
    app_with(Config::default())
}

fn app_with(config: Config) -> Router {
    let state = State::new(config, std::sync::Arc::new(Memory::new()), keys(), Some(OPERATOR_TOKEN));
    terrace_control::router(state.clone()).merge(terrace_control::internal(state))
}

/// A token of an operator (or whatever the arguments make of it).
fn token(audience: &str, role: &str, age_seconds: i64) -> String {
    let now = jiff::Timestamp::now().as_second();
    let member = Member {
        id: EMAIL,
        name: "Olga",
        role,
    };
    keys().sign(audience, &member, now - age_seconds, 60)
}

fn session() -> String {
    token(CONTROL_AUDIENCE, "operator", 0)
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// That it is a problem document with this code, its status, and the request's id.
    #[track_caller]
    fn is_problem(&self, code: &str, status: u16) {
        assert_eq!((self.code(), self.status.as_u16()), (code, status), "{}", self.body);
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["request_id"].as_str().unwrap(), self.headers["x-request-id"]);
    }

    fn pointers(&self) -> Vec<&str> {
        self.body["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| error["pointer"].as_str().unwrap())
            .collect()
    }
}

async fn send(app: &Router, request: Request<Body>) -> Answer {
    let response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into());
    Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}

/// A request of an operator, with a JSON body if there is one.
fn request(method: &str, path: &str, body: Option<Value>) -> Request<Body> {
    let builder = Request::builder()
        .method(method)
        .uri(path)
        .header(header::AUTHORIZATION, format!("Bearer {}", session()));
    match body {
        Some(body) => builder
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.to_string().into())
            .unwrap(),
        None => builder.body(Body::empty()).unwrap(),
    }
}

async fn get(app: &Router, path: &str) -> Answer {
    send(app, request("GET", path, None)).await
}

async fn post(app: &Router, path: &str, body: Value) -> Answer {
    send(app, request("POST", path, Some(body))).await
}
