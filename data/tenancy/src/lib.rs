//! The directory and the lifecycle of tenants: placements, lanes, schemas, releases, builds.
//!
//! The only crate that writes the schema `terrace`. The platform connects one [`Directory`] per
//! process; the gateway and the router read its in-memory [`View`], control changes it. It runs no
//! service code (the platform does, through [`Hooks`]) and no statement on behalf of a tenant (the
//! router does).

mod activate;
mod config;
mod create;
mod delete;
mod directory;
mod error;
mod hold;
mod hooks;
mod install;
mod lane;
mod lifecycle;
mod operators;
mod releases;
mod schemas;
mod settings;
mod sites;
mod snapshot;
mod tables;
mod tenants;
#[cfg(feature = "testing")]
pub mod testing;
mod view;

pub use activate::Activation;
pub use config::{Config, Endpoint};
pub use create::NewTenant;
pub use directory::Directory;
pub use error::Error;
pub use hooks::{Hooks, Step};
pub use operators::{NewOperator, Operator};
pub use releases::{NewRelease, Release, ReleaseFacts, ReleaseState};
pub use settings::{Setting, SettingKey, SettingKind};
pub use sites::{Blob, Build, BuildFile, NewFile, Site};
pub use snapshot::Snapshot;
pub use tenants::Page;
pub use view::{Service, State, Tenant, View};
