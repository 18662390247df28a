//! Deploys bundles by the control API. A bundle that is already current changes nothing.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use data_encoding::BASE64;
use http::Method;
use serde_json::{Value, json};

use super::{client::Client, say};

/// Deploys each folder below `folder` that has a `service.toml`.
pub(crate) async fn services(client: &Client, folder: &Path) -> Result<()> {
    for (name, bundle) in bundles(folder, "service.toml")? {
        let body = json!({
            "manifest": manifest(&bundle)?,
            "contract": serde_json::from_str::<Value>(&text(&bundle.join("openapi.json"))?).context("read a contract")?,
            "migrations": migrations(&bundle.join("migrations"))?,
            "component": BASE64.encode(&fs::read(bundle.join("service.wasm")).context("read a component")?),
            // Whoever develops a service changes it as they like.
            "allow_breaking": true,
            "allow_new_asks": true,
            "force_migration": true,
        });
        let path = format!("/api/control/services/{name}/releases");
        let release = client
            .control(Method::POST, &path, Some(&body))
            .await?
            .success(&format!("deploy {name}"))?;
        let id = release.get("id").and_then(Value::as_str).unwrap_or_default();
        say("service", &format!("{name} {id}"));
    }
    Ok(())
}

/// Deploys each folder below `folder` that has a `site.toml`.
pub(crate) async fn sites(client: &Client, folder: &Path) -> Result<()> {
    for (name, bundle) in bundles(folder, "site.toml")? {
        let manifest: toml::Table = toml::from_str(&text(&bundle.join("site.toml"))?).context("read site.toml")?;
        let title = manifest
            .get("title")
            .and_then(toml::Value::as_str)
            .unwrap_or(&name)
            .to_owned();
        let mut files = Vec::new();
        collect(&bundle, "", &mut files)?;
        let path = format!("/api/control/sites/{name}/builds");
        let build = client
            .control(Method::POST, &path, Some(&json!({ "title": title, "files": files })))
            .await?
            .success(&format!("deploy the {name} site"))?;
        say(
            "site",
            &format!("{name} {}", build.get("id").and_then(Value::as_str).unwrap_or_default()),
        );
    }
    Ok(())
}

fn bundles(folder: &Path, marker: &str) -> Result<Vec<(String, std::path::PathBuf)>> {
    let mut found: Vec<_> = fs::read_dir(folder)
        .with_context(|| format!("read {}", folder.display()))?
        .flatten()
        .filter(|entry| entry.path().join(marker).is_file())
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        .collect();
    found.sort();
    Ok(found)
}

/// `service.toml`, with the list of what a sealed service may send.
fn manifest(bundle: &Path) -> Result<String> {
    let text_of_manifest = text(&bundle.join("service.toml"))?;
    let list = bundle.join("statements.sql");
    if !list.is_file() {
        return Ok(text_of_manifest);
    }
    Ok(terrace_ground_config::with_statements(&text_of_manifest, &text(&list)?))
}

fn migrations(folder: &Path) -> Result<Vec<Value>> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .with_context(|| format!("read {}", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|path| Ok(json!({ "name": path.file_name().unwrap_or_default().to_string_lossy(), "sql": text(path)? })))
        .collect()
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<Value>) -> Result<()> {
    for entry in fs::read_dir(folder)
        .with_context(|| format!("read {}", folder.display()))?
        .flatten()
    {
        let path = format!("{prefix}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            collect(&entry.path(), &path, files)?;
        } else if path != "/site.toml" {
            let content = fs::read(entry.path()).with_context(|| format!("read {}", entry.path().display()))?;
            files.push(json!({ "path": path, "content": BASE64.encode(&content) }));
        }
    }
    Ok(())
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}
