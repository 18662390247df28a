//! What a browser does: one request, read to its end.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use terrace_edge::Edge;

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Asserts that it is a problem document with this code, and its status.
    pub(crate) fn is_problem(&self, code: &str) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["code"], code);
        assert_eq!(problem["status"], self.status.as_u16());
        assert!(problem["request_id"].as_str().unwrap().starts_with("req_"));
        assert_eq!(problem["request_id"], self.header("x-request-id"));
    }
}

pub(crate) fn client<B>() -> Client<HttpConnector, B>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    Client::builder(TokioExecutor::new()).build_http()
}

pub(crate) fn request(edge: &Edge, method: Method, host: &str, path: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(format!("http://{}{path}", edge.address()))
        .header("host", format!("{host}.localhost:8080"))
}

/// Sends and returns the head; the body is still to come.
pub(crate) async fn open(request: Request<Full<Bytes>>) -> Response<Incoming> {
    client().request(request).await.unwrap()
}

pub(crate) async fn send(request: Request<Full<Bytes>>) -> Answer {
    read(open(request).await).await
}

/// Sends, reads to the end, and returns the trailers that came.
pub(crate) async fn trailers<B>(request: Request<B>) -> Option<HeaderMap>
where
    B: http_body::Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let response = client().request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.into_body().collect().await.unwrap().trailers().cloned()
}

pub(crate) async fn read(response: Response<Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes(),
    }
}

/// A GET without any header of its own.
pub(crate) async fn get(edge: &Edge, host: &str, path: &str) -> Answer {
    send(request(edge, Method::GET, host, path).body(Full::default()).unwrap()).await
}

/// A GET with one header.
pub(crate) async fn get_with(edge: &Edge, host: &str, path: &str, name: &str, value: &str) -> Answer {
    send(
        request(edge, Method::GET, host, path)
            .header(name, value)
            .body(Full::default())
            .unwrap(),
    )
    .await
}

/// A person opens a page.
pub(crate) async fn visit(edge: &Edge, host: &str, path: &str) -> Answer {
    get_with(edge, host, path, "accept", "text/html,application/xhtml+xml,*/*;q=0.8").await
}

pub(crate) async fn post(edge: &Edge, host: &str, path: &str, body: impl Into<Bytes>) -> Answer {
    send(
        request(edge, Method::POST, host, path)
            .body(Full::new(body.into()))
            .unwrap(),
    )
    .await
}

pub(crate) async fn health(edge: &Edge) -> serde_json::Value {
    get(edge, "anything", "/.well-known/terrace/edge").await.json()
}
