//! The capability `keyvalue`: the standard `wasi:keyvalue` over two tables in the tenant's own schema.
//!
//! A store that a component opens outlives the node, moves and is deleted with its tenant, and is seen
//! by no other service. `cache` is the one that forgets. Why tables, and why these limits:
//! `docs/decisions/0010-standard-interfaces.md`.

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../contracts/standards/keyvalue.wit",
        world: "imports",
        imports: { default: async | trappable },
        with: {
            "wasi:keyvalue/store.bucket": crate::Bucket,
            "wasi:keyvalue/atomics.cas": crate::Cas,
        },
    });
}

mod config;
mod host;
mod store;

use std::sync::Arc;

use bindings::wasi::keyvalue;
use serde::Deserialize;
use terrace_compute_capability::{Capability, Guest, Shared, Tables};
use terrace_data_router::Router;
use terrace_ground_ids::SettingName;
use wasmtime::component::{HasData, Linker};

pub use config::Config;
pub use host::{Bucket, Cas, Keeper};

use store::Store;

/// The manifest's `keyvalue`: the stores that a release may open. When the capability is granted and
/// no name is listed, there is one, called `default`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Stores(pub Vec<SettingName>);

impl Stores {
    fn has(&self, name: &str) -> bool {
        if self.0.is_empty() {
            name == "default"
        } else {
            self.0.iter().any(|listed| listed.as_str() == name)
        }
    }
}

/// The `keyvalue` capability.
pub struct KeyValue {
    store: Arc<Store>,
}

impl KeyValue {
    /// Keeps everything through `router`, in tables that `tables` makes where they are missing.
    pub fn new(config: Config, router: Arc<Router>, tables: Arc<dyn Tables>) -> Self {
        Self {
            store: Arc::new(Store::new(config, router, tables)),
        }
    }
}

impl Capability for KeyValue {
    fn name(&self) -> &'static str {
        "keyvalue"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["wasi:keyvalue/store", "wasi:keyvalue/atomics", "wasi:keyvalue/batch"]
    }

    fn link(&self, linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
        keyvalue::store::add_to_linker::<_, Self>(linker, |guest: &mut Guest| Keeper(guest))?;
        keyvalue::atomics::add_to_linker::<_, Self>(linker, |guest: &mut Guest| Keeper(guest))?;
        keyvalue::batch::add_to_linker::<_, Self>(linker, |guest: &mut Guest| Keeper(guest))
    }

    fn share(&self, shared: &mut Shared) {
        shared.insert(self.store.clone());
    }
}

impl HasData for KeyValue {
    type Data<'a> = Keeper<'a>;
}
