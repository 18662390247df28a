//! `/internal/*`: what the edge polls. The edge never forwards here.

mod blob;
mod health;
mod snapshot;

pub use health::Health;
pub use snapshot::{EdgeBuild, EdgeFile, EdgeHost, EdgeHostState, EdgeSite, EdgeSnapshot};
pub(crate) use {blob::blob, health::health, snapshot::snapshot};
