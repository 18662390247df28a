//! Finding `postgres`: the named directory, `PATH`, and where packages put it.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::Error;

/// The oldest major version that works.
pub(crate) const MAJOR_MIN: u32 = 15;

/// An installed PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installation {
    pub(crate) bin: PathBuf,
    pub(crate) major: u32,
}

/// The installation to use: the newest, or the one that fits an existing cluster (`wanted`).
pub(crate) async fn find(named: Option<&Path>, wanted: Option<u32>) -> Result<Installation, Error> {
    if let Some(bin) = named {
        let unusable = |reason: String| Error::Unusable {
            dir: bin.to_owned(),
            reason,
        };
        let major = version(bin).await.map_err(unusable)?;
        if major < MAJOR_MIN {
            return Err(unusable(format!("it is PostgreSQL {major}")));
        }
        return Ok(Installation {
            bin: bin.to_owned(),
            major,
        });
    }
    let mut found = Vec::new();
    let mut looked = Vec::new();
    for bin in candidates() {
        match version(&bin).await {
            Ok(major) if major >= MAJOR_MIN => found.push(Installation { bin, major }),
            Ok(major) => looked.push(format!("{} is PostgreSQL {major}", bin.display())),
            Err(_) => {}
        }
    }
    if looked.is_empty() {
        looked.push("not in PATH, not in /usr/lib/postgresql".to_owned());
    }
    // Stable: what is in PATH wins among equals.
    found.sort_by_key(|installation| std::cmp::Reverse(installation.major));
    let fitting = found.iter().find(|installation| Some(installation.major) == wanted);
    fitting.or(found.first()).cloned().ok_or(Error::NotFound {
        looked: looked.join("; "),
    })
}

// `PATH` says where programs are; it is no configuration of ours, so a library may read it.
fn candidates() -> Vec<PathBuf> {
    let mut candidates: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    for parent in [
        "/usr/lib/postgresql",
        "/usr/pgsql",
        "/opt/homebrew/opt",
        "/usr/local/opt",
    ] {
        let Ok(entries) = std::fs::read_dir(parent) else {
            continue;
        };
        candidates.extend(entries.flatten().map(|entry| entry.path().join("bin")));
    }
    candidates.retain(|bin| bin.join("postgres").is_file() && bin.join("initdb").is_file());
    candidates
}

/// The major version, from `postgres (PostgreSQL) 15.18 (Debian ...)`.
async fn version(bin: &Path) -> Result<u32, String> {
    let output = Command::new(bin.join("postgres")).arg("--version").output().await;
    let output = output.map_err(|error| format!("`postgres --version`: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = text.split_whitespace().nth(2).and_then(|version| {
        let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    });
    number.ok_or_else(|| format!("`postgres --version` says `{}`", text.trim()))
}
