//! The engine's own settings: how many, how large, where compiled code is kept.

use std::path::PathBuf;

use serde::Deserialize;

/// Settings of the engine. Every field has a default. What one release may use is in its manifest
/// (`Limits`); this bounds all of them together.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Threads that run guests. 0, the default, is one per core.
    pub threads: usize,
    /// How far guests that compute for longer than two milliseconds stand back when there is too little
    /// CPU, 0 to 19 (`nice`, on Linux): short requests, and a database on the same machine, come first.
    /// Default 3: more, and what such a guest holds for a moment (a lock, the address space) is held for
    /// long.
    pub niceness: u8,
    /// Instances alive at the same time, idle ones included. Default 1,000.
    pub instances_max: u32,
    /// The most memory that a manifest may ask for, in MiB. Default 256.
    pub memory_max_mib: u32,
    /// Idle instances kept, over all tenants. Default 256.
    pub idle_max: usize,
    /// Idle instances kept for one (tenant, release) on one thread. Default 8.
    pub idle_per_tenant_max: usize,
    /// An idle instance is dropped after this, in seconds. Default 10.
    pub idle_seconds: u64,
    /// An instance with more memory than this is not kept, in MiB. Default 16.
    pub idle_memory_max_mib: usize,
    /// An instance is dropped after this many requests. Default 10,000.
    pub uses_max: u32,
    /// Requests of one (tenant, service) that may wait for their turn, beyond those that run.
    /// Default 64.
    pub queue_max: usize,
    /// Memory of the host that one call from a guest may fill with its arguments, in MiB. Default 16.
    pub hostcall_mib: usize,
    /// Stack of a guest, in KiB. Default 512.
    pub stack_kib: usize,
    /// How much of an instance's memory is cleared by hand when it ends, from its beginning, in KiB.
    /// The rest is given back to the system, page by page, which costs a fault when it is used again.
    /// Default 0, because a Rust service begins with a stack of 1 MiB that it hardly touches.
    pub keep_resident_kib: usize,
    /// Elements of all tables of an instance together. Default 20,000.
    pub table_elements_max: usize,
    /// Where compiled services are kept. None, the default, compiles at every start.
    pub cache_dir: Option<PathBuf>,
    /// Authenticates what is in `cache_dir`: compiled code is run as it is, so only what this key
    /// signed is loaded. Not read from a file of configuration. Without it, a random key makes the
    /// cache useful to this process alone.
    #[serde(skip)]
    pub cache_key: Option<[u8; 32]>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            threads: 0,
            niceness: 3,
            instances_max: 1_000,
            memory_max_mib: 256,
            idle_max: 256,
            idle_per_tenant_max: 8,
            idle_seconds: 10,
            idle_memory_max_mib: 16,
            uses_max: 10_000,
            queue_max: 64,
            hostcall_mib: 16,
            stack_kib: 512,
            keep_resident_kib: 0,
            table_elements_max: 20_000,
            cache_dir: None,
            cache_key: None,
        }
    }
}

impl Config {
    pub(crate) fn thread_count(&self) -> usize {
        if self.threads > 0 {
            self.threads
        } else {
            std::thread::available_parallelism().map_or(1, usize::from)
        }
    }
}
