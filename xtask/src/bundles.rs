//! Service bundles: what `terrace deploy` uploads, gathered into `target/terrace/services/`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{paths, steps, wasm};

/// A crate that becomes a service.
struct Service {
    name: &'static str,
    folder: &'static str,
}

const PRODUCT: [Service; 3] = [
    Service {
        name: "identity",
        folder: "services/identity",
    },
    Service {
        name: "billing",
        folder: "services/billing",
    },
    Service {
        name: "tasks",
        folder: "examples/tasks/service",
    },
];
/// Deployed by the laws and the gauntlet only.
const HOSTILE: [Service; 3] = [
    Service {
        name: "hostile",
        folder: "tests/hostile",
    },
    Service {
        name: "gauntlet",
        folder: "tests/gauntlet",
    },
    Service {
        name: "preview3",
        folder: "tests/preview3",
    },
];

/// Builds the product's services; returns the folder with a bundle each.
pub(crate) fn product() -> Result<PathBuf> {
    gather(&PRODUCT, "services")
}

/// Builds the product's services and the hostile ones, for tests.
pub(crate) fn with_hostile() -> Result<()> {
    wasm::build(&["identity", "billing", "tasks", "hostile", "gauntlet", "preview3"])?;
    product()?;
    gather(&HOSTILE, "hostile").map(|_| ())
}

/// Builds the smallest service, for the figures.
pub(crate) fn for_figures() -> Result<()> {
    let built = wasm::build(&["hello"])?;
    let bundle = paths::output().join("figures/hello");
    fs::create_dir_all(&bundle).context("make the figures folder")?;
    copy(&built.join("hello.wasm"), &bundle.join("service.wasm"))
}

fn gather(services: &[Service], into: &str) -> Result<PathBuf> {
    let names: Vec<&str> = services.iter().map(|service| service.name).collect();
    let built = wasm::build(&names)?;
    let output = paths::output().join(into);
    for service in services {
        let bundle = output.join(service.name);
        let source = paths::root().join(service.folder);
        fs::create_dir_all(bundle.join("migrations")).with_context(|| format!("make {}", bundle.display()))?;
        copy(
            &built.join(format!("{}.wasm", service.name)),
            &bundle.join("service.wasm"),
        )?;
        copy(&source.join("service.toml"), &bundle.join("service.toml"))?;
        let committed = paths::root()
            .join("contracts/openapi")
            .join(format!("{}.json", service.name));
        // A hostile service's contract lies beside it: it is in nobody's client.
        let contract = if committed.is_file() {
            committed
        } else {
            source.join("openapi.json")
        };
        copy(&contract, &bundle.join("openapi.json"))?;
        // What a sealed service may send, recorded by its tests.
        let list = bundle.join("statements.sql");
        if source.join("statements.sql").is_file() {
            copy(&source.join("statements.sql"), &list)?;
        } else if list.is_file() {
            fs::remove_file(&list).context("remove an old list of statements")?;
        }
        copy_migrations(&source.join("migrations"), &bundle.join("migrations"))?;
    }
    steps::say(&format!("{} services in {}", services.len(), shown(&output)));
    Ok(output)
}

fn copy_migrations(from: &Path, to: &Path) -> Result<()> {
    for old in fs::read_dir(to).context("read old migrations")?.flatten() {
        fs::remove_file(old.path()).context("remove an old migration")?;
    }
    if !from.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(from)
        .with_context(|| format!("read {}", from.display()))?
        .flatten()
    {
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// A path as a person at the root of the checkout would write it.
pub(crate) fn shown(path: &Path) -> String {
    path.strip_prefix(paths::root()).unwrap_or(path).display().to_string()
}
