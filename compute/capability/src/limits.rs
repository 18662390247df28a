//! What a release may use, from its manifest.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Whether an instance may serve another request of the same tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Reused for requests of one tenant, one after the other. Never for another tenant.
    #[default]
    Tenant,
    /// A fresh instance for every request.
    Request,
}

/// The `[limits]` of a manifest. Every field has a default, and every default is a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// CPU time of one request, in milliseconds. Default 200.
    pub cpu_ms: u32,
    /// Time from admission to the end of the body, in milliseconds. Default 10,000.
    pub wall_ms: u32,
    /// All linear memories of one instance together, in MiB. Default 64.
    pub memory_mib: u32,
    /// Body of a request, in KiB. Default 1,024.
    pub request_body_kib: u32,
    /// Body of a response, in KiB. Default 8,192.
    pub response_body_kib: u32,
    /// Log lines of one request together, in KiB. Default 64.
    pub log_kib: u32,
    /// Requests of one tenant at the same time. Default 32.
    pub concurrency: u32,
    /// How deep calls between services may nest. Default 4.
    pub call_depth: u8,
    /// Transactions that one request may have open. Default 4.
    pub transactions: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu_ms: 200,
            wall_ms: 10_000,
            memory_mib: 64,
            request_body_kib: 1_024,
            response_body_kib: 8_192,
            log_kib: 64,
            concurrency: 32,
            call_depth: 4,
            transactions: 4,
        }
    }
}

impl Limits {
    /// CPU time of one request.
    pub fn cpu(&self) -> Duration {
        Duration::from_millis(u64::from(self.cpu_ms))
    }

    /// Wall time of one request.
    pub fn wall(&self) -> Duration {
        Duration::from_millis(u64::from(self.wall_ms))
    }

    /// Linear memory of one instance, in bytes.
    pub fn memory_bytes(&self) -> usize {
        (self.memory_mib as usize) << 20
    }

    /// Body of a request, in bytes.
    pub fn request_body_bytes(&self) -> u64 {
        u64::from(self.request_body_kib) << 10
    }

    /// Body of a response, in bytes.
    pub fn response_body_bytes(&self) -> u64 {
        u64::from(self.response_body_kib) << 10
    }

    /// Log lines of one request, in bytes.
    pub fn log_bytes(&self) -> usize {
        (self.log_kib as usize) << 10
    }
}
