//! The engine: loads releases, and answers requests with them.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http_body::Body as _;
use http_body_util::{BodyExt as _, Empty};
use sha2::{Digest as _, Sha256};
use terrace_compute_capability::{Accounts, Capability, Invocation, Logs};
use tokio::{
    sync::{OnceCell, oneshot},
    time::Instant,
};
use wasmtime::component::Component;
use wasmtime_wasi_http::{
    WasiBody, handler::ProxyPre, p2::bindings::ProxyPre as SecondPre, p3::bindings::ServicePre as ThirdPre,
};

use crate::{
    Body, Config, Error, Fault, Release, ReleaseSpec,
    admission::Admission,
    apart::Pace,
    artefact::Artefacts,
    body::Outbound,
    engines::Engines,
    executor::Executor,
    flow::{Flow, Flows},
    link::{link, share},
    preview::Preview,
    release::{Code, ServicePlace, Source},
    task::{Answer, Job},
};

/// How long after its deadline a guest that does not end is given up.
const STUCK: Duration = Duration::from_millis(50);

/// Runs services. Cheap to clone; the threads end with the last clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    engines: Engines,
    config: Arc<Config>,
    capabilities: Vec<Arc<dyn Capability>>,
    artefacts: Artefacts,
    logs: Arc<Logs>,
    accounts: Arc<Accounts>,
    admission: Arc<Admission>,
    flows: Option<Arc<Flows>>,
    executor: Executor,
}

/// What the engine holds at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Instances alive, idle ones included.
    pub instances: usize,
    /// Instances that wait for a request.
    pub idle: usize,
    /// Requests that run.
    pub in_flight: usize,
}

impl Engine {
    /// Starts the guest threads. `capabilities` are all that a manifest may list.
    ///
    /// # Errors
    /// [`Error::Start`] when this machine cannot run it.
    pub fn new(config: Config, capabilities: Vec<Arc<dyn Capability>>) -> Result<Self, Error> {
        let config = Arc::new(config);
        let engines = Engines::start(&config)?;
        let artefacts = Artefacts::new(&config)?;
        let flows = Flows::new(u64::from(config.tenant_response_mib_s) << 20);
        let logs = Arc::new(Logs::default());
        let accounts = Arc::new(Accounts::default());
        let executor = Executor::start(&config, &logs, &accounts, engines.ticker())?;
        Ok(Self(Arc::new(Inner {
            engines,
            config,
            capabilities,
            artefacts,
            logs,
            accounts,
            admission: Arc::new(Admission::new()),
            flows,
            executor,
        })))
    }

    /// Compiles a component (or finds it compiled), links what its manifest lists, and checks that
    /// it can answer. Seconds of CPU for a new component, on a thread for blocking work;
    /// milliseconds for one that this installation has compiled before.
    ///
    /// # Errors
    /// All of [`Error`]; each says what to change.
    pub async fn load(&self, spec: ReleaseSpec) -> Result<Arc<Release>, Error> {
        self.check_limits(&spec)?;
        let inner = self.0.clone();
        let load = tokio::task::spawn_blocking(move || inner.load(spec));
        load.await.map_err(|_| Error::Stopping)?
    }

    /// A release of a component that this installation has compiled before, by its hash (SHA-256,
    /// hexadecimal) alone: `spec.component` is not looked at. Its code is loaded with its first request,
    /// or by [`Engine::prepare`]: a node with hundreds of services need not read all of them to begin.
    /// None when there is no code of it here; then [`Engine::load`] has to compile it.
    ///
    /// # Errors
    /// [`Error::LimitTooHigh`], [`Error::UnknownCapability`]; [`Error::Start`] when this machine cannot run the
    /// engine that the component needs.
    pub fn find_compiled(&self, spec: ReleaseSpec, sha256: &str) -> Result<Option<Arc<Release>>, Error> {
        self.check_limits(&spec)?;
        let Some(preview) = self.0.compiled_for(sha256)? else {
            return Ok(None);
        };
        let source = Source {
            sha256: sha256.to_owned(),
            preview,
            capabilities: spec.capabilities.clone(),
        };
        self.0.release(spec, source, OnceCell::new()).map(Some)
    }

    /// Loads a release's code, if it is not loaded.
    ///
    /// # Errors
    /// [`Error::Artefact`] when what is there cannot be trusted, or is gone: it has to be compiled again.
    pub async fn prepare(&self, release: &Arc<Release>) -> Result<(), Error> {
        let load = || async {
            let (inner, release) = (self.0.clone(), release.clone());
            let load = tokio::task::spawn_blocking(move || {
                let source = &release.source;
                let engine = inner.engines.of(source.preview)?;
                let component = inner.artefacts.compiled_before(engine, source.preview, &source.sha256);
                inner.code(&component.ok_or(Error::Artefact)?, source)
            });
            load.await.map_err(|_| Error::Stopping)?
        };
        release.code.get_or_try_init(load).await.map(drop)
    }

