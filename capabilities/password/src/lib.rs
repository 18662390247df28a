//! The capability `password`: argon2id in the host, with bounded concurrency.
//!
//! A hash takes 19 MiB and some tens of milliseconds. So at most [`Config::concurrent`] are computed
//! at once, on threads of their own (never on a guest's executor), and at most [`Config::queue`]
//! wait; the next one is told `busy`. A flood of sign-ins costs two threads and nothing else.

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../contracts/wit",
        inline: "package terrace:capability; world password-host { import terrace:platform/password@0.1.0; }",
        world: "terrace:capability/password-host",
        imports: { default: async | trappable },
    });
}

mod hasher;

pub use hasher::{Config, Error, Hasher};

use std::sync::Arc;

use bindings::terrace::platform::password::{self, add_to_linker};
use terrace_compute_capability::{Capability, Guest, Shared};
use wasmtime::component::{HasData, Linker};

/// The `password` capability.
#[derive(Debug)]
pub struct Password {
    hasher: Arc<Hasher>,
}

impl Password {
    /// Hashes with `hasher`, which the platform may use too.
    pub fn new(hasher: Arc<Hasher>) -> Self {
        Self { hasher }
    }
}

impl Capability for Password {
    fn name(&self) -> &'static str {
        "password"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["terrace:platform/password"]
    }

    fn link(&self, linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
        add_to_linker::<_, Self>(linker, |guest: &mut Guest| Asker(guest))
    }

    fn share(&self, shared: &mut Shared) {
        shared.insert(self.hasher.clone());
    }
}

impl HasData for Password {
    type Data<'a> = Asker<'a>;
}

/// Host state of the interface: the guest that asks.
pub struct Asker<'a>(&'a mut Guest);

impl password::Host for Asker<'_> {
    async fn hash(&mut self, password: String) -> wasmtime::Result<Result<String, password::Error>> {
        let hasher = self.0.shared::<Hasher>()?;
        let tenant = self.0.invocation().tenant.id.clone();
        Ok(hasher.hash(&tenant, self.0.used(), password).await.map_err(Into::into))
    }

    async fn verify(
        &mut self,
        password: String,
        hash: Option<String>,
    ) -> wasmtime::Result<Result<bool, password::Error>> {
        let hasher = self.0.shared::<Hasher>()?;
        let tenant = self.0.invocation().tenant.id.clone();
        Ok(hasher
            .verify(&tenant, self.0.used(), password, hash)
            .await
            .map_err(Into::into))
    }
}

impl From<Error> for password::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::TooShort => Self::TooShort,
            Error::TooLong => Self::TooLong,
            Error::Busy => Self::Busy,
            Error::MalformedHash => Self::MalformedHash,
        }
    }
}
