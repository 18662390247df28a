//! Law: an unmodified `wasi:http` component sees each request as it was sent, and its answer arrives as
//! it was given: the head, and a body that flows both ways at once.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, StreamBody, combinators::BoxBody};
use hyper_util::{client::legacy::Client as Http, rt::TokioExecutor};
use terrace_tests_harness::{Session, Terrace};
use tokio::sync::mpsc;

use crate::stage::hostile;

type Frame = hyper::body::Frame<Bytes>;

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
    for (port, method) in [
        (edge, Method::GET),
        (edge, Method::PUT),
        (edge, Method::PATCH),
        (edge, Method::DELETE),
        (edge, Method::POST),
    ] {
        let (sender, frames) = mpsc::channel(1);
        drop(sender);
        let path = "/api/gauntlet/mirror?a=1&b=%2F%20c";
        let answer = ask(&terrace, &ada, port, method.clone(), path, frames).await;
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
        assert_eq!(said("x-path"), [path]);
        assert_eq!(said("x-got-x-twice"), ["one", "two"], "{:?}", answer.headers());
        // It is told who asks, and does not get the token that says so.
        assert_eq!(said("x-got-cookie"), ["theme=dark"], "{:?}", answer.headers());
        // What is between two neighbours on the way is no business of a component.
        for name in ["x-got-connection", "x-got-transfer-encoding", "x-got-te"] {
            assert_eq!(said(name), [""; 0], "{:?}", answer.headers());
        }
    }

    // Each piece comes back before the next one is sent, also through the edge.
    for port in [node, edge] {
        let (sender, frames) = mpsc::channel(1);
        // Something, so that the first frame does not wait for the head of the answer.
        sender.send(Frame::data(Bytes::from_static(b"first"))).await.unwrap();
        let mut answer = ask(&terrace, &ada, port, Method::POST, "/api/gauntlet/mirror", frames).await;
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

async fn piece(answer: &mut Response<hyper::body::Incoming>) -> String {
    let frame = answer.body_mut().frame().await.unwrap().unwrap();
    String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
}
