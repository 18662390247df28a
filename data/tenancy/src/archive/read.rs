//! Reading an archive: entry by entry on a thread of its own, and a check of the whole.

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use bytes::{Buf, Bytes};
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::{BYTES_MAX, FILE_BYTES, FORMAT, File, MANIFEST, Manifest, ROW_BYTES_MAX, Rows};
use crate::Error;

/// Largest entry that can have been written: a file is closed as soon as it is full.
const ENTRY_BYTES_MAX: u64 = (FILE_BYTES + ROW_BYTES_MAX) as u64;
/// Most entries.
const ENTRIES_MAX: usize = 1_000_000;

/// One file.
pub(crate) struct Entry {
    pub(crate) path: String,
    pub(crate) content: Vec<u8>,
}

/// Unpacks what comes through `parts`. Ends with an error for what is no archive; dropping the
/// receiver stops it.
pub(crate) fn entries(parts: mpsc::Receiver<Result<Bytes, Error>>) -> mpsc::Receiver<Result<Entry, Error>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::task::spawn_blocking(move || {
        let mut pipe = Pipe {
            parts,
            current: Bytes::new(),
            failed: None,
        };
        if let Err(error) = unpack(&mut pipe, &sender) {
            // What kept the parts from coming is the cause, not that the archive then ended early.
            let error = pipe.failed.take().unwrap_or_else(|| {
                Error::Archive(format!("this is not an archive of a tenant, or it is damaged: {error}"))
            });
            drop(sender.blocking_send(Err(error)));
        }
    });
    receiver
}

fn unpack(pipe: &mut Pipe, sender: &mpsc::Sender<Result<Entry, Error>>) -> io::Result<()> {
    let zstd = zstd::Decoder::new(pipe)?;
    let mut tar = tar::Archive::new(zstd.take(BYTES_MAX));
    for (count, entry) in tar.entries()?.enumerate() {
        let mut entry = entry?;
        let refuse = |message: &str| Err(io::Error::other(message.to_owned()));
        if count >= ENTRIES_MAX {
            return refuse("it has too many entries");
        }
        if entry.header().entry_type() != tar::EntryType::Regular {
            return refuse("an entry is no file");
        }
        if entry.size() > ENTRY_BYTES_MAX {
            return refuse("an entry is too large");
        }
        let Ok(path) = String::from_utf8(entry.path_bytes().into_owned()) else {
            return refuse("a path is not text");
        };
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        if sender.blocking_send(Ok(Entry { path, content })).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// The parts as one stream of bytes.
struct Pipe {
    parts: mpsc::Receiver<Result<Bytes, Error>>,
    current: Bytes,
    failed: Option<Error>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.parts.blocking_recv() {
                None => return Ok(0),
                Some(Ok(part)) => self.current = part,
                Some(Err(error)) => {
                    self.failed = Some(error);
                    return Err(io::Error::other("the parts cannot be read"));
                }
            }
        }
        let count = self.current.len().min(buffer.len());
        self.current.copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}

/// An archive that is whole: each file is what the manifest says, and nothing else is in it.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) manifest: Manifest,
}

/// Reads all of it once. Nothing of it is kept but the manifest.
pub(crate) async fn check(mut entries: mpsc::Receiver<Result<Entry, Error>>) -> Result<Checked, Error> {
    let refuse = |message: String| Err(Error::Archive(message));
    let mut found: BTreeMap<String, (File, Rows)> = BTreeMap::new();
    let mut manifest: Option<Manifest> = None;
    while let Some(entry) = entries.recv().await {
        let Entry { path, content } = entry?;
        if manifest.is_some() {
            return refuse(format!("the archive has `{path}` behind its manifest"));
        }
        if path == MANIFEST {
            manifest = Some(read(&content)?);
            continue;
        }
        let mut rows = Rows::default();
        rows.add(&content);
        if !rows.is_whole() {
            return refuse(format!("`{path}` does not end with a whole row"));
        }
        let file = File {
            path: path.clone(),
            bytes: content.len() as u64,
            sha256: HEXLOWER.encode(&Sha256::digest(&content)),
        };
        if found.insert(path.clone(), (file, rows)).is_some() {
            return refuse(format!("the archive has `{path}` twice"));
        }
    }
    let Some(manifest) = manifest else {
        return refuse("the archive has no manifest: it was cut off; export it again".to_owned());
    };
    let listed = manifest.files();
    for (path, file) in &listed {
        match found.get(*path) {
            None => return refuse(format!("`{path}` is missing from the archive")),
            Some((there, _)) if there != *file => {
                return refuse(format!(
                    "`{path}` is not what the manifest says: {} bytes with SHA-256 {}, expected {} with {}",
                    there.bytes, there.sha256, file.bytes, file.sha256
                ));
            }
            Some(_) => {}
        }
    }
    if let Some(path) = found.keys().find(|path| !listed.contains_key(path.as_str())) {
        return refuse(format!("`{path}` is in the archive and not in its manifest"));
    }
    let tables = manifest.services.iter().flat_map(|service| &service.tables);
    for table in tables.chain(&manifest.events.tables) {
        let counted: u64 = table
            .files
            .iter()
            .filter_map(|file| found.get(&file.path))
            .map(|(_, rows)| rows.count)
            .sum();
        if counted != table.rows {
            return refuse(format!(
                "`{}` has {counted} rows, and the manifest says {}",
                table.name, table.rows
            ));
        }
    }
    Ok(Checked { manifest })
}

fn read(content: &[u8]) -> Result<Manifest, Error> {
    #[derive(serde::Deserialize)]
    struct Version {
        format: u32,
    }
    let refuse = |error: serde_json::Error| Error::Archive(format!("the manifest cannot be read: {error}"));
    let version: Version = serde_json::from_slice(content).map_err(refuse)?;
    if version.format != FORMAT {
        return Err(Error::Archive(format!(
            "the archive has format {}, and this Terrace reads format {FORMAT}: use the version of Terrace that fits",
            version.format
        )));
    }
    serde_json::from_slice(content).map_err(refuse)
}
