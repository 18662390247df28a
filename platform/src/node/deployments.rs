//! What is deployed: loads the directory's releases into the engine, gives the gateway its table, keeps
//! what was replaced for a while, and watches what is new.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use terrace_capabilities_sql::Seals;
use terrace_compute_engine::{Engine, Release, ReleaseSpec};
use terrace_compute_gateway::{Canary, Deployed, Gateway, Services, Tally};
use terrace_contracts_openapi::Contract;
use terrace_data_guard::Seal;
use terrace_data_router::Router;
use terrace_data_tenancy::{Directory, ReleaseFacts, Service};
use terrace_events_dispatch::{Dispatcher, Subscriptions};
use terrace_events_schedule::{Recurring, Scheduler};
use terrace_ground_ids::{ReleaseId, ServiceName, TenantId};
use tokio::sync::Mutex;
use tracing::{error, info, warn};

use super::{
    manifest::{Hook, Manifest},
    trials::Trials,
    warm,
};
use crate::config::Releases;

/// Replaced releases that stay loaded, over all services.
const DRAINING_MAX: usize = 8;
/// Releases that are loaded at the same time: reading one waits for the disk, compiling one keeps a core busy.
const LOADS_MAX: usize = 8;
/// The longest pause before what could not be loaded is tried again.
const AGAIN_MAX: Duration = Duration::from_secs(30);

/// A release in the engine, with what its manifest and contract say.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub(crate) deployed: Arc<Deployed>,
    pub(crate) manifest: Arc<Manifest>,
}

/// Keeps the gateway at what the directory says.
pub(crate) struct Deployments {
    pub(super) config: Releases,
    pub(super) directory: Arc<Directory>,
    pub(super) engine: Engine,
    gateway: Arc<Gateway>,
    pub(super) table: Mutex<Table>,
    /// Of what is served, for those who must not wait until something is loaded.
    manifests: ArcSwap<HashMap<ReleaseId, Arc<Manifest>>>,
    dispatcher: OnceLock<Arc<Dispatcher>>,
    scheduler: OnceLock<Arc<Scheduler>>,
    sql_seals: SqlSeals,
    /// Whether the first round is over: until then nobody waits for anything that can be done later.
    is_started: AtomicBool,
}

/// What seals a release: the lists of the `sql` capability, and the router whose guard checks them.
#[derive(Clone)]
pub(crate) struct SqlSeals {
    seals: Arc<Seals>,
    router: Arc<Router>,
}

impl SqlSeals {
    pub(crate) fn new(seals: Arc<Seals>, router: Arc<Router>) -> Self {
        Self { seals, router }
    }

    /// The seal that this manifest asks for; `None` when it asks for none. A seal without a list would
    /// refuse everything, so it is refused itself.
    pub(crate) fn read(&self, manifest: &Manifest) -> Result<Option<Seal>, String> {
        if !manifest.sealed_sql {
            return Ok(None);
        }
        if manifest.statements.is_empty() && manifest.capabilities.iter().any(|name| name == "sql") {
            return Err(
                "sealed_sql needs a list of statements: run the service's tests, which write statements.sql beside service.toml, and deploy it with the bundle"
                    .to_owned(),
            );
        }
        self.router
            .seal(&manifest.statements)
            .map(Some)
            .map_err(|error| error.to_string())
    }
}

/// What is in the engine now.
#[derive(Default)]
pub(super) struct Table {
    /// What the gateway's table was made from.
    services: Vec<Service>,
    /// Current releases and canaries.
    pub(super) loaded: HashMap<ReleaseId, Loaded>,
    /// Those that were replaced, or are about to be served, oldest first.
    draining: Vec<(Instant, Loaded)>,
    pub(super) trials: Trials,
}

