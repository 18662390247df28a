//! The directory and the lifecycle of tenants: placements, lanes, schemas, releases, builds.
//!
//! The only crate that writes the schema `terrace`. The platform connects one [`Directory`] per
//! process; the gateway and the router read its in-memory [`View`], control changes it. It runs no
//! service code (the platform does, through [`Hooks`]) and no statement on behalf of a tenant (the
//! router does).

mod activate;
mod archive;
mod canary;
mod change;
mod clusters;
mod config;
mod create;
mod delete;
mod directory;
mod error;
mod export;
mod figures;
mod history;
mod hold;
mod homes;
mod hooks;
mod import;
mod install;
mod lane;
mod lifecycle;
mod load;
mod operations;
mod operators;
mod releases;
mod relocate;
mod restore;
mod retention;
mod schemas;
mod settings;
mod shape;
mod sites;
mod slugs;
mod snapshot;
mod spares;
mod suspend;
mod tables;
mod tenants;
#[cfg(feature = "testing")]
pub mod testing;
mod usage;
mod view;

pub use activate::{Activation, Switch};
pub use canary::{Split, WHOLE, position};
pub use change::Rename;
pub use clusters::{ClusterFacts, Health, NewCluster};
pub use config::{Config, Endpoint, Place};
pub use create::NewTenant;
pub use delete::Tombstone;
pub use directory::Directory;
pub use error::Error;
pub use export::Export;
pub use figures::{Figures, Footprint, LockWait, SchemaFigures};
pub use history::{Cause, Entry, Happened};
pub use hooks::{Hooks, Step};
pub use import::{ARCHIVE_PART_BYTES_MAX, Import, NewImport, NewRestore};
pub use install::Fences;
pub use operations::{Kind, OperationFacts, Running, Standing};
pub use operators::{NewOperator, Operator};
pub use releases::{NewRelease, Release, ReleaseFacts, ReleaseState, bundle_hash};
pub use relocate::{Destination, LaneKind};
pub use retention::Swept;
pub use settings::{Setting, SettingKey, SettingKind};
pub use sites::{Blob, Build, BuildFile, NewFile, Site};
pub use snapshot::Snapshot;
pub use tables::{BLOB, KEYVALUE};
pub use tenants::Page;
pub use usage::{Amounts, HourUsage, USAGE_ROWS_MAX, Usage, UsageFilter};
pub use view::{Canary, KnownCluster, Service, State, Tenant, View};
