//! What backends of PostgreSQL have in memory for themselves: their catalogue caches, plans and
//! prepared statements. Shared buffers are not counted.

use anyhow::Result;
use tokio_postgres::Client;

/// The backends of one login, together.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Memory {
    pub(super) backends: usize,
    pub(super) bytes: u64,
    /// Of the largest of them.
    pub(super) largest: u64,
}

impl Memory {
    /// Of the backends for which this condition on `pg_stat_activity` holds.
    pub(super) async fn of(admin: &Client, condition: &str) -> Result<Self> {
        let sql = format!("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND {condition}");
        let mut memory = Self::default();
        for row in admin.query(&sql, &[]).await? {
            let pid: i32 = row.try_get(0)?;
            let bytes = private(pid).unwrap_or(0);
            memory.backends += 1;
            memory.bytes += bytes;
            memory.largest = memory.largest.max(bytes);
        }
        Ok(memory)
    }

    /// `157 connections, 812 MB`
    pub(super) fn describe(&self) -> String {
        let connections = if self.backends == 1 {
            "connection"
        } else {
            "connections"
        };
        format!("{} {connections}, {:.0} MB", self.backends, megabytes(self.bytes))
    }
}

pub(super) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Anonymous memory of a process; what it shares with others is divided among them. Pages that a
/// backend has from the postmaster and never wrote are nearly free, as they should be.
fn private(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let kilobytes = text.lines().find_map(|line| {
        let value = line.strip_prefix("Pss_Anon:")?.trim().strip_suffix(" kB")?;
        value.parse::<u64>().ok()
    });
    kilobytes.map(|kilobytes| kilobytes << 10)
}