impl Deployments {
    /// Loads what is current, and follows the directory from then on.
    pub(crate) async fn start(
        config: Releases,
        directory: Arc<Directory>,
        engine: Engine,
        gateway: Arc<Gateway>,
        sql_seals: SqlSeals,
    ) -> anyhow::Result<Arc<Self>> {
        let deployments = Arc::new(Self {
            config,
            directory,
            engine,
            gateway,
            table: Mutex::default(),
            manifests: ArcSwap::default(),
            dispatcher: OnceLock::new(),
            scheduler: OnceLock::new(),
            sql_seals,
            is_started: AtomicBool::new(false),
        });
        // What cannot be loaded is answered with `service-unavailable`, and tried again.
        let mut is_complete = deployments.apply().await.context("load the services")?;
        deployments.is_started.store(true, Ordering::Relaxed);
        let following = deployments.clone();
        let mut changes = following.directory.changes();
        tokio::spawn(async move {
            is_complete &= following.load_code().await;
            while !is_complete || changes.changed().await.is_ok() {
                let mut pause = Duration::from_secs(1);
                loop {
                    match following.apply().await {
                        Ok(true) => break,
                        Ok(false) => {}
                        Err(problem) => error!("Cannot bring the services up to date, trying again: {problem:#}"),
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(AGAIN_MAX);
                }
                is_complete = true;
            }
        });
        tokio::spawn(deployments.clone().watch());
        Ok(deployments)
    }

    /// Loads the code of everything that is served, one after the other: whoever asks first has not
    /// waited for the rest. Code that cannot be trusted is forgotten, so that the next [`Self::apply`]
    /// compiles it again; then this is false.
    async fn load_code(&self) -> bool {
        let all: Vec<Loaded> = self.table.lock().await.loaded.values().cloned().collect();
        let mut is_complete = true;
        for one in all {
            let release = &one.deployed.release;
            if let Err(problem) = self.engine.prepare(release).await {
                warn!(service = %one.deployed.service, release = %release.id(), "{problem}");
                self.table.lock().await.forget(release.id());
                is_complete = false;
            }
        }
        is_complete
    }

    /// The dispatcher learns which service consumes what, now and after each change.
    pub(crate) async fn subscribe(&self, dispatcher: Arc<Dispatcher>) {
        let table = self.table.lock().await;
        dispatcher.subscribe(table.subscriptions());
        let _ = self.dispatcher.set(dispatcher);
    }

    /// The scheduler learns what is done again and again, now and after each change.
    pub(crate) async fn recur(&self, scheduler: Arc<Scheduler>) {
        let table = self.table.lock().await;
        scheduler.recur(table.recurring());
        let _ = self.scheduler.set(scheduler);
    }

    /// Routes requests to the directory's current releases and canaries. What did not change is not
    /// loaded again; what is new is compiled, linked and has answered once before it gets a request.
    /// False when a service could not be loaded; then it should be called again.
    pub(crate) async fn apply(&self) -> anyhow::Result<bool> {
        let mut table = self.table.lock().await;
        let view = self.directory.tenants();
        let services = view.services();
        if table.services == *services {
            return Ok(true);
        }
        let (services, needed) = self.loaded(&table, services).await;
        let current = services
            .iter()
            .filter_map(|service| needed.get(service.current.as_ref()?));
        let canaries = services.iter().filter_map(|service| {
            let canary = service.canary.as_ref()?;
            Some(Canary {
                deployed: needed.get(&canary.release)?.deployed.clone(),
                tenants: canary.tenants.clone(),
            })
        });
        let missing = view.services().iter().filter(|wanted| wanted.current.is_some());
        let missing = missing.filter(|wanted| services.iter().all(|service| service.name != wanted.name));
        let routes = Services::new(current.map(|one| one.deployed.clone()).collect(), canaries.collect());
        let routes = routes.map_err(anyhow::Error::msg)?;
        self.gateway
            .deploy(routes.without(missing.map(|service| service.name.clone()).collect()));
        for (id, one) in &needed {
            if !table.loaded.contains_key(id) {
                info!(service = %one.deployed.service, release = %id, "Serving");
            }
        }
        table.replace(services, needed);
        if let Some(dispatcher) = self.dispatcher.get() {
            dispatcher.subscribe(table.subscriptions());
        }
        if let Some(scheduler) = self.scheduler.get() {
            scheduler.recur(table.recurring());
        }
        let mut trials = std::mem::take(&mut table.trials);
        trials.begin(&table.services, |id| table.find(id).map(|one| one.deployed.clone()));
        table.trials = trials;
        let consumed = table.loaded.iter().map(|(id, one)| (id.clone(), one.manifest.clone()));
        self.manifests.store(Arc::new(consumed.collect()));
        self.retire(&mut table);
        Ok(table.services == *view.services())
    }

    /// What the directory wants, loaded, several at a time. A service that cannot be loaded stays as it
    /// is here, and hurts no other: the table is as far as it goes, and the caller tries again.
    async fn loaded(&self, table: &Table, wanted: &[Service]) -> (Vec<Service>, HashMap<ReleaseId, Loaded>) {
        let mut needed = HashMap::new();
        let mut missing = Vec::new();
        for id in wanted.iter().flat_map(releases_of) {
            match table.find(id) {
                Some(ready) => drop(needed.insert(id.clone(), ready.clone())),
                None => missing.push(id.clone()),
            }
        }
        let facts = match self.directory.releases_by_id(&missing).await {
            Ok(facts) => facts,
            Err(problem) => {
                error!("Cannot read the releases: {problem}");
                Vec::new()
            }
        };
        let loads: Vec<_> = facts.into_iter().map(|facts| self.load(facts).boxed()).collect();
        let mut outcomes = stream::iter(loads).buffer_unordered(LOADS_MAX);
        while let Some((id, outcome)) = outcomes.next().await {
            match outcome {
                Ok(ready) => drop(needed.insert(id, ready)),
                Err(problem) => error!(release = %id, "Cannot load a release: {problem:#}"),
            }
        }
        let mut services = Vec::with_capacity(wanted.len());
        for service in wanted {
            if releases_of(service).all(|id| needed.contains_key(id)) {
                services.push(service.clone());
            } else if let Some(before) = table.services.iter().find(|one| one.name == service.name) {
                services.push(before.clone());
            }
        }
        // Of a service that stays as it was, what it was.
        for id in services.iter().flat_map(releases_of) {
            if let Some(ready) = table.find(id) {
                needed.entry(id.clone()).or_insert_with(|| ready.clone());
            }
        }
        let used: HashSet<&ReleaseId> = services.iter().flat_map(releases_of).collect();
        needed.retain(|id, _| used.contains(id));
        (services, needed)
    }

    /// Lets go of releases that were replaced long enough ago, or of which there are too many. Requests
    /// that still run on them hold what they need.
    pub(super) fn retire(&self, table: &mut Table) {
        let drain = Duration::from_secs(self.config.drain_seconds);
        while let Some((since, _)) = table.draining.first() {
            if table.draining.len() <= DRAINING_MAX && since.elapsed() < drain {
                return;
            }
            let (_, gone) = table.draining.remove(0);
            self.engine.retire(&gone.deployed.release);
            info!(service = %gone.deployed.service, release = %gone.deployed.release.id(), "Let go of a replaced release");
        }
    }

    /// True when the release's manifest asks for the hook.
    pub(crate) async fn wants(&self, release: &ReleaseId, hook: Hook) -> Result<bool, String> {
        Ok(self.any(release).await?.manifest.hooks.contains(&hook))
    }

    /// Whether the release that this tenant has of the service consumes the event. The dispatcher asks
    /// by what the current release consumes; a canary may consume less.
    pub(crate) fn consumes(&self, tenant: &TenantId, service: &ServiceName, event: &str) -> bool {
        let services = self.gateway.services();
        let Some(deployed) = services.get(tenant, service) else {
            return true;
        };
        let manifests = self.manifests.load();
        let manifest = manifests.get(deployed.release.id());
        manifest.is_none_or(|manifest| manifest.consumes.iter().any(|kind| kind == event))
    }

    /// A release of a service, served or about to be.
    pub(crate) async fn deployed(&self, service: &ServiceName, release: &ReleaseId) -> Result<Arc<Deployed>, String> {
        let loaded = self.any(release).await?;
        if loaded.deployed.service == *service {
            Ok(loaded.deployed)
        } else {
            Err(format!("{release} is no release of {service}"))
        }
    }

    /// Loads a release that is about to be served, so that the switch need not wait for it.
    pub(crate) async fn prepare(&self, release: &ReleaseId) -> Result<(), String> {
        self.any(release).await.map(drop)
    }

    /// A release, loaded; kept for a while when it is not served (yet).
    async fn any(&self, release: &ReleaseId) -> Result<Loaded, String> {
        if let Some(ready) = self.table.lock().await.find(release) {
            return Ok(ready.clone());
        }
        let facts = self
            .directory
            .release(release)
            .await
            .map_err(|error| error.to_string())?;
        let (_, loaded) = self.load(facts).await;
        let loaded = loaded.map_err(|error| format!("{error:#}"))?;
        let mut table = self.table.lock().await;
        // Two may have come at once.
        if let Some(ready) = table.find(release) {
            return Ok(ready.clone());
        }
        table.draining.push((Instant::now(), loaded.clone()));
        self.retire(&mut table);
        Ok(loaded)
    }

    /// Whether this manifest's seal, if it has one, can be kept.
    pub(crate) fn check_seal(&self, manifest: &Manifest) -> Result<(), String> {
        self.sql_seals.read(manifest).map(drop)
    }

    /// Compiles and links what may become a release, and lets it answer once: what is wrong with it
    /// shows here.
    pub(crate) async fn check(&self, spec: ReleaseSpec) -> Result<Arc<Release>, String> {
        let release = self.engine.load(spec).await.map_err(|error| error.to_string())?;
        let answered = warm::up(&self.engine, &release).await;
        self.engine.retire(&release);
        answered.map(|()| release)
    }

    /// The gateway, which runs what is loaded.
    pub(super) fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    async fn load(&self, facts: ReleaseFacts) -> (ReleaseId, anyhow::Result<Loaded>) {
        let id = facts.release.id.clone();
        let loaded = self.try_load(facts).await.with_context(|| format!("load {id}"));
        (id, loaded)
    }

    async fn try_load(&self, facts: ReleaseFacts) -> anyhow::Result<Loaded> {
        let id = &facts.release.id;
        let manifest = Manifest::parse(&facts.manifest).map_err(anyhow::Error::msg)?;
        let contract = Contract::parse(facts.contract.as_bytes())?;
        if let Some(seal) = self.sql_seals.read(&manifest).map_err(anyhow::Error::msg)? {
            self.sql_seals.seals.put(id.clone(), seal);
        }
        // At a start, code that was compiled before is loaded with its first request, or a moment later:
        // see `load_code`. And what is compiled has answered before it was ever served.
        let is_starting = !self.is_started.load(Ordering::Relaxed);
        let mut compiled = None;
        if let Some(hash) = &facts.release.component_sha256 {
            compiled = self
                .engine
                .find_compiled(manifest.spec(id.clone(), Bytes::new()), hash)?;
        }
        if let Some(found) = compiled.as_ref().filter(|_| !is_starting)
            && let Err(problem) = self.engine.prepare(found).await
        {
            warn!(release = %id, "{problem}");
            compiled = None;
        }
        let is_compiled = compiled.is_some();
        let release = match compiled {
            Some(release) => release,
            // Only now: a node that has compiled it needs no object store to start.
            None => {
                let component = self.directory.component(id).await?;
                self.engine.load(manifest.spec(id.clone(), component)).await?
            }
        };
        if !is_compiled || !is_starting {
            warm::up(&self.engine, &release).await.map_err(anyhow::Error::msg)?;
        }
        let deployed = Arc::new(Deployed {
            service: facts.release.service,
            release,
            contract,
            tally: Tally::default(),
        });
        Ok(Loaded {
            deployed,
            manifest: Arc::new(manifest),
        })
    }
}

impl Table {
    /// A release that is loaded, served or not any more.
    fn find(&self, id: &ReleaseId) -> Option<&Loaded> {
        let draining = self.draining.iter().map(|(_, one)| one);
        self.loaded
            .get(id)
            .or_else(|| draining.into_iter().find(|one| one.deployed.release.id() == id))
    }

