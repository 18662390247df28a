//! The running server: start or adopt, answer, stop.

use std::{
    fs::OpenOptions,
    io::{Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::Stdio,
    time::Duration,
};

use nix::{
    fcntl::OFlag,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};
use tokio_postgres::{NoTls, error::SqlState};

use crate::{
    Config, Connection, Error, Progress,
    cluster::{self, SUPERUSER, tail},
    find::{self, Installation},
    identity::Identity,
    place::{PORT, Place},
};

/// Recovery after a crash may take this long before it answers.
const ANSWER_PATIENCE: Duration = Duration::from_secs(120);
/// A fast shutdown has to write what is in memory.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
/// The log is started anew beyond this.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// A private PostgreSQL that answers.
///
/// Dropping it leaves the server running: whoever starts next adopts it. [`Postgres::stop`] ends it.
#[derive(Debug)]
pub struct Postgres {
    connection: Connection,
    pid: Pid,
    /// `None` when the server was adopted: only its parent can wait for it.
    child: Option<Child>,
    major: u32,
}

impl Postgres {
    /// Finds PostgreSQL, makes the cluster and the database when they are missing, starts the server
    /// unless one of this cluster is running, and returns when it has answered a connection.
    pub async fn start(config: Config, progress: Progress<'_>) -> Result<Self, Error> {
        let identity = Identity::choose()?;
        let place = Place::prepare(&config, identity, progress)?;
        let password = cluster::password(&config, &place)?;
        let connection = |database: &str| Connection {
            socket_dir: place.socket_dir.clone(),
            port: PORT,
            user: SUPERUSER.to_owned(),
            password: password.clone(),
            database: database.to_owned(),
        };
        if let Some(pid) = running(&place.data) {
            progress("PostgreSQL is already running; taking it over");
            let mut postgres = Self {
                connection: connection("postgres"),
                pid,
                child: None,
                major: cluster::major(&place).unwrap_or_default(),
            };
            postgres.answer(&place).await?;
            postgres.use_database(&config.database).await?;
            return Ok(postgres);
        }
        let installation = find::find(config.pg_bin.as_deref(), cluster::major(&place)).await?;
        match cluster::major(&place) {
            None => cluster::create(&place, &installation, identity, &password, progress).await?,
            Some(data) if data != installation.major => {
                return Err(Error::MajorVersion {
                    dir: place.data.clone(),
                    data,
                    found: installation.major,
                });
            }
            Some(_) => {}
        }
        progress(&format!("Starting PostgreSQL {}", installation.major));
        let child = spawn(&config, &place, &installation, identity)?;
        let pid = child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .map(Pid::from_raw)
            .ok_or_else(|| start_error(&place))?;
        let mut postgres = Self {
            connection: connection("postgres"),
            pid,
            child: Some(child),
            major: installation.major,
        };
        postgres.answer(&place).await?;
        postgres.use_database(&config.database).await?;
        Ok(postgres)
    }

    /// How to reach the database, as its superuser.
    pub fn connection(&self) -> Connection {
        self.connection.clone()
    }

    /// The major version that runs.
    pub fn major_version(&self) -> u32 {
        self.major
    }

    /// The process id of the postmaster.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Whether it was running already.
    pub fn was_adopted(&self) -> bool {
        self.child.is_none()
    }

    /// Returns when the server has ended, for whatever reason.
    pub async fn wait(&mut self) {
        match &mut self.child {
            Some(child) => drop(child.wait().await),
            None => {
                while is_alive(self.pid) {
                    sleep(Duration::from_millis(250)).await;
                }
            }
        }
    }

    /// Stops it: open transactions are rolled back, everything is written, and it ends. A server
    /// that has not ended after half a minute is made to, and recovers at its next start.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.end(Signal::SIGINT).await;
        Ok(())
    }

    /// Stops the server of this configuration if one runs, and removes its data and its password,
    /// wherever they are: under its root, or elsewhere because its user could not enter that.
    pub async fn erase(config: &Config) -> Result<(), Error> {
        let place = Place::choose(config, Identity::choose()?, &|_| {})?;
        if let Some(pid) = running(&place.data) {
            let connection = Connection {
                socket_dir: place.socket_dir.clone(),
                port: PORT,
                user: SUPERUSER.to_owned(),
                password: String::new(),
                database: config.database.clone(),
            };
            Self {
                connection,
                pid,
                child: None,
                major: 0,
            }
            .stop()
            .await?;
        }
        for directory in [&place.socket_dir, &place.root] {
            if directory.exists() {
                std::fs::remove_dir_all(directory).map_err(Error::file("remove", directory))?;
            }
        }
        if config.password_file.exists() {
            std::fs::remove_file(&config.password_file).map_err(Error::file("remove", &config.password_file))?;
        }
        Ok(())
    }

    /// Ends it as a power failure would, for tests of what survives that.
    #[cfg(feature = "testing")]
    pub(crate) async fn crash(mut self) {
        self.end(Signal::SIGQUIT).await;
    }

    async fn end(&mut self, signal: Signal) {
        let _ = kill(self.pid, signal);
        if tokio::time::timeout(STOP_PATIENCE, self.wait()).await.is_err() {
            tracing::warn!("PostgreSQL took too long to stop, so it was made to");
            let _ = kill(self.pid, Signal::SIGQUIT);
            self.wait().await;
        }
    }

    /// Waits until a connection succeeds, or the server has ended.
    async fn answer(&mut self, place: &Place) -> Result<(), Error> {
        let until = Instant::now() + ANSWER_PATIENCE;
        let config = self.connection.client_config();
        loop {
            let reason = match config.connect(NoTls).await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let has_ended = match &mut self.child {
                Some(child) => child.try_wait().map_or(true, |status| status.is_some()),
                None => !is_alive(self.pid),
            };
            if has_ended {
                return Err(start_error(place));
            }
            // A refusal that time does not change.
            let is_final = reason
                .code()
                .is_some_and(|code| *code != SqlState::CANNOT_CONNECT_NOW && *code != SqlState::TOO_MANY_CONNECTIONS);
            if is_final || Instant::now() >= until {
                return Err(Error::NoAnswer {
                    seconds: ANSWER_PATIENCE.as_secs(),
                    reason: describe(&reason),
                    log: place.log.clone(),
                });
            }
            sleep(POLL).await;
        }
    }

    /// Makes the database when it is missing, and points the connection at it.
    async fn use_database(&mut self, database: &str) -> Result<(), Error> {
        let refused = |what: &'static str| move |source| Error::Statement { what, source };
        let (client, driver) = self
            .connection
            .client_config()
            .connect(NoTls)
            .await
            .map_err(refused("connect"))?;
        let driver = tokio::spawn(driver);
        let rows = client
            .query("SELECT 1 FROM pg_database WHERE datname = $1", &[&database])
            .await;
        if rows.map_err(refused("list its databases"))?.is_empty() {
            let quoted = database.replace('"', "\"\"");
            client
                .batch_execute(&format!("CREATE DATABASE \"{quoted}\""))
                .await
                .map_err(refused("create the database"))?;
        }
        drop(client);
        drop(driver.await);
        database.clone_into(&mut self.connection.database);
        Ok(())
    }
}

