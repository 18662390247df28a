//! Where the private PostgreSQL lives and how to reach it.

use std::path::PathBuf;

use serde::Deserialize;

/// The private PostgreSQL.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Holds `data/`, `socket/` and `postgres.log`: `.terrace/postgres`.
    pub root: PathBuf,
    /// The superuser's password, mode 0600. Made when missing: `.terrace/secrets/postgres`.
    pub password_file: PathBuf,
    /// The directory of `initdb` and `postgres`. Default: found in `PATH` and in the places where
    /// packages put it, newest first.
    #[serde(default)]
    pub pg_bin: Option<PathBuf>,
    /// The database that is made when missing. Default `terrace`.
    #[serde(default = "default_database")]
    pub database: String,
    /// Most connections, those of the superuser included. Default 200.
    #[serde(default = "default_connections_max")]
    pub connections_max: u16,
    /// Further settings of PostgreSQL, which win over ours. Default: none.
    #[serde(default)]
    pub settings: Vec<(String, String)>,
}

impl Config {
    /// The defaults, below this directory.
    pub fn in_directory(root: impl Into<PathBuf>, password_file: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            password_file: password_file.into(),
            pg_bin: None,
            database: default_database(),
            connections_max: default_connections_max(),
            settings: Vec::new(),
        }
    }
}

fn default_database() -> String {
    "terrace".to_owned()
}

fn default_connections_max() -> u16 {
    200
}

/// How to reach the server, as its superuser.
#[derive(Clone, PartialEq, Eq)]
pub struct Connection {
    /// The directory of the socket.
    pub socket_dir: PathBuf,
    /// The number in the socket's name.
    pub port: u16,
    /// The superuser.
    pub user: String,
    /// Its password.
    pub password: String,
    /// The database.
    pub database: String,
}

impl Connection {
    /// The same, for `tokio-postgres` and `deadpool-postgres`.
    pub fn client_config(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(&self.socket_dir)
            .port(self.port)
            .user(&self.user)
            .password(&self.password)
            .dbname(&self.database)
            .application_name("terrace");
        config
    }
}

impl std::fmt::Debug for Connection {
    // By hand, because a password must never reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("socket_dir", &self.socket_dir)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}
