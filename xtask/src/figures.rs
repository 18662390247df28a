//! `cargo figures`: every figure of the README's table, each beside its peer, in one run.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{bundles, paths, steps, system};

/// Builds our crates optimised (dependencies already are) and runs the benchmark program.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    system::prepare()?;
    bundles::with_hostile()?;
    let packages = [
        "-p",
        "terrace-platform",
        "-p",
        "terrace-edge",
        "-p",
        "terrace-cli",
        "-p",
        "terrace-benches",
    ];
    let mut build = Command::new("cargo");
    build
        .current_dir(paths::root())
        .arg("build")
        .args(packages)
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
