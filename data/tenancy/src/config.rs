//! How to reach the directory's database, and the sizes of what it makes.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
};

use serde::Deserialize;
use terrace_data_router::Address;
use terrace_ground_ids::{ClusterName, SiteName};

/// Configuration of the directory.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The database of the directory, which is also the first cluster.
    pub database: Endpoint,
    /// The secret from which the passwords of lanes are derived: at least 32 characters. It comes
    /// from a file that only the platform reads.
    pub lane_secret: String,
    /// Name of the first cluster. Default `main`.
    #[serde(default = "main_cluster")]
    pub cluster: ClusterName,
    /// The passwords of the platform's own login on other clusters, by their names. Where there is none,
    /// the server asks for none.
    #[serde(default)]
    pub cluster_passwords: HashMap<ClusterName, String>,
    /// Most tenants in one lane. Default 64.
    #[serde(default = "lane_tenants_max")]
    pub lane_tenants_max: u32,
    /// The same for tenants of a plan, by its name: with `team = 1` each of them has a lane of its own.
    /// Default: none; all plans share.
    #[serde(default)]
    pub lane_tenants: BTreeMap<String, u32>,
    /// Most connections of one process as one lane. Default 16.
    #[serde(default = "lane_connections_max")]
    pub lane_connections_max: u32,
    /// Connections of one process for the directory's tables, and as many again for what tenants have on
    /// each cluster. Default 8.
    #[serde(default = "connections_max")]
    pub connections_max: usize,
    /// What stands behind the slug in a tenant's host. Default `localhost`.
    #[serde(default = "base_domain")]
    pub base_domain: String,
    /// The site that tenants' hosts show. Default `tasks`.
    #[serde(default = "tenant_site")]
    pub tenant_site: SiteName,
    /// The site of operators, at `console.<base_domain>`. Default `console`.
    #[serde(default = "console_site")]
    pub console_site: SiteName,
    /// Tenants that are made in advance, so that a creation only takes one: about half a megabyte
    /// each. Default 4; 0 makes none.
    #[serde(default = "spares")]
    pub spares: u32,
    /// Days for which a renamed tenant's old slug is kept from others. Default 30.
    #[serde(default = "slug_held_days")]
    pub slug_held_days: u32,
    /// Largest archive that can be imported, in MiB, compressed. Default 4,096.
    #[serde(default = "archive_max_mib")]
    pub archive_max_mib: u64,
    /// Milliseconds that a change may take from one cluster to the other for a move to switch. Default 200.
    #[serde(default = "move_lag_max_ms")]
    pub move_lag_max_ms: u64,
    /// Milliseconds for which a switch may keep the tenant's requests waiting; then it is given up and
    /// tried again. Default 1,000.
    #[serde(default = "move_pause_max_ms")]
    pub move_pause_max_ms: u64,
    /// Where the components of releases are kept. The node names a folder when nobody else did.
    #[serde(default)]
    pub objects: terrace_data_objects::Config,
    /// How tenants' schemas are migrated.
    #[serde(default)]
    pub migrate: terrace_data_migrate::Config,
    /// Milliseconds between two looks for changes of other nodes. Default 1,000.
    #[serde(default = "poll_ms")]
    pub poll_ms: u64,
}

/// A PostgreSQL database and the platform's own login to it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Directory of the unix socket. Either this or `host`.
    #[serde(default)]
    pub socket_dir: Option<PathBuf>,
    /// Name or address for TCP.
    #[serde(default)]
    pub host: Option<String>,
    /// The port, also in the name of the socket. Default 5432.
    #[serde(default = "port")]
    pub port: u16,
    /// The database. Default `terrace`.
    #[serde(default = "terrace")]
    pub name: String,
    /// The login. Default `terrace`.
    #[serde(default = "terrace")]
    pub user: String,
    /// Its password.
    #[serde(default)]
    pub password: String,
    /// The standbys of that server, same database and login: whichever of all of them accepts writes
    /// is used, so a promotion needs no restart of ours.
    #[serde(default)]
    pub standbys: Vec<Place>,
}

