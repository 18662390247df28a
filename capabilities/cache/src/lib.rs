//! The capability `cache`: a small memory per tenant and service, in this node, bounded.
//!
//! What it promises and what not is said where a service's author reads it: in
//! `contracts/wit/cache.wit`.

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../contracts/wit",
        inline: "package terrace:capability; world cache-host { import terrace:platform/cache@0.1.0; }",
        world: "terrace:capability/cache-host",
        imports: { default: trappable },
    });
}

mod store;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bindings::terrace::platform::cache::{self, add_to_linker};
use terrace_compute_capability::{Capability, Guest, Shared};
use wasmtime::component::{HasData, Linker};

pub use store::{Config, Error, Owner, Store};

/// The `cache` capability.
pub struct Cache {
    store: Arc<Store>,
}

impl Cache {
    /// Keeps everything in `store`.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }
}

impl Capability for Cache {
    fn name(&self) -> &'static str {
        "cache"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["terrace:platform/cache"]
    }

    fn link(&self, linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
        add_to_linker::<_, Self>(linker, |guest: &mut Guest| Keeper(guest))
    }

    fn share(&self, shared: &mut Shared) {
        shared.insert(self.store.clone());
    }
}

impl HasData for Cache {
    type Data<'a> = Keeper<'a>;
}

/// Host state of the interface: the guest whose tenant and service own the entries.
pub struct Keeper<'a>(&'a mut Guest);

impl Keeper<'_> {
    fn owner(&self) -> Owner {
        (self.0.invocation().tenant.id.clone(), self.0.release().service.clone())
    }
}

impl cache::Host for Keeper<'_> {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        let store = self.0.shared::<Store>()?;
        Ok(store.get(&self.owner(), &key, Instant::now()))
    }

    fn set(&mut self, key: String, value: Vec<u8>, ttl_seconds: u32) -> wasmtime::Result<Result<(), cache::Error>> {
        let store = self.0.shared::<Store>()?;
        let ttl = Duration::from_secs(ttl_seconds.into());
        let kept = store.set(&self.owner(), &key, value, ttl, Instant::now());
        Ok(kept.map_err(|error| match error {
            Error::KeyLength => cache::Error::KeyLength,
            Error::ValueTooLarge => cache::Error::ValueTooLarge,
        }))
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<()> {
        self.0.shared::<Store>()?.delete(&self.owner(), &key);
        Ok(())
    }
}
