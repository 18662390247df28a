//! Sites and their builds: content-addressed files, a pointer to the current build, ten kept.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};
use terrace_ground_ids::{BuildId, SiteName};
use tokio_postgres::Transaction;

use crate::{Directory, Error, view};

/// Builds of a site that are kept, the current one included: an open tab finds its files for that long.
const BUILDS_KEPT: i64 = 10;
/// Most files in one build.
const FILES_MAX: usize = 5_000;

/// A file that is uploaded.
#[derive(Debug, Clone)]
pub struct NewFile {
    /// `/assets/app.js`: from the root, without `..`.
    pub path: String,
    /// `text/javascript; charset=utf-8`.
    pub content_type: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// One file of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuildFile {
    /// Where it is served.
    pub path: String,
    /// Of its content, hexadecimal; also the name of its blob.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
    /// What it is served as.
    pub content_type: String,
}

/// One build of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Named by its content.
    pub id: BuildId,
    /// Its site.
    pub site: SiteName,
    /// When it was uploaded last.
    pub created_at: Timestamp,
}

/// One site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Its name.
    pub name: SiteName,
    /// The name that people see.
    pub title: String,
    /// The build that is served.
    pub current: Option<BuildId>,
    /// The builds that are kept, the newest first.
    pub builds: Vec<Build>,
}

/// The bytes of a file.
pub type Blob = Vec<u8>;

impl Directory {
    /// Stores a build; the same files a second time are the same build. Nothing is served from it
    /// before [`Directory::activate_build`].
    ///
    /// # Errors
    /// [`Error::Invalid`] for a path that is not one, for two files at one path, or for too many files.
    pub async fn put_build(&self, site: &SiteName, title: &str, files: Vec<NewFile>) -> Result<Build, Error> {
        let files = manifest(files)?;
        let id = build_id(site, &files)?;
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        transaction
            .execute("INSERT INTO terrace.site (name, title) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET title = excluded.title", &[&site.as_str(), &title])
            .await?;
        let row = transaction
            .query_one(
                "INSERT INTO terrace.build (id, site) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET created_at = now()
                 RETURNING (extract(epoch FROM created_at) * 1000000)::bigint",
                &[&id.as_str(), &site.as_str()],
            )
            .await?;
        for (path, (file, content)) in &files {
            transaction
                .execute(
                    "INSERT INTO terrace.blob (sha256, content) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                    &[&file.sha256, content],
                )
                .await?;
            transaction
                .execute(
                    "INSERT INTO terrace.build_file (build, path, sha256, size_bytes, content_type) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
                    &[&id.as_str(), path, &file.sha256, &i64::try_from(file.size).unwrap_or(i64::MAX), &file.content_type],
                )
                .await?;
        }
        sweep(&transaction, site, &id).await?;
        transaction.execute("SELECT terrace.bump()", &[]).await?;
        transaction.commit().await?;
        drop(client);
        self.refresh().await?;
        Ok(Build {
            id,
            site: site.clone(),
            created_at: Timestamp::from_microsecond(row.try_get(0)?).unwrap_or_default(),
        })
    }

