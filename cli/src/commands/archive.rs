//! `terrace tenant export` and `terrace tenant import`.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    operations::{self, Operation},
    segment,
    tenant::{PATH, Shown, confirm},
};
use crate::{
    api::Api,
    arguments::{ExportTenant, ImportTenant, RestoreTenant},
    failure::Failure,
    figures,
    output::Output,
    progress,
    table::tame,
};

const ARCHIVES: &str = "/api/control/archives";
/// How often a part is sent before the upload is given up.
const PART_ATTEMPTS: u32 = 4;

pub(super) fn export(api: &Api, output: Output, options: ExportTenant) -> Result<(), Failure> {
    let tenant = &options.tenant.tenant;
    let path = options
        .output
        .unwrap_or_else(|| PathBuf::from(format!("{}.terrace", segment(tenant))));
    let is_stdout = path == Path::new("-");
    if !is_stdout && !options.overwrite && path.exists() {
        return Err(Failure::Usage(format!(
            "{} is there already; give --overwrite, or another name with -o",
            path.display()
        )));
    }
    let mut archive = progress::waiting("Waiting for the snapshot", || {
        api.download(&format!("{PATH}/{}/export", segment(tenant)))
    })?;
    if is_stdout {
        copy(&mut archive, &mut io::stdout().lock())?;
        return Ok(());
    }
    // A file of this name is whole, or there is none.
    let mut unfinished = path.clone().into_os_string();
    unfinished.push(".part");
    let unfinished = PathBuf::from(unfinished);
    let written = write(&mut archive, &unfinished).and_then(|bytes| {
        fs::rename(&unfinished, &path).with_context(|| format!("rename {}", unfinished.display()))?;
        Ok(bytes)
    });
    let bytes = match written {
        Ok(bytes) => bytes,
        Err(error) => {
            // It may not be there; what matters is said below.
            drop(fs::remove_file(&unfinished));
            return Err(error.into());
        }
    };
    if output.json {
        return output.json(&json!({ "tenant": tenant, "file": path, "bytes": bytes }));
    }
    output.line(&format!(
        "Exported {tenant} to {} ({})",
        path.display(),
        figures::size(bytes)
    ))
}

fn write(archive: &mut impl Read, path: &Path) -> anyhow::Result<u64> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = File::options()
        .create(true)
        .truncate(true)
        .write(true)
        // All of a customer's data is in it.
        .mode(0o600)
        .open(path)
        .with_context(|| format!("create {}", path.display()))?;
    let bytes = copy(archive, &mut file)?;
    file.sync_all().with_context(|| format!("write {}", path.display()))?;
    Ok(bytes)
}

fn copy(archive: &mut impl Read, to: &mut impl io::Write) -> anyhow::Result<u64> {
    let mut bar = progress::Bytes::new(None);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = archive
            .read(&mut buffer)
            .context("the export broke off, and what came is no archive; try again")?;
        let Some(piece) = buffer.get(..count).filter(|piece| !piece.is_empty()) else {
            to.flush().context("write the archive")?;
            return Ok(bar.finish());
        };
        to.write_all(piece).context("write the archive")?;
        bar.add(count);
    }
}

pub(super) fn import(api: &Api, output: Output, options: ImportTenant) -> Result<(), Failure> {
    let id = upload(api, &options.file)?;
    let path = format!("{ARCHIVES}/{}/import", segment(&id));
    let body = request(&options);
    let answer = progress::waiting("Checking the archive", || api.post(&path, &body))?.body;
    let tenant = Shown::deserialize(&answer)?;
    let operation = follow(api, &tenant.id, "import")?;
    if output.json {
        return output.json(&api.get(&format!("{PATH}/{}", segment(&tenant.id)))?);
    }
    output.line(&format!(
        "Imported {} ({}) at {}: {}",
        tenant.slug,
        tenant.id,
        tenant.host,
        counts(&operation)
    ))
}

