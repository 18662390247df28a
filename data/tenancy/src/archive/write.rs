//! Writing an archive piece by piece: what is ready goes out before the next piece comes in.

use std::io::{self, Write as _};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::{File, MANIFEST, Manifest};

/// A good bargain between time and size; tenants are text.
const COMPRESSION_LEVEL: i32 = 3;

/// A tar inside of zstd, into memory that the caller empties.
pub(crate) struct Writer {
    tar: tar::Builder<zstd::Encoder<'static, Vec<u8>>>,
}

impl Writer {
    pub(crate) fn new() -> io::Result<Self> {
        let zstd = zstd::Encoder::new(Vec::new(), COMPRESSION_LEVEL)?;
        Ok(Self {
            tar: tar::Builder::new(zstd),
        })
    }

    /// Adds a file; returns what the manifest says of it.
    pub(crate) fn add(&mut self, path: String, content: &[u8]) -> io::Result<File> {
        let bytes = content.len() as u64;
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes);
        header.set_mode(0o600);
        // The same content is the same archive, whenever it is made.
        header.set_mtime(0);
        header.set_entry_type(tar::EntryType::Regular);
        self.tar.append_data(&mut header, &path, content)?;
        Ok(File {
            path,
            bytes,
            sha256: HEXLOWER.encode(&Sha256::digest(content)),
        })
    }

    /// What can be sent now.
    pub(crate) fn take(&mut self) -> Bytes {
        std::mem::take(self.tar.get_mut().get_mut()).into()
    }

    /// Adds the manifest and closes; returns the rest.
    pub(crate) fn finish(mut self, manifest: &Manifest) -> io::Result<Bytes> {
        let manifest = serde_json::to_vec_pretty(manifest)?;
        self.add(MANIFEST.to_owned(), &manifest)?;
        let mut zstd = self.tar.into_inner()?;
        zstd.flush()?;
        Ok(zstd.finish()?.into())
    }
}
