//! `cargo verify`: exactly what CI runs, fastest first.

use std::{path::Path, process::Command, time::Instant};

use anyhow::{Result, bail};

use crate::{bundles, javascript, paths, sites, steps, system};

/// One part of the verification.
struct Step {
    name: &'static str,
    run: fn() -> Result<()>,
    /// Only when it is named: CI has no time for it.
    by_name: bool,
}

const STEPS: [Step; 9] = [
    step("format", format),
    step("lint", lint),
    step("contracts", contracts),
    step("services", services),
    step("examples", javascript::build),
    step("test", test),
    step("sites", site_checks),
    step("browser", browser),
    Step {
        name: "newest-postgres",
        run: newest_postgres,
        by_name: true,
    },
];

const fn step(name: &'static str, run: fn() -> Result<()>) -> Step {
    Step {
        name,
        run,
        by_name: false,
    }
}

/// Runs all steps, or only the named ones.
pub(crate) fn run(names: &[String]) -> Result<()> {
    for name in names {
        if !STEPS.iter().any(|step| step.name == name) {
            let known = STEPS.map(|step| step.name).join(", ");
            bail!("there is no step `{name}`; the steps are {known}");
        }
    }
    let start = Instant::now();
    eprintln!("Verifying Terrace");
    system::prepare()?;
    for step in STEPS {
        let is_named = names.iter().any(|name| name == step.name);
        if is_named || (names.is_empty() && !step.by_name) {
            (step.run)()?;
        }
    }
    eprintln!("  \u{2713} everything verified  {}", steps::seconds(start.elapsed()));
    Ok(())
}

/// Writes the contracts and the client again, from the services' types.
pub(crate) fn write_contracts() -> Result<()> {
    system::prepare()?;
    build()?;
    let mut command = Command::new(paths::program("terrace-contracts-emit"));
    steps::run("Write the contracts and the client", command.current_dir(paths::root()))
}

fn format() -> Result<()> {
    steps::run("Check the formatting", &mut cargo(&["fmt", "--all", "--check"]))
}

fn lint() -> Result<()> {
    steps::run(
        "Lint",
        &mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    )
}

fn contracts() -> Result<()> {
    build()?;
    let mut command = Command::new(paths::program("terrace-contracts-emit"));
    steps::run(
        "Check that contracts and client are current",
        command.current_dir(paths::root()).arg("--check"),
    )
}

/// Programs and tests in one selection: cargo chooses the features of dependencies by what is
/// selected, and another selection would compile them once more.
fn build() -> Result<()> {
    steps::run(
        "Build the programs and the tests",
        &mut cargo(&["build", "--workspace", "--bins", "--tests"]),
    )
}

fn services() -> Result<()> {
    bundles::with_hostile()
}

/// Every Rust test. Its output is shown as it comes: CI reads the runner's own closing line.
fn test() -> Result<()> {
    run_tests(None)
}

/// The same on the newest PostgreSQL that npm's registry has; the other run is on the system's.
fn newest_postgres() -> Result<()> {
    let bin = system::newest_postgres()?;
    run_tests(Some(&bin))
}

fn run_tests(postgres: Option<&Path>) -> Result<()> {
    build()?;
    sites::build()?;
    javascript::build()?;
    if !system::on_path("cargo-nextest") {
        steps::run(
            "Install cargo-nextest",
            &mut cargo(&["install", "cargo-nextest", "--locked", "--version", "0.9.143"]),
        )?;
    }
    let mut command = cargo(&["nextest", "run", "--workspace", "--no-fail-fast"]);
    if let Some(postgres) = postgres {
        // The newest one in the PATH is taken (data/embedded).
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(postgres.to_owned()).chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(folders)?);
    }
    shown("Test", &mut command)
}

fn site_checks() -> Result<()> {
    sites::install()?;
    for script in ["check", "test"] {
        let mut command = Command::new("npm");
        command.current_dir(paths::root()).args(["run", script]);
        steps::run(&format!("Sites: npm run {script}"), &mut command)?;
    }
    Ok(())
}

fn browser() -> Result<()> {
    system::prepare_browser()?;
    build()?;
    bundles::product()?;
    sites::build()?;
    let mut command = Command::new("node");
    command
        .current_dir(paths::root())
        .args(["--test", "--test-reporter", "spec", "tests/browser/"]);
    shown("Browser", &mut command)
}

/// Runs a command whose own output is the progress.
fn shown(title: &str, command: &mut Command) -> Result<()> {
    let start = Instant::now();
    eprintln!("  \u{25cb} {title}");
    let status = command.status()?;
    if !status.success() {
        bail!("{title} failed ({status})");
    }
    eprintln!("  \u{2713} {title}  {}", steps::seconds(start.elapsed()));
    Ok(())
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = steps::cargo();
    command.current_dir(paths::root()).args(arguments);
    command
}
