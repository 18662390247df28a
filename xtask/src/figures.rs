//! `cargo figures`: every figure of the README's table, each beside its peer, in one run; and
//! `cargo gauntlet`: every attack on the sandbox.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{bundles, paths, sites, steps, system};

/// Builds what an operator installs, and runs the benchmark program on it.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    system::prepare_load()?;
    bundles::for_figures()?;
    measure(arguments)
}

/// Runs every attack against the sandbox, and against its peers; prints the table.
pub(crate) fn gauntlet(attacks: &[String]) -> Result<()> {
    bundles::with_hostile()?;
    install_packaged_peers();
    let arguments: Vec<String> = std::iter::once("gauntlet".to_owned())
        .chain(attacks.iter().cloned())
        .collect();
    measure(&arguments)
}

fn measure(arguments: &[String]) -> Result<()> {
    system::prepare()?;
    bundles::product()?;
    sites::build()?;
    install_wasmtime()?;
    let mut build = steps::cargo();
    build
        .current_dir(paths::root())
        .args(["build", "--release", "--workspace", "--bins"]);
    steps::run("Build the release (the first time: ten to thirty minutes)", &mut build)?;
    let status = Command::new(paths::released("terrace-benches"))
        .current_dir(paths::root())
        .args(arguments)
        .status()?;
    if !status.success() {
        bail!("the benchmark ended with {status}");
    }
    Ok(())
}

/// The peers that npm has. Half a gigabyte that nothing else needs: without it the gauntlet says which peers
/// are not installed, and goes on.
fn install_packaged_peers() {
    let folder = paths::root().join("benches/peers");
    if let Err(error) = sites::install_in(&folder, "Install the gauntlet's peers") {
        steps::say(&format!("{error:#}"));
    }
}

/// The peer of the sandbox, of the same version as our engine.
fn install_wasmtime() -> Result<()> {
    let tools = paths::target().join("tools");
    if tools.join("bin/wasmtime").is_file() {
        return Ok(());
    }
    // What `serve` needs, with everything on that makes it fast; without its other commands.
    let features = "serve,run,compile,component-model,component-model-async,pooling-allocator,parallel-compilation";
    let mut command = steps::cargo();
    command
        .args(["install", "wasmtime-cli", "--locked", "--version", "48.0.8"])
        .args(["--no-default-features", "--features", features, "--root"])
        .arg(&tools);
    steps::run("Build wasmtime serve, the sandbox's peer", &mut command)
}
