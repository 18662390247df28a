//! What operators set for services: secrets and plain values, for all tenants or for one.
//!
//! Values are bytes here. A secret is sealed before it comes and opened after it left: this crate never
//! sees one.

use std::fmt;

use jiff::Timestamp;
use terrace_ground_ids::{ServiceName, SettingName, TenantId};
use tokio_postgres::{Row, error::SqlState};

use crate::{Directory, Error, view};

/// Settings of one service, overrides included. A service has a handful; an override per tenant is
/// what makes many of them.
const PER_SERVICE_MAX: i64 = 10_000;

/// What a setting is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SettingKind {
    /// Sealed; its value is never shown.
    Secret,
    /// A plain value.
    Config,
}

impl SettingKind {
    /// `secret`, `config`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Config => "config",
        }
    }
}

impl fmt::Display for SettingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which setting.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SettingKey {
    /// What it is.
    pub kind: SettingKind,
    /// The service.
    pub service: ServiceName,
    /// Its name.
    pub name: SettingName,
    /// The tenant that it counts for; none for all.
    pub tenant: Option<TenantId>,
}

/// A setting as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Which.
    pub key: SettingKey,
    /// Its value; of a secret, sealed.
    pub value: Vec<u8>,
    /// When it was set.
    pub updated_at: Timestamp,
}

const COLUMNS: &str = "name, tenant, value, (extract(epoch FROM updated_at) * 1000000)::bigint";

impl Directory {
    /// Sets a value, in place of what was there. Every node sees it once its view is fresh.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a tenant that is not there; [`Error::Invalid`] when the service has too many.
    pub async fn put_setting(&self, key: &SettingKey, value: &[u8]) -> Result<(), Error> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        let (kind, service, name) = (key.kind.as_str(), key.service.as_str(), key.name.as_str());
        let tenant = key.tenant.as_ref().map(TenantId::as_str);
        let put = transaction
            .execute(
                "INSERT INTO terrace.setting (kind, service, name, tenant, value) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (kind, service, name, tenant) DO UPDATE SET value = excluded.value, updated_at = now()",
                &[&kind, &service, &name, &tenant, &value],
            )
            .await;
        if let Err(error) = put {
            return Err(match (error.code(), &key.tenant) {
                (Some(code), Some(tenant)) if *code == SqlState::FOREIGN_KEY_VIOLATION => {
                    Error::unknown("tenant", tenant)
                }
                _ => error.into(),
            });
        }
        let row = transaction
            .query_one(
                "SELECT count(*) FROM terrace.setting WHERE kind = $1 AND service = $2",
                &[&kind, &service],
            )
            .await?;
        if row.try_get::<_, i64>(0)? > PER_SERVICE_MAX {
            return Err(Error::Invalid(format!(
                "{service} has {PER_SERVICE_MAX} settings of this kind already; delete some first"
            )));
        }
        transaction.execute("SELECT terrace.bump()", &[]).await?;
        transaction.commit().await?;
        drop(client);
        self.refresh().await
    }

    /// Forgets a value.
    ///
    /// # Errors
    /// [`Error::Unknown`] when there is none.
    pub async fn delete_setting(&self, key: &SettingKey) -> Result<(), Error> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        let tenant = key.tenant.as_ref().map(TenantId::as_str);
        let deleted = transaction
            .execute(
                "DELETE FROM terrace.setting WHERE kind = $1 AND service = $2 AND name = $3 AND tenant IS NOT DISTINCT FROM $4",
                &[&key.kind.as_str(), &key.service.as_str(), &key.name.as_str(), &tenant],
            )
            .await?;
        if deleted == 0 {
            return Err(Error::unknown(key.kind.as_str(), &key.name));
        }
        transaction.execute("SELECT terrace.bump()", &[]).await?;
        transaction.commit().await?;
        drop(client);
        self.refresh().await
    }

    /// The settings of a service, in the order of names; the one for all tenants before the others.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn settings(&self, kind: SettingKind, service: &ServiceName) -> Result<Vec<Setting>, Error> {
        let client = self.pool.get().await?;
        let rows = client
            .query(
                &format!(
                    "SELECT {COLUMNS} FROM terrace.setting WHERE kind = $1 AND service = $2 ORDER BY name, tenant NULLS FIRST"
                ),
                &[&kind.as_str(), &service.as_str()],
            )
            .await?;
        rows.iter().map(|row| setting(row, kind, service)).collect()
    }

    /// What counts for a tenant: its own value, else the one for all tenants.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn setting(
        &self,
        kind: SettingKind,
        service: &ServiceName,
        name: &SettingName,
        tenant: &TenantId,
    ) -> Result<Option<Setting>, Error> {
        let client = self.pool.get().await?;
        let statement = client
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM terrace.setting
                 WHERE kind = $1 AND service = $2 AND name = $3 AND (tenant = $4 OR tenant IS NULL)
                 ORDER BY tenant NULLS LAST LIMIT 1"
            ))
            .await?;
        let row = client
            .query_opt(
                &statement,
                &[&kind.as_str(), &service.as_str(), &name.as_str(), &tenant.as_str()],
            )
            .await?;
        row.as_ref().map(|row| setting(row, kind, service)).transpose()
    }
}

fn setting(row: &Row, kind: SettingKind, service: &ServiceName) -> Result<Setting, Error> {
    Ok(Setting {
        key: SettingKey {
            kind,
            service: service.clone(),
            name: view::parsed(row, 0, "setting name")?,
            tenant: view::optional(row, 1, "tenant id")?,
        },
        value: row.try_get(2)?,
        updated_at: Timestamp::from_microsecond(row.try_get(3)?).unwrap_or_default(),
    })
}
