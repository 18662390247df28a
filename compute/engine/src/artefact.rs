//! Compiled services on disk.
//!
//! A file holds a MAC and the machine code. Loading machine code runs it, so a file is believed only
//! when the MAC says that this installation wrote it; otherwise the component is compiled again.
//! The name holds the hash of the component and of everything in the engine that the code depends
//! on, so another wasmtime or other settings never meet an old file. It says the preview too, so that a node
//! that knows only a component's hash can tell which engine its code is for.

use std::{
    collections::HashSet,
    fs::File,
    hash::{Hash as _, Hasher},
    io::{Read as _, Write as _},
    os::{fd::AsRawFd as _, unix::fs::FileExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use sha2::{Digest as _, Sha256};
use wasmtime::{Engine, component::Component};

use crate::{Config, Error, preview::Preview};

/// Length of the MAC at the beginning of a file.
const MAC_BYTES: usize = 32;

/// Where compiled services are kept.
pub(crate) struct Artefacts {
    dir: Option<PathBuf>,
    key: [u8; 32],
    compiled: AtomicU64,
}

impl Artefacts {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let key = match config.cache_key {
            Some(key) => key,
            None => {
                let mut key = [0; 32];
                getrandom::fill(&mut key).map_err(|error| Error::Start(error.to_string()))?;
                key
            }
        };
        Ok(Self {
            dir: config.cache_dir.clone(),
            key,
            compiled: AtomicU64::new(0),
        })
    }

    /// The compiled component: from the disk when it is there, or compiled and put there. Takes
    /// seconds of CPU when it compiles; call it where blocking is fine.
    pub(crate) fn component(
        &self,
        engine: &Engine,
        preview: Preview,
        bytes: &[u8],
        sha256: &str,
    ) -> Result<Component, Error> {
        let Some(dir) = &self.dir else {
            self.compiled.fetch_add(1, Ordering::Relaxed);
            return Component::from_binary(engine, bytes).map_err(|error| Error::Compile(format!("{error:#}")));
        };
        let path = dir.join(name(engine, preview, sha256));
        if let Some(component) = self.load(engine, &path) {
            return Ok(component);
        }
        let start = Instant::now();
        let code = engine
            .precompile_component(bytes)
            .map_err(|error| Error::Compile(format!("{error:#}")))?;
        self.compiled.fetch_add(1, Ordering::Relaxed);
        tracing::info!(path = %path.display(), "Compiled a component of {} KiB in {:.1?}", bytes.len() >> 10, start.elapsed());
        if let Err(error) = self.store(&path, &code) {
            // The service runs all the same; it will be compiled again at the next start.
            tracing::warn!(%error, path = %path.display(), "Could not keep a compiled service");
        }
        self.deserialize(engine, &code)
    }

    /// The code of the component with this hash, when this installation has compiled it before.
    pub(crate) fn compiled_before(&self, engine: &Engine, preview: Preview, sha256: &str) -> Option<Component> {
        self.load(engine, &self.path(engine, preview, sha256)?)
    }

    fn path(&self, engine: &Engine, preview: Preview, sha256: &str) -> Option<PathBuf> {
        let dir = self.dir.as_ref().filter(|_| is_hash(sha256))?;
        Some(dir.join(name(engine, preview, sha256)))
    }

    /// Whether there may be code of this component for preview 3. A question that costs no engine: asking
    /// one for its name would bring it into being.
    pub(crate) fn may_have_third(&self, sha256: &str) -> bool {
        let dir = self.dir.as_ref().filter(|_| is_hash(sha256));
        let entries = dir.and_then(|dir| std::fs::read_dir(dir).ok());
        let begins = format!("{sha256}-{THIRD}");
        entries
            .into_iter()
            .flatten()
            .flatten()
            .any(|entry| entry.file_name().as_encoded_bytes().starts_with(begins.as_bytes()))
    }

    /// Whether there is a file for the component with this hash. What is in it is only looked at when it
    /// is loaded.
    pub(crate) fn has(&self, engine: &Engine, preview: Preview, sha256: &str) -> bool {
        let path = self.path(engine, preview, sha256);
        path.is_some_and(|path| path.is_file())
    }

    /// How many components were compiled here.
    pub(crate) fn compiled(&self) -> u64 {
        self.compiled.load(Ordering::Relaxed)
    }

    /// Removes files of components that are not among these hashes. What is not ours to name stays.
    pub(crate) fn keep(&self, components: &HashSet<String>) -> usize {
        let entries = self.dir.as_ref().and_then(|dir| std::fs::read_dir(dir).ok());
        let mut removed = 0;
        for entry in entries.into_iter().flatten().flatten() {
            let name = entry.file_name();
            let component = name
                .to_str()
                .and_then(|name| name.strip_suffix(".cwasm")?.split_once('-'))
                .map(|(component, _)| component);
            if component.is_some_and(|component| !components.contains(component))
                && std::fs::remove_file(entry.path()).is_ok()
            {
                removed += 1;
            }
        }
        removed
    }

    fn load(&self, engine: &Engine, path: &Path) -> Option<Component> {
        let mut file = File::open(path).ok()?;
        let mut mac = [0; MAC_BYTES];
        file.read_exact(&mut mac).ok()?;
        let sealed = sealed(file).ok()?;
        let name = path.file_name()?;
        if !self.is_ours(name.as_encoded_bytes(), &sealed, &mac) {
            tracing::warn!(path = %path.display(), "A compiled service is not of this installation, and is compiled again");
            return None;
        }
        let mapped = format!("/proc/self/fd/{}", sealed.as_raw_fd());
        #[expect(unsafe_code, reason = "loading machine code cannot be made safe, only trusted")]
        // SAFETY: the file's MAC, keyed with a secret of this installation, covers these very bytes and
        // the name that holds the engine's compatibility hash, so `precompile_component` of such an
        // engine has made them. They are in sealed memory: nobody can change them after the check.
        let component = unsafe { Component::deserialize_file(engine, mapped) };
        component.ok()
    }

    fn is_ours(&self, name: &[u8], code: &File, mac: &[u8]) -> bool {
        let mut expected = self.keyed(name);
        let mut piece = vec![0; 128 << 10];
        let mut at = 0;
        loop {
            match code.read_at(&mut piece, at) {
                Ok(0) => return expected.verify_slice(mac).is_ok(),
                Ok(read) => {
                    expected.update(piece.get(..read).unwrap_or_default());
                    at += read as u64;
                }
                Err(_) => return false,
            }
        }
    }

    fn deserialize(&self, engine: &Engine, code: &[u8]) -> Result<Component, Error> {
        #[expect(unsafe_code, reason = "loading machine code cannot be made safe, only trusted")]
        // SAFETY: `code` was made a moment ago, by `precompile_component` of this engine.
        let component = unsafe { Component::deserialize(engine, code) };
        component.map_err(|error| Error::Compile(format!("{error:#}")))
    }

    /// Writes beside the name and renames, so that a crash leaves no half file.
    fn store(&self, path: &Path, code: &[u8]) -> std::io::Result<()> {
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(());
        };
        std::fs::create_dir_all(dir)?;
        let mut draft = tempfile::NamedTempFile::new_in(dir)?;
        draft.write_all(&self.mac(name.as_encoded_bytes(), code).finalize().into_bytes())?;
        draft.write_all(code)?;
        draft.persist(path)?;
        Ok(())
    }

    fn mac(&self, name: &[u8], code: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.keyed(name);
        mac.update(code);
        mac
    }

    fn keyed(&self, name: &[u8]) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of 32 bytes");
        mac.update(name);
        mac.update(&[0]);
        mac
    }
}

