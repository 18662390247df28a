//! Building the static sites with npm, only when one of their sources changed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use anyhow::{Context, Result};

use crate::{paths, steps};

/// A workspace of npm whose `dist` is a site.
struct Site {
    name: &'static str,
    folder: &'static str,
}

const SITES: [Site; 2] = [
    Site {
        name: "console",
        folder: "console",
    },
    Site {
        name: "tasks",
        folder: "examples/tasks/site",
    },
];
const CLIENT: &str = "contracts/typescript";
/// What both sites are made of.
const PARTS: &str = "sdk/site";

/// Builds what changed; returns the folder with a bundle per site.
pub(crate) fn build() -> Result<PathBuf> {
    install()?;
    let output = paths::output().join("sites");
    for site in SITES {
        let source = paths::root().join(site.folder);
        let bundle = output.join(site.name);
        let built = modified(&bundle.join("site.toml"));
        let changed = newest(&source)?
            .max(newest(&paths::root().join(CLIENT))?)
            .max(newest(&paths::root().join(PARTS))?)
            .max(modified(&paths::root().join("package-lock.json")));
        if built > changed {
            continue;
        }
        let mut command = Command::new("npm");
        command
            .current_dir(paths::root())
            .args(["run", "build", "--workspace", site.folder]);
        steps::run(&format!("Build the {} site", site.name), &mut command)?;
        if bundle.exists() {
            fs::remove_dir_all(&bundle).context("remove the old bundle")?;
        }
        copy_folder(&source.join("dist"), &bundle)?;
        // Last, since its time says that the bundle is whole.
        fs::write(
            bundle.join("site.toml"),
            fs::read(source.join("site.toml")).context("read site.toml")?,
        )
        .context("write site.toml")?;
    }
    Ok(output)
}

/// The packages that both sites share.
pub(crate) fn install() -> Result<()> {
    install_in(&paths::root(), "Install the sites' packages")
}

/// `npm ci`, when the lock file is newer than what is installed.
pub(crate) fn install_in(folder: &Path, title: &str) -> Result<()> {
    let stamp = folder.join("node_modules/.package-lock.json");
    if modified(&stamp) > modified(&folder.join("package-lock.json")) {
        return Ok(());
    }
    let mut command = Command::new("npm");
    command.current_dir(folder).args(["ci", "--no-audit", "--no-fund"]);
    steps::run(title, &mut command)?;
    // npm keeps the archive's times on some files; the stamp must be newer than the lock file.
    let lock = fs::read(&stamp).context("read npm's own lock file")?;
    fs::write(&stamp, lock).context("touch npm's own lock file")
}

pub(crate) fn modified(path: &Path) -> SystemTime {
    fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The newest change below `folder`, without what is built or installed.
pub(crate) fn newest(folder: &Path) -> Result<SystemTime> {
    let mut latest = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(folder)
        .with_context(|| format!("read {}", folder.display()))?
        .flatten()
    {
        let name = entry.file_name();
        if name == "node_modules" || name == "dist" {
            continue;
        }
        let path = entry.path();
        latest = latest.max(if path.is_dir() { newest(&path)? } else { modified(&path) });
    }
    Ok(latest)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
    for entry in fs::read_dir(from)
        .with_context(|| format!("read {}", from.display()))?
        .flatten()
    {
        let (source, copy) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_folder(&source, &copy)?;
        } else {
            fs::copy(&source, &copy).with_context(|| format!("copy {}", source.display()))?;
        }
    }
    Ok(())
}
