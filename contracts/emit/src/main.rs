//! `terrace-contracts-emit [--check] [<root>]`: writes `contracts/openapi/*.json` and the TypeScript
//! client from the types of the services; with `--check`, says which files are stale.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use terrace_contracts_openapi::{Contract, join};

fn main() -> anyhow::Result<ExitCode> {
    let mut check = false;
    let mut root = PathBuf::from(".");
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--check" => check = true,
            "--help" | "-h" => {
                println!("Usage: terrace-contracts-emit [--check] [<root of the repository>]");
                return Ok(ExitCode::SUCCESS);
            }
            other if other.starts_with('-') => bail!("unknown option {other}; there is --check"),
            other => root = PathBuf::from(other),
        }
    }
    let files = files().context("describe the contracts")?;
    let stale: Vec<&(PathBuf, String)> = files
        .iter()
        .filter(|(path, text)| is_stale(&root.join(path), text))
        .collect();
    for (path, text) in &stale {
        if check {
            eprintln!("stale: {} (run `cargo run -p terrace-contracts-emit`)", path.display());
        } else {
            write(&root.join(path), text)?;
            println!("wrote {}", path.display());
        }
    }
    Ok(if check && !stale.is_empty() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn is_stale(path: &Path, text: &str) -> bool {
    fs::read_to_string(path).map_or(true, |present| present != text)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

/// Every file that follows from the services' types, with its text.
fn files() -> anyhow::Result<Vec<(PathBuf, String)>> {
    let described = [
        // To give the sites' client another service, add it here.
        ("billing", serde_json::to_value(billing::contract())?),
        ("identity", serde_json::to_value(identity::contract())?),
        ("tasks", serde_json::to_value(tasks::contract())?),
    ];
    let mut files = Vec::new();
    let mut contracts = Vec::new();
    for (service, document) in &described {
        contracts.push((service.parse()?, checked(service, document)?));
        files.push((
            PathBuf::from(format!("contracts/openapi/{service}.json")),
            pretty(document)?,
        ));
    }
    let client =
        terrace_contracts_client::services(&join(&contracts)).context("generate the client of the services")?;
    files.push((PathBuf::from("contracts/typescript/src/index.ts"), client));
    // The control plane's own: the console and the command line speak it.
    let control = serde_json::to_value(terrace_control::contract())?;
    checked("control", &control)?;
    files.push((PathBuf::from("contracts/openapi/control.json"), pretty(&control)?));
    let client = terrace_contracts_client::control(&control).context("generate the client of the control plane")?;
    files.push((PathBuf::from("contracts/typescript/src/control.ts"), client));
    // A service of the tests: deployed by the laws, and in nobody's client.
    let hostile = serde_json::to_value(hostile::contract())?;
    files.push((PathBuf::from("tests/hostile/openapi.json"), pretty(&hostile)?));
    Ok(files)
}

fn pretty(document: &serde_json::Value) -> anyhow::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(document)?))
}

/// The document as a contract that keeps every convention.
fn checked(service: &str, document: &serde_json::Value) -> anyhow::Result<Contract> {
    let bytes = serde_json::to_vec(document)?;
    let contract = Contract::parse(&bytes).with_context(|| format!("read the contract of {service}"))?;
    let broken = contract.check(service);
    if !broken.is_empty() {
        bail!(
            "the contract of {service} breaks conventions:\n  {}",
            broken.join("\n  ")
        );
    }
    Ok(contract)
}
