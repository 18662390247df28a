//! What operators set for services, from the directory: plain values, and secrets, which are sealed
//! before they go there and opened where a service asks.
//!
//! What was read is remembered, sealed as it is, until the directory's view changes.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use lru::LruCache;
use terrace_capabilities_config::{self as config, Values};
use terrace_capabilities_secrets::{self as secrets, Place, Sealer, Secret, Vault};
use terrace_control as control;
use terrace_data_tenancy::{Directory, Error, Setting, SettingKey, SettingKind};
use terrace_ground_ids::{ServiceName, SettingName, TenantId};
use tracing::error;

/// Settings that are remembered.
const REMEMBERED_MAX: NonZeroUsize = NonZeroUsize::new(4_096).expect("a constant above zero");

/// Secrets and plain values of all services.
pub(crate) struct Settings {
    directory: Arc<Directory>,
    sealer: Sealer,
    known: Mutex<LruCache<SettingKey, Known>>,
}

struct Known {
    /// Of the directory's view that was current before the setting was read.
    version: u64,
    setting: Option<Arc<Setting>>,
}

impl Settings {
    pub(crate) fn new(directory: Arc<Directory>, sealer: Sealer) -> Self {
        Self {
            directory,
            sealer,
            known: Mutex::new(LruCache::new(REMEMBERED_MAX)),
        }
    }

    /// Settings of a service; with their values, unless they are secret.
    pub(crate) async fn list(
        &self,
        kind: control::SettingKind,
        service: &ServiceName,
    ) -> Result<Vec<(Setting, Option<String>)>, Error> {
        let settings = self.directory.settings(self::kind(kind), service).await?;
        let shown = settings.into_iter().map(|setting| {
            let value = match setting.key.kind {
                SettingKind::Secret => None,
                SettingKind::Config => Some(String::from_utf8_lossy(&setting.value).into_owned()),
            };
            (setting, value)
        });
        Ok(shown.collect())
    }

    pub(crate) async fn put(&self, key: &SettingKey, value: &str) -> Result<(), Error> {
        let bytes = match key.kind {
            SettingKind::Config => value.as_bytes().to_vec(),
            SettingKind::Secret => self
                .sealer
                .seal(place(key), value)
                .map_err(|error| Error::Config(error.to_string()))?,
        };
        self.directory.put_setting(key, &bytes).await
    }

    async fn find(
        &self,
        kind: SettingKind,
        tenant: &TenantId,
        service: &ServiceName,
        name: &SettingName,
    ) -> Result<Option<Arc<Setting>>, String> {
        let key = SettingKey {
            kind,
            service: service.clone(),
            name: name.clone(),
            tenant: Some(tenant.clone()),
        };
        let version = self.directory.tenants().version();
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&key).filter(|known| known.version == version) {
            return Ok(known.setting.clone());
        }
        let found = self.directory.setting(kind, service, name, tenant).await;
        let setting = found.map_err(|error| {
            error!(service = %service, "Cannot read the {kind} `{name}`: {error}");
            "the directory does not answer".to_owned()
        })?;
        let setting = setting.map(Arc::new);
        lock().put(
            key,
            Known {
                version,
                setting: setting.clone(),
            },
        );
        Ok(setting)
    }
}

#[async_trait]
impl Vault for Settings {
    async fn secret(
        &self,
        tenant: &TenantId,
        service: &ServiceName,
        name: &SettingName,
    ) -> Result<Option<Secret>, secrets::Unavailable> {
        let found = self
            .find(SettingKind::Secret, tenant, service, name)
            .await
            .map_err(secrets::Unavailable)?;
        let Some(setting) = found else { return Ok(None) };
        self.sealer
            .open(place(&setting.key), &setting.value)
            .map(Some)
            .map_err(|error| {
                error!(service = %service, "Cannot open the secret `{name}`: {error}");
                secrets::Unavailable("it cannot be opened with this node's key".to_owned())
            })
    }
}

#[async_trait]
impl Values for Settings {
    async fn value(
        &self,
        tenant: &TenantId,
        service: &ServiceName,
        name: &SettingName,
    ) -> Result<Option<String>, config::Unavailable> {
        let found = self
            .find(SettingKind::Config, tenant, service, name)
            .await
            .map_err(config::Unavailable)?;
        Ok(found.map(|setting| String::from_utf8_lossy(&setting.value).into_owned()))
    }
}

pub(crate) fn kind(kind: control::SettingKind) -> SettingKind {
    match kind {
        control::SettingKind::Secret => SettingKind::Secret,
        control::SettingKind::Config => SettingKind::Config,
    }
}

fn place(key: &SettingKey) -> Place<'_> {
    Place {
        service: &key.service,
        tenant: key.tenant.as_ref(),
        name: &key.name,
    }
}
