//! The directories in use, which are not always those that were asked for.

use std::path::{Path, PathBuf};

use crate::{Config, Error, Progress, identity::Identity};

/// Every private server has the socket number of the default port; the directory tells them apart.
pub(crate) const PORT: u16 = 5432;

/// The kernel's limit on the path of a unix socket, less the final NUL.
const SOCKET_PATH_MAX: usize = 107;

/// Where one server keeps its files.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) root: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) socket_dir: PathBuf,
    pub(crate) log: PathBuf,
}

impl Place {
    /// Chooses the directories and makes them.
    pub(crate) fn prepare(config: &Config, identity: Identity, progress: Progress<'_>) -> Result<Self, Error> {
        let place = Self::choose(config, identity, progress)?;
        if let Some(parent) = place.root.parent() {
            std::fs::create_dir_all(parent).map_err(Error::file("create", parent))?;
        }
        identity.private_directory(&place.root)?;
        identity.private_directory(&place.socket_dir)?;
        Ok(place)
    }

    /// Chooses the directories.
    pub(crate) fn choose(config: &Config, identity: Identity, progress: Progress<'_>) -> Result<Self, Error> {
        let asked = std::path::absolute(&config.root).map_err(Error::file("resolve", &config.root))?;
        let mark = fingerprint(&asked);
        let root = if identity.can_reach(&asked) {
            asked
        } else {
            let elsewhere = PathBuf::from(format!("/var/lib/terrace/{mark}"));
            progress(&format!(
                "PostgreSQL's user cannot enter {}, so its data is in {}",
                asked.display(),
                elsewhere.display()
            ));
            elsewhere
        };
        let mut socket_dir = root.join("socket");
        if socket_path(&socket_dir).as_os_str().len() > SOCKET_PATH_MAX {
            socket_dir = PathBuf::from(format!("/tmp/terrace-{mark}"));
            progress(&format!(
                "The path is too long for a socket, so it is in {}",
                socket_dir.display()
            ));
        }
        Ok(Self {
            data: root.join("data"),
            log: root.join("postgres.log"),
            socket_dir,
            root,
        })
    }
}

fn socket_path(dir: &Path) -> PathBuf {
    dir.join(format!(".s.PGSQL.{PORT}.lock"))
}

/// A short name for a path, the same in every version of this program (FNV-1a, 64 bits).
fn fingerprint(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in path.as_os_str().as_bytes() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_relocated_root_never_changes() {
        assert_eq!(fingerprint(Path::new("")), "cbf29ce484222325");
        assert_eq!(fingerprint(Path::new("a")), "af63dc4c8601ec8c");
    }
}
