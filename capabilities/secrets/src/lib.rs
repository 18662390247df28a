//! The capability `secrets`: named secrets of a service, which its manifest lists and an operator sets.
//!
//! They lie in the directory, sealed ([`Sealer`]) with a key that only the nodes have. A secret that
//! a service only sends in a header is better named in `[http.credentials]`: then no guest sees it.

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../contracts/wit",
        inline: "package terrace:capability; world secrets-host { import terrace:platform/secrets@0.1.0; }",
        world: "terrace:capability/secrets-host",
        imports: { default: async | trappable },
    });
}

mod seal;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bindings::terrace::platform::secrets::{self, add_to_linker};
use serde::Deserialize;
use terrace_compute_capability::{Capability, Guest, Shared};
use terrace_ground_ids::{ServiceName, SettingName, TenantId};
use wasmtime::component::{HasData, Linker};
use zeroize::Zeroizing;

pub use seal::{Place, SealError, Sealer};

/// A value that is overwritten when it is dropped, and that no log shows.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps the value.
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value itself; whoever asks takes care of it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// The secrets cannot be read now.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// Where secrets are kept. The platform implements it over the directory.
#[async_trait]
pub trait Vault: Send + Sync + 'static {
    /// The secret of the tenant if it has one of its own, else the service's, else none. Called once
    /// for each [`secrets`] call of a guest and for each outgoing request with a credential, after the
    /// manifest was checked.
    async fn secret(
        &self,
        tenant: &TenantId,
        service: &ServiceName,
        name: &SettingName,
    ) -> Result<Option<Secret>, Unavailable>;
}

/// The manifest's `secrets`: the names that a release may read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Names(pub Vec<SettingName>);

/// The `secrets` capability.
pub struct Secrets {
    vault: Arc<Source>,
}

/// What is shared with the host functions. A struct of its own, because [`Shared`] is keyed by type.
struct Source(Arc<dyn Vault>);

impl Secrets {
    /// Reads from `vault`.
    pub fn new(vault: Arc<dyn Vault>) -> Self {
        Self {
            vault: Arc::new(Source(vault)),
        }
    }
}

impl Capability for Secrets {
    fn name(&self) -> &'static str {
        "secrets"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["terrace:platform/secrets"]
    }

    fn link(&self, linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
        add_to_linker::<_, Self>(linker, |guest: &mut Guest| Reader(guest))
    }

    fn share(&self, shared: &mut Shared) {
        shared.insert(self.vault.clone());
    }
}

impl HasData for Secrets {
    type Data<'a> = Reader<'a>;
}

/// Host state of the interface: the guest that reads.
pub struct Reader<'a>(&'a mut Guest);

impl secrets::Host for Reader<'_> {
    async fn get(&mut self, name: String) -> wasmtime::Result<Result<String, secrets::Error>> {
        let source = self.0.shared::<Source>()?;
        let names = self.0.shared::<Names>().unwrap_or_default();
        let Some(name) = names.0.iter().find(|listed| listed.as_str() == name) else {
            return Ok(Err(secrets::Error::NotListed));
        };
        let tenant = self.0.invocation().tenant.id.clone();
        let service = self.0.release().service.clone();
        Ok(match source.0.secret(&tenant, &service, name).await {
            Ok(Some(secret)) => Ok(secret.reveal().to_owned()),
            Ok(None) => Err(secrets::Error::NotSet),
            Err(_) => Err(secrets::Error::Unavailable),
        })
    }
}
