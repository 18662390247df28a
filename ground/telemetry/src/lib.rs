//! Logs, and the in-memory meters by tenant and service.
//!
//! Binaries call [`init`] once. The gateway records each request into [`Meters`]; the control plane
//! reads them. Nothing here is written to a disk or a network.

mod meters;

pub use meters::{ErrorLine, Figures, Meters, Outcome, SeriesPoint, Snapshot};

use tracing_subscriber::{EnvFilter, fmt};

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people: one coloured line each.
    #[default]
    Text,
    /// For machines: one JSON object each.
    Json,
}

/// Sends log lines of `filter` (`info`, `terrace_data_router=debug,info`) to standard error.
/// Standard output stays free for data.
pub fn init(filter: &str, format: Format) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    // A second call in one process (tests) keeps the first subscriber: that is what is wanted.
    let _ = match format {
        Format::Text => lines.compact().try_init(),
        Format::Json => lines.json().try_init(),
    };
}
