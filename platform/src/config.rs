//! `terrace.toml`: one file for a whole installation. An unknown key is an error with a suggestion.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Result;
use serde::Deserialize;

/// Everything that an operator may set. Every key has a default; the file may be empty or absent.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The domain below which tenants and the console live. Default `localhost`.
    pub base_domain: BaseDomain,
    /// The edge process, which reads this section itself; the supervisor takes the port from it.
    pub edge: terrace_edge::Config,
    /// The node process.
    pub node: Node,
    /// What is kept ready, kept back and taken in for tenants.
    pub tenants: Tenants,
    /// How tenants' schemas are migrated.
    pub migrations: terrace_data_migrate::Config,
    /// How requests are taken.
    pub gateway: terrace_compute_gateway::Config,
    /// How services are run.
    pub engine: terrace_compute_engine::Config,
    /// How releases are switched, watched and kept.
    pub releases: Releases,
    /// Where the components of releases are kept.
    pub objects: terrace_data_objects::Config,
    /// How services' outgoing requests are sent.
    pub http: terrace_capabilities_http::Config,
    /// How much services may keep in the node's memory.
    pub cache: terrace_capabilities_cache::Config,
    /// How much services may keep by `wasi:keyvalue`.
    pub keyvalue: terrace_capabilities_keyvalue::Config,
    /// How many files services may keep.
    pub blob: terrace_capabilities_blob::Config,
    /// How tenants' transactions are run.
    pub router: terrace_data_router::Config,
    /// What a scraper is shown.
    pub metrics: crate::node::MetricsConfig,
    /// How events reach browsers.
    pub live: terrace_events_live::Config,
    /// How events reach services.
    pub dispatch: terrace_events_dispatch::Config,
    /// How due work reaches services.
    pub schedule: terrace_events_schedule::Config,
    /// What the `terrace` command reads; the node does not.
    pub cli: toml::Table,
}

/// The domain below which tenants and the console live.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct BaseDomain(pub String);

impl Default for BaseDomain {
    fn default() -> Self {
        Self("localhost".to_owned())
    }
}

/// Where the node listens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Node {
    /// The TCP port, on the loopback address. Default 8081.
    pub port: u16,
    /// Connections to the directory. Default 8.
    pub directory_connections: usize,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            port: 8081,
            directory_connections: 8,
        }
    }
}

/// What is kept ready, kept back and taken in for tenants.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tenants {
    /// Tenants without a name that are made in advance, so that a creation only takes one; about half
    /// a megabyte each. Default 4; 0 makes none.
    pub spares: u32,
    /// Days for which a renamed tenant's old slug is kept from others. Default 30.
    pub slug_held_days: u32,
    /// Largest archive that can be imported, in MiB, compressed. Default 4,096.
    pub archive_max_mib: u64,
    /// Milliseconds that a change may take from one cluster to the other for a move to switch. Default 200.
    pub move_lag_max_ms: u64,
    /// Milliseconds for which a switch may keep a tenant's requests waiting; then it is given up and tried
    /// again. Default 1,000.
    pub move_pause_max_ms: u64,
    /// Most tenants in one lane, for tenants of a plan, by its name: with `team = 1` each has a lane of its
    /// own. Default: none; 64 for every plan.
    pub lane_tenants: BTreeMap<String, u32>,
}

impl Default for Tenants {
    fn default() -> Self {
        Self {
            spares: 4,
            slug_held_days: 30,
            archive_max_mib: 4_096,
            move_lag_max_ms: 200,
            move_pause_max_ms: 1_000,
            lane_tenants: BTreeMap::new(),
        }
    }
}

/// How releases are switched, watched and kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Releases {
    /// Newest releases of a service that are kept; what is current, its predecessor and a canary stay
    /// beyond that. Default 10.
    pub keep: u32,
    /// How long a release stays loaded after the switch, in seconds: going back to it then is
    /// instant. Default 60.
    pub drain_seconds: u64,
    /// How long a new release is watched after the switch, in seconds. A canary is watched as long as
    /// it is one. Default 600.
    pub trial_seconds: u64,
    /// How many of a hundred requests of a watched release may end in a 5xx before the one before it
    /// is served again. 100 turns it off. Default 2.
    pub budget_percent: f64,
    /// How many requests it must have had before it is judged. Default 100.
    pub budget_requests: u64,
}

impl Default for Releases {
    fn default() -> Self {
        Self {
            keep: 10,
            drain_seconds: 60,
            trial_seconds: 600,
            budget_percent: 2.0,
            budget_requests: 100,
        }
    }
}

impl Config {
    /// The file at `path` if one was named, else `terrace.toml` in this folder if there is one, else
    /// the defaults.
    ///
    /// # Errors
    /// The file cannot be read, or a key in it is not known.
    pub fn load(path: Option<&Path>) -> Result<Self> {
        let mut config: Self =
            Self::file(path).map_or_else(|| Ok(Self::default()), |path| terrace_ground_config::load(&path))?;
        config.gateway.base_domain.clone_from(&config.base_domain.0);
        Ok(config)
    }

    /// The file that counts: the named one, or `terrace.toml` in this folder if there is one.
    pub fn file(path: Option<&Path>) -> Option<PathBuf> {
        match path {
            Some(path) => Some(path.to_owned()),
            None => Some(PathBuf::from("terrace.toml")).filter(|default| default.is_file()),
        }
    }
}
