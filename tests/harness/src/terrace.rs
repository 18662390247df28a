//! The processes: started, stopped, killed and started again.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
};

use crate::client::Client;

/// How long a start may take before a test says that it failed.
const START_MAX: Duration = Duration::from_secs(120);

/// What to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Make the demo's tenants. Default true.
    pub demo: bool,
    /// Deploy the hostile service too. Default false.
    pub hostile: bool,
    /// The text of `terrace.toml`. Default none.
    pub config: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            demo: true,
            hostile: false,
            config: String::new(),
        }
    }
}

/// A process that can be killed on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `terrace-up`.
    Supervisor,
    /// `terrace-node`.
    Node,
    /// `terrace-edge`.
    Edge,
    /// The postmaster.
    Database,
}

/// A running Terrace with a data folder of its own. Dropping it ends all its processes.
pub struct Terrace {
    folder: tempfile::TempDir,
    options: Options,
    /// The edge's port.
    pub port: u16,
    /// The node's port.
    pub node_port: u16,
    up: Option<Child>,
}

impl Terrace {
    /// Starts one and waits until it says that it is up.
    ///
    /// # Errors
    /// What `terrace-up` said when it could not.
    pub async fn start(options: Options) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("terrace-")
            .tempdir()
            .context("make a data folder")?;
        // The database may run as another user, who must be able to reach its folder.
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .context("open the data folder")?;
        let (port, node_port) = (free_port()?, free_port()?);
        let mut terrace = Self {
            folder,
            options,
            port,
            node_port,
            up: None,
        };
        terrace.start_again().await?;
        Ok(terrace)
    }

    /// Starts again on the same data folder, as `cargo dev` would.
    ///
    /// # Errors
    /// What `terrace-up` said when it could not.
    pub async fn start_again(&mut self) -> Result<()> {
        let mut command = Command::new(program("terrace-up"));
        command
            .arg("--data-dir")
            .arg(self.folder.path())
            .arg("--port")
            .arg(self.port.to_string())
            .arg("--node-port")
            .arg(self.node_port.to_string());
        command
            .arg("--exit-with-parent")
            .arg("--services")
            .arg(bundles("services"))
            .arg("--sites")
            .arg(bundles("sites"));
        if self.options.hostile {
            command.arg("--services").arg(bundles("hostile"));
        }
        if !self.options.config.is_empty() {
            let file = self.folder.path().join("terrace.toml");
            fs::write(&file, &self.options.config).context("write a configuration")?;
            command.arg("--config").arg(file);
        }
        if self.options.demo {
            command.arg("--demo");
        }
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("up.log"))
            .context("open a log")?;
        let mut up = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("start terrace-up: run `cargo verify services` first")?;
        let mut lines = BufReader::new(up.stdout.take().context("read terrace-up")?).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                if line.starts_with("Terrace is up") {
                    return Ok(());
                }
            }
            bail!("terrace-up ended before it was up")
        };
        let outcome = tokio::time::timeout(START_MAX, ready)
            .await
            .unwrap_or_else(|_| bail!("terrace-up is not up after {START_MAX:?}"));
        // Its later output must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        self.up = Some(up);
        outcome.with_context(|| self.logs())
    }

    /// Stops everything in order, as Ctrl-C does.
    ///
    /// # Errors
    /// It does not end.
    pub async fn stop(&mut self) -> Result<()> {
        let Some(mut up) = self.up.take() else { return Ok(()) };
        drop(up.stdin.take());
        tokio::time::timeout(Duration::from_secs(30), up.wait())
            .await
            .context("terrace-up does not end")??;
        Ok(())
    }

    /// Stops the node, or starts it again: the key `n` of `cargo dev`.
    ///
    /// # Errors
    /// The supervisor is gone.
    pub async fn toggle_node(&mut self) -> Result<()> {
        self.key("n\n").await
    }

    /// Stops the database, or starts it again: the key `d` of `cargo dev`.
    ///
    /// # Errors
    /// The supervisor is gone.
    pub async fn toggle_database(&mut self) -> Result<()> {
        self.key("d\n").await
    }

    async fn key(&mut self, key: &str) -> Result<()> {
        let input = self
            .up
            .as_mut()
            .and_then(|up| up.stdin.as_mut())
            .context("terrace-up does not run")?;
        input.write_all(key.as_bytes()).await.context("press a key")?;
        input.flush().await.context("press a key")
    }

    /// kill -9, at once.
    ///
    /// # Errors
    /// There is no such process.
    pub async fn kill(&mut self, part: Part) -> Result<()> {
        let pid = self.pid(part)?;
        kill(Pid::from_raw(pid), Signal::SIGKILL).with_context(|| format!("kill {part:?}"))?;
        if part == Part::Supervisor
            && let Some(mut up) = self.up.take()
        {
            up.wait().await.context("wait for the killed supervisor")?;
        }
        Ok(())
    }

    /// The process id of a part.
    ///
    /// # Errors
    /// It does not run.
    pub fn pid(&self, part: Part) -> Result<i32> {
        let text = match part {
            Part::Supervisor => {
                return self
                    .up
                    .as_ref()
                    .and_then(Child::id)
                    .and_then(|id| i32::try_from(id).ok())
                    .context("terrace-up does not run");
            }
            Part::Node => fs::read_to_string(self.path("run/node.pid")),
            Part::Edge => fs::read_to_string(self.path("run/edge.pid")),
            Part::Database => fs::read_to_string(self.path("run/database.pid")),
        };
        text.with_context(|| format!("find {part:?}"))?
            .trim()
            .parse()
            .context("read a process id")
    }

    /// A connection to the database as its superuser: for looking, and for playing an outsider.
    ///
    /// # Errors
    /// The database is away.
    pub async fn database(&self) -> Result<tokio_postgres::Client> {
        let address = fs::read_to_string(self.path("run/database")).context("find the database")?;
        let mut config: tokio_postgres::Config = address.trim().parse().context("read the database's address")?;
        config.password(
            fs::read_to_string(self.path("secrets/postgres"))
                .context("read the password")?
                .trim(),
        );
        let (client, connection) = config
            .connect(tokio_postgres::NoTls)
            .await
            .context("connect to the database")?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// A client that speaks to the edge.
    pub fn client(&self) -> Client {
        Client::new(self.port, self.operator_token())
    }

    /// A path in the data folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The last lines of every log, for a failed test's message.
    pub fn logs(&self) -> String {
        let tail = |name: &str| {
            let text = fs::read_to_string(self.path(name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            format!("--- {name}\n{}\n", lines[lines.len().saturating_sub(25)..].join("\n"))
        };
        ["up.log", "log/node.log", "log/edge.log"].map(tail).concat()
    }

    fn operator_token(&self) -> String {
        let file = fs::read_to_string(self.path("operator.json")).unwrap_or_default();
        let value: serde_json::Value = serde_json::from_str(&file).unwrap_or_default();
        value["token"].as_str().unwrap_or_default().to_owned()
    }
}

impl Drop for Terrace {
    fn drop(&mut self) {
        // Killing the supervisor ends its children by their standard input, but not the database,
        // which outlives a killed supervisor on purpose.
        for part in [Part::Supervisor, Part::Node, Part::Edge, Part::Database] {
            if let Ok(pid) = self.pid(part) {
                let _ = kill(
                    Pid::from_raw(pid),
                    if part == Part::Database {
                        Signal::SIGQUIT
                    } else {
                        Signal::SIGKILL
                    },
                );
            }
        }
    }
}

/// A program that the workspace built as it built the caller: for tests, or as an operator installs it.
pub fn program(name: &str) -> PathBuf {
    let built = if cfg!(debug_assertions) { "debug" } else { "release" };
    target().join(built).join(name)
}

/// A program from outside that `cargo figures` or `cargo gauntlet` installed.
pub fn tool(name: &str) -> PathBuf {
    target().join("tools/bin").join(name)
}

/// A folder of bundles that `cargo verify services` or `cargo xtask build` made.
pub fn bundles(name: &str) -> PathBuf {
    target().join("terrace").join(name)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test program is a binary; cargo's own variable says where it built"
)]
fn target() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    std::env::var("CARGO_TARGET_DIR").map_or_else(|_| default(), PathBuf::from)
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(listener.local_addr().context("find a free port")?.port())
}
