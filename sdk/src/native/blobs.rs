//! Files in the memory of a native test.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use sha2::{Digest as _, Sha256};

use crate::blob::{Error, ErrorKind, Info};

/// Largest file, and longest name and link, as the platform has them.
const FILE_BYTES_MAX: usize = 8 << 20;
const NAME_BYTES_MAX: usize = 512;
const LINK_SECONDS_MAX: u32 = 7 * 24 * 3_600;
const PAGE: usize = 1_000;

/// By tenant and name: what is known of a file, and what is in it.
type ByName = BTreeMap<(String, String), (Info, Vec<u8>)>;
/// Clones share what is in them.
pub(crate) type Kept = Arc<Mutex<ByName>>;

/// The files of one tenant.
#[derive(Debug, Clone)]
pub struct Blobs {
    kept: Kept,
    tenant: String,
}

impl Blobs {
    pub(crate) fn new(kept: Kept, tenant: &str) -> Self {
        Self {
            kept,
            tenant: tenant.to_owned(),
        }
    }

    pub(crate) fn put(&self, name: &str, content_type: &str, content: Vec<u8>) -> Result<Info, Error> {
        check(name)?;
        if content.len() > FILE_BYTES_MAX {
            return Err(Error {
                kind: ErrorKind::Limit,
                message: format!("a file has at most {FILE_BYTES_MAX} bytes"),
            });
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let info = Info {
            name: name.to_owned(),
            size: content.len() as u64,
            content_type: content_type.to_owned(),
            sha256: Sha256::digest(&content)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            written_at: u64::try_from(now.as_millis()).unwrap_or(0),
        };
        self.lock().insert(self.key(name), (info.clone(), content));
        Ok(info)
    }

    pub(crate) fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        check(name)?;
        Ok(self.lock().get(&self.key(name)).map(|(_, content)| content.clone()))
    }

    pub(crate) fn stat(&self, name: &str) -> Result<Option<Info>, Error> {
        check(name)?;
        Ok(self.lock().get(&self.key(name)).map(|(info, _)| info.clone()))
    }

    pub(crate) fn delete(&self, names: &[String]) -> Result<(), Error> {
        for name in names {
            check(name)?;
            self.lock().remove(&self.key(name));
        }
        Ok(())
    }

    pub(crate) fn list(&self, prefix: &str, after: &str) -> Vec<Info> {
        let kept = self.lock();
        let mine = kept
            .iter()
            .filter(|((tenant, name), _)| *tenant == self.tenant && name.starts_with(prefix) && name.as_str() > after);
        mine.map(|(_, (info, _))| info.clone()).take(PAGE).collect()
    }

    /// Leads nowhere, and looks like the platform's.
    pub(crate) fn link(&self, name: &str, may_write: bool, seconds: u32) -> Result<String, Error> {
        check(name)?;
        if seconds > LINK_SECONDS_MAX {
            return Err(wrong("a link is for 7 days at most"));
        }
        let may = if may_write { "write" } else { "read" };
        Ok(format!(
            "/api/_blob/native/{name}?may={may}&until={seconds}&seal=native"
        ))
    }

    fn key(&self, name: &str) -> (String, String) {
        (self.tenant.clone(), name.to_owned())
    }

    fn lock(&self) -> MutexGuard<'_, ByName> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wrong(message: &str) -> Error {
    Error {
        kind: ErrorKind::BadValue,
        message: message.to_owned(),
    }
}

fn check(name: &str) -> Result<(), Error> {
    let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
    if name.len() > NAME_BYTES_MAX || !name.split('/').all(is_part) || name.chars().any(|c| c.is_control() || c == '\\')
    {
        return Err(wrong("this is not a file's name"));
    }
    Ok(())
}
