//! The peer PgBouncer: Debian's, transaction pooling, over unix sockets on both sides.

use std::{
    fs,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use deadpool_postgres::Pool;
use terrace_data_embedded::Connection;

use super::{
    overhead::pool,
    stage::{PEER, PEER_PASSWORD},
};

/// The number in its socket's name.
const PORT: u16 = 6432;

/// A PgBouncer before a server. Dropping it ends it.
pub(super) struct Bouncer {
    child: Child,
    socket_dir: PathBuf,
    database: String,
}

impl Bouncer {
    /// With so many connections to the server.
    pub(super) async fn start(connection: &Connection, connections: usize) -> Result<Self> {
        let dir = &connection.socket_dir;
        let shown = dir.display();
        let settings = format!(
            "[databases]\n{name} = host={shown} port={port} dbname={name} user={PEER} password={PEER_PASSWORD}\n\
             [pgbouncer]\nlisten_addr =\nlisten_port = {PORT}\nunix_socket_dir = {shown}\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = {connections}\nmax_client_conn = 200\n\
             logfile = {shown}/pgbouncer.log\npidfile = {shown}/pgbouncer.pid\nlog_connections = 0\nlog_disconnections = 0\n",
            name = connection.database,
            port = connection.port
        );
        let file = dir.join("pgbouncer.ini");
        fs::write(&file, settings).context("write PgBouncer's settings")?;
        // It refuses to run as root, and only the server's user may enter the directory of its socket.
        let owner = fs::metadata(dir).context("look at the socket's directory")?;
        std::os::unix::fs::chown(&file, Some(owner.uid()), Some(owner.gid())).context("give PgBouncer its settings")?;
        let child = Command::new("pgbouncer")
            .arg("--quiet")
            .arg(&file)
            .uid(owner.uid())
            .gid(owner.gid())
            .current_dir(dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start PgBouncer: install it (Debian: apt-get install -y pgbouncer)")?;
        let bouncer = Self {
            child,
            socket_dir: dir.clone(),
            database: connection.database.clone(),
        };
        let patience = Instant::now() + Duration::from_secs(10);
        let one = bouncer.pool(1)?;
        while one.get().await.is_err() {
            if Instant::now() > patience {
                let log = fs::read_to_string(dir.join("pgbouncer.log")).unwrap_or_default();
                bail!("PgBouncer does not answer:\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(bouncer)
    }

    /// Clients of it.
    pub(super) fn pool(&self, connections: usize) -> Result<Pool> {
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(&self.socket_dir)
            .port(PORT)
            .user(PEER)
            .dbname(&self.database);
        pool(config, connections)
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
