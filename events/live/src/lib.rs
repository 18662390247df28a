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
    /// The member has as many open streams as one member may.
    #[error("you have {limit} open event streams, which is the limit of one member: close a window")]
    TooManyOfMember {
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
            Self::TooMany { .. } | Self::TooManyOfMember { .. } => terrace_ground_error::Code::TooManyRequests,
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
    /// Open streams of one member on this node, so that nobody takes a colleague's. Default 16.
    pub streams_per_member_max: usize,
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
            streams_per_member_max: 16,
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
    open: Mutex<HashMap<TenantId, Seats>>,
}

/// The open streams of one tenant.
struct Seats {
    revoked: watch::Sender<bool>,
    /// How many each member has; none has zero.
    members: HashMap<String, usize>,
}

impl Seats {
    fn taken(&self) -> usize {
        self.members.values().sum()
    }
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

    /// Opens a stream of `tenant` for one of its members, from `cursor` (the text of `Last-Event-ID` or `?cursor=`; `None`
    /// means: from now on). The body goes out as it is, uncompressed and uncached.
    ///
    /// Frames: `event` (with `id`), `caught-up` once the stream is current, `reset` when the cursor
    /// cannot be honoured (the client reads everything again), `bye` before the server closes.
    ///
    /// # Errors
    /// [`Error::TooMany`], [`Error::TooManyOfMember`], or [`Error::Log`] when the log cannot be read at all.
    pub async fn open(
        &self,
        tenant: &TenantId,
        member: &str,
        topics: Topics,
        cursor: Option<&str>,
    ) -> Result<Body, Error> {
        // The seat comes first, so that a flood of opens cannot reach the database; and the ear comes
        // before the look, so that no commit falls between them.
        let seat = self.sit(tenant, member)?;
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
        if let Some(seats) = lock(&self.inner.open).get(tenant) {
            seats.revoked.send_replace(true);
        }
    }

    /// How many streams are open: of one tenant, or of all.
    pub fn open_count(&self, tenant: Option<&TenantId>) -> usize {
        let open = lock(&self.inner.open);
        match tenant {
            Some(tenant) => open.get(tenant).map_or(0, Seats::taken),
            None => open.values().map(Seats::taken).sum(),
        }
    }

    fn sit(&self, tenant: &TenantId, member: &str) -> Result<Seat, Error> {
        let Config {
            streams_per_tenant_max,
            streams_per_member_max,
            ..
        } = self.inner.config;
        let mut open = lock(&self.inner.open);
        let seats = open.entry(tenant.clone()).or_insert_with(|| Seats {
            revoked: watch::Sender::new(false),
            members: HashMap::new(),
        });
        if seats.taken() >= streams_per_tenant_max {
            return Err(Error::TooMany {
                limit: streams_per_tenant_max,
            });
        }
        if seats
            .members
            .get(member)
            .is_some_and(|&taken| taken >= streams_per_member_max)
        {
            return Err(Error::TooManyOfMember {
                limit: streams_per_member_max,
            });
        }
        if *seats.revoked.borrow() {
            // Those that were revoked are on their way out; this one was admitted after that.
            seats.revoked = watch::Sender::new(false);
        }
        *seats.members.entry(member.to_owned()).or_default() += 1;
        Ok(Seat {
            revoked: seats.revoked.subscribe(),
            tenant: tenant.clone(),
            member: member.to_owned(),
            inner: self.inner.clone(),
        })
    }
}

/// One open stream in the count of its tenant and its member. Dropping it gives the seat back.
struct Seat {
    revoked: watch::Receiver<bool>,
    tenant: TenantId,
    member: String,
    inner: Arc<Inner>,
}

impl Seat {
    /// Waits until the tenant may not listen any more. Cancel-safe.
    async fn revoked(&mut self) {
        // A sender that is gone was replaced after a revocation that this stream has not seen yet.
        drop(self.revoked.wait_for(|revoked| *revoked).await);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = lock(&self.inner.open);
        let Some(seats) = open.get_mut(&self.tenant) else {
            return;
        };
        if let Some(taken) = seats.members.get_mut(&self.member) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                seats.members.remove(&self.member);
            }
        }
        if seats.members.is_empty() {
            open.remove(&self.tenant);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
