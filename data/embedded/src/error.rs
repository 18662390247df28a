//! What can go wrong, each in one sentence that says what to do.

use std::{io, path::PathBuf};

/// Why there is no PostgreSQL.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No `postgres` of a usable version was found.
    #[error("PostgreSQL {minimum} or newer was not found ({looked}); install it with `apt-get install postgresql`, or name its bin directory", minimum = crate::find::MAJOR_MIN)]
    NotFound {
        /// Where it was looked for, and what was there.
        looked: String,
    },
    /// The named directory has no usable `postgres`.
    #[error("`{}` is not the bin directory of PostgreSQL {minimum} or newer: {reason}", dir.display(), minimum = crate::find::MAJOR_MIN)]
    Unusable {
        /// The directory that was named.
        dir: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The cluster was made by another major version.
    #[error("the data in `{}` belongs to PostgreSQL {data}, but {found} was found; install PostgreSQL {data}, or move the directory away to start anew", dir.display())]
    MajorVersion {
        /// The data directory.
        dir: PathBuf,
        /// Its major version.
        data: u32,
        /// The newest one that is installed.
        found: u32,
    },
    /// `initdb` failed.
    #[error("initdb failed: {tail}")]
    Initdb {
        /// The end of what it said.
        tail: String,
    },
    /// The disk is full.
    #[error("there is no space left for PostgreSQL in `{}`", dir.display())]
    NoSpace {
        /// Where it wanted to write.
        dir: PathBuf,
    },
    /// The socket could not be made.
    #[error("PostgreSQL cannot make its socket in `{}`: {tail}", dir.display())]
    Socket {
        /// The directory of the socket.
        dir: PathBuf,
        /// The end of its log.
        tail: String,
    },
    /// `postgres` ended while it was starting.
    #[error("PostgreSQL did not start: {tail} (log: `{}`)", log.display())]
    Start {
        /// The end of its log.
        tail: String,
        /// The log.
        log: PathBuf,
    },
    /// It runs, but did not answer.
    #[error("PostgreSQL runs but did not answer within {seconds} s: {reason} (log: `{}`)", log.display())]
    NoAnswer {
        /// How long was waited.
        seconds: u64,
        /// The last refusal.
        reason: String,
        /// The log.
        log: PathBuf,
    },
    /// The cluster is there, but its password is not.
    #[error("the password of the data in `{}` is missing: put `{}` back, or move the data away to start anew", data.display(), file.display())]
    PasswordMissing {
        /// The data directory.
        data: PathBuf,
        /// The file that should hold it.
        file: PathBuf,
    },
    /// As root, PostgreSQL needs another user to run as.
    #[error("PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it as")]
    NoUser,
    /// A file or a directory.
    #[error("cannot {what} `{}`: {source}", path.display())]
    File {
        /// What was tried: `create`, `write`.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The server refused a statement of ours.
    #[error("PostgreSQL refused to {what}: {source}")]
    Statement {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: tokio_postgres::Error,
    },
}

impl Error {
    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| {
            if source.kind() == io::ErrorKind::StorageFull {
                return Self::NoSpace { dir: path };
            }
            Self::File { what, path, source }
        }
    }
}
