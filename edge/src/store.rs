//! The snapshot on the disk: `snapshot.json` and `blobs/<sha256>` with their encoded forms beside
//! them. Everything is written to a temporary name, synced and renamed, and checked when read: a
//! crash or a bad sector costs one file, which is fetched or encoded again.
//!
//! All calls block; the replica makes them on the blocking pool.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use sha2::{Digest as _, Sha256};

use crate::{
    encode::Encoding,
    snapshot::{Fingerprint, Snapshot},
};

/// Length of the SHA-256 that closes every encoded file.
const SEAL: usize = 32;

/// The edge's data directory.
#[derive(Debug)]
pub(crate) struct Store {
    root: PathBuf,
    writes: AtomicU64,
}

/// What the disk knows about one encoded form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Encoded {
    /// The bytes.
    Smaller(Vec<u8>),
    /// It was tried, and the identity is as small.
    NotSmaller,
}

impl Store {
    /// Opens the directory and removes what a crash left half written.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        let store = Self {
            root: root.to_owned(),
            writes: AtomicU64::new(0),
        };
        fs::create_dir_all(store.blobs())?;
        for directory in [store.root.clone(), store.blobs()] {
            for entry in fs::read_dir(directory)?.flatten() {
                if entry.file_name().to_string_lossy().ends_with(".part") {
                    fs::remove_file(entry.path())?;
                }
            }
        }
        Ok(store)
    }

    /// The last snapshot. `None` when there is none or it cannot be read: the node has a new one.
    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        let text = fs::read(self.root.join("snapshot.json")).ok()?;
        serde_json::from_slice(&text)
            .map_err(|error| tracing::warn!("The snapshot on disk is unreadable: {error}"))
            .ok()
    }

    /// Replaces the snapshot, after all that it names is on the disk.
    pub(crate) fn save_snapshot(&self, snapshot: &Snapshot) -> io::Result<()> {
        File::open(self.blobs())?.sync_all()?;
        self.write(&self.root, "snapshot.json", &[&serde_json::to_vec(snapshot)?])?;
        File::open(&self.root)?.sync_all()
    }

    /// A content, if it is there and still has its fingerprint.
    pub(crate) fn blob(&self, fingerprint: &Fingerprint) -> Option<Vec<u8>> {
        let content = fs::read(self.blobs().join(fingerprint.as_str())).ok()?;
        (Fingerprint::of(&content) == *fingerprint).then_some(content)
    }

    /// True when a file of that name is there; its content is checked when it is read.
    pub(crate) fn has_blob(&self, fingerprint: &Fingerprint) -> bool {
        self.blobs().join(fingerprint.as_str()).exists()
    }

    /// Writes a content, whose fingerprint the caller has checked.
    pub(crate) fn save_blob(&self, fingerprint: &Fingerprint, content: &[u8]) -> io::Result<()> {
        self.write(&self.blobs(), fingerprint.as_str(), &[content])
    }

    /// An encoded form, if it was made and is whole.
    pub(crate) fn encoded(&self, fingerprint: &Fingerprint, encoding: Encoding) -> Option<Encoded> {
        let mut content = fs::read(self.blobs().join(Self::encoded_name(fingerprint, encoding))).ok()?;
        let length = content.len().checked_sub(SEAL)?;
        if Sha256::digest(&content[..length]).as_slice() != &content[length..] {
            return None;
        }
        content.truncate(length);
        Some(if content.is_empty() {
            Encoded::NotSmaller
        } else {
            Encoded::Smaller(content)
        })
    }

    /// Writes an encoded form; an empty file says that the identity is as small.
    pub(crate) fn save_encoded(
        &self,
        fingerprint: &Fingerprint,
        encoding: Encoding,
        encoded: &Encoded,
    ) -> io::Result<()> {
        let content: &[u8] = match encoded {
            Encoded::Smaller(content) => content,
            Encoded::NotSmaller => &[],
        };
        let name = Self::encoded_name(fingerprint, encoding);
        self.write(&self.blobs(), &name, &[content, Sha256::digest(content).as_slice()])
    }

    /// Removes every content that is not in `keep`, with its encoded forms.
    pub(crate) fn retain(&self, keep: &HashSet<Fingerprint>) -> io::Result<()> {
        for entry in fs::read_dir(self.blobs())?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let content = name.split('.').next().unwrap_or_default().to_owned();
            if Fingerprint::try_from(content).is_ok_and(|fingerprint| !keep.contains(&fingerprint)) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    fn encoded_name(fingerprint: &Fingerprint, encoding: Encoding) -> String {
        format!("{fingerprint}.{}", encoding.name())
    }

    fn write(&self, directory: &Path, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        let temporary = directory.join(format!("{name}.{}-{number}.part", std::process::id()));
        let written = (|| {
            let mut file = File::create(&temporary)?;
            for part in parts {
                file.write_all(part)?;
            }
            file.sync_all()?;
            fs::rename(&temporary, directory.join(name))
        })();
        if written.is_err() {
            // A full disk: give back what this attempt took.
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}
