//! Forwarding: what crosses the edge, what is held, and what is never sent twice.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use terrace_edge::Config;

use crate::{browser, config, edge, node::Node, until};

async fn node() -> Node {
    let node = Node::start().await;
    node.deploy("tasks", &[("/index.html", b"<!doctype html>tasks")]);
    node.host("acme", "tasks");
    node
}

#[tokio::test]
async fn requests_are_held_while_the_node_restarts_and_none_is_lost_or_doubled() {
    let directory = tempfile::tempdir().unwrap();
    let mut node = node().await;
    let edge = edge(Config {
        hold_ms: 8_000,
        ..config(&node, directory.path())
    })
    .await;
    assert_eq!(
        browser::post(&edge, "acme", "/api/before", "x").await.status,
        StatusCode::OK
    );
    node.kill().await;
    let requests: Vec<_> = (0..20)
        .map(|number| {
            let request = browser::request(&edge, Method::POST, "acme", &format!("/api/held/{number}"))
                .body(Full::new(Bytes::from(vec![b'x'; 100_000])))
                .unwrap();
            tokio::spawn(browser::send(request))
        })
        .collect();
    until("the outage is noticed", async || {
        browser::health(&edge).await["node"] == "down"
    })
    .await;
    node.restart().await;
    for (number, request) in requests.into_iter().enumerate() {
        let path = format!("/api/held/{number}");
        let answer = request.await.unwrap();
        assert_eq!(
            (answer.status, answer.text()),
            (StatusCode::OK, format!("{path} 100000").as_str())
        );
        assert_eq!(node.count(&path), 1);
    }
}

#[tokio::test]
async fn a_dead_node_is_a_problem_after_a_bounded_time_and_then_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut node = node().await;
    let edge = edge(Config {
        hold_ms: 300,
        ..config(&node, directory.path())
    })
    .await;
    node.kill().await;
    let begun = Instant::now();
    let answer = browser::post(&edge, "acme", "/api/tasks", "x").await;
    answer.is_problem("backend-unavailable");
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (StatusCode::SERVICE_UNAVAILABLE, "2")
    );
    assert!(begun.elapsed() < Duration::from_secs(3));
    // The clock runs from the outage's first failure, so whoever comes later does not wait again.
    let begun = Instant::now();
    browser::get(&edge, "acme", "/api/tasks")
        .await
        .is_problem("backend-unavailable");
    assert!(begun.elapsed() < Duration::from_millis(250));
    assert_eq!(browser::visit(&edge, "acme", "/").await.text(), "<!doctype html>tasks");
}

#[tokio::test]
async fn only_so_many_requests_of_a_host_are_held() {
    let directory = tempfile::tempdir().unwrap();
    let mut node = node().await;
    node.host("globex", "tasks");
    let edge = edge(Config {
        hold_ms: 8_000,
        parked_per_host_max: 1,
        ..config(&node, directory.path())
    })
    .await;
    node.kill().await;
    until("the outage is noticed", async || {
        browser::health(&edge).await["node"] == "down"
    })
    .await;
    let [one, two] = ["/api/one", "/api/two"].map(|path| Box::pin(browser::get(&edge, "acme", path)));
    // One of the two is refused at once, the other is held.
    let (refused, held) = match futures_util::future::select(one, two).await {
        futures_util::future::Either::Left((refused, held)) | futures_util::future::Either::Right((refused, held)) => {
            (refused, held)
        }
    };
    refused.is_problem("backend-unavailable");
    let neighbour = tokio::spawn(browser::send(
        browser::request(&edge, Method::GET, "globex", "/api/neighbour")
            .body(Full::default())
            .unwrap(),
    ));
    node.restart().await;
    assert_eq!(held.await.status, StatusCode::OK);
    assert_eq!(
        neighbour.await.unwrap().status,
        StatusCode::OK,
        "a host's held requests take no place of another's"
    );
}

