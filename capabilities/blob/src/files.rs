//! Reading and writing files: statements through the router, as any statement of the tenant's.

use std::{sync::Arc, time::Instant};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use terrace_compute_capability::{OwnTables, Tables};
use terrace_data_router::{Error as Failure, Principal, Router, Transaction, Value};

use crate::{Config, name};

/// Bytes of a file in one row.
const PIECE_BYTES: usize = 1 << 20;
/// Names in one page, and in one deletion.
const PAGE: usize = 1_000;
/// How often a file that was replaced while it was read is read again.
const READS_MAX: usize = 5;

const NO_TABLE: &str = "42P01";

const INFO: &str = "SELECT name, size, content_type, sha256, (extract(epoch FROM written_at) * 1000)::bigint, version
    FROM terrace_blob WHERE name = $1";
const PIECE: &str = "SELECT content FROM terrace_blob_piece WHERE version = $1 AND number = $2";
const LIST: &str = "SELECT name, size, content_type, sha256, (extract(epoch FROM written_at) * 1000)::bigint, version
    FROM terrace_blob WHERE name >= $1 AND name < $2 AND name > $3 ORDER BY name LIMIT $4";
// Taken first by whatever writes. It makes the count exact, and two writers never wait for each other in
// a circle.
const HOLD: &str = "SELECT files FROM terrace_blob_usage WHERE one FOR UPDATE";
// A statement of its own after HOLD, so that it sees what the last writer committed. No row: over a limit.
const PUT: &str = "WITH old AS (
        SELECT size, version FROM terrace_blob WHERE name = $1
    ), change AS (
        SELECT 1 - count(*) AS files, $2 - coalesce(sum(size), 0)::bigint AS bytes FROM old
    ), counted AS (
        UPDATE terrace_blob_usage u SET files = u.files + c.files, bytes = u.bytes + c.bytes, version = u.version + 1
        FROM change c WHERE (c.files = 0 OR u.files < $5) AND (c.bytes <= 0 OR u.bytes + c.bytes <= $6) RETURNING u.version
    ), pieces AS (
        DELETE FROM terrace_blob_piece p USING old, counted WHERE p.version = old.version
    ), put AS (
        INSERT INTO terrace_blob (name, size, content_type, sha256, version)
        SELECT $1, $2, $3, $4, version FROM counted
        ON CONFLICT (name) DO UPDATE SET size = excluded.size, content_type = excluded.content_type,
            sha256 = excluded.sha256, version = excluded.version, written_at = now()
        RETURNING name, size, content_type, sha256, (extract(epoch FROM written_at) * 1000)::bigint, version
    ) SELECT * FROM put";
const PUT_PIECE: &str = "INSERT INTO terrace_blob_piece (version, number, content) VALUES ($1, $2, $3)";
const DELETE: &str = "WITH gone AS (
        DELETE FROM terrace_blob WHERE name IN (SELECT jsonb_array_elements_text($1)) RETURNING size, version
    ), pieces AS (
        DELETE FROM terrace_blob_piece p USING gone WHERE p.version = gone.version
    ), change AS (
        SELECT count(*) AS files, coalesce(sum(size), 0)::bigint AS bytes FROM gone
    ) UPDATE terrace_blob_usage u SET files = u.files - c.files, bytes = u.bytes - c.bytes FROM change c WHERE u.one";

/// What went wrong, roughly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A name, type, link or content that may not be.
    BadValue,
    /// A file or the tenant's room is full.
    Limit,
    /// The database is away or too slow.
    Unavailable,
}

/// Why something was not done; the message is for the service's author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Roughly.
    pub kind: ErrorKind,
    /// What to do.
    pub message: String,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self {
            kind: ErrorKind::Unavailable,
            message: failure.message,
        }
    }
}

