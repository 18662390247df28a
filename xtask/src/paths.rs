//! Where things are, from the root of the checkout.

use std::path::{Path, PathBuf};

/// The root of the checkout: the folder above `xtask`.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// Cargo's target folder, which may be set from outside.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Where bundles, logs and stamps of xtask live.
pub(crate) fn output() -> PathBuf {
    target().join("terrace")
}

/// A program that the workspace builds.
pub(crate) fn program(name: &str) -> PathBuf {
    target().join("debug").join(name)
}

/// The same, as an operator installs it.
pub(crate) fn released(name: &str) -> PathBuf {
    target().join("release").join(name)
}
