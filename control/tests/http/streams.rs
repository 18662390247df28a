//! The live meters.

use axum::http::StatusCode;
use http_body_util::BodyExt as _;
use terrace_control::Config;
use tower::ServiceExt as _;

use crate::{app_with, get, request};

const STREAM: &str = "/api/control/meters/stream";

#[tokio::test]
async fn a_stream_sends_the_figures_and_says_goodbye() {
    let answer = get(
        &app_with(Config {
            stream_seconds: 1,
            ..Config::default()
        }),
        STREAM,
    )
    .await;
    assert_eq!(
        (answer.status, &answer.headers["content-type"]),
        (StatusCode::OK, &"text/event-stream".parse().unwrap())
    );
    let text = answer.body.as_str().unwrap();
    assert!(text.starts_with("event: meters\ndata: {\"at\":"), "{text}");
    assert!(text.ends_with("event: bye\ndata: {\"retry_ms\":1000}\n\n"), "{text}");
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_stream() {
    let app = app_with(Config {
        streams_max: 2,
        ..Config::default()
    });
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut body = app
            .clone()
            .oneshot(request("GET", STREAM, None))
            .await
            .unwrap()
            .into_body();
        body.frame().await.unwrap().unwrap();
        open.push(body);
    }
    let refused = get(&app, STREAM).await;
    refused.is_problem("too-many-requests", 429);
    assert!(refused.headers.contains_key("retry-after"));
    open.pop();
    let next = app.clone().oneshot(request("GET", STREAM, None)).await.unwrap();
    assert_eq!(next.status(), StatusCode::OK);
}
