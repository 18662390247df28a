//! `/api/control/services/{service}/settings`: what an operator sets for a service, secret or plain.

mod delete;
mod list;
mod put;

// The macro `routes!` finds an operation's description beside its handler.
pub(crate) use delete::*;
pub(crate) use list::*;
pub use put::PutSetting;
pub(crate) use put::*;

use std::str::FromStr;

use axum::{extract::Query, http::Uri};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use terrace_ground_error::{Code, Problem};
use terrace_ground_ids::{ServiceName, SettingName, Slug};
use utoipa::ToSchema;

use crate::{Secret, TenantRef, refusal::Refusal, validation::Validation};

/// What a setting is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SettingKind {
    /// Sealed where it is kept; its value is never shown again.
    Secret,
    /// A plain value.
    Config,
}

impl FromStr for SettingKind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "secret" => Ok(Self::Secret),
            "config" => Ok(Self::Config),
            _ => Err(()),
        }
    }
}

/// One setting of a service.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Setting {
    /// Its name, as the manifest lists it.
    #[schema(value_type = String, example = "stripe-key")]
    pub name: SettingName,
    /// What it is.
    pub kind: SettingKind,
    /// The tenant that it counts for; null for all that have none of their own.
    #[schema(value_type = Option<String>, required = true, example = "acme")]
    pub tenant: Option<Slug>,
    /// Its value; null for a secret.
    #[schema(required = true)]
    pub value: Option<String>,
    /// When it was set.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// A page of settings.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SettingPage {
    /// The settings, in the order of their names; the one for all tenants before the others.
    pub items: Vec<Setting>,
    /// Asks for the next page; null on the last.
    #[schema(required = true)]
    pub next_page_token: Option<String>,
}

/// Which setting.
#[derive(Debug, Clone)]
pub struct SettingRef {
    /// What it is.
    pub kind: SettingKind,
    /// The service.
    pub service: ServiceName,
    /// Its name.
    pub name: SettingName,
    /// The tenant; none for all.
    pub tenant: Option<TenantRef>,
}

/// A setting to keep; everything in it was checked.
#[derive(Debug, Clone)]
pub struct NewSetting {
    /// Which.
    pub setting: SettingRef,
    /// Its value. Not only of a secret: a plain value may turn out to be none.
    pub value: Secret,
}

/// The query, with our own sentence when it cannot be read.
fn query_of<T: serde::de::DeserializeOwned>(uri: &Uri) -> Result<T, Refusal> {
    Query::try_from_uri(uri)
        .map(|Query(query)| query)
        .map_err(|_| Refusal::detail(Code::MalformedRequest, "The query cannot be read."))
}

/// The kind in a query.
fn kind_of(text: Option<&str>) -> Result<SettingKind, Refusal> {
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        Problem::new(Code::ValidationFailed)
            .field("/kind", "must be one of `secret` and `config`")
            .into()
    })
}

/// Checks what names a setting.
fn reference(
    validation: &mut Validation,
    service: &str,
    name: &str,
    kind: &str,
    tenant: Option<&str>,
) -> Result<Option<SettingRef>, Refusal> {
    let service = crate::services::service_of(service)?;
    let kind = validation.word("/kind", kind, "`secret` and `config`");
    let parsed: Option<SettingName> = name.parse().ok();
    if parsed.is_none() {
        validation.reject(
            "/name",
            "must be 1 to 63 of `a-z`, `0-9` and `-`, begin with a letter and not end with `-`",
        );
    }
    let tenant = match tenant.map(str::parse::<TenantRef>) {
        None => None,
        Some(Ok(tenant)) => Some(tenant),
        Some(Err(_)) => {
            validation.reject("/tenant", "must be a tenant's slug or id");
            None
        }
    };
    Ok(match (kind, parsed) {
        (Some(kind), Some(name)) => Some(SettingRef {
            kind,
            service,
            name,
            tenant,
        }),
        _ => None,
    })
}
