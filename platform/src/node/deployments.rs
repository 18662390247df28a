//! What is deployed: loads the directory's current releases into the engine and gives the gateway its table.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Context;
use terrace_capabilities_sql::Seals;
use terrace_compute_engine::{Engine, ReleaseSpec};
use terrace_compute_gateway::{Deployed, Gateway, Services};
use terrace_contracts_openapi::Contract;
use terrace_data_guard::Seal;
use terrace_data_router::Router;
use terrace_data_tenancy::Directory;
use terrace_events_dispatch::{Dispatcher, Subscriptions};
use terrace_ground_ids::{ReleaseId, ServiceName};
use tokio::sync::Mutex;
use tracing::{error, info};

use super::manifest::{Hook, Manifest};

/// A release in the engine, with what its manifest and contract say.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub(crate) deployed: Arc<Deployed>,
    pub(crate) manifest: Arc<Manifest>,
}

/// Keeps the gateway at what the directory says.
pub(crate) struct Deployments {
    directory: Arc<Directory>,
    engine: Engine,
    gateway: Arc<Gateway>,
    loaded: Mutex<HashMap<ReleaseId, Loaded>>,
    dispatcher: OnceLock<Arc<Dispatcher>>,
    sql_seals: SqlSeals,
}

/// What seals a release: the lists of the `sql` capability, and the router whose guard checks them.
#[derive(Clone)]
pub(crate) struct SqlSeals {
    pub(crate) seals: Arc<Seals>,
    pub(crate) router: Arc<Router>,
}

impl SqlSeals {
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

impl Deployments {
    /// Loads what is current, and follows the directory from then on.
    pub(crate) async fn start(
        directory: Arc<Directory>,
        engine: Engine,
        gateway: Arc<Gateway>,
        sql_seals: SqlSeals,
    ) -> anyhow::Result<Arc<Self>> {
        let deployments = Arc::new(Self {
            directory,
            engine,
            gateway,
            loaded: Mutex::default(),
            dispatcher: OnceLock::new(),
            sql_seals,
        });
        deployments.apply().await.context("load the services")?;
        let following = deployments.clone();
        let mut changes = following.directory.changes();
        tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                while let Err(problem) = following.apply().await {
                    error!("Cannot bring the services up to date, trying again: {problem:#}");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        });
        Ok(deployments)
    }

    /// The dispatcher learns which service consumes what, now and after each change.
    pub(crate) async fn subscribe(&self, dispatcher: Arc<Dispatcher>) {
        let loaded = self.loaded.lock().await;
        dispatcher.subscribe(subscriptions(loaded.values()));
        let _ = self.dispatcher.set(dispatcher);
    }

    /// Routes requests to the directory's current releases. What did not change is not loaded again.
    pub(crate) async fn apply(&self) -> anyhow::Result<()> {
        let mut loaded = self.loaded.lock().await;
        let mut current = HashMap::new();
        for service in self.directory.tenants().services() {
            let Some(id) = &service.current else { continue };
            let ready = match loaded.get(id) {
                Some(ready) => ready.clone(),
                None => self
                    .load(id)
                    .await
                    .with_context(|| format!("load {} {id}", service.name))?,
            };
            current.insert(id.clone(), ready);
        }
        if current.len() == loaded.len() && current.keys().all(|id| loaded.contains_key(id)) {
            return Ok(());
        }
        let services =
            Services::new(current.values().map(|one| one.deployed.clone()).collect()).map_err(anyhow::Error::msg)?;
        self.gateway.deploy(services);
        if let Some(dispatcher) = self.dispatcher.get() {
            dispatcher.subscribe(subscriptions(current.values()));
        }
        for one in current.values() {
            if !loaded.contains_key(one.deployed.release.id()) {
                info!(service = %one.deployed.service, release = %one.deployed.release.id(), "Serving");
            }
        }
        *loaded = current;
        Ok(())
    }

    /// True when the release's manifest asks for the hook.
    pub(crate) async fn wants(&self, release: &ReleaseId, hook: Hook) -> Result<bool, String> {
        Ok(self.any(release).await?.manifest.hooks.contains(&hook))
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

    async fn any(&self, release: &ReleaseId) -> Result<Loaded, String> {
        if let Some(ready) = self.loaded.lock().await.get(release) {
            return Ok(ready.clone());
        }
        self.load(release).await.map_err(|error| format!("{error:#}"))
    }

    /// Whether this manifest's seal, if it has one, can be kept.
    pub(crate) fn check_seal(&self, manifest: &Manifest) -> Result<(), String> {
        self.sql_seals.read(manifest).map(drop)
    }

    /// Compiles and links what may become a release, and forgets it: what is wrong with it shows here.
    pub(crate) async fn check(&self, spec: ReleaseSpec) -> Result<(), String> {
        self.engine
            .load(spec)
            .await
            .map(|_| ())
            .map_err(|error| error.to_string())
    }

    async fn load(&self, id: &ReleaseId) -> anyhow::Result<Loaded> {
        let facts = self.directory.release(id).await?;
        let component = self.directory.component(id).await?;
        let manifest = Manifest::parse(&facts.manifest).map_err(anyhow::Error::msg)?;
        let contract = Contract::parse(facts.contract.as_bytes())?;
        if let Some(seal) = self.sql_seals.read(&manifest).map_err(anyhow::Error::msg)? {
            self.sql_seals.seals.put(id.clone(), seal);
        }
        let spec = manifest.spec(id.clone(), component.into());
        let release = self.engine.load(spec).await?;
        let deployed = Arc::new(Deployed {
            service: facts.release.service,
            release,
            contract,
        });
        Ok(Loaded {
            deployed,
            manifest: Arc::new(manifest),
        })
    }
}

fn subscriptions<'a>(loaded: impl Iterator<Item = &'a Loaded>) -> Subscriptions {
    let consumers = loaded.filter(|one| !one.manifest.consumes.is_empty());
    consumers
        .map(|one| {
            (
                one.deployed.service.clone(),
                one.manifest.consumes.iter().cloned().collect(),
            )
        })
        .collect()
}
