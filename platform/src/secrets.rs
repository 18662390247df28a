//! The installation's own secrets: 32 random bytes each, in files that only this user may read.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use data_encoding::HEXLOWER;

/// The folder of secrets. A lost `lanes` locks nobody out: lanes' passwords are set again at start.
/// A lost `tokens` signs everybody out.
#[derive(Debug, Clone)]
pub struct Secrets {
    folder: PathBuf,
}

impl Secrets {
    /// Opens or makes the folder, for this user alone.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
            .with_context(|| format!("close {}", folder.display()))?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// The secret `name`, made on first use.
    ///
    /// # Errors
    /// The file cannot be read or written, or holds something else than 64 hexadecimal digits.
    pub fn bytes(&self, name: &str) -> Result<[u8; 32]> {
        let mut fresh = [0_u8; 32];
        getrandom::fill(&mut fresh).context("get randomness")?;
        let text = self.text(name, &HEXLOWER.encode(&fresh))?;
        let bytes = HEXLOWER
            .decode(text.as_bytes())
            .ok()
            .and_then(|bytes| bytes.try_into().ok());
        bytes.with_context(|| format!("{} does not hold 64 hexadecimal digits", self.path(name).display()))
    }

    /// The secrets whose names begin with `prefix`, by the rest of their names.
    ///
    /// # Errors
    /// The folder or a file in it cannot be read.
    pub fn beginning_with(&self, prefix: &str) -> Result<Vec<(String, String)>> {
        let mut found = Vec::new();
        let entries = fs::read_dir(&self.folder).with_context(|| format!("look into {}", self.folder.display()))?;
        for entry in entries {
            let name = entry.context("look at a secret")?.file_name();
            if let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(prefix)) {
                let path = self.path(&format!("{prefix}{rest}"));
                let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
                found.push((rest.to_owned(), text.trim().to_owned()));
            }
        }
        Ok(found)
    }

    /// The secret text `name`, or `initial` written as it on first use. Two processes that both come
    /// first agree: the file is made whole under another name and linked, and only one link succeeds.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn text(&self, name: &str, initial: &str) -> Result<String> {
        let path = self.path(name);
        match fs::read_to_string(&path) {
            Ok(text) => return Ok(text.trim().to_owned()),
            Err(error) if error.kind() != ErrorKind::NotFound => bail!("cannot read {}: {error}", path.display()),
            Err(_) => {}
        }
        let draft = self.path(&format!("{name}.{}", std::process::id()));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .with_context(|| format!("write {}", draft.display()))?;
        writeln!(file, "{initial}").context("write a secret")?;
        file.sync_all().context("write a secret")?;
        let linked = fs::hard_link(&draft, &path);
        fs::remove_file(&draft).context("remove a draft")?;
        match linked {
            Ok(()) => Ok(initial.to_owned()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(fs::read_to_string(&path)
                .with_context(|| format!("read {}", path.display()))?
                .trim()
                .to_owned()),
            Err(error) => bail!("cannot write {}: {error}", path.display()),
        }
    }

    /// Writes `text` to a file for this user alone, in place of what was there.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn replace(&self, path: &Path, text: &str) -> Result<()> {
        let draft = self.path(&format!("draft.{}", std::process::id()));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .with_context(|| format!("write {}", draft.display()))?;
        writeln!(file, "{text}").with_context(|| format!("write {}", draft.display()))?;
        fs::rename(&draft, path).with_context(|| format!("write {}", path.display()))
    }

    /// Where the secret `name` is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}
