//! The server: accepts connections, decides what each request is (site, API, health), and drains.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use terrace_ground_error::Code;
use terrace_ground_ids::RequestId;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

use crate::{
    Config, Error,
    answers::{self, Health, Pages},
    body::Body,
    encode::Accepted,
    first_bytes::FirstBytes,
    forward::{Call, Forwarder, is_api},
    manifest::{Host, Site},
    node::Node,
    peers::{Peers, Seat},
    replica::{Replica, View},
};

/// Where the edge tells how it is, on every host and without the node.
const HEALTH: &str = "/.well-known/terrace/edge";
/// The HTTP parser accepts this many times the header limit, so that the refusal can be a document.
const PARSER_SLACK: usize = 4;
/// Header lines that the parser takes at most.
const HEADER_LINES_MAX: usize = 256;

/// A running edge. Dropping it does not stop it; [`Edge::stop`] does.
#[derive(Debug)]
pub struct Edge {
    address: SocketAddr,
    closing: watch::Sender<bool>,
    tasks: [JoinHandle<()>; 2],
}

impl Edge {
    /// Loads the last snapshot, listens, and serves. Returns when the port is open; requests that
    /// come before the node's first answer are served from the disk.
    ///
    /// # Errors
    /// [`Error`]: a bad node address, a port that is taken, an unusable data directory.
    pub async fn start(config: Config) -> Result<Self, Error> {
        let config = Arc::new(config);
        let node = Node::new(&config)?;
        let (opened, opened_node) = (Arc::clone(&config), Arc::clone(&node));
        let (replica, view) = spawn_blocking(move || Replica::open(opened, opened_node))
            .await
            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
            .map_err(|source| Error::DataDir {
                path: config.data_dir.clone(),
                source,
            })?;
        let unusable = |source| Error::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(unusable)?;
        let address = listener.local_addr().map_err(unusable)?;
        let (closing, closed) = watch::channel(false);
        let forwarder = Forwarder {
            config: Arc::clone(&config),
            node,
            closing: closed.clone(),
        };
        let door = Arc::new(Door {
            config,
            view,
            forwarder,
            pages: Pages::new(),
        });
        let tasks = [
            tokio::spawn(replica.run(closed.clone())),
            tokio::spawn(accept(listener, door, closed)),
        ];
        tracing::info!(%address, "The edge serves");
        Ok(Self {
            address,
            closing,
            tasks,
        })
    }

