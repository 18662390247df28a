//! Making the cluster once: the password, then `initdb`.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::Stdio,
};

use tokio::process::Command;

use crate::{Config, Error, Progress, find::Installation, identity::Identity, place::Place};

/// The superuser.
pub(crate) const SUPERUSER: &str = "terrace";

/// The major version of the cluster, when there is one.
pub(crate) fn major(place: &Place) -> Option<u32> {
    std::fs::read_to_string(place.data.join("PG_VERSION"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// The superuser's password, made when there is no cluster yet.
pub(crate) fn password(config: &Config, place: &Place) -> Result<String, Error> {
    let file = &config.password_file;
    match std::fs::read_to_string(file) {
        Ok(password) if !password.trim().is_empty() => return Ok(password.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(Error::file("read", file)(error)),
    }
    if major(place).is_some() {
        return Err(Error::PasswordMissing {
            data: place.data.clone(),
            file: file.clone(),
        });
    }
    let mut bytes = [0_u8; 24];
    getrandom::fill(&mut bytes).map_err(|_| Error::File {
        what: "get random bytes for",
        path: file.clone(),
        source: std::io::Error::other("the system has no randomness"),
    })?;
    let password = data_encoding::HEXLOWER.encode(&bytes);
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent).map_err(Error::file("create", parent))?;
    }
    write_private(file, &password)?;
    Ok(password)
}

/// Runs `initdb`. The cluster appears under its name only when it is complete, so that a process
/// killed in the middle leaves nothing that looks like one.
pub(crate) async fn create(
    place: &Place,
    installation: &Installation,
    identity: Identity,
    password: &str,
    progress: Progress<'_>,
) -> Result<(), Error> {
    progress(&format!("Making a PostgreSQL {} cluster", installation.major));
    let unfinished = place.root.join("data.unfinished");
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished).map_err(Error::file("remove", &unfinished))?;
    }
    identity.private_directory(&unfinished)?;
    let password_file = place.root.join("initdb.password");
    write_private(&password_file, password)?;
    identity.give(&password_file)?;
    let mut command = Command::new(installation.bin.join("initdb"));
    command
        .arg("--pgdata")
        .arg(&unfinished)
        .arg("--pwfile")
        .arg(&password_file)
        .args([
            "--username",
            SUPERUSER,
            "--auth",
            "scram-sha-256",
            "--encoding",
            "UTF8",
            "--locale",
            "C",
            "--no-instructions",
        ])
        .env("LC_ALL", "C")
        .current_dir(&place.root)
        .stdin(Stdio::null());
    identity.apply(&mut command);
    let output = command.output().await;
    drop(std::fs::remove_file(&password_file));
    let output = output.map_err(Error::file("run", installation.bin.join("initdb")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        drop(std::fs::remove_dir_all(&unfinished));
        if said.contains("No space left on device") {
            return Err(Error::NoSpace {
                dir: place.root.clone(),
            });
        }
        return Err(Error::Initdb { tail: tail(&said) });
    }
    std::fs::rename(&unfinished, &place.data).map_err(Error::file("name", &place.data))
}

fn write_private(file: &Path, text: &str) -> Result<(), Error> {
    // Never written through a file that somebody else opened before.
    drop(std::fs::remove_file(file));
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let written = opened.and_then(|mut opened| opened.write_all(text.as_bytes()).and_then(|()| opened.sync_all()));
    written.map_err(Error::file("write", file))
}

/// The last lines that say something, on one line.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(4)..].join("; ")
}
