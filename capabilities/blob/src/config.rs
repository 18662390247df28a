//! How much a tenant may keep.

use serde::Deserialize;

/// Largest file that the platform takes at all, in MiB: one is in memory while it goes through.
pub const FILE_MIB_MAX: u32 = 64;

/// Settings of files: section `[blob]` of `terrace.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Largest file, in MiB; at most 64. What comes through the edge is bounded by its
    /// `body_bytes_max`, too. Default 8.
    pub file_mib: u32,
    /// Files that one (tenant, service) may have. Default 100,000.
    pub tenant_files: u32,
    /// All of them together, in MiB. Default 1,024.
    pub tenant_mib: u32,
    /// Files that one tenant's links may be reading or writing at the same time, on one node. Default 8.
    pub tenant_transfers: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            file_mib: 8,
            tenant_files: 100_000,
            tenant_mib: 1_024,
            tenant_transfers: 8,
        }
    }
}

impl Config {
    /// Bytes of the largest file.
    pub fn file_bytes(&self) -> usize {
        (self.file_mib.min(FILE_MIB_MAX) as usize) << 20
    }
}