    /// As if it had never been loaded.
    fn forget(&mut self, id: &ReleaseId) {
        self.loaded.remove(id);
        self.draining.retain(|(_, one)| one.deployed.release.id() != id);
        self.services
            .retain(|service| releases_of(service).all(|served| served != id));
    }

    fn replace(&mut self, services: Vec<Service>, needed: HashMap<ReleaseId, Loaded>) {
        self.draining
            .retain(|(_, one)| !needed.contains_key(one.deployed.release.id()));
        let gone = std::mem::replace(&mut self.loaded, needed);
        let gone = gone.into_iter().filter(|(id, _)| !self.loaded.contains_key(id));
        self.draining.extend(gone.map(|(_, one)| (Instant::now(), one)));
        self.services = services;
    }

    /// What is served to most tenants.
    fn current(&self) -> impl Iterator<Item = &Loaded> {
        self.services
            .iter()
            .filter_map(|service| self.loaded.get(service.current.as_ref()?))
    }

    /// The `[[schedule]]` of what is served. A manifest that could not be read was no release.
    fn recurring(&self) -> Vec<Recurring> {
        self.current()
            .flat_map(|one| one.manifest.recurring().unwrap_or_default())
            .collect()
    }

    /// By the current releases. What only a canary consumes is delivered from its promotion on: until
    /// then most tenants have a release that would not know what to do with it.
    fn subscriptions(&self) -> Subscriptions {
        let consumers = self.current().filter(|one| !one.manifest.consumes.is_empty());
        consumers
            .map(|one| {
                let kinds = one.manifest.consumes.iter().cloned().collect();
                (one.deployed.service.clone(), kinds)
            })
            .collect()
    }
}

fn releases_of(service: &Service) -> impl Iterator<Item = &ReleaseId> {
    let canary = service.canary.as_ref().map(|canary| &canary.release);
    service.current.iter().chain(canary)
}