    fn check_limits(&self, spec: &ReleaseSpec) -> Result<(), Error> {
        if let Some((limit, asked, allowed)) = spec.limits.over(&self.0.config.ceiling) {
            return Err(Error::LimitTooHigh { limit, asked, allowed });
        }
        Ok(())
    }

    /// Answers a request. Returns as soon as the guest has set status and headers; the body
    /// streams, and ends in an error ([`Fault`] inside) when the guest fails later on.
    ///
    /// Dropping the future, or the body before its end, stops the guest.
    ///
    /// # Errors
    /// See [`Fault`]; [`Fault::code`] is what a client may know.
    pub async fn handle(
        &self,
        release: &Arc<Release>,
        invocation: Invocation,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, Fault> {
        if !release.code.initialized()
            && let Err(error) = self.prepare(release).await
        {
            tracing::warn!(service = %invocation.service, release = %release.id(), "Cannot load a release's code: {error}");
            return Err(Fault::Instantiate);
        }
        let limits = release.limits();
        if u32::from(invocation.depth) > limits.call_depth {
            return Err(Fault::TooDeep);
        }
        if request.body().size_hint().lower() > limits.request_body_bytes() {
            return Err(Fault::RequestTooLarge);
        }
        let deadline = Instant::from_std(invocation.deadline).min(Instant::now() + limits.wall());
        let key = (invocation.tenant.id.clone(), release.service().clone());
        // Whatever the guest waits for (a statement, another service) ends with the request.
        let invocation = Invocation {
            deadline: deadline.into_std(),
            ..invocation
        };
        // A call from another service waits while its caller holds a place. With a share of places for
        // each depth there is always room for the next one, and nobody waits for themselves.
        let running_max = limits.concurrency.saturating_mul(u32::from(invocation.depth) + 1);
        let permit = self
            .0
            .admission
            .enter(key, running_max, self.0.config.queue_max, deadline)
            .await?;

        let place = ServicePlace::take(release, invocation.depth).ok_or(Fault::Overloaded)?;
        let (head, response) = oneshot::channel();
        let (reader, gone) = oneshot::channel();
        let answer = Arc::new(Answer::new(head));
        let is_head = request.method() == http::Method::HEAD;
        // What another service reads stays in the process.
        let flows = self.0.flows.as_ref().filter(|_| invocation.depth == 0);
        let flow = flows.map(|flows| Flow::new(flows.clone(), invocation.tenant.clone()));
        let job = Job {
            key: (invocation.tenant.id.clone(), release.id().clone()),
            release: release.clone(),
            invocation: Arc::new(invocation),
            request: with_host(request),
            deadline,
            answer: answer.clone(),
            reader: gone,
            permit,
            place,
        };
        self.0.executor.run(job).await?;
        // The guest has a timer of its own, which says in the log what happened. This one, a little later, holds when
        // another thread runs it, and is stuck in a host function or in one long copy of memory.
        let response = match tokio::time::timeout_at(deadline + STUCK, response).await {
            Ok(Ok(response)) => response?,
            Ok(Err(_)) => return Err(Fault::Internal),
            Err(_) => return Err(Fault::WallLimit),
        };
        bounded(response, limits.response_body_bytes(), is_head, answer, flow, reader)
    }

    /// Nobody will send the release another request: its idle instances go now, and those that still
    /// run go when their request ends.
    pub fn retire(&self, release: &Release) {
        release.retired.store(true, Ordering::SeqCst);
        self.0.executor.retire(release.id());
    }

    /// Removes compiled code of components that are not among these hashes (SHA-256, hexadecimal).
    /// Returns how many files went. Blocks on the disk for a moment.
    pub fn keep_compiled(&self, components: &HashSet<String>) -> usize {
        self.0.artefacts.keep(components)
    }

    /// How many components this process has compiled: those that it found compiled do not count.
    pub fn compiled(&self) -> u64 {
        self.0.artefacts.compiled()
    }

    /// The last log lines of every service.
    pub fn logs(&self) -> &Arc<Logs> {
        &self.0.logs
    }

    /// What tenants used of services, since somebody took it.
    pub fn accounts(&self) -> &Arc<Accounts> {
        &self.0.accounts
    }

    /// How long it takes to make an instance of a release, and to drop it again. For figures.
    ///
    /// # Errors
    /// As for a request whose instance cannot be made.
    #[doc(hidden)]
    pub async fn time_instance(&self, release: &Release, invocation: Invocation) -> Result<[Duration; 2], Fault> {
        self.0.executor.time_instance(release, &Arc::new(invocation)).await
    }

    /// What it holds at the moment.
    pub fn stats(&self) -> Stats {
        // First: a request that is not counted any more has left its instance.
        let in_flight = self.0.executor.in_flight();
        let (instances, idle) = self.0.executor.instances();
        Stats {
            instances,
            idle,
            in_flight,
        }
    }
}

impl Inner {
    fn load(&self, spec: ReleaseSpec) -> Result<Arc<Release>, Error> {
        let sha256 = HEXLOWER.encode(&Sha256::digest(&spec.component));
        let preview = Preview::of(&spec.component)?;
        let engine = self.engines.of(preview)?;
        let component = self.artefacts.component(engine, preview, &spec.component, &sha256)?;
        let source = Source {
            sha256,
            preview,
            capabilities: spec.capabilities.clone(),
        };
        let code = self.code(&component, &source)?;
        self.release(spec, source, OnceCell::new_with(Some(code)))
    }

