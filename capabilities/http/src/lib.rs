//! The capability `http`: a service's outgoing requests, by the standard `wasi:http/outgoing-handler`, or
//! `wasi:http/client` in preview 3.
//!
//! Denied unless the manifest lists the host ([`Rules`]). A listed name is looked up for every new
//! connection, every address is checked, and the checked address itself is dialled: an answer that
//! changes between check and use changes nothing. Redirects are the guest's business, and each of its
//! requests is checked like the first. Connections are kept per (tenant, service).
//!
//! `docs/decisions/0006-egress.md` says why it is made this way.

mod address;
mod client;
mod config;
mod dial;
mod failure;
mod host;
mod pool;
mod quota;
mod resolve;
mod rules;

use std::sync::Arc;

pub use config::Config;
pub use host::Host;
pub use quota::Place;
pub use resolve::{Resolver, System};
pub use rules::{Credential, Pattern, Rules};

use client::{Client, Grant};
use terrace_capabilities_secrets::Vault;
use terrace_compute_capability::{Capability, Egress, Guest, Outgoing, Shared};
use wasmtime::component::Linker;

/// Why outgoing HTTP cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operator's file of certificates is of no use.
    #[error("http.ca_file {file}: {why}")]
    CaFile {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// This machine has no TLS.
    #[error("set up TLS: {0}")]
    Tls(String),
}

/// The `http` capability.
pub struct Http {
    client: Arc<Client>,
}

impl Http {
    /// Names are looked up by `resolver`, credentials come from `vault`. Called within a tokio runtime:
    /// that one sends the requests, not the guests' threads.
    ///
    /// # Errors
    /// [`Error`].
    pub fn new(config: Config, resolver: Arc<dyn Resolver>, vault: Arc<dyn Vault>) -> Result<Self, Error> {
        Ok(Self {
            client: Client::new(config, resolver, vault)?,
        })
    }

    /// What sends the requests of a release with these rules.
    pub fn egress(&self, rules: Arc<Rules>) -> Arc<dyn Egress> {
        Arc::new(Grant {
            client: self.client.clone(),
            rules,
        })
    }

    /// Connections that wait for another request.
    pub fn idle_connections(&self) -> usize {
        self.client.idle_connections()
    }
}

impl Capability for Http {
    fn name(&self) -> &'static str {
        "http"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["wasi:http/outgoing-handler", "wasi:http/client"]
    }

    /// Nothing: the engine links all of `wasi:http`, and asks for an [`Outgoing`] when a guest sends.
    fn link(&self, _linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
        Ok(())
    }

    fn share(&self, shared: &mut Shared) {
        let rules = shared.get::<Rules>().unwrap_or_default();
        shared.insert(Arc::new(Outgoing(self.egress(rules))));
    }
}
