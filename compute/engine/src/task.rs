//! One request to a guest: takes an instance, runs it within its limits, and says what
//! became of it.

use std::{
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::FutureExt as _;
use terrace_compute_capability::{Invocation, Isolation, Logs, Usage, Used};
use tokio::{sync::oneshot, time::Instant};
use wasmtime_wasi_http::WasiBody;

use crate::{
    Body, Fault, Release,
    admission::Permit,
    apart::Standing,
    body::Inbound,
    executor::Worker,
    idle::Key,
    instance::{Instance, Place, Surroundings},
    meter::Meter,
    release::ServicePlace,
    trap,
};

/// The head of a response with its body, or why there is none.
pub(crate) type Outcome = Result<http::Response<WasiBody>, Fault>;

/// Where the outcome of a request goes: to the one who waits for the head, and to the body.
pub(crate) struct Answer {
    sender: Mutex<Option<oneshot::Sender<Outcome>>>,
    fault: OnceLock<Fault>,
    request_too_large: AtomicBool,
    request_gone: AtomicBool,
}

impl Answer {
    pub(crate) fn new(sender: oneshot::Sender<Outcome>) -> Self {
        Self {
            sender: Mutex::new(Some(sender)),
            fault: OnceLock::new(),
            request_too_large: AtomicBool::new(false),
            request_gone: AtomicBool::new(false),
        }
    }

    /// The guest set its response, or said that there is none.
    pub(crate) fn respond(&self, response: Result<http::Response<WasiBody>, ()>) {
        let outcome = if self.request_too_large.load(Ordering::Relaxed) {
            Err(Fault::RequestTooLarge)
        } else {
            response.map_err(|()| Fault::NoResponse)
        };
        self.send(outcome);
    }

    /// The request failed. Called before the store is dropped: see `Outbound`.
    fn fail(&self, fault: Fault) {
        let fault = if self.request_too_large.load(Ordering::Relaxed) {
            Fault::RequestTooLarge
        } else {
            fault
        };
        let _ = self.fault.set(fault.clone());
        self.send(Err(fault));
    }

    pub(crate) fn request_is_too_large(&self) {
        self.request_too_large.store(true, Ordering::Relaxed);
    }

    /// The request's body was dropped: nobody reads of it any more.
    pub(crate) fn request_is_gone(&self) {
        self.request_gone.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_request_gone(&self) -> bool {
        self.request_gone.load(Ordering::SeqCst)
    }

    /// Why the response's body ended in an error, if it was not the guest's own doing.
    pub(crate) fn broke_by(&self) -> Option<Fault> {
        let is_too_large = self.request_too_large.load(Ordering::Relaxed);
        self.fault().or_else(|| is_too_large.then_some(Fault::RequestTooLarge))
    }

    pub(crate) fn fault(&self) -> Option<Fault> {
        self.fault.get().cloned()
    }

    fn send(&self, outcome: Outcome) {
        if let Some(sender) = self.sender.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = sender.send(outcome);
        }
    }
}

/// A request that was admitted.
pub(crate) struct Job {
    /// Whose instances may serve it.
    pub(crate) key: Key,
    pub(crate) release: Arc<Release>,
    pub(crate) invocation: Arc<Invocation>,
    pub(crate) request: http::Request<Body>,
    pub(crate) deadline: Instant,
    pub(crate) answer: Arc<Answer>,
    /// Resolves to an error when nobody waits for the answer any more.
    pub(crate) reader: oneshot::Receiver<()>,
    pub(crate) permit: Permit,
    pub(crate) place: ServicePlace,
}

/// Why the guest's function did not end cleanly.
pub(crate) enum End {
    Error(wasmtime::Error),
    Fault(Fault),
}

impl Job {
    /// Runs once.
    pub(crate) async fn run(self, worker: Arc<Worker>) {
        let standing = worker.apart.standing(&self.key);
        let begins_with_turn = worker.begins_with_turn(&self, standing);
        let Self {
            key,
            release,
            invocation,
            request,
            deadline,
            answer,
            reader,
            permit,
            place,
        } = self;
        let _awake = worker.ticker.awake();
        let began = Instant::now();
        // For the line about a failure; cheap to clone.
        let asked = (request.method().clone(), request.uri().clone());
        let request = request.map(|inner| Inbound {
            inner,
            left: release.limits().request_body_bytes(),
            answer: answer.clone(),
        });

        let mut instance = worker.idle.take(&key);
        let meter = instance
            .as_ref()
            .map_or_else(|| Arc::new(Meter::new()), |instance| instance.meter.clone());
        let is_measured = release.pace.measures() || standing != Standing::Free;
        meter.begin(release.limits().cpu(), is_measured);
        let ended = {
            let work = async {
                if begins_with_turn {
                    meter.hold(worker.turns.clone().take(key.0.clone()).await);
                }
                let instance = match &mut instance {
                    Some(instance) => instance,
                    none => none.insert(instantiate(&release, &invocation, &meter, &worker).await?),
                };
                instance
                    .serve(invocation.clone(), request, answer.clone())
                    .await
                    .map_err(End::Error)
            };
            let mut work = pin!(meter.charge(AssertUnwindSafe(work).catch_unwind()));
            tokio::select! {
                biased;
                ended = &mut work => ended.unwrap_or_else(|panic| {
                    tracing::error!(request.id = %invocation.request, service = %invocation.service, "A host function panicked: {}", said(&*panic));
                    Err(End::Fault(Fault::Internal))
                }),
                () = gone(reader) => Err(End::Fault(Fault::Cancelled)),
                () = tokio::time::sleep_until(deadline) => Err(End::Fault(Fault::WallLimit)),
            }
        };

        let has_failed = !matches!(ended, Ok(()) | Err(End::Fault(Fault::Cancelled)));
        let spent = meter.spent();
        worker.apart.count(&key, spent, is_measured);
        release.pace.ended();
        if matches!(standing, Standing::Free | Standing::Watched) {
            // Who is known by name does not count against the others.
            release.pace.count(spent, is_measured);
        }
        let mut usage = usage(instance.as_ref(), &meter, began, has_failed);
        let tidying = std::time::Instant::now();
        match ended {
            Ok(()) => {
                // Does nothing when the guest has answered.
                answer.send(Err(Fault::NoResponse));
                if let Some(mut instance) = instance.take() {
                    instance.end();
                    if release.isolation == Isolation::Tenant
                        && !release.is_retired()
                        && instance.is_reusable(&worker.config)
                    {
                        drop(worker.idle.put(key, instance));
                        // It may have been retired between the look and the put.
                        if release.is_retired() {
                            drop(worker.idle.take_release(release.id()));
                        }
                    }
                }
            }
            Err(end) => {
                let refused = instance.as_ref().is_some_and(Instance::was_refused_memory);
                // Whoever is told of the failure may look into the log at once.
                if let Some(instance) = &mut instance {
                    instance.end_log();
                }
                let fault = classify(end, &meter, refused, &asked, &invocation, &worker.logs);
                answer.fail(fault);
                if let Some(instance) = &mut instance {
                    instance.end();
                }
            }
        }
        // Giving an instance's memory back to the system is a good part of what a fresh one costs.
        drop(instance);
        usage.add_cpu(tidying.elapsed());
        worker.accounts.add(&invocation, usage);
        drop((permit, place));
    }
}

/// A fresh instance, if there is a place for it.
pub(crate) async fn instantiate(
    release: &Release,
    invocation: &Arc<Invocation>,
    meter: &Arc<Meter>,
    worker: &Worker,
) -> Result<Instance, End> {
    let max = worker.config.instances_max as usize;
    let place = loop {
        if let Some(place) = Place::take(&worker.live, max) {
            break place;
        }
        if worker.idle.evict().is_none() {
            return Err(End::Fault(Fault::Overloaded));
        }
    };
    let around = Surroundings {
        logs: &worker.logs,
        turns: &worker.turns,
    };
    Instance::new(release, invocation.clone(), meter.clone(), place, &around).await.map_err(|error| {
        if meter.exceeded() || error.is::<wasmtime::Trap>() {
            return End::Error(error);
        }
        tracing::error!(request.id = %invocation.request, service = %invocation.service, "Could not instantiate: {error:#}");
        End::Fault(if error.is::<wasmtime::PoolConcurrencyLimitError>() { Fault::Overloaded } else { Fault::Instantiate })
    })
}

/// What the request has used so far, with or without an instance.
fn usage(instance: Option<&Instance>, meter: &Meter, began: Instant, has_failed: bool) -> Usage {
    match instance {
        Some(instance) => instance.usage(began.elapsed(), has_failed),
        None => Used::default().usage(meter.spent(), began.elapsed(), 0, has_failed),
    }
}

/// Ends when nobody reads the answer any more; never, when it was read to its end.
async fn gone(reader: oneshot::Receiver<()>) {
    if reader.await.is_ok() {
        std::future::pending::<()>().await;
    }
}

/// What the failure is called, and one line about it in our own log.
fn classify(
    end: End,
    meter: &Meter,
    refused_memory: bool,
    (method, uri): &(http::Method, http::Uri),
    invocation: &Invocation,
    logs: &Logs,
) -> Fault {
    let spent_ms = meter.spent().as_millis();
    let (fault, detail) = match end {
        End::Fault(Fault::Cancelled) => {
            tracing::debug!(request.id = %invocation.request, service = %invocation.service, "The client went away");
            return Fault::Cancelled;
        }
        End::Fault(fault) => (fault, None),
        End::Error(error) => {
            let fault = if meter.exceeded() {
                Fault::CpuLimit
            } else if refused_memory {
                Fault::MemoryLimit
            } else {
                Fault::Trap
            };
            (fault, Some(error))
        }
    };
    let detail = detail
        .map(|error| format!(": {}", trap::describe(&error)))
        .unwrap_or_default();
    // Without the query, which may hold what is nobody's business.
    logs.fault(invocation, &format!("{fault} on {method} {}{detail}", uri.path()));
    tracing::warn!(request.id = %invocation.request, tenant.id = %invocation.tenant.id, service = %invocation.service, release = %invocation.release, spent_ms, "{fault}{detail}");
    fault
}

fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
