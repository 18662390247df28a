//! The capability `blob`: files of a tenant, over three tables in its own schema, with links by which a
//! browser reads and writes them.
//!
//! What it promises and what not is said where a service's author reads it: in `contracts/wit/blob.wit`.
//! Why tables and no bucket: `docs/decisions/0014-files-in-the-schema.md`.

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../contracts/wit",
        inline: "package terrace:capability; world blob-host { import terrace:platform/blob@0.1.0; }",
        world: "terrace:capability/blob-host",
        require_store_data_send: true,
        imports: { default: async | trappable },
    });
}

mod config;
mod files;
mod host;
mod link;
mod name;

use std::sync::Arc;

use bindings::terrace::platform::blob;
use terrace_compute_capability::{Capability, Guest, Shared};
use wasmtime::component::{HasData, Linker};

pub use config::{Config, FILE_MIB_MAX};
pub use files::{Error, ErrorKind, File, Files, Info, Place};
pub use host::Keeper;
pub use link::{Access, Link, Links};

/// The `blob` capability.
pub struct Blob {
    files: Arc<Files>,
    links: Arc<Links>,
}

impl Blob {
    /// Keeps everything in `files`, and signs with `links`.
    pub fn new(files: Arc<Files>, links: Arc<Links>) -> Self {
        Self { files, links }
    }
}

impl Capability for Blob {
    fn name(&self) -> &'static str {
        "blob"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["terrace:platform/blob"]
    }

    fn link(&self, linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
        blob::add_to_linker::<_, Self>(linker, |guest: &mut Guest| Keeper(guest))
    }

    fn share(&self, shared: &mut Shared) {
        shared.insert(self.files.clone());
        shared.insert(self.links.clone());
    }
}

impl HasData for Blob {
    type Data<'a> = Keeper<'a>;
}
