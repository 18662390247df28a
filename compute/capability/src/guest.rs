//! What a store holds while a guest runs in it.

use std::{
    any::{Any, TypeId},
    sync::{Arc, Mutex, PoisonError},
};

use terrace_ground_ids::{ReleaseId, ServiceName};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::{
    Invocation, Level, Limits, Logs, Memory, Shared, Used,
    egress::Hooks,
    logs::{Output, RequestLog},
};

/// Random bytes that one call may ask for. Making them takes the processor, and nothing interrupts it.
const RANDOM_BYTES_MAX: u64 = 64 << 10;

/// What a release is and may do. Shared by all its instances.
#[derive(Debug, Clone)]
pub struct Release {
    /// Its id.
    pub id: ReleaseId,
    /// Its service.
    pub service: ServiceName,
    /// Its limits.
    pub limits: Limits,
    /// The services that it may call.
    pub calls: Vec<ServiceName>,
    /// What its manifest grants to its capabilities, and what these left for their host functions.
    pub shared: Shared,
}

/// The data of a store: one instance of one release, for one tenant.
pub struct Guest {
    release: Arc<Release>,
    invocation: Arc<Invocation>,
    /// The resources that the guest holds.
    pub table: ResourceTable,
    /// The memory of the instance.
    pub memory: Memory,
    used: Arc<Used>,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    egress: Hooks,
    log: Arc<Mutex<RequestLog>>,
    slots: Vec<(TypeId, Box<dyn Any + Send>)>,
}

impl Guest {
    /// The data for a fresh store. The tenant of `invocation` is its tenant for good.
    pub fn new(release: Arc<Release>, invocation: Arc<Invocation>, logs: Arc<Logs>) -> Self {
        let limits = &release.limits;
        let log = Arc::new(Mutex::new(RequestLog::new(
            logs,
            invocation.clone(),
            limits.log_bytes(),
        )));
        let mut wasi = WasiCtx::builder();
        wasi.stdout(Output(log.clone()))
            .stderr(Output(log.clone()))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .max_random_size(RANDOM_BYTES_MAX);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(limits.headers_bytes());
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles as usize);
        Self {
            memory: Memory::new(limits.memory_bytes(), limits.table_elements as usize),
            egress: Hooks::new(release.clone(), invocation.clone(), log.clone()),
            release,
            invocation,
            used: Arc::default(),
            table,
            wasi: wasi.build(),
            http,
            log,
            slots: Vec::new(),
        }
    }

    /// Takes up a request. Called by the engine, once per request, before the guest runs.
    ///
    /// # Panics
    /// When the request is another tenant's. The engine never does that; if it ever did, failing the
    /// request is the right answer, in a release build too.
    pub fn begin(&mut self, invocation: Arc<Invocation>) {
        assert_eq!(
            self.invocation.tenant.id, invocation.tenant.id,
            "an instance has one tenant for life"
        );
        self.memory.begin();
        self.log().begin(invocation.clone(), self.release.limits.log_bytes());
        self.used = Arc::default();
        self.egress.begin(invocation.clone(), self.used.clone());
        self.invocation = invocation;
    }

    /// Ends a request: drops the capabilities' state, which rolls back what was left open. Called by
    /// the engine, once per request, whatever became of it.
    pub fn end(&mut self) {
        self.slots.clear();
        self.egress.end();
        self.end_log();
    }

    /// Writes what the log of the request still holds back. The second time there is nothing.
    pub fn end_log(&mut self) {
        self.log().end();
    }

    /// The request that is being served.
    pub fn invocation(&self) -> &Arc<Invocation> {
        &self.invocation
    }

    /// What is done on behalf of that request, for a capability to add to.
    pub fn used(&self) -> &Arc<Used> {
        &self.used
    }

    /// The release that serves it.
    pub fn release(&self) -> &Arc<Release> {
        &self.release
    }

    /// What a capability shared at load.
    ///
    /// # Errors
    /// When nothing of that type was shared: a capability that links without sharing.
    pub fn shared<T: Any + Send + Sync>(&self) -> wasmtime::Result<Arc<T>> {
        self.release
            .shared
            .get()
            .ok_or_else(|| wasmtime::Error::msg(format!("no shared {}", std::any::type_name::<T>())))
    }

    /// A capability's own state of this request, made on first use and dropped when the request
    /// ends. Its `Drop` is the place to undo what was left open.
    pub fn slot<T: Any + Send + Default>(&mut self) -> &mut T {
        let at = self
            .slots
            .iter()
            .position(|(id, _)| *id == TypeId::of::<T>())
            .unwrap_or_else(|| {
                self.slots.push((TypeId::of::<T>(), Box::<T>::default()));
                self.slots.len() - 1
            });
        #[expect(clippy::expect_used, reason = "the entry was found or made under this very type")]
        self.slots[at].1.downcast_mut().expect("a slot holds its own type")
    }

    /// Writes a line to the log of the service.
    pub fn log_line(&self, level: Level, message: &str) {
        self.log().write(level, message);
    }

    fn log(&self) -> std::sync::MutexGuard<'_, RequestLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.egress,
        }
    }
}
