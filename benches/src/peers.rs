//! Programs from outside that serve what we serve: `gauntlet` attacks them, `sandbox` sends one empty requests.
//! It installs none (`cargo figures` and `cargo gauntlet` do), and gives none more than its defaults.

use std::{
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use terrace_tests_harness::{bundles, tool};

/// All that the gauntlet compares with, in the order of its table.
pub(crate) const ALL: [&Peer; 3] = [&WASMTIME, &JCO, &WORKERD];

/// A fresh instance for each request.
pub(crate) const WASMTIME: Peer = Peer {
    name: "wasmtime serve",
    program: || tool("wasmtime"),
    serve: |command, ports, component| {
        command
            .args(["serve", "-Scli", "--addr", &address(ports.attacked)])
            .arg(component);
    },
    has_neighbours: false,
};

/// The same component, compiled to JavaScript and run by Node.js: one instance for all requests.
///
/// Its ways to isolate requests were tried, and do worse: with `--isolate-requests=instance` a loop holds it and
/// a trap ends it all the same, and with `=worker` it did not keep up with the victim alone.
const JCO: Peer = Peer {
    name: "jco serve",
    program: || package("jco"),
    serve: |command, ports, component| {
        command
            .args(["serve", "--host", "127.0.0.1", "--port", &ports.attacked.to_string()])
            // Its own choice is a temporary folder, which it could not remove when it is killed.
            .arg("--jco-dir")
            .arg(bundles("peers/jco"))
            .arg(component);
    },
    has_neighbours: false,
};

/// The same attacks in JavaScript: it runs no component. Two workers share the process, as neighbours do.
const WORKERD: Peer = Peer {
    name: "workerd",
    program: || package("workerd"),
    serve: |command, ports, _| {
        command.arg("serve").arg(folder().join("workerd.capnp"));
        for (socket, port) in [("attacked", ports.attacked), ("victim", ports.victim)] {
            command.arg("--socket-addr").arg(format!("{socket}={}", address(port)));
        }
    },
    has_neighbours: true,
};

/// How long a peer may take to start: jco compiles the component each time.
const START: Duration = Duration::from_secs(60);

/// A program, and how it is told to serve.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    program: fn() -> PathBuf,
    /// Called once for each start, with what to serve and where.
    serve: fn(&mut Command, &Ports, &Path),
    /// Whether the victim is a worker with a socket of its own; otherwise it is another request to the same
    /// component.
    has_neighbours: bool,
}

/// Where it is asked.
struct Ports {
    attacked: u16,
    victim: u16,
}

/// A started peer. Dropping it ends it, and all that it started.
pub(crate) struct Running {
    child: Child,
    pub(crate) attacked: u16,
    pub(crate) victim: u16,
}

impl Peer {
    /// What it says its version is; None where it is not installed.
    pub(crate) fn version(&self) -> Option<String> {
        let output = Command::new((self.program)()).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    }

    /// Serves `component`, and waits until it can be asked.
    pub(crate) fn start(&self, component: &Path) -> Result<Running> {
        let attacked = free_port()?;
        let victim = if self.has_neighbours { free_port()? } else { attacked };
        let mut command = Command::new((self.program)());
        (self.serve)(&mut command, &Ports { attacked, victim }, component);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", self.name))?;
        // An attack may take all memory: what the kernel ends then must be the peer, and nobody else. Where
        // this file is not, there is no such choice.
        let _ = std::fs::write(format!("/proc/{}/oom_score_adj", child.id()), "1000");
        let mut running = Running {
            child,
            attacked,
            victim,
        };
        let patience = Instant::now() + START;
        while [attacked, victim]
            .iter()
            .any(|port| TcpStream::connect(("127.0.0.1", *port)).is_err())
        {
            ensure!(running.is_alive()?, "{} ended instead of answering", self.name);
            ensure!(Instant::now() < patience, "{} does not answer", self.name);
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(running)
    }
}

impl Running {
    /// Whether the process still runs.
    pub(crate) fn is_alive(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The whole group: jco serves from a child, which would outlive it. A process that loops, or waits for
        // its connections to end, hears nothing less than this.
        if let Ok(group) = i32::try_from(self.child.id()) {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}

/// What has packages of its own, which only `cargo gauntlet` installs.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

fn package(program: &str) -> PathBuf {
    folder().join("node_modules/.bin").join(program)
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
