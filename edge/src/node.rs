//! The connection to the node: a pool, and the one place that knows whether the node is reachable.
//!
//! Reachable means that it accepts a connection. When it does not, an outage begins; one prober
//! knocks until it ends, however many requests wait, so that a restart is noticed within
//! milliseconds and a dead node is not hammered.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{
    Request, Response, Uri,
    uri::{Authority, PathAndQuery, Scheme},
};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, Error as ClientError, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::{
    net::TcpStream,
    sync::{Semaphore, watch},
    time::{sleep, timeout, timeout_at},
};

use crate::{Config, Error, body::Upload};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Shorter than any server keeps an idle connection, so that a request rarely meets a closing one.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(10);
const PROBE_FIRST: Duration = Duration::from_millis(20);
const PROBE_SLOWEST: Duration = Duration::from_millis(250);

/// The node, seen from the edge.
#[derive(Debug)]
pub(crate) struct Node {
    client: Client<HttpConnector, Upload>,
    authority: Authority,
    /// Since when the node cannot be reached.
    outage: watch::Sender<Option<Instant>>,
    /// Places for held requests, of all hosts together.
    pub(crate) parked: Semaphore,
}

impl Node {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// [`Error::Node`] when the address is not `http://host:port`.
    pub(crate) fn new(config: &Config) -> Result<Arc<Self>, Error> {
        let refuse = || Error::Node {
            address: config.node.clone(),
        };
        let uri: Uri = config.node.parse().map_err(|_| refuse())?;
        if uri.scheme() != Some(&Scheme::HTTP) || uri.path().len() > 1 {
            return Err(refuse());
        }
        let authority = uri.authority().cloned().ok_or_else(refuse)?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(config.forwards_per_host_max)
            .build(connector);
        Ok(Arc::new(Self {
            client,
            authority,
            outage: watch::Sender::new(None),
            parked: Semaphore::new(config.parked_max),
        }))
    }

    /// The node's address for `path`.
    pub(crate) fn uri(&self, path: PathAndQuery) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).unwrap_or_default()
    }

    /// Sends one request. When no connection can be had, an outage begins and nothing was sent.
    pub(crate) async fn send(self: &Arc<Self>, request: Request<Upload>) -> Result<Response<Incoming>, ClientError> {
        let answer = self.client.request(request).await;
        if answer.as_ref().is_err_and(ClientError::is_connect) {
            self.lost();
        }
        answer
    }

    /// Since when the node cannot be reached; `None` while it can.
    pub(crate) fn outage(&self) -> Option<Instant> {
        *self.outage.borrow()
    }

    /// Waits until the outage is over, at most until `deadline`; true when it is over.
    pub(crate) async fn back(&self, deadline: Instant) -> bool {
        let mut outage = self.outage.subscribe();
        timeout_at(deadline.into(), outage.wait_for(Option::is_none))
            .await
            .is_ok()
    }

    fn lost(self: &Arc<Self>) {
        let begins = self.outage.send_if_modified(|outage| {
            let begins = outage.is_none();
            outage.get_or_insert_with(Instant::now);
            begins
        });
        if !begins {
            return;
        }
        tracing::warn!(node = %self.authority, "The node is not reachable; sites are served on, API requests are held");
        let (node, authority) = (Arc::downgrade(self), self.authority.clone());
        tokio::spawn(async move {
            let mut pause = PROBE_FIRST;
            loop {
                sleep(pause).await;
                pause = (pause * 2).min(PROBE_SLOWEST);
                let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(authority.as_str())).await;
                let Some(node) = node.upgrade() else { return };
                if matches!(connected, Ok(Ok(_))) {
                    node.outage.send_replace(None);
                    tracing::info!(node = %authority, "The node is reachable again");
                    return;
                }
            }
        });
    }
}
