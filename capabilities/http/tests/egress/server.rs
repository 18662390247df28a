//! Servers that tests reach, or must not.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub(crate) type Answer = http::Response<UnsyncBoxBody<Bytes, std::io::Error>>;

/// A server, and what it has seen.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) heads: Arc<Mutex<Vec<http::request::Parts>>>,
}

impl Server {
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn last_head(&self) -> http::request::Parts {
        self.heads.lock().unwrap().last().unwrap().clone()
    }

    /// At the good address.
    pub(crate) async fn start<F, A>(answer: F) -> Self
    where
        F: Fn(http::Request<Incoming>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        Self::start_with(None, answer).await
    }

    pub(crate) async fn start_with<F, A>(tls: Option<TlsAcceptor>, answer: F) -> Self
    where
        F: Fn(http::Request<Incoming>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
        Self::serve(listener, tls, answer)
    }

    pub(crate) fn serve<F, A>(listener: TcpListener, tls: Option<TlsAcceptor>, answer: F) -> Self
    where
        F: Fn(http::Request<Incoming>) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            connections: Arc::default(),
            heads: Arc::default(),
        };
        let (connections, heads) = (server.connections.clone(), server.heads.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (answer, heads, tls) = (answer.clone(), heads.clone(), tls.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request: http::Request<Incoming>| {
                        let (parts, body) = request.into_parts();
                        heads.lock().unwrap().push(parts.clone());
                        let answering = answer(http::Request::from_parts(parts, body));
                        async move { Ok::<_, Infallible>(answering.await) }
                    });
                    match tls {
                        None => drop(
                            http1::Builder::new()
                                .serve_connection(TokioIo::new(stream), service)
                                .await,
                        ),
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                drop(
                                    http1::Builder::new()
                                        .serve_connection(TokioIo::new(stream), service)
                                        .await,
                                );
                            }
                        }
                    }
                });
            }
        });
        server
    }
}

/// Counts who connects to a place where nobody may.
pub(crate) async fn forbidden(address: SocketAddr, seen: Arc<AtomicUsize>) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            seen.fetch_add(1, Ordering::SeqCst);
        }
    });
    Ok(())
}

pub(crate) fn text(text: &str) -> Answer {
    use http_body_util::{BodyExt as _, Full};
    let body = Full::new(Bytes::copy_from_slice(text.as_bytes())).map_err(|never| match never {});
    http::Response::new(body.boxed_unsync())
}
