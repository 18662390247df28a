//! A node that is made up: it publishes what a test puts in, answers a few `/api` paths that
//! behave well or badly, and can be killed and started again on its port.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc, oneshot},
    task::{JoinHandle, JoinSet},
};

type Body = UnsyncBoxBody<Bytes, Infallible>;

#[derive(Default)]
pub(crate) struct Published {
    hosts: HashMap<String, Value>,
    sites: HashMap<String, Vec<String>>,
    builds: HashMap<String, Value>,
    blobs: HashMap<String, Bytes>,
    version: u64,
}

/// What the tests see of the requests that arrived.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) paths: Vec<String>,
    pub(crate) last: HeaderMap,
    pub(crate) bytes: usize,
}

#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) published: Mutex<Published>,
    pub(crate) seen: Mutex<Seen>,
    /// Lets the requests at `/api/slow` go.
    pub(crate) go: Notify,
    /// Events to send at `/api/stream`.
    pub(crate) events: Mutex<Option<mpsc::UnboundedSender<Bytes>>>,
    /// Told when the client of `/api/stream` has left.
    pub(crate) left: Notify,
}

pub(crate) struct Node {
    address: SocketAddr,
    pub(crate) shared: Arc<Shared>,
    running: Option<JoinHandle<()>>,
}

impl Node {
    pub(crate) async fn start() -> Self {
        let mut node = Self {
            address: ([127, 0, 0, 1], 0).into(),
            shared: Arc::default(),
            running: None,
        };
        node.restart().await;
        node
    }

    /// Listens again on the port it had.
    pub(crate) async fn restart(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        let shared = Arc::clone(&self.shared);
        self.running = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(connection), service)
                        .await;
                });
            }
        }));
    }

    /// Dies at once, with every connection.
    pub(crate) async fn kill(&mut self) {
        let running = self.running.take().unwrap();
        running.abort();
        let _ = running.await;
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds a build to a site, makes it current, and returns its id. Files are (path, content).
    pub(crate) fn deploy(&self, site: &str, files: &[(&str, &[u8])]) -> String {
        let mut published = self.shared.published.lock().unwrap();
        published.version += 1;
        let id = format!("b_{:016x}", published.version);
        let mut entries = Vec::new();
        for (path, content) in files {
            let sha256 = fingerprint(content);
            published.blobs.insert(sha256.clone(), Bytes::copy_from_slice(content));
            entries.push(json!({"path": path, "sha256": sha256, "size": content.len(), "content_type": ""}));
        }
        published
            .builds
            .insert(id.clone(), json!({"site": site, "files": entries}));
        published
            .sites
            .entry(site.to_owned())
            .or_default()
            .insert(0, id.clone());
        id
    }

    /// Gives `<slug>.localhost` to a site.
    pub(crate) fn host(&self, slug: &str, site: &str) {
        let mut published = self.shared.published.lock().unwrap();
        published.version += 1;
        published.hosts.insert(
            format!("{slug}.localhost"),
            json!({"site": site, "tenant": "t_7f3k9q2m", "state": "active", "unheard_of": 1}),
        );
    }

    /// Sends other bytes than it says from now on, for one content.
    pub(crate) fn corrupt(&self, content: &[u8]) {
        self.shared
            .published
            .lock()
            .unwrap()
            .blobs
            .insert(fingerprint(content), Bytes::from_static(b"other bytes"));
    }

    /// Sends the right bytes again.
    pub(crate) fn mend(&self, content: &[u8]) {
        self.shared
            .published
            .lock()
            .unwrap()
            .blobs
            .insert(fingerprint(content), Bytes::copy_from_slice(content));
    }

    pub(crate) fn version(&self) -> String {
        self.shared.published.lock().unwrap().version.to_string()
    }

    /// How often `path` was asked for.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.shared
            .seen
            .lock()
            .unwrap()
            .paths
            .iter()
            .filter(|seen| *seen == path)
            .count()
    }

    pub(crate) fn event(&self, text: &'static str) {
        self.shared
            .events
            .lock()
            .unwrap()
            .as_ref()
            .unwrap()
            .send(Bytes::from_static(text.as_bytes()))
            .unwrap();
    }
}

