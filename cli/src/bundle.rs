//! Reading a bundle from its folder: what a deploy uploads.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow, bail};
use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::failure::Failure;

/// What a folder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A folder with `service.toml`.
    Service,
    /// A folder with `site.toml`.
    Site,
}

/// A bundle, ready to be sent.
#[derive(Debug)]
pub(crate) struct Bundle {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) body: Value,
}

// Only what the address needs; the platform checks the rest, and says more about it.
#[derive(Deserialize)]
struct Manifest {
    name: String,
    title: Option<String>,
}

/// Reads the bundle in `folder`, which must be a `wanted` one if that is given.
pub(crate) fn read(folder: &Path, wanted: Option<Kind>) -> Result<Bundle, Failure> {
    if folder.is_file() {
        return match wanted {
            Some(Kind::Site) => Err(Failure::Usage(format!(
                "{} is a component, not a site",
                folder.display()
            ))),
            _ => Ok(component(folder)?),
        };
    }
    let kind = [(Kind::Service, "service.toml"), (Kind::Site, "site.toml")]
        .into_iter()
        .find(|(_, manifest)| folder.join(manifest).is_file())
        .map(|(kind, _)| kind);
    let shown = folder.display();
    match (kind, wanted) {
        (None, _) => Err(Failure::Usage(format!(
            "{shown} is no bundle: it has neither service.toml nor site.toml\n  next: `cargo xtask build` builds the bundles below target/terrace"
        ))),
        (Some(Kind::Service), Some(Kind::Site)) => Err(Failure::Usage(format!(
            "{shown} is a service; use `terrace service deploy`"
        ))),
        (Some(Kind::Site), Some(Kind::Service)) => {
            Err(Failure::Usage(format!("{shown} is a site; use `terrace site deploy`")))
        }
        (Some(Kind::Service), _) => Ok(service(folder)?),
        (Some(Kind::Site), _) => Ok(site(folder)?),
    }
}

fn manifest(path: &Path) -> anyhow::Result<(String, Manifest)> {
    let text = text(path)?;
    let manifest = terrace_ground_config::parse(&text).map_err(|message| anyhow!("{}: {message}", path.display()))?;
    Ok((text, manifest))
}

fn service(folder: &Path) -> anyhow::Result<Bundle> {
    let (manifest_text, manifest) = manifest(&folder.join("service.toml"))?;
    let contract_path = folder.join("openapi.json");
    let contract: Value =
        serde_json::from_str(&text(&contract_path)?).with_context(|| format!("read {}", contract_path.display()))?;
    let component = bytes(&folder.join("service.wasm"))?;
    // What a sealed service may send travels in its manifest.
    let list = folder.join("statements.sql");
    let manifest_text = if list.is_file() {
        terrace_ground_config::with_statements(&manifest_text, &text(&list)?)
    } else {
        manifest_text
    };
    let body = json!({
        "manifest": manifest_text,
        "contract": contract,
        "migrations": migrations(&folder.join("migrations"))?,
        "component": BASE64.encode(&component),
    });
    Ok(Bundle {
        kind: Kind::Service,
        name: manifest.name,
        body,
    })
}

/// A component alone: it is called as its file is, is granted nothing, and answers every path of its
/// name for whoever is signed in.
fn component(path: &Path) -> anyhow::Result<Bundle> {
    let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let name = name.to_ascii_lowercase().replace('_', "-");
    if path.extension().is_none_or(|extension| extension != "wasm") || name.is_empty() {
        bail!("{} is neither a folder nor a component (name.wasm)", path.display());
    }
    let prefix = name.replace('-', "_");
    let item = |at: &str| {
        let operation = |method: &str| {
            let problem = json!({ "content": { "application/problem+json": {} } });
            json!({
                "operationId": format!("{prefix}_{method}_{at}"),
                "security": [{ "session": [] }],
                "responses": { "200": { "content": { "*/*": {} } }, "default": problem },
            })
        };
        let methods = ["get", "put", "post", "delete", "patch"];
        Value::Object(
            methods
                .iter()
                .map(|method| ((*method).to_owned(), operation(method)))
                .collect(),
        )
    };
    let contract = json!({
        "openapi": "3.1.0",
        "info": { "title": name, "version": "0" },
        "paths": {
            format!("/api/{name}"): item("root"),
            format!("/api/{name}/"): item("folder"),
            format!("/api/{name}/{{*path}}"): item("any"),
        },
    });
    let body = json!({
        "manifest": format!("name = \"{name}\"\n"),
        "contract": contract,
        "migrations": [],
        "component": BASE64.encode(&bytes(path)?),
    });
    Ok(Bundle {
        kind: Kind::Service,
        name,
        body,
    })
}

