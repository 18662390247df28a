//! `service.toml`: what a service asks for.

use serde::Deserialize;
use terrace_compute_engine::{Isolation, Limits};
use terrace_ground_ids::ServiceName;

/// A service's manifest. Every key but `name` has a default; an unknown one is an error.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    /// `tasks`
    pub(crate) name: ServiceName,
    /// The name that people see.
    #[serde(default)]
    pub(crate) title: String,
    /// The capabilities that it is granted: `sql`, `events`, ...
    #[serde(default)]
    pub(crate) capabilities: Vec<String>,
    /// Whether an instance serves more than one request of a tenant.
    #[serde(default)]
    pub(crate) isolation: Isolation,
    /// The services that it calls.
    #[serde(default)]
    pub(crate) calls: Vec<ServiceName>,
    /// The events that it consumes: `billing.entitlement-changed`.
    #[serde(default)]
    pub(crate) consumes: Vec<String>,
    /// The moments of a tenant's life at which it is called.
    #[serde(default)]
    pub(crate) hooks: Vec<Hook>,
    /// Whether a statement that is not on the list of the release is refused.
    #[serde(default)]
    pub(crate) sealed_sql: bool,
    /// That list. It comes from `statements.sql`, which the service's own tests record; a deploy puts
    /// it here.
    #[serde(default)]
    pub(crate) statements: Vec<String>,
    /// What one request may use.
    #[serde(default)]
    pub(crate) limits: Limits,
}

/// A moment of a tenant's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Hook {
    /// Its schemas are there, and nobody has used it yet.
    TenantCreated,
}

impl Manifest {
    /// Reads the text of a `service.toml`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut manifest: Self = terrace_ground_config::parse(text)?;
        if manifest.title.is_empty() {
            manifest.title = manifest.name.to_string();
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_with_a_name_alone_has_bounds_for_everything() {
        let manifest = Manifest::parse("name = \"tasks\"").unwrap();
        assert_eq!(manifest.limits, Limits::default());
        assert_eq!(manifest.isolation, Isolation::Tenant);
        assert!(manifest.capabilities.is_empty());
    }

    #[test]
    fn a_misspelt_key_is_an_error_that_suggests_the_right_one() {
        let error = Manifest::parse("name = \"tasks\"\ncapabilites = [\"sql\"]\n").unwrap_err();
        assert_eq!(error, "line 2: unknown key `capabilites`; did you mean `capabilities`?");
    }
}
