//! The capability `config`: plain values of a service, which its manifest lists and an operator sets.

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../contracts/wit",
        inline: "package terrace:capability; world config-host { import terrace:platform/config@0.1.0; }",
        world: "terrace:capability/config-host",
        imports: { default: async | trappable },
    });
}

mod standard;

use std::sync::Arc;

use async_trait::async_trait;
use bindings::terrace::platform::config::{self, add_to_linker};
use serde::Deserialize;
use terrace_compute_capability::{Capability, Guest, Shared};
use terrace_ground_ids::{ServiceName, SettingName, TenantId};
use wasmtime::component::{HasData, Linker};

/// The values cannot be read now.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// Where values are kept. The platform implements it over the directory.
#[async_trait]
pub trait Values: Send + Sync + 'static {
    /// The value of the tenant if it has one of its own, else the service's, else none. Called once for
    /// each call of a guest, after the manifest was checked.
    async fn value(
        &self,
        tenant: &TenantId,
        service: &ServiceName,
        name: &SettingName,
    ) -> Result<Option<String>, Unavailable>;
}

/// The manifest's `config`: the names that a release may read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Names(pub Vec<SettingName>);

/// The `config` capability.
pub struct Config {
    values: Arc<Source>,
}

/// What is shared with the host functions. A struct of its own, because [`Shared`] is keyed by type.
struct Source(Arc<dyn Values>);

impl Config {
    /// Reads from `values`.
    pub fn new(values: Arc<dyn Values>) -> Self {
        Self {
            values: Arc::new(Source(values)),
        }
    }
}

impl Capability for Config {
    fn name(&self) -> &'static str {
        "config"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["terrace:platform/config", "wasi:config/store"]
    }

    fn link(&self, linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
        add_to_linker::<_, Self>(linker, |guest: &mut Guest| Reader(guest))?;
        standard::link(linker)
    }

    fn share(&self, shared: &mut Shared) {
        shared.insert(self.values.clone());
    }
}

impl HasData for Config {
    type Data<'a> = Reader<'a>;
}

/// Host state of the interface: the guest that reads.
pub struct Reader<'a>(&'a mut Guest);

impl Reader<'_> {
    /// The names that the manifest lists.
    fn listed(&self) -> Vec<SettingName> {
        self.0
            .shared::<Names>()
            .map(|names| names.0.clone())
            .unwrap_or_default()
    }

    /// What is set for a name; none for one that the manifest does not list.
    async fn find(&mut self, name: &str) -> wasmtime::Result<Result<Option<String>, Unavailable>> {
        let source = self.0.shared::<Source>()?;
        let Some(name) = self.listed().into_iter().find(|listed| listed.as_str() == name) else {
            return Ok(Ok(None));
        };
        let tenant = self.0.invocation().tenant.id.clone();
        let service = self.0.release().service.clone();
        Ok(source.0.value(&tenant, &service, &name).await)
    }
}

impl config::Host for Reader<'_> {
    async fn get(&mut self, name: String) -> wasmtime::Result<Result<Option<String>, config::Error>> {
        if !self.listed().iter().any(|listed| listed.as_str() == name) {
            return Ok(Err(config::Error::NotListed));
        }
        Ok(self.find(&name).await?.map_err(|_| config::Error::Unavailable))
    }
}
