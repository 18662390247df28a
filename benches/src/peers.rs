//! Peers that are programs of their own.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

/// `wasmtime serve` with its defaults, where it is installed.
pub(crate) struct Wasmtime {
    child: Child,
    pub(crate) port: u16,
}

impl Wasmtime {
    /// Serves `component`; None where there is no wasmtime.
    pub(crate) fn start(component: &Path) -> Result<Option<Self>> {
        let program = [PathBuf::from("target/tools/bin/wasmtime"), PathBuf::from("wasmtime")]
            .into_iter()
            .find(|candidate| {
                Command::new(candidate)
                    .arg("--version")
                    .stdout(Stdio::null())
                    .status()
                    .is_ok()
            });
        let Some(program) = program else { return Ok(None) };
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new(program)
            .args(["serve", "--addr", &format!("127.0.0.1:{port}"), "-Scli"])
            .arg(component)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start wasmtime serve")?;
        let started = Self { child, port };
        let patience = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(Instant::now() < patience, "wasmtime serve does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Some(started))
    }

    /// Whether the process still runs.
    pub(crate) fn is_alive(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }
}

impl Drop for Wasmtime {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