/// Where one server is reached.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Directory of the unix socket. Either this or `host`.
    #[serde(default)]
    pub socket_dir: Option<PathBuf>,
    /// Name or address for TCP. Default `127.0.0.1`.
    #[serde(default)]
    pub host: Option<String>,
    /// The port, also in the name of the socket. Default 5432.
    #[serde(default = "port")]
    pub port: u16,
}

impl Place {
    fn address(&self) -> Address {
        match &self.socket_dir {
            Some(dir) => Address::Unix {
                dir: dir.clone(),
                port: self.port,
            },
            None => Address::Tcp {
                host: self.host.clone().unwrap_or_else(|| "127.0.0.1".to_owned()),
                port: self.port,
            },
        }
    }
}

impl Config {
    /// Most tenants in a lane for tenants of this plan.
    pub(crate) fn lane_size(&self, plan: &str) -> u32 {
        self.lane_tenants
            .get(plan)
            .copied()
            .unwrap_or(self.lane_tenants_max)
            .max(1)
    }

    /// A configuration with the defaults of every field but these two.
    pub fn new(database: Endpoint, lane_secret: impl Into<String>) -> Self {
        Self {
            database,
            lane_secret: lane_secret.into(),
            cluster: main_cluster(),
            cluster_passwords: HashMap::new(),
            lane_tenants_max: lane_tenants_max(),
            lane_tenants: BTreeMap::new(),
            lane_connections_max: lane_connections_max(),
            connections_max: connections_max(),
            base_domain: base_domain(),
            tenant_site: tenant_site(),
            console_site: console_site(),
            spares: spares(),
            slug_held_days: slug_held_days(),
            archive_max_mib: archive_max_mib(),
            move_lag_max_ms: move_lag_max_ms(),
            move_pause_max_ms: move_pause_max_ms(),
            objects: terrace_data_objects::Config::default(),
            migrate: terrace_data_migrate::Config::default(),
            poll_ms: poll_ms(),
        }
    }
}

impl Endpoint {
    /// The same place as the router names it.
    pub fn address(&self) -> Address {
        let mut places: Vec<Address> = self.places().iter().map(Place::address).collect();
        if places.len() == 1 {
            places.remove(0)
        } else {
            Address::Several(places)
        }
    }

    /// The first of its places.
    pub(crate) fn first(&self) -> Place {
        Place {
            socket_dir: self.socket_dir.clone(),
            host: self.host.clone(),
            port: self.port,
        }
    }

    fn places(&self) -> Vec<Place> {
        std::iter::once(self.first())
            .chain(self.standbys.iter().cloned())
            .collect()
    }

    pub(crate) fn to_postgres(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        for place in self.places() {
            match place.address() {
                Address::Unix { dir, .. } => config.host_path(dir),
                Address::Tcp { host, .. } => config.host(host),
                Address::Several(_) => continue,
            };
            config.port(place.port);
        }
        if !self.standbys.is_empty() {
            config.target_session_attrs(tokio_postgres::config::TargetSessionAttrs::ReadWrite);
        }
        config.dbname(&self.name).user(&self.user).password(&self.password);
        config
            .application_name("terrace-directory")
            .connect_timeout(std::time::Duration::from_secs(5));
        config
    }
}

fn main_cluster() -> ClusterName {
    name("main")
}

fn tenant_site() -> SiteName {
    name("tasks")
}

fn console_site() -> SiteName {
    name("console")
}

fn name<T: std::str::FromStr<Err = terrace_ground_ids::Error>>(text: &str) -> T {
    #[expect(clippy::expect_used, reason = "the three constants above are names")]
    text.parse().expect("a constant name")
}

fn lane_tenants_max() -> u32 {
    64
}

fn lane_connections_max() -> u32 {
    16
}

fn connections_max() -> usize {
    8
}

fn base_domain() -> String {
    "localhost".to_owned()
}

fn spares() -> u32 {
    4
}

fn slug_held_days() -> u32 {
    30
}

fn archive_max_mib() -> u64 {
    4_096
}

fn move_lag_max_ms() -> u64 {
    200
}

fn move_pause_max_ms() -> u64 {
    1_000
}

fn poll_ms() -> u64 {
    1_000
}

fn port() -> u16 {
    5_432
}

fn terrace() -> String {
    "terrace".to_owned()
}