pub(crate) fn fingerprint(content: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(content))
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, std::io::Error> {
    let path = request.uri().path().to_owned();
    if let Some(rest) = path.strip_prefix("/internal/edge/") {
        return Ok(publish(&shared, rest, request.headers()));
    }
    {
        let mut seen = shared.seen.lock().unwrap();
        seen.paths.push(path.clone());
        seen.last = request.headers().clone();
    }
    match path.as_str() {
        "/api/die" => {
            let _ = request.into_body().collect().await;
            Err(std::io::Error::other("broken off on purpose"))
        }
        "/api/die-once"
            if shared
                .seen
                .lock()
                .unwrap()
                .paths
                .iter()
                .filter(|seen| **seen == path)
                .count()
                == 1 =>
        {
            Err(std::io::Error::other("broken off on purpose"))
        }
        "/api/stream" => Ok(stream(&shared)),
        "/api/trailers" => {
            let came = request.into_body().collect().await.map_err(std::io::Error::other)?;
            Ok(with_trailers(&came.trailers().cloned().unwrap_or_default()))
        }
        "/api/slow" => {
            shared.go.notified().await;
            Ok(text("went"))
        }
        _ => {
            let bytes = request
                .into_body()
                .collect()
                .await
                .map_err(std::io::Error::other)?
                .to_bytes();
            shared.seen.lock().unwrap().bytes = bytes.len();
            Ok(text(&format!("{path} {}", bytes.len())))
        }
    }
}

fn publish(shared: &Shared, rest: &str, headers: &HeaderMap) -> Response<Body> {
    let published = shared.published.lock().unwrap();
    if let Some(sha256) = rest.strip_prefix("blob/") {
        return published.blobs.get(sha256).map_or_else(
            || status(StatusCode::NOT_FOUND),
            |blob| Response::new(Full::new(blob.clone()).boxed_unsync()),
        );
    }
    let etag = format!("\"{}\"", published.version);
    if published.version == 0 {
        return status(StatusCode::SERVICE_UNAVAILABLE);
    }
    if headers.get("if-none-match").is_some_and(|value| *value == *etag) {
        return status(StatusCode::NOT_MODIFIED);
    }
    let sites: HashMap<_, _> = published
        .sites
        .iter()
        .map(|(name, builds)| (name, json!({"current": builds[0], "builds": builds})))
        .collect();
    let snapshot = json!({"version": published.version.to_string(), "base_domain": "localhost", "hosts": published.hosts, "sites": sites, "builds": published.builds});
    let mut response = text(&snapshot.to_string());
    response.headers_mut().insert("etag", etag.parse().unwrap());
    response
}

/// An event stream that tells when its reader has left.
fn stream(shared: &Arc<Shared>) -> Response<Body> {
    struct Events {
        queue: mpsc::UnboundedReceiver<Bytes>,
        _here: oneshot::Sender<()>,
    }
    impl http_body::Body for Events {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.queue
                .poll_recv(context)
                .map(|event| event.map(|event| Ok(Frame::data(event))))
        }
    }
    let (sender, receiver) = mpsc::unbounded_channel();
    *shared.events.lock().unwrap() = Some(sender);
    let (_here, left) = oneshot::channel::<()>();
    let told = Arc::clone(shared);
    tokio::spawn(async move {
        let _ = left.await;
        told.left.notify_one();
    });
    let mut response = Response::new(Events { queue: receiver, _here }.boxed_unsync());
    response
        .headers_mut()
        .insert("content-type", "text/event-stream".parse().unwrap());
    response
}

/// An answer that says in its trailers which ones came, beside one of its own and one that no answer may have.
fn with_trailers(came: &HeaderMap) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    for (name, value) in came {
        trailers.append(
            http::HeaderName::try_from(format!("x-saw-{name}")).unwrap(),
            value.clone(),
        );
    }
    trailers.insert("x-answered", "1".parse().unwrap());
    trailers.insert("x-terrace-latest", "b_0000000000000001".parse().unwrap());
    let names: Vec<&str> = trailers.keys().map(http::HeaderName::as_str).collect();
    let named = names.join(", ");
    let frames = [
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"hello"))),
        Ok(Frame::trailers(trailers)),
    ];
    let mut response = Response::new(StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync());
    response.headers_mut().insert("trailer", named.parse().unwrap());
    response
}

fn text(text: &str) -> Response<Body> {
    Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())).boxed_unsync())
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = text("");
    *response.status_mut() = status;
    response
}
