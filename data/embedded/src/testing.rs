//! A PostgreSQL for tests: one server per test process, a fresh database per [`Scratch`].
//!
//! Behind the feature `testing`. The cluster is made once on a machine and copied, so that a test
//! waits for a few tenths of a second. A small watcher ends the server when the test process is gone,
//! however it went.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::waitpid,
    },
    unistd::{Pid, Uid},
};
use tokio::sync::Mutex;
use tokio_postgres::{Client, NoTls};

use crate::{Config, Connection, Postgres};

const PASSWORD: &str = "scratch-password";

static SERVER: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());

/// A fresh database on the server of this test process.
pub struct Scratch {
    server: Arc<Server>,
    connection: Connection,
}

struct Server {
    directory: PathBuf,
    settings: Vec<(String, String)>,
    postgres: Mutex<Option<Postgres>>,
    connection: Connection,
    pid: AtomicU32,
    watcher: std::sync::Mutex<Option<Child>>,
}

#[expect(
    clippy::expect_used,
    reason = "a test that has no database fails here, with the reason"
)]
impl Scratch {
    /// Starts the server of this process if it is not running, and makes a database.
    pub async fn new() -> Self {
        let server = {
            let mut slot = SERVER.lock().await;
            match slot.upgrade() {
                Some(server) => server,
                None => {
                    let server = Arc::new(Server::start(Vec::new()).await);
                    *slot = Arc::downgrade(&server);
                    server
                }
            }
        };
        Self::on(server).await
    }

    /// A database on a server of its own, for a test that stops it or looks at all of it.
    pub async fn alone() -> Self {
        Self::with_settings(&[]).await
    }

    /// The same, with further settings of PostgreSQL, which win over those of tests: for a measurement,
    /// which needs more memory and connections than a test.
    pub async fn with_settings(settings: &[(&str, &str)]) -> Self {
        let settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self::on(Arc::new(Server::start(settings.collect()).await)).await
    }

    /// Another database on the same server.
    pub async fn another_database(&self) -> Self {
        Self::on(Arc::clone(&self.server)).await
    }

    async fn on(server: Arc<Server>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let database = format!("scratch_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let client = connect(&server.connection).await;
        client
            .batch_execute(&format!("CREATE DATABASE {database}"))
            .await
            .expect("create a scratch database");
        let connection = Connection {
            database,
            ..server.connection.clone()
        };
        Self { server, connection }
    }

    /// A second server that follows this one by streaming replication, with the same databases. This
    /// one is stopped for a moment while its files are copied.
    pub async fn standby(&self) -> Self {
        self.stop().await;
        let primary = &self.server.connection;
        let follow = format!(
            "host={} port={} user={} password={PASSWORD}",
            primary.socket_dir.display(),
            primary.port,
            primary.user
        );
        let directory = Server::copy_of(&self.server.directory);
        let data = directory.join("postgres/data");
        std::fs::write(data.join("standby.signal"), "").expect("write standby.signal");
        let settings = data.join("postgresql.auto.conf");
        let mut text = std::fs::read_to_string(&settings).unwrap_or_default();
        text.push_str(&format!("primary_conninfo = '{follow}'\n"));
        std::fs::write(&settings, text).expect("write postgresql.auto.conf");
        self.start().await;
        let settings = self.server.settings.clone();
        let postgres = Postgres::start(config(&directory, &settings), &|_| {})
            .await
            .expect("start the standby");
        let server = Arc::new(Server::of(directory, settings, postgres).await);
        let connection = Connection {
            database: self.connection.database.clone(),
            ..server.connection.clone()
        };
        Self { server, connection }
    }

    /// Makes a standby the primary.
    pub async fn promote(&self) {
        self.admin()
            .await
            .batch_execute("SELECT pg_promote()")
            .await
            .expect("promote the standby");
    }

    /// How to reach the database, as superuser.
    pub fn connection(&self) -> Connection {
        self.connection.clone()
    }

    /// A connection to the database, as superuser.
    pub async fn admin(&self) -> Client {
        connect(&self.connection).await
    }

    /// Stops the server as a power failure would.
    pub async fn crash(&self) {
        let postgres = self.server.postgres.lock().await.take();
        postgres.expect("the server runs").crash().await;
    }

    /// Stops the server cleanly.
    pub async fn stop(&self) {
        let postgres = self.server.postgres.lock().await.take();
        postgres
            .expect("the server runs")
            .stop()
            .await
            .expect("stop the server");
    }

    /// Starts it again, over the same data.
    pub async fn start(&self) {
        let mut slot = self.server.postgres.lock().await;
        let postgres = Postgres::start(config(&self.server.directory, &self.server.settings), &|_| {})
            .await
            .expect("start the server again");
        self.server.watch(&postgres);
        *slot = Some(postgres);
    }
}

#[expect(
    clippy::expect_used,
    reason = "a test that has no database fails here, with the reason"
)]
async fn connect(connection: &Connection) -> Client {
    let (client, driver) = connection
        .client_config()
        .connect(NoTls)
        .await
        .expect("connect to the scratch server");
    tokio::spawn(driver);
    client
}