fn migrations(folder: &Path) -> anyhow::Result<Vec<Value>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for (name, path) in entries(folder)? {
        if name.ends_with(".sql") {
            found.push(json!({ "name": name, "sql": text(&path)? }));
        }
    }
    Ok(found)
}

fn site(folder: &Path) -> anyhow::Result<Bundle> {
    let (_, manifest) = manifest(&folder.join("site.toml"))?;
    let mut files = Vec::new();
    collect(folder, "", &mut files)?;
    let title = manifest.title.unwrap_or_else(|| manifest.name.clone());
    Ok(Bundle {
        kind: Kind::Site,
        name: manifest.name,
        body: json!({ "title": title, "files": files }),
    })
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<Value>) -> anyhow::Result<()> {
    for (name, path) in entries(folder)? {
        let served = format!("{prefix}/{name}");
        // A site is public: what a tool or a system hides (.git, .env, .DS_Store) stays at home.
        let is_hidden = name.starts_with('.') && name != ".well-known";
        if is_hidden || served == "/site.toml" {
            continue;
        }
        let kind = fs::symlink_metadata(&path).with_context(|| format!("read {}", path.display()))?;
        if kind.is_symlink() {
            bail!("{} is a link; a site holds files only", path.display());
        } else if kind.is_dir() {
            collect(&path, &served, files)?;
        } else {
            files.push(json!({ "path": served, "content": BASE64.encode(&bytes(&path)?) }));
        }
    }
    Ok(())
}

/// Names and paths, in the order of the names: the same folder is the same upload on every system.
fn entries(folder: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let entry = entry.with_context(|| format!("read {}", folder.display()))?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|name| anyhow!("{} is not text", name.display()))?;
        found.push((name, entry.path()));
    }
    found.sort();
    Ok(found)
}

fn text(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_what_its_manifest_says() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(read(folder.path(), None).unwrap_err().exit_code(), 2);

        write("site.toml", "name = \"tasks\"\ntitle = \"Tasks\"\n");
        write("index.html", "hello");
        write("assets/app.js", "");
        write(".env", "SECRET=1");
        let bundle = read(folder.path(), None).unwrap();
        assert_eq!((bundle.kind, bundle.name.as_str()), (Kind::Site, "tasks"));
        let expected = json!({ "title": "Tasks", "files": [{ "path": "/assets/app.js", "content": "" }, { "path": "/index.html", "content": "aGVsbG8=" }] });
        assert_eq!(bundle.body, expected);
        assert_eq!(read(folder.path(), Some(Kind::Service)).unwrap_err().exit_code(), 2);

        write("service.toml", "name = \"tasks\"\ncapabilities = [\"sql\"]\n");
        assert_eq!(
            read(folder.path(), None).unwrap_err().exit_code(),
            1,
            "without a component it is incomplete"
        );
        write("service.wasm", "\0asm");
        write("openapi.json", "{}");
        write("migrations/0002_b.sql", "two");
        write("migrations/0001_a.sql", "one");
        let bundle = read(folder.path(), Some(Kind::Service)).unwrap();
        assert_eq!(bundle.body["migrations"][0]["name"], "0001_a.sql");
        assert_eq!(bundle.body["component"], "AGFzbQ==");
    }

    #[test]
    fn a_component_alone_is_called_as_its_file_is_and_granted_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("Hello_World.wasm");
        fs::write(&path, "\0asm").unwrap();
        let bundle = read(&path, None).unwrap();
        assert_eq!((bundle.kind, bundle.name.as_str()), (Kind::Service, "hello-world"));
        assert_eq!(bundle.body["manifest"], "name = \"hello-world\"\n");
        let any = &bundle.body["contract"]["paths"]["/api/hello-world/{*path}"]["post"];
        assert_eq!(any["operationId"], "hello_world_post_any");
        assert_ne!(any["security"], json!([]), "only who is signed in");
        assert_eq!(read(&path, Some(Kind::Site)).unwrap_err().exit_code(), 2);
        let other = folder.path().join("notes.txt");
        fs::write(&other, "").unwrap();
        assert_eq!(read(&other, None).unwrap_err().exit_code(), 1);
    }
}