/// What is left of the file, in memory that nobody can change any more. The engine maps it as it is:
/// code that was read into ordinary memory would be copied once more, page by page.
fn sealed(mut file: File) -> std::io::Result<File> {
    let memory = memfd_create("terrace-code", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut memory = File::from(memory);
    std::io::copy(&mut file, &mut memory)?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&memory, seals)?;
    Ok(memory)
}

/// A name that is no hash is nothing of ours, and might lead out of the folder.
fn is_hash(sha256: &str) -> bool {
    sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// In the name of what is compiled for preview 3.
const THIRD: &str = "p3-";

/// `<hash of the component>-<hash of the engine>.cwasm`, with `p3-` before the second hash for preview 3.
fn name(engine: &Engine, preview: Preview, sha256: &str) -> String {
    let mut environment = Sha256Hasher(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut environment);
    let environment = environment.0.finalize();
    let preview = match preview {
        Preview::Two => "",
        Preview::Three => THIRD,
    };
    format!("{sha256}-{preview}{}.cwasm", HEXLOWER.encode(&environment[..16]))
}

/// Feeds what is hashed to SHA-256: the standard hasher gives 64 bits and may change with the
/// compiler, and this names files that outlive it.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        u64::from_le_bytes(std::array::from_fn(|at| digest[at]))
    }
}