/// Whose files, and until when.
#[derive(Debug, Clone)]
pub struct Place {
    /// Whose.
    pub principal: Principal,
    /// Until when somebody waits.
    pub deadline: Instant,
}

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Its name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// As it was given.
    pub content_type: String,
    /// SHA-256 of the content, 64 hexadecimal digits.
    pub sha256: String,
    /// Milliseconds since 1970.
    pub written_at: u64,
    version: i64,
}

/// A file with what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// What is known of it.
    pub info: Info,
    /// All of it.
    pub content: Vec<u8>,
}

/// The files of all tenants.
pub struct Files {
    config: Config,
    router: Arc<Router>,
    tables: Arc<dyn Tables>,
}

impl Files {
    /// Keeps everything through `router`, in tables that `tables` makes where they are missing.
    pub fn new(config: Config, router: Arc<Router>, tables: Arc<dyn Tables>) -> Self {
        Self { config, router, tables }
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Writes a file, instead of the one that may be there.
    ///
    /// # Errors
    /// [`ErrorKind::BadValue`], [`ErrorKind::Limit`]: nothing was changed; [`ErrorKind::Unavailable`].
    pub async fn put(&self, place: &Place, name: &str, content_type: &str, content: &[u8]) -> Result<Info, Error> {
        name::check(name)?;
        name::check_type(content_type)?;
        let size_max = self.config.file_bytes();
        if content.len() > size_max {
            return Err(limit(format!(
                "a file has at most {size_max} bytes, and this has {}; the operator may raise `[blob] file_mib` in terrace.toml",
                content.len()
            )));
        }
        let mut held = self.hold(place).await?;
        let params = [
            text(name),
            count(content.len()),
            text(content_type),
            Value::Text(HEXLOWER.encode(&Sha256::digest(content))),
            Value::Integer(self.config.tenant_files.into()),
            Value::Integer(i64::from(self.config.tenant_mib) << 20),
        ];
        let Some(info) = held.query(PUT, &params).await?.rows.into_iter().find_map(info) else {
            held.rollback().await;
            return Err(limit(format!(
                "the files of this service are at this tenant's limit: {} files and {} MiB; delete some, or let the operator raise `[blob]` in terrace.toml",
                self.config.tenant_files, self.config.tenant_mib
            )));
        };
        for (number, piece) in content.chunks(PIECE_BYTES).enumerate() {
            let params = [
                Value::Integer(info.version),
                count(number),
                Value::Bytes(piece.to_vec()),
            ];
            held.query(PUT_PIECE, &params).await?;
        }
        held.commit(&[]).await?;
        Ok(info)
    }

    /// A file, whole.
    ///
    /// # Errors
    /// As [`Files::put`].
    pub async fn get(&self, place: &Place, name: &str) -> Result<Option<File>, Error> {
        for _ in 0..READS_MAX {
            let Some(info) = self.stat(place, name).await? else {
                return Ok(None);
            };
            if let Some(content) = self.content(place, &info).await? {
                return Ok(Some(File { info, content }));
            }
        }
        Err(Error {
            kind: ErrorKind::Unavailable,
            message: format!("`{name}` is replaced faster than it can be read; try again"),
        })
    }

    /// None when the file was replaced meanwhile.
    async fn content(&self, place: &Place, info: &Info) -> Result<Option<Vec<u8>>, Error> {
        let size = usize::try_from(info.size).unwrap_or(usize::MAX);
        let mut content = Vec::with_capacity(size.min(self.config.file_bytes()));
        for number in 0..size.div_ceil(PIECE_BYTES) {
            let params = [Value::Integer(info.version), count(number)];
            let rows = self.read(place, PIECE, &params).await?;
            match rows.into_iter().flatten().next() {
                Some(Value::Bytes(piece)) => content.extend(piece),
                _ => return Ok(None),
            }
        }
        Ok(Some(content))
    }

    /// What is known of a file.
    ///
    /// # Errors
    /// As [`Files::put`].
    pub async fn stat(&self, place: &Place, name: &str) -> Result<Option<Info>, Error> {
        name::check(name)?;
        let rows = self.read(place, INFO, &[text(name)]).await?;
        Ok(rows.into_iter().find_map(info))
    }

    /// Removes files. Those that are not there are removed already.
    ///
    /// # Errors
    /// As [`Files::put`].
    pub async fn delete(&self, place: &Place, names: &[String]) -> Result<(), Error> {
        if names.len() > PAGE {
            return Err(Error {
                kind: ErrorKind::BadValue,
                message: format!("one call deletes at most {PAGE} files, and this has {}", names.len()),
            });
        }
        for name in names {
            name::check(name)?;
        }
        let mut held = match self.begin(place).await {
            Ok(held) => held,
            Err(failure) if is_missing(&failure) => return Ok(()),
            Err(failure) => return Err(failure.into()),
        };
        held.query(DELETE, &[Value::Json(serde_json::Value::from(names).to_string())])
            .await?;
        Ok(held.commit(&[]).await.map(drop)?)
    }

    /// A page of files whose names begin with `prefix` and come after `after`.
    ///
    /// # Errors
    /// As [`Files::put`].
    pub async fn list(&self, place: &Place, prefix: &str, after: &str) -> Result<Vec<Info>, Error> {
        for given in [prefix, after] {
            if given.len() > 512 || given.contains('\0') {
                return Err(Error {
                    kind: ErrorKind::BadValue,
                    message: "a prefix and a name to go on after have at most 512 bytes, and no character U+0000"
                        .to_owned(),
                });
            }
        }
        let params = [
            text(prefix),
            // Nothing sorts after it, and no name has it: it is not a character.
            Value::Text(format!("{prefix}\u{10FFFF}")),
            text(after),
            count(PAGE),
        ];
        let rows = self.read(place, LIST, &params).await?;
        Ok(rows.into_iter().filter_map(info).collect())
    }

    async fn read(&self, place: &Place, statement: &str, params: &[Value]) -> Result<Vec<Vec<Value>>, Error> {
        let rows = self.router.query(&place.principal, place.deadline, statement, params);
        match rows.await {
            Ok(rows) => Ok(rows.rows),
            // Nothing was ever written.
            Err(failure) if is_missing(&failure) => Ok(Vec::new()),
            Err(failure) => Err(failure.into()),
        }
    }

    /// A transaction that holds the count, in tables that are there.
    async fn hold(&self, place: &Place) -> Result<Transaction, Error> {
        match self.begin(place).await {
            Err(failure) if is_missing(&failure) => {
                let Principal { tenant, service } = &place.principal;
                let made = self.tables.make(OwnTables::Blob, tenant, service).await;
                made.map_err(|unavailable| Error {
                    kind: ErrorKind::Unavailable,
                    message: unavailable.0,
                })?;
                Ok(self.begin(place).await?)
            }
            outcome => Ok(outcome?),
        }
    }

    async fn begin(&self, place: &Place) -> Result<Transaction, Failure> {
        let mut transaction = self.router.begin(&place.principal, place.deadline).await?;
        transaction.query(HOLD, &[]).await?;
        Ok(transaction)
    }
}

fn limit(message: String) -> Error {
    Error {
        kind: ErrorKind::Limit,
        message,
    }
}

fn is_missing(failure: &Failure) -> bool {
    failure.sqlstate.as_deref() == Some(NO_TABLE)
}

fn info(row: Vec<Value>) -> Option<Info> {
    match <[Value; 6]>::try_from(row).ok()? {
        [
            Value::Text(name),
            Value::Integer(size),
            Value::Text(content_type),
            Value::Text(sha256),
            Value::Integer(written_at),
            Value::Integer(version),
        ] => Some(Info {
            name,
            size: u64::try_from(size).ok()?,
            content_type,
            sha256,
            written_at: u64::try_from(written_at).unwrap_or(0),
            version,
        }),
        _ => None,
    }
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

fn count(number: usize) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}
