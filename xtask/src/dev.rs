//! `cargo dev`: build everything, then hand over to `terrace-up`, which starts and watches it.

use std::{os::unix::process::CommandExt, process::Command};

use anyhow::{Context, Result};

use crate::{bundles, paths, sites, steps, system};

/// Where the built bundles are.
pub(crate) struct Built {
    pub services: std::path::PathBuf,
    pub sites: std::path::PathBuf,
}

/// Builds the programs, the services and the sites.
pub(crate) fn build() -> Result<Built> {
    system::prepare()?;
    programs()?;
    let services = bundles::product()?;
    let sites = sites::build()?;
    Ok(Built { services, sites })
}

/// Builds every program: the node, the supervisor, the edge and the command line.
pub(crate) fn programs() -> Result<()> {
    let mut command = steps::cargo();
    command
        .current_dir(paths::root())
        .args(["build", "--workspace", "--bins"]);
    steps::run("Build the node, the edge and the command line", &mut command)
}

/// Builds, then becomes the supervisor.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    eprintln!("Preparing Terrace");
    let built = build()?;
    let mut command = Command::new(paths::program("terrace-up"));
    command
        .current_dir(paths::root())
        .arg("--demo")
        .arg("--services")
        .arg(&built.services)
        .arg("--sites")
        .arg(&built.sites)
        .args(arguments);
    become_program(&mut command)
}

/// Replaces this process, so that Ctrl-C and the exit status are the supervisor's own.
fn become_program(command: &mut Command) -> Result<()> {
    let error = command.exec();
    Err(error).context("start terrace-up")
}
