//! Limits: everything that a stranger can grow has an end, and says so.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use terrace_edge::Config;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{browser, config, edge, node::Node};

async fn node() -> Node {
    let node = Node::start().await;
    node.deploy("tasks", &[("/index.html", b"<!doctype html>tasks")]);
    node.host("acme", "tasks");
    node
}

#[tokio::test]
async fn headers_over_the_limit_are_a_problem_and_far_over_it_a_refusal() {
    let directory = tempfile::tempdir().unwrap();
    let node = node().await;
    let edge = edge(config(&node, directory.path())).await;
    browser::get_with(&edge, "acme", "/api/x", "cookie", &"c".repeat(17 << 10))
        .await
        .is_problem("headers-too-large");
    browser::get_with(&edge, "acme", "/", "cookie", &"c".repeat(17 << 10))
        .await
        .is_problem("headers-too-large");
    assert_eq!(
        browser::get_with(&edge, "acme", "/api/x", "cookie", &"c".repeat(8 << 10))
            .await
            .status,
        StatusCode::OK
    );
    let many = (0..300).fold(browser::request(&edge, Method::GET, "acme", "/"), |request, number| {
        request.header(format!("x-{number}"), "1")
    });
    assert_eq!(
        browser::send(many.body(Full::default()).unwrap()).await.status,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
    assert_eq!(node.count("/api/x"), 1);
}

#[tokio::test]
async fn a_body_over_the_limit_is_a_problem_whether_its_length_is_told_or_not() {
    let directory = tempfile::tempdir().unwrap();
    let node = node().await;
    let edge = edge(Config {
        body_bytes_max: 100_000,
        ..config(&node, directory.path())
    })
    .await;
    browser::post(&edge, "acme", "/api/told", vec![0; 150_000])
        .await
        .is_problem("body-too-large");
    assert_eq!(node.count("/api/told"), 0);
    assert_eq!(
        browser::post(&edge, "acme", "/api/fits", vec![0; 100_000]).await.text(),
        "/api/fits 100000"
    );

    let chunks =
        futures_util::stream::iter((0..15).map(|_| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![0; 10_000])))));
    let request = browser::request(&edge, Method::POST, "acme", "/api/untold")
        .body(StreamBody::new(chunks))
        .unwrap();
    browser::read(browser::client().request(request).await.unwrap())
        .await
        .is_problem("body-too-large");
    assert_eq!(
        node.shared.seen.lock().unwrap().bytes,
        100_000,
        "the node never saw a whole body that was over"
    );
}

#[tokio::test]
async fn a_client_that_does_not_get_on_loses_its_connection() {
    let directory = tempfile::tempdir().unwrap();
    let node = node().await;
    let edge = edge(Config {
        header_read_timeout_ms: 100,
        ..config(&node, directory.path())
    })
    .await;
    for words in [
        &b""[..],
        b"PRI * HT",
        b"GET / HTTP/1.1\r\nhost: acme.localhost\r\nx-slow: ",
    ] {
        let mut connection = TcpStream::connect(edge.address()).await.unwrap();
        connection.write_all(words).await.unwrap();
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(5), connection.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "still open after {:?}", String::from_utf8_lossy(words));
    }
}

#[tokio::test]
async fn a_body_that_stops_arriving_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let node = node().await;
    let edge = edge(Config {
        body_idle_timeout_ms: 100,
        ..config(&node, directory.path())
    })
    .await;
    let mut connection = TcpStream::connect(edge.address()).await.unwrap();
    connection
        .write_all(b"POST /api/x HTTP/1.1\r\nhost: acme.localhost\r\ncontent-length: 10\r\n\r\nhalf")
        .await
        .unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), connection.read_to_end(&mut answer))
        .await
        .expect("an answer and the end")
        .unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 400") && answer.contains("malformed-request"),
        "{answer}"
    );
}

#[tokio::test]
async fn connections_over_the_cap_wait_instead_of_failing() {
    let directory = tempfile::tempdir().unwrap();
    let node = node().await;
    let edge = edge(Config {
        connections_max: 1,
        header_read_timeout_ms: 300,
        ..config(&node, directory.path())
    })
    .await;
    let idle = TcpStream::connect(edge.address()).await.unwrap();
    // The idle connection holds the only place until its time is up; then this one is served.
    let page = tokio::time::timeout(Duration::from_secs(5), browser::visit(&edge, "acme", "/")).await;
    assert_eq!(page.expect("a place becomes free").status, StatusCode::OK);
    drop(idle);
}

#[tokio::test]
async fn a_request_that_names_two_hosts_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let node = node().await;
    let edge = edge(config(&node, directory.path())).await;
    let mut connection = TcpStream::connect(edge.address()).await.unwrap();
    connection
        .write_all(
            b"GET /api/x HTTP/1.1\r\nhost: acme.localhost\r\nhost: globex.localhost\r\nconnection: close\r\n\r\n",
        )
        .await
        .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(node.count("/api/x"), 0);
}
