//! `cargo verify`: exactly what CI runs, fastest first.

use std::{process::Command, time::Instant};

use anyhow::{Result, bail};

use crate::{bundles, javascript, paths, sites, steps, system};

/// One part of the verification.
struct Step {
    name: &'static str,
    run: fn() -> Result<()>,
}

const STEPS: [Step; 8] = [
    Step {
        name: "format",
        run: format,
    },
    Step {
        name: "lint",
        run: lint,
    },
    Step {
        name: "contracts",
        run: contracts,
    },
    Step {
        name: "services",
        run: services,
    },
    Step {
        name: "examples",
        run: javascript::build,
    },
    Step {
        name: "test",
        run: test,
    },
    Step {
        name: "sites",
        run: site_checks,
    },
    Step {
        name: "browser",
        run: browser,
    },
];

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
        if names.is_empty() || names.iter().any(|name| name == step.name) {
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
    build()?;
    sites::build()?;
    javascript::build()?;
    if !system::on_path("cargo-nextest") {
        steps::run(
            "Install cargo-nextest",
            &mut cargo(&["install", "cargo-nextest", "--locked", "--version", "0.9.143"]),
        )?;
    }
    shown("Test", &mut cargo(&["nextest", "run", "--workspace", "--no-fail-fast"]))
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
