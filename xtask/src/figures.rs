//! `cargo figures`: every figure of the README's table, each beside its peer, in one run.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{bundles, paths, sites, steps, system};

/// Builds our crates optimised (dependencies already are) and runs the benchmark program.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    system::prepare()?;
    system::prepare_load()?;
    bundles::with_hostile()?;
    bundles::for_figures()?;
    sites::build()?;
    install_wasmtime()?;
    let mut build = Command::new("cargo");
    build
        .current_dir(paths::root())
        .args(["build", "--workspace", "--bins"])
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "3");
    steps::run("Build optimised", &mut build)?;
    let status = Command::new(paths::program("terrace-benches"))
        .current_dir(paths::root())
        .args(arguments)
        .status()?;
    if !status.success() {
        bail!("the benchmark ended with {status}");
    }
    Ok(())
}

/// The peer of the sandbox, of the same version as our engine.
fn install_wasmtime() -> Result<()> {
    let tools = paths::target().join("tools");
    if tools.join("bin/wasmtime").is_file() {
        return Ok(());
    }
    let mut command = Command::new("cargo");
    command
        .args(["install", "wasmtime-cli", "--locked", "--version", "48.0.8", "--root"])
        .arg(&tools);
    steps::run("Build wasmtime serve, the sandbox's peer", &mut command)
}
