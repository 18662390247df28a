//! One live instance: a store and the component in it. It belongs to one tenant for life.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use terrace_compute_capability::{Guest, Invocation, Logs, Usage};
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi_http::{
    WasiHttpView as _,
    handler::{Proxy, ProxyPre},
    p2::bindings::http::types::Scheme,
};

use crate::{
    Config, Release,
    body::Inbound,
    meter::{Meter, Ticked},
    preview3,
    release::Code,
    task::Answer,
    turns::Turns,
};

/// Resources that a guest may keep between requests (its standard streams, a pollable). One that
/// keeps more leaks, and is not used again.
const KEPT_RESOURCES_MAX: usize = 32;

/// Handles that a component may hold for each one to a resource of the host: it makes some of its own.
const HANDLES_PER_RESOURCE: usize = 4;

/// A store, and the component in it.
pub(crate) struct Instance {
    store: Store<Guest>,
    proxy: Proxy,
    uses: u32,
    pub(crate) meter: Arc<Meter>,
    /// After the store: its place is free when its memory is.
    _place: Place,
}

/// One of the places that the pool has.
pub(crate) struct Place(Arc<AtomicUsize>);

impl Place {
    /// A place, unless `max` are taken.
    pub(crate) fn take(live: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        live.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| {
            (count < max).then_some(count + 1)
        })
        .ok()?;
        Some(Self(live.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What an instance needs of its surroundings.
pub(crate) struct Surroundings<'a> {
    pub(crate) logs: &'a Arc<Logs>,
    pub(crate) turns: &'a Arc<Turns>,
}

impl Instance {
    /// A fresh instance, for the tenant of `invocation`.
    pub(crate) async fn new(
        release: &Release,
        invocation: Arc<Invocation>,
        meter: Arc<Meter>,
        place: Place,
        around: &Surroundings<'_>,
    ) -> wasmtime::Result<Self> {
        let tenant = invocation.tenant.id.clone();
        let guest = Guest::new(release.facts.clone(), invocation, around.logs.clone());
        let Some(Code { pre, .. }) = release.code.get() else {
            wasmtime::bail!("the code of {release:?} is not loaded");
        };
        let engine = match pre {
            ProxyPre::P2(pre) => pre.engine(),
            ProxyPre::P3(pre) => pre.engine(),
        };
        let mut store = Store::new(engine, guest);
        store.limiter(|guest| &mut guest.memory);
        let limits = release.limits();
        store.set_hostcall_fuel(limits.hostcall_bytes());
        let handles = limits.handles as usize * HANDLES_PER_RESOURCE;
        store.set_max_component_handles(handles);
        if let Some(table) = store.concurrent_resource_table() {
            // Streams, futures and calls under way, which the host keeps for a guest of preview 3.
            table.set_max_capacity(handles);
        }
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback({
            let (meter, turns) = (meter.clone(), around.turns.clone());
            move |_| {
                match meter.tick() {
                    Ticked::GoesOn => return Ok(UpdateDeadline::Continue(1)),
                    Ticked::Ends => return Ok(UpdateDeadline::Interrupt),
                    Ticked::Yields => {}
                }
                let (meter, turns, tenant) = (meter.clone(), turns.clone(), tenant.clone());
                Ok(UpdateDeadline::YieldCustom(
                    1,
                    Box::pin(async move {
                        let mut take = pin!(turns.take(tenant));
                        // It stands in the queue before its own turn ends. With a turn at once it still lets
                        // others run: tokio's own yield lets timers and sockets have their say.
                        let turn = match poll_fn(|context| Poll::Ready(take.as_mut().poll(context))).await {
                            Poll::Ready(turn) => {
                                tokio::task::yield_now().await;
                                turn
                            }
                            Poll::Pending => take.await,
                        };
                        meter.hold(turn);
                    }),
                ))
            }
        });
        let proxy = pre.instantiate_async(&mut store).await?;
        Ok(Self {
            store,
            proxy,
            uses: 0,
            meter,
            _place: place,
        })
    }

    /// Serves one request. The response goes to `answer`, before the guest's function returns.
    pub(crate) async fn serve(
        &mut self,
        invocation: Arc<Invocation>,
        request: http::Request<Inbound>,
        answer: Arc<Answer>,
    ) -> wasmtime::Result<()> {
        self.uses = self.uses.saturating_add(1);
        self.store.set_epoch_deadline(1);
        let guest = self.store.data_mut();
        guest.begin(invocation);
        match &self.proxy {
            Proxy::P2(proxy) => {
                let mut http = guest.http();
                let request = http.new_incoming_request(Scheme::Http, request)?;
                let outparam =
                    http.new_response_outparam_from_callback(move |response| answer.respond(response.map_err(drop)))?;
                let handler = proxy.wasi_http_incoming_handler();
                handler.call_handle(&mut self.store, request, outparam).await
            }
            Proxy::P3(service) => preview3::serve(&mut self.store, service, request, answer).await,
        }
    }

    /// Ends a request, whatever became of it.
    pub(crate) fn end(&mut self) {
        self.store.data_mut().end();
    }

    /// Ends the log of a request, before what became of it is told.
    pub(crate) fn end_log(&mut self) {
        self.store.data_mut().end_log();
    }

    /// What the request that it serves has used so far.
    pub(crate) fn usage(&self, wall: Duration, has_failed: bool) -> Usage {
        let guest = self.store.data();
        guest
            .used()
            .usage(self.meter.spent(), wall, guest.memory.bytes(), has_failed)
    }

    /// Whether memory was refused during this request.
    pub(crate) fn was_refused_memory(&self) -> bool {
        self.store.data().memory.refused()
    }

    /// Whether another request of the same tenant may use it. Only asked after a clean end.
    pub(crate) fn is_reusable(&mut self, config: &Config) -> bool {
        if preview3::is_busy(&mut self.store) {
            return false;
        }
        let guest = self.store.data_mut();
        self.uses < config.uses_max
            && guest.memory.bytes() <= config.idle_memory_max_mib << 20
            && guest.table.iter_mut().nth(KEPT_RESOURCES_MAX).is_none()
    }
}