pub(super) fn restore(api: &Api, output: Output, options: RestoreTenant) -> Result<(), Failure> {
    let name = &options.tenant.tenant;
    let tenant = api.get(&format!("{PATH}/{}", segment(name)));
    // One that is gone is asked for, too: the answer says that it was deleted.
    let tenant = match tenant {
        Ok(answer) => Some(Shown::deserialize(&answer)?),
        Err(failure) if failure.exit_code() == 3 => None,
        Err(failure) => return Err(failure),
    };
    if let (Some(tenant), false) = (&tenant, options.yes) {
        let warning = format!(
            "This brings {} ({}) back to what {} says. What was written since is not lost, but only in the suspended tenant that is kept.",
            tame(&tenant.name),
            tenant.id,
            options.file.display()
        );
        confirm(&warning, &tenant.slug)?;
    }
    let id = upload(api, &options.file)?;
    let path = format!("{ARCHIVES}/{}/restore", segment(&id));
    let body = json!({ "tenant": name, "force": options.force });
    let answer = progress::waiting("Checking the archive", || api.post(&path, &body))?.body;
    let made = Shown::deserialize(&answer)?;
    let operation = follow(api, &made.id, "restore")?;
    if output.json {
        return output.json(&api.get(&format!("{PATH}/{}", segment(name)))?);
    }
    output.line(&format!(
        "Restored {name}: {}\nWhat it was before is {}, suspended; when it is not needed any more: terrace tenant delete {}",
        counts(&operation),
        made.slug,
        made.slug
    ))
}

fn counts(operation: &Operation) -> String {
    let count = |what: &str| operation.evidence[what].as_u64().unwrap_or(0);
    format!(
        "{} rows, {} events, digest {}",
        count("rows"),
        count("last_event"),
        operation.evidence["digest"].as_str().unwrap_or("?")
    )
}

/// Sends an archive in parts; returns what it is called there.
fn upload(api: &Api, path: &Path) -> Result<String, Failure> {
    let shown = path.display();
    let mut file = File::open(path).with_context(|| format!("open {shown}"))?;
    let size = file.metadata().with_context(|| format!("look at {shown}"))?.len();
    let upload = api.act(ARCHIVES)?;
    let (Some(id), Some(part_max)) = (upload["id"].as_str(), upload["part_bytes_max"].as_u64()) else {
        return Err(anyhow!("the platform began no upload").into());
    };
    let mut bar = progress::Bytes::new(Some(size));
    for number in 0_u32.. {
        let mut part = Vec::new();
        Read::by_ref(&mut file)
            .take(part_max)
            .read_to_end(&mut part)
            .with_context(|| format!("read {shown}"))?;
        if part.is_empty() {
            break;
        }
        put(api, &format!("{ARCHIVES}/{}/parts/{number}", segment(id)), &part)?;
        bar.add(part.len());
    }
    bar.finish();
    Ok(id.to_owned())
}

fn request(options: &ImportTenant) -> Value {
    let mut body = json!({ "slug": options.slug, "force": options.force });
    for (key, value) in [("name", &options.name), ("plan", &options.plan)] {
        if let Some(value) = value {
            body[key] = value.as_str().into();
        }
    }
    body
}

/// A part may be sent again: its number says where it belongs.
fn put(api: &Api, path: &str, part: &[u8]) -> Result<(), Failure> {
    let mut attempt = 1;
    loop {
        match api.put_bytes(path, part) {
            Err(failure) if attempt < PART_ATTEMPTS && failure.exit_code() == 5 => {
                thread::sleep(Duration::from_secs(1) * attempt);
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

/// Waits until the tenant is there, or cannot be for now.
fn follow(api: &Api, tenant: &str, what: &str) -> Result<Operation, Failure> {
    let mut spinner = progress::Steps::new("Loading the archive");
    loop {
        let newest = match operations::newest(api, tenant) {
            // A node that is restarted goes on with it.
            Err(failure) if failure.exit_code() == 5 => None,
            outcome => outcome?,
        };
        if let Some(operation) = newest {
            if operation.state == "cancelled" {
                return Err(anyhow!(
                    "the {what} was cancelled, because the tenant was deleted meanwhile; what had been made is deleted, too"
                )
                .into());
            }
            if operation.state != "running" {
                return Ok(operation);
            }
            if let (Some(error), true) = (&operation.error, operation.attempts >= 3) {
                return Err(anyhow!(
                    "the {what} is stuck: {error}\n  next: `terrace tenant finish {tenant}` tries again, `terrace tenant delete {tenant}` undoes it"
                )
                .into());
            }
            spinner.at(&operation.progress());
        }
        thread::sleep(Duration::from_millis(250));
    }
}