    /// Serves a build of a site.
    ///
    /// # Errors
    /// [`Error::Unknown`] when the site has no such build.
    pub async fn activate_build(&self, site: &SiteName, build: &BuildId) -> Result<(), Error> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        let changed = transaction
            .execute(
                "UPDATE terrace.site SET current = $2 WHERE name = $1 AND EXISTS (SELECT FROM terrace.build WHERE id = $2 AND site = $1)",
                &[&site.as_str(), &build.as_str()],
            )
            .await?;
        if changed == 0 {
            return Err(Error::unknown("build of this site", build));
        }
        transaction.execute("SELECT terrace.bump()", &[]).await?;
        transaction.commit().await?;
        drop(client);
        self.refresh().await
    }

    /// All sites with their builds.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn sites(&self) -> Result<Vec<Site>, Error> {
        let client = self.pool.get().await?;
        let rows = client
            .query("SELECT name, title, current FROM terrace.site ORDER BY name", &[])
            .await?;
        let mut sites = rows
            .iter()
            .map(|row| {
                Ok(Site {
                    name: view::parsed(row, 0, "site name")?,
                    title: row.try_get(1)?,
                    current: view::optional(row, 2, "build id")?,
                    builds: Vec::new(),
                })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        for row in client.query("SELECT id, site, (extract(epoch FROM created_at) * 1000000)::bigint FROM terrace.build ORDER BY created_at DESC, id", &[]).await? {
            let build = Build {
                id: view::parsed(&row, 0, "build id")?,
                site: view::parsed(&row, 1, "site name")?,
                created_at: Timestamp::from_microsecond(row.try_get(2)?).unwrap_or_default(),
            };
            if let Some(site) = sites.iter_mut().find(|site| site.name == build.site) {
                site.builds.push(build);
            }
        }
        Ok(sites)
    }

    /// The files of all kept builds.
    pub(crate) async fn build_files(&self) -> Result<BTreeMap<BuildId, Vec<BuildFile>>, Error> {
        let client = self.pool.get().await?;
        let mut builds: BTreeMap<BuildId, Vec<BuildFile>> = BTreeMap::new();
        for row in client
            .query(
                "SELECT build, path, sha256, size_bytes, content_type FROM terrace.build_file ORDER BY build, path",
                &[],
            )
            .await?
        {
            builds
                .entry(view::parsed(&row, 0, "build id")?)
                .or_default()
                .push(BuildFile {
                    path: row.try_get(1)?,
                    sha256: row.try_get(2)?,
                    size: u64::try_from(row.try_get::<_, i64>(3)?).unwrap_or(0),
                    content_type: row.try_get(4)?,
                });
        }
        Ok(builds)
    }

    /// The content with this hash (64 hexadecimal characters); `None` when no kept build has it.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn blob(&self, sha256: &str) -> Result<Option<Blob>, Error> {
        let client = self.pool.get().await?;
        let row = client
            .query_opt("SELECT content FROM terrace.blob WHERE sha256 = $1", &[&sha256])
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }
}

/// The files by path, checked and hashed.
fn manifest(files: Vec<NewFile>) -> Result<BTreeMap<String, (BuildFile, Vec<u8>)>, Error> {
    if files.is_empty() || files.len() > FILES_MAX {
        return Err(Error::Invalid(format!(
            "a build has 1 to {FILES_MAX} files, and this has {}",
            files.len()
        )));
    }
    let mut manifest = BTreeMap::new();
    for file in files {
        let is_path = file.path.starts_with('/')
            && file.path.len() <= 512
            && !file.path.contains(['\\', '?', '#'])
            && !file.path.chars().any(char::is_control)
            && file.path[1..].split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !is_path {
            return Err(Error::Invalid(format!(
                "`{}` is not a path of a file, like /assets/app.js",
                file.path.chars().take(64).collect::<String>()
            )));
        }
        let entry = BuildFile {
            path: file.path.clone(),
            sha256: HEXLOWER.encode(&Sha256::digest(&file.content)),
            size: u64::try_from(file.content.len()).unwrap_or(u64::MAX),
            content_type: file.content_type,
        };
        if manifest.insert(file.path.clone(), (entry, file.content)).is_some() {
            return Err(Error::Invalid(format!("two files have the path {}", file.path)));
        }
    }
    Ok(manifest)
}

/// `b_` and the beginning of the hash of what the build is: site, paths, contents, types.
fn build_id(site: &SiteName, files: &BTreeMap<String, (BuildFile, Vec<u8>)>) -> Result<BuildId, Error> {
    let mut hash = Sha256::new();
    hash.update(site.as_str());
    for (file, _) in files.values() {
        hash.update(format!("\n{}\0{}\0{}", file.path, file.sha256, file.content_type));
    }
    let id = format!("b_{}", &HEXLOWER.encode(&hash.finalize())[..16]);
    id.parse().map_err(|_| Error::Corrupt {
        what: "build id",
        value: id.clone(),
    })
}

/// Removes the oldest builds beyond the kept ones, and contents that nothing names any more.
async fn sweep(transaction: &Transaction<'_>, site: &SiteName, newest: &BuildId) -> Result<(), Error> {
    transaction
        .execute(
            "DELETE FROM terrace.build WHERE site = $1 AND id <> $2 AND id IS DISTINCT FROM (SELECT current FROM terrace.site WHERE name = $1)
               AND id NOT IN (SELECT id FROM terrace.build WHERE site = $1 ORDER BY created_at DESC LIMIT $3)",
            &[&site.as_str(), &newest.as_str(), &BUILDS_KEPT],
        )
        .await?;
    transaction
        .execute(
            "DELETE FROM terrace.blob b WHERE NOT EXISTS (SELECT FROM terrace.build_file f WHERE f.sha256 = b.sha256)",
            &[],
        )
        .await?;
    Ok(())
}
