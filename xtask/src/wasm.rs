//! Building services into components: three ways to a `wasm32-wasip2` toolchain.
//!
//! In this order: the target is installed; `rustup target add wasm32-wasip2`; on Debian without
//! access to Rust's distribution server, Debian's own compiler builds the standard library from source.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{paths, steps, system};

const TARGET: &str = "wasm32-wasip2";
const PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "wasi-libc"];
const LINKER_VERSION: &str = "0.5.31";

/// Builds the named service crates and returns the folder with their `.wasm` files.
pub(crate) fn build(crates: &[&str]) -> Result<PathBuf> {
    let toolchain = Toolchain::find()?;
    let mut command = toolchain.command();
    command
        .current_dir(paths::root())
        .args(["build", "--lib", "--profile", "service", "--target", TARGET]);
    command.arg("--target-dir").arg(target_dir());
    for name in crates {
        command.args(["--package", name]);
    }
    steps::run("Build the services for the sandbox", &mut command)?;
    Ok(target_dir().join(TARGET).join("service"))
}

/// Apart from the host's target folder: other compiler, other cache.
fn target_dir() -> PathBuf {
    paths::target().join("wasm")
}

enum Toolchain {
    /// Rust's own target: ways one and two.
    Rustup,
    /// Debian's compiler with its sources: way three.
    Debian { linker: PathBuf, wasm_ld: PathBuf },
}

impl Toolchain {
    fn find() -> Result<Self> {
        if target_installed() {
            return Ok(Self::Rustup);
        }
        // Asking the distribution server again at each start would cost seconds where it can't be reached.
        let stamp = paths::output().join("wasm-toolchain");
        if fs::read_to_string(&stamp).is_ok_and(|way| way == "debian") && debian_installed() {
            return Self::debian();
        }
        if system::on_path("rustup") {
            let added = steps::run(
                "Add the wasm32-wasip2 target",
                Command::new("rustup").args(["target", "add", TARGET]),
            );
            if added.is_ok() && target_installed() {
                return Ok(Self::Rustup);
            }
            steps::say("Rust's distribution server can't be reached: Debian's compiler is the other way.");
        }
        if !debian_installed() {
            if !system::apt_allowed() {
                bail!("services need the wasm32-wasip2 target: run `rustup target add {TARGET}`");
            }
            system::apt_install("Install Debian's compiler for WebAssembly", &PACKAGES)?;
        }
        let found = Self::debian()?;
        fs::create_dir_all(paths::output()).context("make the output folder")?;
        fs::write(&stamp, "debian").context("remember the toolchain")?;
        Ok(found)
    }

    fn debian() -> Result<Self> {
        let tools = paths::target().join("tools");
        let linker = tools.join("bin/wasm-component-ld");
        if !linker.is_file() {
            let mut command = steps::cargo();
            command
                .args([
                    "install",
                    "wasm-component-ld",
                    "--locked",
                    "--version",
                    LINKER_VERSION,
                    "--root",
                ])
                .arg(&tools);
            steps::run("Build the component linker", &mut command)?;
        }
        let sysroot = Command::new("rustc")
            .args(["--print", "sysroot"])
            .output()
            .context("ask rustc for its sysroot")?;
        let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim());
        let libraries = fs::read_dir(sysroot.join("lib/rustlib")).context("read the sysroot")?;
        let wasm_ld = libraries
            .flatten()
            .map(|entry| entry.path().join("bin/gcc-ld/wasm-ld"))
            .find(|candidate| candidate.is_file())
            .context("this Rust toolchain has no wasm-ld: install Rust by rustup")?;
        Ok(Self::Debian { linker, wasm_ld })
    }

    fn command(&self) -> Command {
        match self {
            Self::Rustup => steps::cargo(),
            Self::Debian { linker, wasm_ld } => {
                // The variable replaces the flags of `.cargo/config.toml`: its stack size is here again.
                let flags = [
                    "-Clink-arg=-zstack-size=131072".to_owned(),
                    "-Clink-self-contained=no".to_owned(),
                    "-Lnative=/usr/lib/wasm32-wasi".to_owned(),
                    // A service has no main: it is a library whose exports the host calls.
                    "-Clink-arg=/usr/lib/wasm32-wasi/crt1-reactor.o".to_owned(),
                    format!("-Clink-arg=--wasm-ld-path={}", wasm_ld.display()),
                ];
                let mut command = Command::new("/usr/bin/cargo");
                command
                    .env("RUSTC", "/usr/bin/rustc")
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("CARGO_TARGET_WASM32_WASIP2_LINKER", linker)
                    .env("CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS", flags.join(" "))
                    .env_remove("RUSTUP_TOOLCHAIN")
                    .env_remove("CARGO")
                    .args(["-Z", "build-std=std,panic_abort"]);
                command
            }
        }
    }
}

fn target_installed() -> bool {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .output();
    output.is_ok_and(|output| {
        output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
    })
}

fn debian_installed() -> bool {
    Path::new("/usr/bin/rustc").is_file()
        && Path::new("/usr/bin/cargo").is_file()
        && Path::new("/usr/lib/wasm32-wasi/crt1-reactor.o").is_file()
}