#[tokio::test]
async fn headers_that_claim_trust_are_not_heard() {
    let directory = tempfile::tempdir().unwrap();
    let node = node().await;
    let edge = edge(config(&node, directory.path())).await;
    let request = browser::request(&edge, Method::POST, "acme", "/api/echo?x=1")
        .header("x-terrace-tenant", "t_22222222")
        .header("x-terrace-build", "b_0000000000000001")
        .header("x-forwarded-for", "6.6.6.6")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "evil.example")
        .header("forwarded", "for=6.6.6.6")
        .header("x-request-id", "req_mine")
        .header("connection", "close, x-drop-me")
        .header("x-drop-me", "1")
        .header("te", "trailers")
        .header("authorization", "Bearer t")
        .header("cookie", "__Host-session=1")
        .body(Full::new(Bytes::from_static(b"hello")))
        .unwrap();
    let answer = browser::send(request).await;
    assert_eq!(answer.text(), "/api/echo 5");
    let seen = node.shared.seen.lock().unwrap().last.clone();
    let header = |name: &str| seen.get(name).map_or("", |value| value.to_str().unwrap());
    for name in ["x-terrace-tenant", "x-forwarded-host", "forwarded", "x-drop-me"] {
        assert_eq!(header(name), "", "{name}");
    }
    // Of the edge's own connection: the client's is about to be closed.
    assert_eq!((header("te"), header("connection")), ("trailers", "te"));
    assert_eq!(header("host"), "acme.localhost:8080");
    assert_eq!(
        (header("x-forwarded-for"), header("x-forwarded-proto")),
        ("127.0.0.1", "http")
    );
    assert_eq!(seen.get_all("x-forwarded-for").iter().count(), 1);
    assert_eq!(
        (header("x-terrace-build"), header("authorization"), header("cookie")),
        ("b_0000000000000001", "Bearer t", "__Host-session=1")
    );
    assert!(header("x-request-id").starts_with("req_") && header("x-request-id") != "req_mine");
    assert_eq!(answer.header("x-request-id"), header("x-request-id"));
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn trailers_cross_both_ways_and_what_may_not_come_late_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let node = node().await;
    let edge = edge(config(&node, directory.path())).await;
    let sent = HeaderMap::from_iter(
        [
            ("x-sum", "1"),
            ("x-terrace-tenant", "t_22222222"),
            ("x-forwarded-for", "6.6.6.6"),
            ("cookie", "__Host-session=1"),
        ]
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))),
    );
    let ask = |te: Option<&'static str>| {
        // Not of known length: then HTTP/1.1 has no place for trailers.
        let frames = [
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"hello"))),
            Ok(Frame::trailers(sent.clone())),
        ];
        let mut request = browser::request(&edge, Method::POST, "acme", "/api/trailers")
            .header("trailer", "x-sum, x-terrace-tenant, x-forwarded-for, cookie")
            .body(StreamBody::new(futures_util::stream::iter(frames)))
            .unwrap();
        if let Some(te) = te {
            request.headers_mut().insert("te", HeaderValue::from_static(te));
        }
        browser::trailers(request)
    };
    let got = ask(Some("gzip, trailers")).await.unwrap();
    let mut names: Vec<&str> = got.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["x-answered", "x-saw-x-sum"]);
    assert_eq!(got["x-saw-x-sum"], "1");
    assert_eq!(ask(None).await, None, "who does not ask for trailers gets none");
}

#[tokio::test]
async fn nothing_but_api_reaches_the_node() {
    let directory = tempfile::tempdir().unwrap();
    let node = node().await;
    let edge = edge(config(&node, directory.path())).await;
    for path in [
        "/internal/health",
        "/internal/edge/snapshot",
        "/apix",
        "/_terrace/events",
    ] {
        browser::get(&edge, "acme", path).await.is_problem("unknown-path");
    }
    browser::get(&edge, "acme", "/api/../internal/health")
        .await
        .is_problem("unknown-path");
    browser::get(&edge, "acme", "/api/%2e%2e/internal/health")
        .await
        .is_problem("unknown-path");
    assert!(node.shared.seen.lock().unwrap().paths.is_empty());
}

#[tokio::test]
async fn a_write_that_broke_off_is_not_repeated_and_a_read_is_twice() {
    let directory = tempfile::tempdir().unwrap();
    let node = node().await;
    let edge = edge(config(&node, directory.path())).await;
    let write = browser::post(&edge, "acme", "/api/die", "x").await;
    write.is_problem("backend-unavailable");
    assert_eq!((write.header("retry-after"), node.count("/api/die")), ("", 1));
    assert_eq!(
        browser::get(&edge, "acme", "/api/die-once").await.status,
        StatusCode::OK
    );
    assert_eq!(node.count("/api/die-once"), 2);
    browser::get(&edge, "acme", "/api/die")
        .await
        .is_problem("backend-unavailable");
    assert_eq!(node.count("/api/die"), 4);
}

