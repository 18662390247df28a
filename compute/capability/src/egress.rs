//! Outgoing HTTP of a guest: a capability says who may send what, and without one everything is denied.
//!
//! The engine links `wasi:http/outgoing-handler` (in preview 3 `wasi:http/client`) and knows no more about it:
//! what a guest sends goes to the [`Egress`] that a capability left in [`Shared`](crate::Shared) as
//! [`Outgoing`].

use std::{
    pin::Pin,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use http::HeaderName;
use tokio::sync::watch;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error as HttpError, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks,
};

use crate::{
    Invocation, Level, Release, Used,
    logs::RequestLog,
    usage::{received, sent},
};

/// Bytes that a guest may hand over in one write to a body.
const CHUNK_BYTES_MAX: usize = 64 << 10;

/// Sends what guests ask for through `wasi:http/outgoing-handler`.
pub trait Egress: Send + Sync + 'static {
    /// Called once for each request of a guest, on the guest's own thread, so it must return at once;
    /// the future is dropped when the guest loses interest. Everything that it started has to end when
    /// [`Asked::ended`] says so, whether the guest kept the response or not.
    fn send(&self, asked: Asked) -> Sending;
}

/// The answer to an outgoing request, or why there is none.
pub type Sending = Pin<Box<dyn Future<Output = Result<http::Response<WasiBody>, Refusal>> + Send>>;

/// What a capability leaves in [`Shared`](crate::Shared) to take a release's outgoing requests.
pub struct Outgoing(pub Arc<dyn Egress>);

/// One outgoing request of a guest.
pub struct Asked {
    /// The request, with an absolute URI.
    pub request: http::Request<WasiBody>,
    /// The timeouts that the guest wishes for.
    pub options: Option<RequestOptions>,
    /// Who asks.
    pub release: Arc<Release>,
    /// On whose behalf, and until when.
    pub invocation: Arc<Invocation>,
    /// How many requests the guest sent before this one, while it serves the same request.
    pub before: u32,
    /// Resolves when the guest has served its request, or is gone.
    pub ended: Ended,
}

/// Tells when the request of a guest has ended.
pub struct Ended(watch::Receiver<()>);

impl Ended {
    /// Returns when it has.
    pub async fn wait(&mut self) {
        // Nothing is ever sent: the sender's end is the message.
        while self.0.changed().await.is_ok() {}
    }

    /// One that never comes, with what keeps it from coming. For tests of an [`Egress`].
    pub fn never() -> (watch::Sender<()>, Self) {
        let (sender, receiver) = watch::channel(());
        (sender, Self(receiver))
    }
}

/// Why a request was not sent, or has no answer.
#[derive(Debug)]
pub struct Refusal {
    /// What the guest is told.
    pub code: HttpError,
    /// What the service's log says: which rule, and what to change.
    pub reason: Option<String>,
}

impl From<HttpError> for Refusal {
    fn from(code: HttpError) -> Self {
        Self { code, reason: None }
    }
}

/// The hooks of `wasi:http` for one instance.
pub(crate) struct Hooks {
    release: Arc<Release>,
    invocation: Arc<Invocation>,
    log: Arc<Mutex<RequestLog>>,
    used: Arc<Used>,
    sent: u32,
    /// There while a request is served that has sent something.
    running: Option<watch::Sender<()>>,
}

impl Hooks {
    pub(crate) fn new(release: Arc<Release>, invocation: Arc<Invocation>, log: Arc<Mutex<RequestLog>>) -> Self {
        Self {
            release,
            invocation,
            log,
            used: Arc::default(),
            sent: 0,
            running: None,
        }
    }

    pub(crate) fn begin(&mut self, invocation: Arc<Invocation>, used: Arc<Used>) {
        self.invocation = invocation;
        self.used = used;
        self.sent = 0;
    }

    pub(crate) fn end(&mut self) {
        self.running = None;
    }
}

static FORBIDDEN: LazyLock<ForbiddenHeaderFilter> =
    LazyLock::new(|| Arc::new(|name| DEFAULT_FORBIDDEN_HEADERS.contains(name)));

type Answered = (
    http::Response<WasiBody>,
    Box<dyn Future<Output = Result<(), HttpError>> + Send>,
);

impl WasiHttpHooks for Hooks {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        DEFAULT_FORBIDDEN_HEADERS.contains(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        FORBIDDEN.clone()
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _sent: Box<dyn Future<Output = Result<(), HttpError>> + Send>,
    ) -> Box<dyn Future<Output = Result<Answered, HttpError>> + Send> {
        let Some(outgoing) = self.release.shared.get::<Outgoing>() else {
            return Box::new(async { Err(HttpError::HttpRequestDenied) });
        };
        let running = self.running.get_or_insert_with(|| watch::Sender::new(()));
        let used = self.used.clone();
        let asked = Asked {
            request: request.map(|body| sent(body, used.clone())),
            options,
            release: self.release.clone(),
            invocation: self.invocation.clone(),
            before: self.sent,
            ended: Ended(running.subscribe()),
        };
        self.sent = self.sent.saturating_add(1);
        let sending = outgoing.0.send(asked);
        let log = self.log.clone();
        Box::new(async move {
            let response = sending.await.map_err(|refusal| {
                if let Some(reason) = refusal.reason {
                    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                    log.write(Level::Warn, &reason);
                }
                refusal.code
            })?;
            let done: Box<dyn Future<Output = Result<(), HttpError>> + Send> = Box::new(async { Ok(()) });
            Ok((response.map(|body| received(body, used)), done))
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES_MAX
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES_MAX
    }
}
