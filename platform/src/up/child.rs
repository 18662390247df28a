//! One process that the supervisor keeps alive.

use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process;

use super::say;

/// How long a child may take to finish what it is doing before it is killed.
const GRACE: Duration = Duration::from_secs(10);
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_LONGEST: Duration = Duration::from_secs(15);
/// One that ran for so long did not die of its start: it is started again at once.
const SETTLED: Duration = Duration::from_secs(3);

/// A program, its arguments, and its process while it runs.
pub(crate) struct Child {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    pid_file: PathBuf,
    running: Option<process::Child>,
    wanted: bool,
    started: Instant,
    pause: Duration,
    not_before: Instant,
}

impl Child {
    /// A child that is not started yet. Its program lies beside this one.
    pub(crate) fn new(name: &'static str, program: &str, arguments: Vec<String>, data_dir: &Path) -> Result<Self> {
        let beside = std::env::current_exe()
            .context("find this program")?
            .with_file_name(program);
        let now = Instant::now();
        Ok(Self {
            name,
            program: beside,
            arguments,
            log: data_dir.join(format!("log/{name}.log")),
            pid_file: data_dir.join(format!("run/{name}.pid")),
            running: None,
            wanted: false,
            started: now,
            pause: PAUSE_FIRST,
            not_before: now,
        })
    }

    pub(crate) fn start(&mut self) -> Result<()> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("open {}", self.log.display()))?;
        let child = process::Command::new(&self.program)
            .args(&self.arguments)
            // Its end tells the child that we are gone, even when we are killed.
            .stdin(Stdio::piped())
            .stdout(log.try_clone().context("share a log")?)
            .stderr(log)
            // A group of its own: Ctrl-C comes to us alone, and we stop the children in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {}: is it built?", self.program.display()))?;
        std::fs::write(&self.pid_file, child.id().unwrap_or_default().to_string()).context("write a process id")?;
        self.started = Instant::now();
        self.running = Some(child);
        self.wanted = true;
        Ok(())
    }

    /// An error with the log's last lines, when the process has ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        let Some(status) = running.try_wait().context("ask a child")? else {
            return Ok(());
        };
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(5)..].join("\n    ");
        anyhow::bail!(
            "the {} ended with {status}:\n    {tail}\n  Its whole log is {}",
            self.name,
            self.log.display()
        )
    }

    /// Starts the process again when it died; waits longer each time it dies soon after its start.
    pub(crate) fn revive(&mut self) -> Result<()> {
        if let Some(running) = &mut self.running {
            let Some(status) = running.try_wait().context("ask a child")? else {
                return Ok(());
            };
            self.running = None;
            if self.started.elapsed() > SETTLED {
                self.pause = PAUSE_FIRST;
            }
            say(
                self.name,
                &format!(
                    "ended ({status}); starting it again in {:.1} s (log: {})",
                    self.pause.as_secs_f64(),
                    self.log.display()
                ),
            );
            self.not_before = Instant::now() + self.pause;
            self.pause = (self.pause * 2).min(PAUSE_LONGEST);
        }
        if self.wanted && Instant::now() >= self.not_before {
            self.start()?;
        }
        Ok(())
    }

    /// Stops it if it runs, starts it if it does not.
    pub(crate) async fn toggle(&mut self) -> Result<()> {
        if self.running.is_some() {
            self.stop().await;
            say(self.name, "stopped; type its letter and Enter to start it again");
            Ok(())
        } else {
            say(self.name, "starting");
            self.start()
        }
    }

    /// Asks it to end, and kills it when it takes too long.
    pub(crate) async fn stop(&mut self) {
        self.wanted = false;
        let Some(mut running) = self.running.take() else { return };
        let _ = std::fs::remove_file(&self.pid_file);
        if let Some(id) = running.id().and_then(|id| i32::try_from(id).ok()) {
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        }
        if tokio::time::timeout(GRACE, running.wait()).await.is_err() {
            say(self.name, "took too long to end, and was killed");
            let _ = running.kill().await;
        }
    }
}
