//! Server-sent events: a tenant's stream to a browser, resumable, without silent gaps.
//!
//! The gateway opens one [`Live::open`] per request of `GET /api/events`, after it has checked the
//! session. A stream is a cursor over the log and holds no queue: the connection pulls, so a slow
//! reader reads later and costs the same memory. It never decides who may listen.

mod frame;
mod stream;
mod topics;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use serde::Deserialize;
use terrace_events_log::{Bell, Log};
use terrace_ground_ids::TenantId;
use tokio::sync::watch;

pub use topics::Topics;

/// What a response's `content-type` must be.
pub const MEDIA_TYPE: &str = "text/event-stream";

/// The body of a stream. It fails only when the log cannot be read; the client then resumes.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;
/// Why a body broke off.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a stream cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tenant has as many open streams as it may.
    #[error("this workspace has {limit} open event streams, which is the limit")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The list of topics is not valid. A client may read the message.
    #[error("{0}")]
    Topics(String),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] terrace_events_log::Error),
}

impl Error {
    /// The code of the problem document to answer with.
    pub fn code(&self) -> terrace_ground_error::Code {
        match self {
            Self::TooMany { .. } => terrace_ground_error::Code::TooManyRequests,
            Self::Topics(_) => terrace_ground_error::Code::MalformedRequest,
            Self::Log(_) => terrace_ground_error::Code::DataUnavailable,
        }
    }
}

/// Limits of the streams.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Open streams of one tenant on this node. Default 64.
    pub streams_per_tenant_max: usize,
    /// Seconds of silence after which a comment is sent. Default 15.
    pub heartbeat_seconds: u64,
    /// Seconds after which a stream ends with `bye`, so that sessions are checked again and nodes can
    /// drain. Each stream takes between this and 1.2 times this. Default 600.
    pub rotate_seconds: u64,
    /// What `bye` tells the client to wait, in milliseconds; each gets between half of it and all of
    /// it, so that a rotation is not a stampede. Default 2,000.
    pub retry_ms: u64,
    /// Events that one read takes from the log. It bounds the memory of a stream. Default 100.
    pub batch: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            streams_per_tenant_max: 64,
            heartbeat_seconds: 15,
            rotate_seconds: 600,
            retry_ms: 2_000,
            batch: 100,
        }
    }
}

/// All open streams of a node. Cheap to clone.
#[derive(Clone)]
pub struct Live {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    log: Arc<dyn Log>,
    bell: Bell,
    open: Mutex<HashMap<TenantId, watch::Sender<bool>>>,
}

impl Live {
    /// Serves the streams of `log`; `bell` tells when to read. Somebody must run
    /// [`terrace_events_log::poll`] for commits of other nodes.
    pub fn new(config: Config, log: Arc<dyn Log>, bell: Bell) -> Self {
        Self {
            inner: Arc::new(Inner {
                config,
                log,
                bell,
                open: Mutex::default(),
            }),
        }
    }

    /// Opens a stream of `tenant`, from `cursor` (the text of `Last-Event-ID` or `?cursor=`; `None`
    /// means: from now on). The body goes out as it is, uncompressed and uncached.
    ///
    /// Frames: `event` (with `id`), `caught-up` once the stream is current, `reset` when the cursor
    /// cannot be honoured (the client reads everything again), `bye` before the server closes.
    ///
    /// # Errors
    /// [`Error::TooMany`], or [`Error::Log`] when the log cannot be read at all.
    pub async fn open(&self, tenant: &TenantId, topics: Topics, cursor: Option<&str>) -> Result<Body, Error> {
        // The seat comes first, so that a flood of opens cannot reach the database; and the ear comes
        // before the look, so that no commit falls between them.
        let seat = self.sit(tenant)?;
        let listener = self.inner.bell.subscribe(tenant);
        let span = self.inner.log.span(tenant).await?;
        let stream = stream::frames(
            self.inner.clone(),
            seat,
            listener,
            topics,
            stream::Start::of(cursor, span),
        );
        Ok(BodyExt::boxed_unsync(StreamBody::new(stream)))
    }

    /// Ends every open stream of `tenant` at once. Called when it is suspended or deleted.
    pub fn revoke(&self, tenant: &TenantId) {
        if let Some(revoked) = lock(&self.inner.open).get(tenant) {
            revoked.send_replace(true);
        }
    }

    /// How many streams are open: of one tenant, or of all.
    pub fn open_count(&self, tenant: Option<&TenantId>) -> usize {
        let open = lock(&self.inner.open);
        match tenant {
            Some(tenant) => open.get(tenant).map_or(0, watch::Sender::receiver_count),
            None => open.values().map(watch::Sender::receiver_count).sum(),
        }
    }

    fn sit(&self, tenant: &TenantId) -> Result<Seat, Error> {
        let limit = self.inner.config.streams_per_tenant_max;
        let mut open = lock(&self.inner.open);
        let revoked = open.entry(tenant.clone()).or_insert_with(|| watch::Sender::new(false));
        if revoked.receiver_count() >= limit {
            return Err(Error::TooMany { limit });
        }
        if *revoked.borrow() {
            // Those that were revoked are on their way out; this one was admitted after that.
            *revoked = watch::Sender::new(false);
        }
        Ok(Seat {
            revoked: Some(revoked.subscribe()),
            tenant: tenant.clone(),
            inner: self.inner.clone(),
        })
    }
}

/// One open stream in the count of its tenant. Dropping it gives the seat back.
struct Seat {
    revoked: Option<watch::Receiver<bool>>,
    tenant: TenantId,
    inner: Arc<Inner>,
}

impl Seat {
    /// Waits until the tenant may not listen any more. Cancel-safe.
    async fn revoked(&mut self) {
        match &mut self.revoked {
            // A sender that is gone was replaced after a revocation that this stream has not seen yet.
            Some(revoked) => drop(revoked.wait_for(|revoked| *revoked).await),
            None => std::future::pending().await,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = lock(&self.inner.open);
        self.revoked = None;
        if open
            .get(&self.tenant)
            .is_some_and(|revoked| revoked.receiver_count() == 0)
        {
            open.remove(&self.tenant);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