    /// The address in use, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, ends event streams, lets requests in flight finish within the drain time.
    pub async fn stop(self) {
        self.closing.send_replace(true);
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

async fn accept(listener: TcpListener, door: Arc<Door>, mut closing: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(door.config.connections_max));
    let peers = Peers::default();
    let graceful = GracefulShutdown::new();
    loop {
        // A place first: over the cap, connections wait in the kernel instead of being refused.
        let place = tokio::select! {
            _ = closing.wait_for(|closing| *closing) => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let (Ok(place), accepted) = (
            place,
            tokio::select! {
                _ = closing.wait_for(|closing| *closing) => break,
                accepted = listener.accept() => accepted,
            },
        ) else {
            break;
        };
        match accepted {
            Ok((connection, peer)) => {
                // Closed at once: one peer that opens connections and says nothing must not use up
                // the places of all others.
                if let Some(seat) = peers.sit(peer.ip(), door.config.connections_per_peer_max) {
                    serve(connection, peer.ip(), (place, seat), &door, &graceful);
                }
            }
            Err(error) => {
                // Out of file descriptors, as a rule: give the others a moment to close theirs.
                tracing::warn!("Cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    if timeout(door.config.drain(), graceful.shutdown()).await.is_err() {
        tracing::warn!("Requests were still in flight after the drain time and are cut off");
    }
}

fn serve(
    connection: TcpStream,
    peer: IpAddr,
    place: (OwnedSemaphorePermit, Seat),
    door: &Arc<Door>,
    graceful: &GracefulShutdown,
) {
    let config = &door.config;
    let _ = connection.set_nodelay(true);
    let parser_bytes = config.header_bytes_max.saturating_mul(PARSER_SLACK).max(8 << 10);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_read_timeout())
        .max_buf_size(parser_bytes)
        .max_headers(HEADER_LINES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(128)
        .max_header_list_size(u32::try_from(parser_bytes).unwrap_or(u32::MAX))
        // Bounds what a held or slow upload keeps in memory: it is not read until it is wanted.
        .initial_stream_window_size(256 << 10)
        .initial_connection_window_size(1 << 20)
        .keep_alive_interval(config.header_read_timeout())
        .keep_alive_timeout(config.header_read_timeout());
    let io = TokioIo::new(FirstBytes::new(connection, config.header_read_timeout()));
    let door = Arc::clone(door);
    let service = service_fn(move |request| {
        let door = Arc::clone(&door);
        async move { Ok::<_, std::convert::Infallible>(door.answer(peer, request).await) }
    });
    let connection = graceful.watch(builder.serve_connection(io, service).into_owned());
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!("A connection ended early: {error}");
        }
        drop(place);
    });
}

/// What every request passes through.
#[derive(Debug)]
struct Door {
    config: Arc<Config>,
    view: Arc<View>,
    forwarder: Forwarder,
    pages: Pages,
}

impl Door {
    async fn answer(&self, peer: IpAddr, request: Request<Incoming>) -> Response<Body> {
        let is_head = request.method() == Method::HEAD;
        let mut response = self.decide(peer, request).await;
        if is_head {
            let length = http_body::Body::size_hint(response.body()).exact();
            if let Some(length) = length.filter(|_| !response.headers().contains_key(header::CONTENT_LENGTH)) {
                response
                    .headers_mut()
                    .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            }
            *response.body_mut() = Body::empty();
        }
        response
    }

    async fn decide(&self, peer: IpAddr, request: Request<Incoming>) -> Response<Body> {
        if head_bytes(&request) > self.config.header_bytes_max {
            let detail = format!(
                "The request line and headers may have {} bytes together.",
                self.config.header_bytes_max
            );
            return answers::problem(Code::HeadersTooLarge, &detail, &RequestId::random());
        }
        if request.uri().path() == HEALTH {
            return self.health();
        }
        let id = RequestId::random;
        if self.view.manifest().is_none() {
            return self.pages.starting(&request, &id());
        }
        let Some((name, host_header)) = host(&request) else {
            return answers::problem(Code::MalformedRequest, "A request names exactly one host.", &id());
        };
        let known = self
            .view
            .manifest()
            .as_ref()
            .and_then(|manifest| manifest.host(&name).map(Arc::clone));
        let host = match known {
            Some(host) => host,
            None => match self.look_again(&name).await {
                Some(host) => host,
                None => return self.pages.unknown_host(&request, &id()),
            },
        };
        if is_api(request.uri().path()) {
            return self
                .forwarder
                .forward(
                    Call {
                        host,
                        host_header,
                        peer,
                        id: id(),
                    },
                    request,
                )
                .await;
        }
        match &host.site {
            Some(site) => static_file(site, &request),
            None => self.pages.starting(&request, &id()),
        }
    }

    /// Asks for news about a host that nobody knew a moment ago.
    async fn look_again(&self, name: &str) -> Option<Arc<Host>> {
        if self.forwarder.node.outage().is_some() {
            return None;
        }
        self.view.news().await;
        self.view
            .manifest()
            .as_ref()
            .and_then(|manifest| manifest.host(name).map(Arc::clone))
    }

    fn health(&self) -> Response<Body> {
        let manifest = self.view.manifest();
        let health = Health {
            status: if manifest.is_some() { "serving" } else { "starting" },
            snapshot: manifest.as_ref().map(|manifest| manifest.version.clone()),
            persisted: self.view.persisted.load(Ordering::Relaxed),
            builds: manifest.as_ref().map_or(0, |manifest| manifest.builds),
            node: if self.forwarder.node.outage().is_some() {
                "down"
            } else {
                "up"
            },
        };
        health.response()
    }
}

/// Answers from memory. `Range` is ignored, which RFC 9110 allows: files are small and whole.
fn static_file(site: &Site, request: &Request<Incoming>) -> Response<Body> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return answers::method_not_allowed(&RequestId::random());
    }
    let accepted = Accepted::parse(request.headers().get(header::ACCEPT_ENCODING));
    let found = site
        .find(request.uri().path(), answers::is_navigation(request))
        .and_then(|asset| asset.variant(accepted));
    let Some(variant) = found else {
        return answers::problem(
            Code::UnknownPath,
            "No build of this site has this file.",
            &RequestId::random(),
        );
    };
    let mut response = Response::new(Body::empty());
    *response.headers_mut() = variant.headers.clone();
    if is_unchanged(request.headers(), &variant.etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        for name in [header::CONTENT_LENGTH, header::CONTENT_TYPE, header::CONTENT_ENCODING] {
            response.headers_mut().remove(name);
        }
    } else {
        *response.body_mut() = Body::from(variant.body.clone());
    }
    response
}

/// RFC 9110, 13.1.2: a weak comparison of the selected form's tag.
fn is_unchanged(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| {
            let tag = tag.trim();
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes()
        })
}

/// The host that a request names: in lowercase without port to look up, and as sent to pass on.
fn host(request: &Request<Incoming>) -> Option<(Cow<'_, str>, HeaderValue)> {
    let header = match request.uri().authority() {
        // HTTP/2, or an absolute target in HTTP/1: it goes before the Host header (RFC 9112, 3.2.2).
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok()?,
        None => {
            let mut values = request.headers().get_all(header::HOST).iter();
            let first = values.next()?;
            if values.next().is_some() {
                return None;
            }
            first.clone()
        }
    };
    let text = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => request.headers().get(header::HOST)?.to_str().ok()?,
    };
    Some((host_name(text)?, header))
}

fn host_name(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('@') {
        return None;
    }
    let name = match text.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => text,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    Some(if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    })
}

fn head_bytes(request: &Request<Incoming>) -> usize {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    target
        + request
            .headers()
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 4)
            .sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_matches_without_its_port_and_in_any_case() {
        for (text, name) in [
            ("acme.localhost:8080", "acme.localhost"),
            ("ACME.localhost", "acme.localhost"),
            ("acme.localhost.:1", "acme.localhost"),
            ("[::1]:80", "[::1]"),
        ] {
            assert_eq!(host_name(text).as_deref(), Some(name), "{text}");
        }
        assert_eq!(host_name("acme.localhost@evil.example"), None);
    }

    #[test]
    fn a_tag_in_a_list_or_marked_weak_still_matches() {
        let etag = HeaderValue::from_static("\"abc\"");
        for (sent, unchanged) in [
            ("\"abc\"", true),
            ("\"x\", W/\"abc\"", true),
            ("*", true),
            ("\"abcd\"", false),
            ("abc", false),
        ] {
            let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static(sent))]);
            assert_eq!(is_unchanged(&headers, &etag), unchanged, "{sent}");
        }
    }
}
