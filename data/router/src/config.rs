//! The limits of the router.

use std::time::Duration;

use serde::Deserialize;

/// Limits of the router. Every field has a default.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Most statements or transactions of one tenant at the same time, in this process; never more
    /// than half of its lane's connections. Default 32.
    pub tenant_in_flight_max: usize,
    /// Most requests of one tenant that wait for their turn; the next one is refused. Default 256.
    pub tenant_queue_max: usize,
    /// Longest wait for a lock, in milliseconds. Default 5,000.
    pub lock_timeout_ms: u64,
    /// Longest pause between two statements of a transaction, in milliseconds. Default 10,000.
    pub idle_in_transaction_timeout_ms: u64,
    /// Longest time to open a connection, in milliseconds. Default 5,000.
    pub connect_timeout_ms: u64,
    /// An idle connection is closed after this, in seconds. Default 300.
    pub backend_idle_max_s: u64,
    /// A connection is replaced after this, in seconds: PostgreSQL never gives back the catalogue
    /// memory of a backend (about 125 KB for each tenant it served). Default 3,600.
    pub backend_age_max_s: u64,
    /// A connection is replaced when more tables than this were opened on it, each counted once per
    /// schema. PostgreSQL never forgets one: 17 KB after a first SELECT, 32 KB once it was also
    /// written (measured, two indexes, PostgreSQL 15). Default 512: about 16 MB.
    pub backend_relations_max: usize,
    /// Most savepoints of one transaction, released ones included: PostgreSQL keeps 64 of them per
    /// backend in shared memory, and beyond that every snapshot of every tenant becomes slower. Default 60.
    pub savepoints_max: usize,
    /// Most scans that one transaction may have open. Default 4.
    pub scans_max: usize,
    /// About how many bytes a batch of a scan has, as they travel. Default 256 KiB.
    pub batch_bytes: usize,
    /// Most prepared statements that one connection keeps (about 80 KB each). Default 256.
    pub prepared_max: usize,
    /// Most rows of one result. Default 10,000.
    pub result_rows_max: usize,
    /// Most bytes of one result, as they travel. Default 8 MiB.
    pub result_bytes_max: usize,
    /// Most bytes of all parameters of one statement. Default 8 MiB.
    pub params_bytes_max: usize,
    /// How far the server's process stands back (`nice`, 0 to 19) when a statement computes for more than
    /// 40 ms, and for five seconds with its tenant's next ones, where the server is on this machine
    /// and reached by a unix socket: the statements of others come first when there is too little CPU.
    /// Default 10; 0 leaves all of them alike. Without the right to raise a priority (root, `CAP_SYS_NICE`) a
    /// connection that stood back serves its own tenant only.
    pub long_statement_niceness: u8,
    /// Verdicts of the guard that are remembered. Default 4,096.
    pub verdicts_max: usize,
    /// Most statements of one tenant, by their fingerprint, whose times are kept for an hour. Default 64;
    /// 0 keeps none, and times nothing.
    pub tenant_statements_max: usize,
    /// Most of them of all tenants together (about 100 bytes each, and their texts without values: at most
    /// 400 characters, shared by tenants of one service). Default 131,072.
    pub statements_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tenant_in_flight_max: 32,
            tenant_queue_max: 256,
            lock_timeout_ms: 5_000,
            idle_in_transaction_timeout_ms: 10_000,
            connect_timeout_ms: 5_000,
            backend_idle_max_s: 300,
            backend_age_max_s: 3_600,
            backend_relations_max: 512,
            savepoints_max: 60,
            scans_max: 4,
            batch_bytes: 256 << 10,
            prepared_max: 256,
            result_rows_max: 10_000,
            result_bytes_max: 8 << 20,
            params_bytes_max: 8 << 20,
            long_statement_niceness: 10,
            verdicts_max: 4_096,
            tenant_statements_max: 64,
            statements_max: 131_072,
        }
    }
}

impl Config {
    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }
}