    /// For which preview there is code of the component with this hash.
    fn compiled_for(&self, sha256: &str) -> Result<Option<Preview>, Error> {
        let has = |preview| Ok(self.artefacts.has(self.engines.of(preview)?, preview, sha256));
        if has(Preview::Two)? {
            return Ok(Some(Preview::Two));
        }
        let is_third = self.artefacts.may_have_third(sha256) && has(Preview::Three)?;
        Ok(is_third.then_some(Preview::Three))
    }

    fn code(&self, component: &Component, source: &Source) -> Result<Code, Error> {
        let pre = link(component, source.preview, &source.capabilities, &self.capabilities)?;
        let pre = match source.preview {
            Preview::Two => SecondPre::new(pre).map(ProxyPre::P2),
            Preview::Three => ThirdPre::new(pre).map(ProxyPre::P3),
        };
        let pre = pre.map_err(|error| Error::NoHandler {
            handler: source.preview.handler(),
            reason: format!("{error:#}"),
        })?;
        let kind = component.component_type();
        let imports = kind
            .imports(component.engine())
            .map(|(name, _)| name.to_owned())
            .collect();
        // Otherwise the first request would pay for it.
        component
            .initialize_copy_on_write_image()
            .map_err(|error| Error::Compile(format!("{error:#}")))?;
        Ok(Code { pre, imports })
    }

    fn release(&self, spec: ReleaseSpec, source: Source, code: OnceCell<Code>) -> Result<Arc<Release>, Error> {
        let shared = share(&spec.capabilities, &spec.grants, &self.capabilities)?;
        let facts = terrace_compute_capability::Release {
            id: spec.id,
            service: spec.service,
            limits: spec.limits,
            calls: spec.calls,
            shared,
        };
        Ok(Arc::new(Release {
            facts: Arc::new(facts),
            isolation: spec.isolation,
            code,
            source,
            running: AtomicU32::new(0),
            retired: AtomicBool::new(false),
            pace: Pace::default(),
        }))
    }
}

/// A guest may ask for the authority, so every request has one. One without a host comes from the
/// platform itself.
fn with_host(mut request: http::Request<Body>) -> http::Request<Body> {
    let host = request.headers().get(http::header::HOST);
    if request.uri().authority().is_none() && host.is_none_or(|host| host.to_str().is_err()) {
        request
            .headers_mut()
            .insert(http::header::HOST, http::HeaderValue::from_static("service.internal"));
    }
    request
}

/// The response with its body counted and watched.
fn bounded(
    response: http::Response<WasiBody>,
    body_max: u64,
    is_head: bool,
    answer: Arc<Answer>,
    flow: Option<Flow>,
    reader: oneshot::Sender<()>,
) -> Result<http::Response<Body>, Fault> {
    let (parts, inner) = response.into_parts();
    let length = parts
        .headers
        .get(http::header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if is_head {
        // The client reads no body, but the guest may write one, and would take a closed stream for
        // a failure.
        let mut unread = Outbound {
            inner,
            left: body_max,
            expected: None,
            answer,
            flow,
            reader: Some(reader),
        };
        // Piece by piece: gathered, it would be memory of the node that no limit of the guest's counts.
        tokio::spawn(async move { while let Some(Ok(_)) = unread.frame().await {} });
        return Ok(http::Response::from_parts(
            parts,
            Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync(),
        ));
    }
    if length.is_some_and(|length| length > body_max) {
        return Err(Fault::ResponseTooLarge);
    }
    let mut body = Outbound {
        inner,
        left: body_max,
        expected: length,
        answer,
        flow,
        reader: Some(reader),
    };
    if length == Some(0) {
        body.complete();
    }
    Ok(http::Response::from_parts(parts, body.boxed_unsync()))
}
