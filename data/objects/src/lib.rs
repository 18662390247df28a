//! Immutable bytes by their hash: in a local folder, or in a bucket that speaks S3.
//!
//! `data/tenancy` keeps the components of releases here. An object's name is the SHA-256 of its
//! bytes, and what is read is hashed again before it is given out: neither a broken disk nor whoever
//! can write to the bucket decides what runs. It knows nobody's meaning: who may delete what is
//! decided by those who put it here.

mod config;

use std::sync::Arc;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures_util::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use sha2::{Digest, Sha256};

pub use config::Config;

/// The name of an object: the SHA-256 of its bytes, 64 lowercase hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(String);

/// Why an object is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no object of this hash.
    #[error("there is no object {0}")]
    Missing(String),
    /// The bytes are not those that were put here.
    #[error("the object {0} was changed after it was stored: its bytes have another hash")]
    Changed(String),
    /// The text is no hash.
    #[error("`{0}` is no SHA-256: expected 64 lowercase hexadecimal digits")]
    Name(String),
    /// The configuration cannot be used.
    #[error("the object store cannot be opened: {0}")]
    Config(String),
    /// The folder or the bucket refused, or is away.
    #[error("the object store refused: {0}")]
    Store(#[from] object_store::Error),
}

impl Hash {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(HEXLOWER.encode(&Sha256::digest(bytes)))
    }

    /// Reads a hash as text.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 64 && text.bytes().all(is_digit) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::Name(text.chars().take(80).collect()))
        }
    }

    /// 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where objects are kept. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: String,
}

impl Objects {
    /// Opens the folder (and makes it) or the bucket that the configuration names. A bucket is not
    /// asked for anything yet.
    ///
    /// # Errors
    /// [`Error::Config`] says what to change.
    pub fn open(config: &Config) -> Result<Self, Error> {
        Ok(Self {
            store: config.store()?,
            prefix: config.prefix.trim_matches('/').to_owned(),
        })
    }

    /// Keeps the bytes, and returns under which name. The same bytes a second time are the same
    /// object. When it returns they are there, whole.
    ///
    /// # Errors
    /// [`Error::Store`]; then nothing was kept, or all of it.
    pub async fn put(&self, bytes: Bytes) -> Result<Hash, Error> {
        let hash = Hash::of(&bytes);
        self.store.put(&self.path(&hash), bytes.into()).await?;
        Ok(hash)
    }

    /// The bytes, verified.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Changed`], [`Error::Store`].
    pub async fn get(&self, hash: &Hash) -> Result<Bytes, Error> {
        let found = match self.store.get(&self.path(hash)).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Err(Error::Missing(hash.0.clone())),
            Err(error) => return Err(error.into()),
        };
        let bytes = found.bytes().await?;
        if Hash::of(&bytes) == *hash {
            Ok(bytes)
        } else {
            Err(Error::Changed(hash.0.clone()))
        }
    }

    /// Every object's name. What lies there under another name is none of ours and left out.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn list(&self) -> Result<Vec<Hash>, Error> {
        let folder = Path::from(self.prefix.as_str());
        let all: Vec<_> = self.store.list(Some(&folder)).try_collect().await?;
        Ok(all
            .iter()
            .filter_map(|object| Hash::parse(object.location.filename()?).ok())
            .collect())
    }

    /// Removes an object. One that is not there is removed already.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn delete(&self, hash: &Hash) -> Result<(), Error> {
        match self.store.delete(&self.path(hash)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn path(&self, hash: &Hash) -> Path {
        Path::from_iter(
            [self.prefix.as_str(), hash.as_str()]
                .into_iter()
                .filter(|part| !part.is_empty()),
        )
    }
}
