//! The examples that are written in JavaScript: `examples/notes` becomes a component, with an engine
//! around it. Only when one of its sources changed; it has packages of its own, which no site needs.

use std::{fs, process::Command};

use anyhow::{Context, Result};

use crate::{
    bundles::copy,
    paths,
    sites::{install_in, modified, newest},
    steps,
};

const FOLDER: &str = "examples/notes";

/// Builds what changed; a bundle as `terrace deploy` takes it is in `target/terrace/examples/notes`.
pub(crate) fn build() -> Result<()> {
    let source = paths::root().join(FOLDER);
    let bundle = paths::output().join("examples/notes");
    let changed = newest(&source)?
        .max(newest(&paths::root().join("contracts/wit"))?)
        .max(newest(&paths::root().join("contracts/standards"))?);
    if modified(&bundle.join("service.wasm")) > changed {
        return Ok(());
    }
    install_in(&source, "Install the packages of the service in JavaScript")?;
    let mut command = Command::new("npm");
    command.current_dir(&source).args(["run", "build"]);
    steps::run("Build the service in JavaScript", &mut command)?;
    fs::create_dir_all(&bundle).with_context(|| format!("make {}", bundle.display()))?;
    for file in ["service.toml", "openapi.json"] {
        copy(&source.join(file), &bundle.join(file))?;
    }
    // Last, since its time says that the bundle is whole.
    copy(&source.join("dist/service.wasm"), &bundle.join("service.wasm"))
}