fn config(directory: &Path, settings: &[(String, String)]) -> Config {
    let mut config = Config::in_directory(directory.join("postgres"), directory.join("password"));
    // Nothing of a test has to survive the machine; processes that die are all that is tested.
    config.settings = [
        ("fsync", "off"),
        ("full_page_writes", "off"),
        ("autovacuum", "off"),
        ("shared_buffers", "32MB"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    config.settings.extend_from_slice(settings);
    config
}

#[expect(
    clippy::expect_used,
    reason = "a test that has no database fails here, with the reason"
)]
impl Server {
    async fn start(settings: Vec<(String, String)>) -> Self {
        let temporary = std::env::temp_dir();
        let directory = temporary.join(format!("terrace-scratch-{}-{}", std::process::id(), nonce()));
        std::fs::create_dir_all(&directory).expect("create a scratch directory");
        std::fs::write(directory.join("password"), PASSWORD).expect("write the scratch password");

        let newest = crate::find::find(None, None).await.expect("find PostgreSQL");
        let template = temporary.join(format!(
            "terrace-scratch-template-{}-{}",
            Uid::effective(),
            newest.major
        ));
        let is_first = !copy(&template.join("data"), &directory);
        let postgres = Postgres::start(config(&directory, &settings), &|_| {})
            .await
            .expect("start a scratch server");
        let postgres = if is_first {
            keep_template(postgres, &directory, &settings, &template).await
        } else {
            postgres
        };
        Self::of(directory, settings, postgres).await
    }

    /// Copies a stopped server's files to a place of their own.
    fn copy_of(from: &Path) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("terrace-scratch-{}-{}", std::process::id(), nonce()));
        std::fs::create_dir_all(&directory).expect("create a scratch directory");
        std::fs::write(directory.join("password"), PASSWORD).expect("write the scratch password");
        assert!(
            copy(&from.join("postgres/data"), &directory),
            "copy the files of a server"
        );
        directory
    }

    async fn of(directory: PathBuf, settings: Vec<(String, String)>, postgres: Postgres) -> Self {
        let server = Self {
            directory,
            settings,
            connection: postgres.connection(),
            pid: AtomicU32::new(0),
            postgres: Mutex::new(None),
            watcher: std::sync::Mutex::new(None),
        };
        server.watch(&postgres);
        *server.postgres.lock().await = Some(postgres);
        server
    }

    /// Ends the server when this process is gone: then nobody holds the other end of the pipe.
    fn watch(&self, postgres: &Postgres) {
        let pid = postgres.pid();
        self.pid.store(pid.unsigned_abs(), Ordering::Relaxed);
        let script = "read -r gone; kill -QUIT \"$1\" 2>/dev/null; sleep 1; rm -rf \"$2\"";
        let watcher = Command::new("sh")
            .args(["-c", script, "sh", &pid.to_string()])
            .arg(&self.directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start the watcher of the scratch server");
        let old = self.watcher.lock().expect("the lock of the watcher").replace(watcher);
        end_watcher(old);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nobody else is left: the watcher is not needed, and the server has nothing to lose.
        end_watcher(self.watcher.lock().ok().and_then(|mut watcher| watcher.take()));
        if let Ok(pid) = i32::try_from(self.pid.load(Ordering::Relaxed)) {
            let pid = Pid::from_raw(pid);
            if self.postgres.get_mut().is_some() && kill(pid, Signal::SIGQUIT).is_ok() {
                let _ = waitpid(pid, None);
            }
        }
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

fn end_watcher(watcher: Option<Child>) {
    if let Some(mut watcher) = watcher {
        drop(watcher.kill());
        drop(watcher.wait());
    }
}

/// Copies the template to a new server's place; false when there is none yet.
fn copy(template: &Path, directory: &Path) -> bool {
    if !template.join("PG_VERSION").is_file() {
        return false;
    }
    let root = directory.join("postgres");
    let made = std::fs::create_dir_all(&root).is_ok();
    let copied = Command::new("cp")
        .arg("-a")
        .arg(template)
        .arg(root.join("data"))
        .status();
    made && copied.is_ok_and(|status| status.success())
}

/// Keeps the first cluster of a machine for the servers after it.
#[expect(
    clippy::expect_used,
    reason = "a test that has no database fails here, with the reason"
)]
async fn keep_template(
    postgres: Postgres,
    directory: &Path,
    settings: &[(String, String)],
    template: &Path,
) -> Postgres {
    postgres.stop().await.expect("stop the first scratch server");
    let unfinished = template.with_extension(format!("{}-{}", std::process::id(), nonce()));
    std::fs::create_dir_all(&unfinished).expect("create a template directory");
    let copied = Command::new("cp")
        .arg("-a")
        .arg(directory.join("postgres/data"))
        .arg(&unfinished)
        .status();
    // Another process may have been quicker, and its template is as good.
    if !copied.is_ok_and(|status| status.success()) || std::fs::rename(&unfinished, template).is_err() {
        drop(std::fs::remove_dir_all(&unfinished));
    }
    let started = Postgres::start(config(directory, settings), &|_| {});
    tokio::time::timeout(Duration::from_secs(60), started)
        .await
        .expect("the scratch server starts in time")
        .expect("start the scratch server again")
}

fn nonce() -> String {
    let mut bytes = [0_u8; 4];
    let _ = getrandom::fill(&mut bytes);
    data_encoding::HEXLOWER.encode(&bytes)
}
