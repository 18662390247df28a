//! Law: an unmodified `wasi:http` component, of preview 2 or 3, sees each request as it was sent, and its
//! answer arrives as it was given: the head, a body that flows both ways at once, and the trailers.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt as _, StreamBody, combinators::BoxBody};
use hyper_util::{client::legacy::Client as Http, rt::TokioExecutor};
use terrace_tests_harness::{Session, Terrace};
use tokio::sync::mpsc;

use crate::stage::hostile;

type Frame = hyper::body::Frame<Bytes>;

/// Standard components that say what they were asked: one of preview 2, one of preview 3.
const MIRRORS: [&str; 2] = ["/api/gauntlet/mirror", "/api/preview3/mirror"];

/// A request whose body is what is sent into the channel.
async fn ask(
    terrace: &Terrace,
    session: &Session,
    port: u16,
    method: Method,
    path: &str,
    frames: mpsc::Receiver<Frame>,
) -> Response<hyper::body::Incoming> {
    let frames = futures_util::stream::unfold(frames, |mut frames| async {
        let frame = frames.recv().await?;
        Some((Ok::<_, Infallible>(frame), frames))
    });
    let request = Request::builder()
        .method(method)
        .uri(format!("http://127.0.0.1:{port}{path}"))
        .header("host", "acme.localhost")
        .header("cookie", format!("theme=dark; {}", session.cookies))
        .header("te", "trailers")
        .header("trailer", "x-sum, x-terrace-tenant")
        .header("x-twice", "one")
        .header("x-twice", "two")
        .body(BoxBody::new(StreamBody::new(frames)))
        .unwrap();
    let http = Http::builder(TokioExecutor::new()).build_http();
    let response = http.request(request).await.unwrap();
    assert_eq!(response.status(), 200, "{}", terrace.logs());
    response
}

#[tokio::test]
async fn a_standard_component_sees_what_was_sent_and_answers_as_it_likes() {
    let (terrace, _client, ada, _gus) = hostile().await;
    let (node, edge) = (terrace.node_port, terrace.port);
    let methods = [Method::GET, Method::PUT, Method::PATCH, Method::DELETE, Method::POST];
    for (mirror, method) in MIRRORS
        .iter()
        .flat_map(|mirror| methods.iter().map(move |method| (mirror, method)))
    {
        let (sender, frames) = mpsc::channel(1);
        drop(sender);
        let path = &format!("{mirror}?a=1&b=%2F%20c");
        let answer = ask(&terrace, &ada, edge, method.clone(), path, frames).await;
        let said = |name: &str| {
            let all = answer.headers().get_all(name).iter();
            all.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert!(
            said("x-method")[0].eq_ignore_ascii_case(method.as_str()),
            "{:?}",
            answer.headers()
        );
        assert_eq!(said("x-scheme"), ["http"]);
        assert_eq!(said("x-authority"), ["acme.localhost"]);
        assert_eq!(said("x-path"), [path.as_str()]);
        assert_eq!(said("x-got-x-twice"), ["one", "two"], "{:?}", answer.headers());
        // It is told who asks, and does not get the token that says so.
        assert_eq!(said("x-got-cookie"), ["theme=dark"], "{:?}", answer.headers());
        // What is between two neighbours on the way is no business of a component.
        for name in ["x-got-connection", "x-got-transfer-encoding", "x-got-te"] {
            assert_eq!(said(name), [""; 0], "{:?}", answer.headers());
        }
    }

    // Each piece comes back before the next one is sent, also through the edge.
    for (port, mirror) in [node, edge]
        .iter()
        .flat_map(|port| MIRRORS.map(|mirror| (*port, mirror)))
    {
        let (sender, frames) = mpsc::channel(1);
        // Something, so that the first frame does not wait for the head of the answer.
        sender.send(Frame::data(Bytes::from_static(b"first"))).await.unwrap();
        let mut answer = ask(&terrace, &ada, port, Method::POST, mirror, frames).await;
        assert_eq!(piece(&mut answer).await, "first");
        for word in ["second", "third"] {
            sender
                .send(Frame::data(Bytes::from_static(word.as_bytes())))
                .await
                .unwrap();
            assert_eq!(piece(&mut answer).await, word);
        }
        drop(sender);
        while let Some(frame) = answer.body_mut().frame().await {
            frame.unwrap();
        }
    }
}

/// Trailers that the head named: HTTP/1.1 has no others here. Those of the request reach the component, and those
/// of its answer the client.
#[tokio::test]
async fn trailers_reach_a_standard_component_and_come_back_from_it() {
    let (terrace, _client, ada, _gus) = hostile().await;
    let sent = HeaderMap::from_iter([
        (HeaderName::from_static("x-sum"), HeaderValue::from_static("42")),
        (
            HeaderName::from_static("x-terrace-tenant"),
            HeaderValue::from_static("t_22222222"),
        ),
    ]);
    let (node, edge) = (terrace.node_port, terrace.port);
    for (port, mirror) in [node, edge]
        .iter()
        .flat_map(|port| MIRRORS.map(|mirror| (*port, mirror)))
    {
        let (sender, frames) = mpsc::channel(2);
        sender.send(Frame::data(Bytes::from_static(b"body"))).await.unwrap();
        sender.send(Frame::trailers(sent.clone())).await.unwrap();
        drop(sender);
        let answer = ask(&terrace, &ada, port, Method::POST, mirror, frames).await;
        let body = answer.into_body().collect().await.unwrap();
        let trailers = body.trailers().cloned().unwrap_or_default();
        assert_eq!(trailers.get("x-sum").unwrap(), "42", "{mirror}: {}", terrace.logs());
        if port == edge {
            // What it strips from the headers does not come in by the trailers.
            assert_eq!(trailers.len(), 1, "{mirror}: {trailers:?}");
        }
        assert_eq!(body.to_bytes(), "body", "{mirror}");
    }
}

async fn piece(answer: &mut Response<hyper::body::Incoming>) -> String {
    let frame = answer.body_mut().frame().await.unwrap().unwrap();
    String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
}