#[tokio::test]
async fn events_pass_one_by_one_and_a_reader_that_leaves_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let node = node().await;
    let edge = edge(Config {
        forwards_per_host_max: 1,
        ..config(&node, directory.path())
    })
    .await;
    let mut stream = browser::open(
        browser::request(&edge, Method::GET, "acme", "/api/stream")
            .body(Full::default())
            .unwrap(),
    )
    .await;
    for event in ["id:1\ndata:a\n\n", "id:2\ndata:b\n\n"] {
        node.event(event);
        let frame = tokio::time::timeout(Duration::from_secs(5), stream.body_mut().frame())
            .await
            .expect("the event passes at once");
        assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), event);
    }
    assert_eq!(
        browser::get(&edge, "acme", "/api/other").await.status,
        StatusCode::OK,
        "a stream takes no place of a request"
    );
    drop(stream);
    tokio::time::timeout(Duration::from_secs(5), node.shared.left.notified())
        .await
        .expect("the node learns that the reader left");
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_request() {
    let directory = tempfile::tempdir().unwrap();
    let node = node().await;
    let edge = edge(Config {
        forwards_per_host_max: 1,
        ..config(&node, directory.path())
    })
    .await;
    let slow = tokio::spawn(browser::send(
        browser::request(&edge, Method::GET, "acme", "/api/slow")
            .body(Full::default())
            .unwrap(),
    ));
    until("the node has the request", async || node.count("/api/slow") == 1).await;
    let refused = browser::get(&edge, "acme", "/api/other").await;
    refused.is_problem("service-overloaded");
    assert_eq!(refused.header("retry-after"), "1");
    slow.abort();
    until("its place is free again", async || {
        browser::get(&edge, "acme", "/api/other").await.status == StatusCode::OK
    })
    .await;
}

#[tokio::test]
async fn http_2_without_tls_works_and_split_cookies_arrive_as_one() {
    let directory = tempfile::tempdir().unwrap();
    let node = node().await;
    let edge = edge(config(&node, directory.path())).await;
    let connection = tokio::net::TcpStream::connect(edge.address()).await.unwrap();
    let (mut sender, driver) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(connection),
    )
    .await
    .unwrap();
    tokio::spawn(driver);
    let request = |path: &str| {
        http::Request::builder()
            .uri(format!("http://acme.localhost:8080{path}"))
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("accept", "text/html")
    };
    let page = browser::read(
        sender
            .send_request(request("/").body(Full::<Bytes>::default()).unwrap())
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(page.text(), "<!doctype html>tasks");
    let head = browser::read(
        sender
            .send_request(request("/").method(Method::HEAD).body(Full::default()).unwrap())
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(
        (head.body.len(), head.header("content-length")),
        (0, page.body.len().to_string().as_str())
    );
    let answer = browser::read(
        sender
            .send_request(request("/api/x").method(Method::POST).body(Full::from("abc")).unwrap())
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(answer.text(), "/api/x 3");
    let seen = node.shared.seen.lock().unwrap().last.clone();
    assert_eq!(
        (seen["cookie"].as_bytes(), seen["host"].as_bytes()),
        (&b"a=1; b=2"[..], &b"acme.localhost:8080"[..])
    );
}

#[tokio::test]
async fn a_stop_lets_requests_finish_and_ends_streams() {
    let directory = tempfile::tempdir().unwrap();
    let node = node().await;
    let edge = edge(config(&node, directory.path())).await;
    let slow = tokio::spawn(browser::send(
        browser::request(&edge, Method::GET, "acme", "/api/slow")
            .body(Full::default())
            .unwrap(),
    ));
    let stream = browser::open(
        browser::request(&edge, Method::GET, "acme", "/api/stream")
            .body(Full::default())
            .unwrap(),
    )
    .await;
    until("the node has both requests", async || node.count("/api/slow") == 1).await;
    let address = edge.address();
    let stop = tokio::spawn(edge.stop());
    assert!(
        browser::read(stream).await.body.is_empty(),
        "the stream ends in good order"
    );
    until("the port is closed", async || {
        tokio::net::TcpStream::connect(address).await.is_err()
    })
    .await;
    assert!(!stop.is_finished());
    node.shared.go.notify_one();
    assert_eq!(slow.await.unwrap().text(), "went");
    tokio::time::timeout(Duration::from_secs(5), stop)
        .await
        .expect("the edge stops when the last request has ended")
        .unwrap();
}
