//! What an operator may set about outgoing HTTP: section `[http]` of `terrace.toml`.

use std::{path::PathBuf, time::Duration};

use ipnet::IpNet;
use serde::Deserialize;

/// Settings of all services' outgoing HTTP together. What one service may reach is in its manifest.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Ranges of addresses that services may reach although they are not the public internet, like
    /// `["10.20.0.0/16", "127.0.0.1/32"]`: for development, tests, and services of your own network.
    /// A manifest still has to list the host. Default none.
    pub open: Vec<IpNet>,
    /// A file of certificates (PEM) that are trusted besides Mozilla's. Default none.
    pub ca_file: Option<PathBuf>,
    /// Requests on their way at the same time, of all tenants. Default 1,024.
    pub requests_max: usize,
    /// Requests on their way at the same time, of one tenant. Others wait, as long as a connection may
    /// take. Default 32.
    pub tenant_requests_max: usize,
    /// Names being looked up at the same time, of all tenants. Default 64.
    pub lookups_max: usize,
    /// Names being looked up at the same time, for one tenant. Default 8.
    pub tenant_lookups_max: usize,
    /// Idle connections kept, of all tenants. Default 256.
    pub idle_max: usize,
    /// Idle connections kept for one (tenant, service). Default 8.
    pub idle_per_service_max: usize,
    /// An idle connection is closed after this, in seconds. Default 30.
    pub idle_seconds: u64,
    /// Waiting for a turn, looking up, connecting and the TLS handshake together, in milliseconds. A
    /// guest may ask for less. Default 5,000.
    pub connect_timeout_ms: u64,
    /// From the request to the head of the response, in milliseconds. A guest may ask for less. Default 30,000.
    pub first_byte_timeout_ms: u64,
    /// Between two parts of a response's body, in milliseconds. A guest may ask for less. Default 30,000.
    pub between_bytes_timeout_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            ca_file: None,
            requests_max: 1_024,
            tenant_requests_max: 32,
            lookups_max: 64,
            tenant_lookups_max: 8,
            idle_max: 256,
            idle_per_service_max: 8,
            idle_seconds: 30,
            connect_timeout_ms: 5_000,
            first_byte_timeout_ms: 30_000,
            between_bytes_timeout_ms: 30_000,
        }
    }
}

/// The timeouts of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    pub(crate) first_byte: Duration,
    pub(crate) between_bytes: Duration,
}

impl Config {
    /// What a guest wishes for, and never more than the operator allows.
    pub(crate) fn timeouts(&self, wished: Option<wasmtime_wasi_http::RequestOptions>) -> Timeouts {
        let wished = wished.unwrap_or_default();
        let least = |wish: Option<Duration>, most: u64| {
            let most = Duration::from_millis(most);
            wish.map_or(most, |wish| wish.min(most))
        };
        Timeouts {
            connect: least(wished.connect_timeout, self.connect_timeout_ms),
            first_byte: least(wished.first_byte_timeout, self.first_byte_timeout_ms),
            between_bytes: least(wished.between_bytes_timeout, self.between_bytes_timeout_ms),
        }
    }
}
