//! The user that PostgreSQL runs as: it refuses to run as root.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
};

use nix::unistd::{Gid, Uid, User};
use tokio::process::Command;

use crate::Error;

/// An unprivileged user, when we are root; otherwise ourselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity(Option<(Uid, Gid)>);

impl Identity {
    pub(crate) fn choose() -> Result<Self, Error> {
        if !Uid::effective().is_root() {
            return Ok(Self(None));
        }
        let user = ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| User::from_name(name).ok().flatten());
        user.map(|user| Self(Some((user.uid, user.gid)))).ok_or(Error::NoUser)
    }

    /// Makes the command run as this user. The standard library drops root's other groups too.
    pub(crate) fn apply(self, command: &mut Command) {
        if let Some((uid, gid)) = self.0 {
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
    }

    /// Gives a file or a directory to this user.
    pub(crate) fn give(self, path: &Path) -> Result<(), Error> {
        match self.0 {
            Some((uid, gid)) => {
                chown(path, Some(uid.as_raw()), Some(gid.as_raw())).map_err(Error::file("change the owner of", path))
            }
            None => Ok(()),
        }
    }

    /// Makes a directory that only this user can enter. One that is there already must be ours, or
    /// this user's: root giving away what a stranger put in its way would be the stranger's.
    pub(crate) fn private_directory(self, path: &Path) -> Result<(), Error> {
        let user = self.0.map_or_else(Uid::effective, |(uid, _)| uid);
        let is_ours = |uid: u32| uid == user.as_raw() || uid == Uid::effective().as_raw();
        if let Ok(link) = path.symlink_metadata() {
            let is_safe = is_ours(link.uid()) && path.metadata().is_ok_and(|target| is_ours(target.uid()));
            if !is_safe {
                return Err(Error::file("use", path)(std::io::Error::other(
                    "it belongs to another user",
                )));
            }
        }
        std::fs::create_dir_all(path).map_err(Error::file("create", path))?;
        self.give(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(Error::file("protect", path))
    }

    /// Whether this user can walk down to `path`, through the ancestors that exist.
    pub(crate) fn can_reach(self, path: &Path) -> bool {
        let Some((uid, gid)) = self.0 else { return true };
        path.ancestors()
            .skip(1)
            .filter_map(|ancestor| ancestor.metadata().ok())
            .all(|metadata| {
                let mode = metadata.mode();
                if metadata.uid() == uid.as_raw() {
                    mode & 0o100 != 0
                } else if metadata.gid() == gid.as_raw() {
                    mode & 0o010 != 0
                } else {
                    mode & 0o001 != 0
                }
            })
    }
}
