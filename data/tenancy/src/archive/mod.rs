//! A tenant as one file: what lies in an archive, and how its content is weighed.
//!
//! docs/reference/archive.md describes the format for others; this folder is the format. It knows no
//! directory: export.rs fills an archive, import.rs and load.rs empty one.

mod digest;
mod read;
mod write;

pub(crate) use digest::{Rows, of_tenant};
pub(crate) use read::{Checked, Entry, check, entries};
pub(crate) use write::Writer;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use terrace_ground_ids::{ServiceName, Slug, TenantId};

/// The version of the format that is written, and the only one that is read.
pub(crate) const FORMAT: u32 = 1;
/// The last entry. An archive without it was cut off.
pub(crate) const MANIFEST: &str = "manifest.json";
/// The uncompressed size from which on a file is closed and the next one begun.
pub(crate) const FILE_BYTES: usize = 1 << 20;
/// Largest row, as text. It bounds what an export and an import hold in memory.
pub(crate) const ROW_BYTES_MAX: usize = 64 << 20;
/// Largest uncompressed archive that is read: a small file could otherwise unpack for days.
pub(crate) const BYTES_MAX: u64 = 256 << 30;

/// `manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// `terrace 0.1.0`
    pub(crate) made_by: String,
    /// When the snapshot was taken.
    pub(crate) made_at: Timestamp,
    /// Whose archive it is.
    pub(crate) tenant: Whose,
    /// Its services, by name.
    pub(crate) services: Vec<Service>,
    /// Its stream.
    pub(crate) events: Events,
    /// Of all rows; equal for two tenants with equal content, whatever their ids.
    pub(crate) digest: String,
}

/// The tenant, as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Whose {
    pub(crate) id: TenantId,
    pub(crate) slug: Slug,
    pub(crate) name: String,
    pub(crate) plan: String,
    pub(crate) created_at: Timestamp,
}

/// One service's schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Service {
    pub(crate) name: ServiceName,
    /// What was applied, from the first.
    pub(crate) migrations: Vec<Applied>,
    /// By name.
    pub(crate) tables: Vec<Table>,
    /// By name.
    pub(crate) sequences: Vec<Sequence>,
}

/// One migration in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Applied {
    pub(crate) number: u32,
    pub(crate) name: String,
    pub(crate) sha256: String,
}

/// The rows of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) name: String,
    /// In the order of the fields of a line.
    pub(crate) columns: Vec<String>,
    pub(crate) rows: u64,
    /// The sum of the rows' hashes (digest.rs).
    pub(crate) digest: String,
    /// At least one, in the order in which they are read.
    pub(crate) files: Vec<File>,
}

/// One entry of the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// Where a sequence stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sequence {
    pub(crate) name: String,
    pub(crate) value: i64,
    /// Whether `value` was given out.
    pub(crate) called: bool,
}

/// The stream: its position, the events that are kept, and how far each consumer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Events {
    pub(crate) first_seq: i64,
    pub(crate) last_seq: i64,
    /// `log`, `cursor`, `dead_letter`.
    pub(crate) tables: Vec<Table>,
}

/// The tables of the stream: name, columns without the tenant, and what puts the rows into an order.
pub(crate) const EVENT_TABLES: [(&str, &[&str], &str); 3] = [
    ("log", &["seq", "type", "topic", "data", "at"], "seq"),
    (
        "cursor",
        &["service", "seq", "attempts", "retry_at", "error"],
        "service",
    ),
    (
        "dead_letter",
        &[
            "service", "seq", "type", "topic", "data", "at", "error", "attempts", "died_at",
        ],
        "service, seq",
    ),
];

impl Manifest {
    /// Every file, by path.
    pub(crate) fn files(&self) -> BTreeMap<&str, &File> {
        let tables = self.services.iter().flat_map(|service| &service.tables);
        tables
            .chain(&self.events.tables)
            .flat_map(|table| &table.files)
            .map(|file| (file.path.as_str(), file))
            .collect()
    }
}

/// The folder of a service's table: `services/tasks/board/`.
pub(crate) fn folder(service: &ServiceName, table: &str) -> String {
    format!("services/{service}/{}/", escape(table))
}

/// The folder of a table of the stream: `events/log/`.
pub(crate) fn events_folder(table: &str) -> String {
    format!("events/{table}/")
}

/// A table may be called anything; a path may not.
fn escape(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// A name in double quotes, for SQL.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Settings under which a value has one text, whatever the server is configured to.
pub(crate) const PINNED: &str = "SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL IntervalStyle = 'iso_8601';
    SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1; SET LOCAL client_encoding = 'UTF8'; SET LOCAL search_path = pg_catalog";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tables_name_cannot_leave_its_folder() {
        let service: ServiceName = "tasks".parse().unwrap();
        assert_eq!(folder(&service, "../../etc"), "services/tasks/%2E%2E%2F%2E%2E%2Fetc/");
        assert_eq!(folder(&service, "board"), "services/tasks/board/");
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }
}
