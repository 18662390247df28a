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
    /// Headers of one message, in KiB. Default 64.
    pub headers_kib: u32,
    /// Elements of all tables of one instance together. Default 10,000.
    pub table_elements: u32,
    /// Handles to the host's resources (streams, bodies, transactions, pollables) that one instance may
    /// hold. Default 1,024.
    pub handles: u32,
    /// Memory of the host that the arguments of one call may fill, in MiB. Default 16.
    pub hostcall_mib: u32,
    /// Requests of one tenant at the same time. Default 32.
    pub concurrency: u32,
    /// Requests of all tenants at the same time. Default 500: half of the instances that a node has.
    pub service_concurrency: u32,
    /// How deep calls between services may nest. Default 4.
    pub call_depth: u32,
    /// Transactions that one request may have open. Default 4.
    pub transactions: u32,
}

macro_rules! by_name {
    ($($limit:ident),+ $(,)?) => {
        impl Limits {
            /// Every limit, as a manifest calls it.
            pub const NAMES: &[&str] = &[$(stringify!($limit)),+];

            /// The first limit that is over `ceiling`: its name, what is asked, and what is allowed.
            pub fn over(&self, ceiling: &Self) -> Option<(&'static str, u32, u32)> {
                $(if self.$limit > ceiling.$limit {
                    return Some((stringify!($limit), self.$limit, ceiling.$limit));
                })+
                None
            }

            /// Sets the limit of that name; whether there is one.
            pub fn set(&mut self, name: &str, value: u32) -> bool {
                match name {
                    $(stringify!($limit) => self.$limit = value,)+
                    _ => return false,
                }
                true
            }
        }
    };
}

by_name!(
    cpu_ms,
    wall_ms,
    memory_mib,
    request_body_kib,
    response_body_kib,
    log_kib,
    headers_kib,
    table_elements,
    handles,
    hostcall_mib,
    concurrency,
    service_concurrency,
    call_depth,
    transactions,
);

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu_ms: 200,
            wall_ms: 10_000,
            memory_mib: 64,
            request_body_kib: 1_024,
            response_body_kib: 8_192,
            log_kib: 64,
            headers_kib: 64,
            table_elements: 10_000,
            handles: 1_024,
            hostcall_mib: 16,
            concurrency: 32,
            service_concurrency: 500,
            call_depth: 4,
            transactions: 4,
        }
    }
}

impl Limits {
    /// What a node allows at most, unless its operator says otherwise.
    pub fn ceiling() -> Self {
        Self {
            cpu_ms: 60_000,
            wall_ms: 600_000,
            memory_mib: 256,
            request_body_kib: 1 << 20,
            response_body_kib: 1 << 20,
            log_kib: 1_024,
            headers_kib: 256,
            table_elements: 20_000,
            handles: 16_384,
            hostcall_mib: 64,
            concurrency: 1_000,
            service_concurrency: 1_000,
            call_depth: 16,
            transactions: 16,
        }
    }

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

    /// Headers of one message, in bytes.
    pub fn headers_bytes(&self) -> usize {
        (self.headers_kib as usize) << 10
    }

    /// Memory of the host that the arguments of one call may fill, in bytes.
    pub fn hostcall_bytes(&self) -> usize {
        (self.hostcall_mib as usize) << 20
    }

    /// Log lines of one request, in bytes.
    pub fn log_bytes(&self) -> usize {
        (self.log_kib as usize) << 10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_under_the_ceiling_and_every_limit_has_one() {
        assert_eq!(Limits::default().over(&Limits::ceiling()), None);
        // Whoever adds a limit and forgets to list it finds it here.
        let all = serde_json::to_value(Limits::ceiling()).unwrap();
        let mut names: Vec<&str> = all.as_object().unwrap().keys().map(String::as_str).collect();
        let mut listed = Limits::NAMES.to_vec();
        names.sort_unstable();
        listed.sort_unstable();
        assert_eq!(names, listed);
        for name in Limits::NAMES {
            let mut greedy = Limits::default();
            assert!(greedy.set(name, u32::MAX));
            assert_eq!(greedy.over(&Limits::ceiling()).map(|(limit, ..)| limit), Some(*name));
        }
        assert!(!Limits::default().set("cpu", 1));
    }
}
