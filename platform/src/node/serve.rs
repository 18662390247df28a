//! The node's HTTP server: to the control plane by host or path, to the gateway for the rest.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use anyhow::Result;
use axum::body::Body as AxumBody;
use http::{Request, Response, header};
use http_body_util::BodyExt;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use terrace_compute_gateway::{Body, host_label};
use tokio::net::TcpListener;
use tower::ServiceExt;
use tracing::{debug, warn};

use super::compose::Node;

/// The longest head of a request, in bytes. The edge lets 16 KiB through.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// How long a kept connection may be idle. Longer than the edge keeps one in its pool (10 s), so that
/// it is never us who close it while a request is on its way.
const IDLE: Duration = Duration::from_secs(60);
/// How long requests under way may take after the node was asked to stop.
const DRAIN: Duration = Duration::from_secs(8);

/// What answers.
pub(crate) struct Front {
    base_domain: String,
    node: Node,
}

impl Front {
    pub(crate) fn new(base_domain: &str, node: Node) -> Self {
        Self {
            base_domain: base_domain.to_owned(),
            node,
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let node = &self.node;
        let host = request
            .headers()
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or_default();
        let path = request.uri().path();
        let console = host_label(host, &self.base_domain).is_some_and(|label| label.eq_ignore_ascii_case("console"));
        let router = if path == "/internal" || path.starts_with("/internal/") {
            &node.internal
        } else if console {
            &node.control
        } else {
            return node.gateway.handle(request).await;
        };
        let answered = router.clone().oneshot(request.map(AxumBody::new)).await;
        let response = answered.unwrap_or_else(|never: Infallible| match never {});
        response.map(|body| body.map_err(Into::into).boxed_unsync())
    }
}

/// Accepts until `stop`, then lets what is under way finish.
pub(crate) async fn accept(listener: TcpListener, front: Arc<Front>, stop: impl Future<Output = ()>) -> Result<()> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(HEAD_BYTES_MAX);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .max_header_list_size(32 << 10);
    let graceful = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: waiting a moment is the only cure.
                    warn!("Cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        let _ = stream.set_nodelay(true);
        let front = front.clone();
        let answer = service_fn(move |request| {
            let front = front.clone();
            async move { Ok::<_, Infallible>(front.answer(request).await) }
        });
        let connection = graceful.watch(server.serve_connection(TokioIo::new(stream), answer).into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!("A connection ended: {error}");
            }
        });
    }
    drop(listener);
    front.node.close();
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        warn!("Requests were still under way after {DRAIN:?}, and were cut off");
    }
    Ok(())
}
