//! The engine's own settings: how many, how large, where compiled code is kept.

use std::{collections::BTreeMap, ops::Deref, path::PathBuf};

use serde::Deserialize;
use terrace_compute_capability::Limits;

/// Settings of the engine. Every field has a default. What one release may use is in its manifest
/// (`Limits`); this bounds all of them together.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Threads that run guests. 0, the default, is one per core.
    pub threads: usize,
    /// How far guests that are not short stand back when there is too little CPU, 0 to 19 (`nice`, on
    /// Linux): short requests, and a database on the same machine, come first. Default 3: more, and what
    /// such a guest holds for a moment (a lock, the address space) is held for long.
    pub niceness: u8,
    /// Instances alive at the same time, idle ones included. Default 1,000.
    pub instances_max: u32,
    /// The most that a manifest may ask for, limit by limit. Default: `Limits::ceiling`.
    pub ceiling: Ceiling,
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
    /// What leaves of one tenant's responses in a second, beyond the first 64 KiB of each body and a quarter of
    /// this at once, in MiB; a piece counts as 4 KiB at least. What comes faster waits. Default 32; 0: as fast as it is read.
    pub tenant_response_mib_s: u32,
    /// Stack of a guest, in KiB. Default 512.
    pub stack_kib: usize,
    /// How much of an instance's memory is cleared by hand when it ends, from its beginning, in KiB.
    /// The rest is given back to the system, page by page, which costs a fault when it is used again, and
    /// with several cores an interruption of all of them. Default 384: the stack of
    /// 128 KiB, the data and the beginning of the heap of a service that is linked as ours are.
    pub keep_resident_kib: usize,
    /// Where compiled services are kept. None, the default, compiles at every start.
    pub cache_dir: Option<PathBuf>,
    /// Authenticates what is in `cache_dir`: compiled code is run as it is, so only what this key
    /// signed is loaded. Not read from a file of configuration. Without it, a random key makes the
    /// cache useful to this process alone.
    #[serde(skip)]
    pub cache_key: Option<[u8; 32]>,
}

/// What a manifest may ask for at most: the ceiling of each of `Limits`.
#[derive(Debug, Clone, Copy)]
pub struct Ceiling(Limits);

impl Default for Ceiling {
    fn default() -> Self {
        Self(Limits::ceiling())
    }
}

impl Deref for Ceiling {
    type Target = Limits;

    fn deref(&self) -> &Limits {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Ceiling {
    /// What is not named keeps its ceiling, and not the lower default of a manifest.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut limits = Limits::ceiling();
        for (name, value) in BTreeMap::<String, u32>::deserialize(deserializer)? {
            if !limits.set(&name, value) {
                return Err(serde::de::Error::unknown_field(&name, Limits::NAMES));
            }
        }
        Ok(Self(limits))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            threads: 0,
            niceness: 3,
            instances_max: 1_000,
            ceiling: Ceiling::default(),
            idle_max: 256,
            idle_per_tenant_max: 8,
            idle_seconds: 10,
            idle_memory_max_mib: 16,
            uses_max: 10_000,
            queue_max: 64,
            tenant_response_mib_s: 32,
            stack_kib: 512,
            keep_resident_kib: 384,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_moves_one_ceiling_and_the_others_stay() {
        let read = |text: &str| serde_json::from_str::<Ceiling>(text);
        let ceiling = read(r#"{"memory_mib": 32}"#).unwrap();
        let expected = Limits {
            memory_mib: 32,
            ..Limits::ceiling()
        };
        assert_eq!(*ceiling, expected);
        let unknown = read(r#"{"memory": 32}"#).unwrap_err().to_string();
        assert!(unknown.contains("`memory_mib`"), "it says what there is: {unknown}");
    }
}