fn spawn(config: &Config, place: &Place, installation: &Installation, identity: Identity) -> Result<Child, Error> {
    let is_long = std::fs::metadata(&place.log).is_ok_and(|log| log.len() > LOG_BYTES_MAX);
    let mut options = OpenOptions::new();
    // The directory is the server's user's, who must not choose what we open in it.
    options.create(true).custom_flags(OFlag::O_NOFOLLOW.bits());
    if is_long {
        options.write(true).truncate(true)
    } else {
        options.append(true)
    };
    let log = options.open(&place.log).map_err(Error::file("open", &place.log))?;
    let log_too = log.try_clone().map_err(Error::file("open", &place.log))?;

    let mut command = Command::new(installation.bin.join("postgres"));
    command.arg("-D").arg(&place.data);
    let socket_dir = place.socket_dir.to_string_lossy().replace('"', "\"\"");
    let own = [
        ("listen_addresses", String::new()),
        // A list: quoted, because a path may hold a comma or a space.
        ("unix_socket_directories", format!("\"{socket_dir}\"")),
        ("unix_socket_permissions", "0700".to_owned()),
        ("port", PORT.to_string()),
        ("max_connections", config.connections_max.to_string()),
        // Dropping the schema of a tenant locks every table of it.
        ("max_locks_per_transaction", "256".to_owned()),
        ("fsync", "on".to_owned()),
        ("password_encryption", "scram-sha-256".to_owned()),
        // So that a tenant can be followed away to another cluster without a restart.
        ("wal_level", "logical".to_owned()),
        // Short statements of many tenants: compiling them costs more than it gives.
        ("jit", "off".to_owned()),
        ("temp_file_limit", "1GB".to_owned()),
        ("timezone", "UTC".to_owned()),
        ("log_timezone", "UTC".to_owned()),
        ("log_line_prefix", "%m [%p] %u ".to_owned()),
    ];
    let further = config
        .settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()));
    for (name, value) in own.into_iter().chain(further) {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    command
        .env("LC_ALL", "C")
        .current_dir(&place.root)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(log_too)
        // Ctrl-C in a terminal reaches its whole group; this one is stopped in its turn.
        .process_group(0)
        .kill_on_drop(false);
    identity.apply(&mut command);
    command
        .spawn()
        .map_err(Error::file("run", installation.bin.join("postgres")))
}

/// The postmaster of this cluster, if one is alive. A process that only got the number of a dead
/// one is not: PostgreSQL itself then removes the stale file.
fn running(data: &Path) -> Option<Pid> {
    let text = std::fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let mut lines = text.lines();
    let pid = Pid::from_raw(lines.next()?.trim().parse().ok().filter(|pid| *pid > 1)?);
    if !is_alive(pid) || lines.next()?.trim() != data.to_str()? {
        return None;
    }
    // Where there is /proc, the name of the program settles it.
    match std::fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => matches!(name.trim(), "postgres" | "postmaster").then_some(pid),
        Err(_) => (!Path::new("/proc/self").exists()).then_some(pid),
    }
}

/// Whether the process runs. One that has ended but whose parent has not asked how is still known to
/// the kernel: in a container whose first process reaps nobody, for ever.
fn is_alive(pid: Pid) -> bool {
    let is_zombie = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')')
            .next()
            .is_some_and(|rest| rest.trim_start().starts_with('Z'))
    };
    kill(pid, None).is_ok() && !is_zombie()
}

fn start_error(place: &Place) -> Error {
    let said = log_end(&place.log).unwrap_or_default();
    let tail = tail(&said);
    if tail.contains("No space left on device") {
        Error::NoSpace {
            dir: place.root.clone(),
        }
    } else if tail.contains("Unix-domain socket") || tail.contains("could not create any") {
        Error::Socket {
            dir: place.socket_dir.clone(),
            tail,
        }
    } else {
        Error::Start {
            tail,
            log: place.log.clone(),
        }
    }
}

fn log_end(log: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(4096)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn describe(error: &tokio_postgres::Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error.to_string(), |error| error.message().to_owned())
}
