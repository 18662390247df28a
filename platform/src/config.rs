//! `terrace.toml`: one file for a whole installation. An unknown key is an error with a suggestion.

use std::path::{Path, PathBuf};

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
    /// How requests are taken.
    pub gateway: terrace_compute_gateway::Config,
    /// How services are run.
    pub engine: terrace_compute_engine::Config,
    /// How services' outgoing requests are sent.
    pub http: terrace_capabilities_http::Config,
    /// How much services may keep in the node's memory.
    pub cache: terrace_capabilities_cache::Config,
    /// How much services may keep by `wasi:keyvalue`.
    pub keyvalue: terrace_capabilities_keyvalue::Config,
    /// How tenants' transactions are run.
    pub router: terrace_data_router::Config,
    /// How events reach browsers.
    pub live: terrace_events_live::Config,
    /// How events reach services.
    pub dispatch: terrace_events_dispatch::Config,
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
