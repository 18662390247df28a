//! How much a tenant may keep.

use serde::Deserialize;

/// Settings of `wasi:keyvalue`: section `[keyvalue]` of `terrace.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Keys that one (tenant, service) may have, in all its stores. Default 100,000.
    pub tenant_keys: u32,
    /// Keys and values of one (tenant, service) together, in MiB. Default 64.
    pub tenant_mib: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tenant_keys: 100_000,
            tenant_mib: 64,
        }
    }
}
