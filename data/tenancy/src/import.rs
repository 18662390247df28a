//! Importing a tenant, up to its first step: parts come in, the whole is checked, names are taken.
//!
//! Until all of an archive was read once and fits what is deployed here, nothing is written but its
//! parts. What follows is in load.rs.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use terrace_ground_ids::{ArchiveId, Slug, TenantId};
use tokio::sync::{mpsc, oneshot};
use tracing::info;

use crate::{
    Directory, Error, Kind, NewTenant, Step,
    archive::{self, Checked, Manifest},
    create::{check_name, current, insert},
    export::digest_of,
    lane,
    lifecycle::{Asked, Operation},
    slugs,
};

/// Largest part of an upload, in bytes.
pub const ARCHIVE_PART_BYTES_MAX: usize = 4 << 20;
/// Uploads that were begun and are not being imported.
const UPLOADS_MAX: i64 = 16;
/// Hours after which an upload that nobody imported is forgotten.
const UPLOAD_HOURS: i32 = 24;

/// A tenant that is to be made from an archive.
#[derive(Debug, Clone)]
pub struct NewImport {
    /// The uploaded archive.
    pub archive: ArchiveId,
    /// The first label of its host.
    pub slug: Slug,
    /// The name that people see; the archive's when absent.
    pub name: Option<String>,
    /// What it pays for; what the archive's tenant paid for when absent.
    pub plan: Option<String>,
    /// Bring back a tenant that was deleted here.
    pub force: bool,
    /// The operator who asks.
    pub actor: Option<String>,
}

/// An import that runs.
pub struct Import {
    /// The tenant that is being made.
    pub tenant: TenantId,
    /// How it ends. Need not be waited for.
    pub end: tokio::task::JoinHandle<Result<(), Error>>,
}

/// What an import must know after a crash.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Input {
    pub(crate) archive: ArchiveId,
    pub(crate) manifest: Manifest,
}

impl Directory {
    /// Makes room for an archive that comes in parts.
    ///
    /// # Errors
    /// [`Error::Limit`] when too many others wait.
    pub async fn begin_archive(&self) -> Result<ArchiveId, Error> {
        let client = self.pool.get().await?;
        let id = ArchiveId::random();
        let begun = client
            .execute(
                "INSERT INTO terrace.archive (id) SELECT $1 WHERE (SELECT count(*) FROM terrace.archive WHERE tenant IS NULL) < $2::bigint",
                &[&id.as_str(), &UPLOADS_MAX],
            )
            .await?;
        if begun == 0 {
            return Err(Error::Limit(format!(
                "{UPLOADS_MAX} uploaded archives wait to be imported, which is the limit; each is forgotten after {UPLOAD_HOURS} hours"
            )));
        }
        Ok(id)
    }

    /// Takes one part, counted from 0. The same number again replaces it, so an upload may be resumed.
    ///
    /// # Errors
    /// [`Error::Unknown`]: there is no such upload, or it is being imported. [`Error::Limit`].
    pub async fn put_archive_part(&self, archive: &ArchiveId, number: u32, content: Bytes) -> Result<(), Error> {
        if content.len() > ARCHIVE_PART_BYTES_MAX {
            return Err(Error::Limit(format!(
                "a part of an archive may have {} MiB",
                ARCHIVE_PART_BYTES_MAX >> 20
            )));
        }
        let limit = self.config.archive_max_mib << 20;
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        transaction
            .query_opt(
                "SELECT FROM terrace.archive WHERE id = $1 AND tenant IS NULL FOR UPDATE",
                &[&archive.as_str()],
            )
            .await?
            .ok_or_else(|| Error::unknown("archive that is being uploaded", archive))?;
        transaction
            .execute(
                "INSERT INTO terrace.archive_part (archive, number, content) VALUES ($1, $2, $3)
                 ON CONFLICT (archive, number) DO UPDATE SET content = excluded.content",
                &[
                    &archive.as_str(),
                    &i32::try_from(number).unwrap_or(i32::MAX),
                    &&*content,
                ],
            )
            .await?;
        let size: i64 = transaction
            .query_one(
                "SELECT coalesce(sum(octet_length(content)), 0)::bigint FROM terrace.archive_part WHERE archive = $1",
                &[&archive.as_str()],
            )
            .await?
            .try_get(0)?;
        if u64::try_from(size).unwrap_or(u64::MAX) > limit {
            return Err(Error::Limit(format!(
                "an archive may have {} MiB here; the limit is `archive_max_mib`",
                limit >> 20
            )));
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Makes a new tenant from an uploaded archive. Returns as soon as the archive was checked and the
    /// tenant's names are taken; the rest goes on here, and `resume` takes it up after a crash.
    ///
    /// # Errors
    /// [`Error::Archive`], [`Error::Buried`], [`Error::SlugTaken`], [`Error::Unknown`]: nothing was begun.
    pub async fn import_tenant(self: &Arc<Self>, new: NewImport) -> Result<Import, Error> {
        let manifest = self.check_archive(&new).await?;
        let directory = self.clone();
        let tenant = TenantId::random();
        let id = tenant.clone();
        let (begun, is_begun) = oneshot::channel();
        let end = tokio::spawn(async move {
            let mut begun = Some(begun);
            let begin = async {
                let operation = directory.begin_import(&id, new, manifest).await?;
                if let Some(begun) = begun.take() {
                    drop(begun.send(Ok(())));
                }
                Ok(Some(operation))
            };
            match (directory.operate(&id, begin).await, begun) {
                (Err(error), Some(begun)) => {
                    drop(begun.send(Err(error)));
                    Ok(())
                }
                (outcome, _) => outcome,
            }
        });
        match is_begun.await {
            Ok(outcome) => outcome.map(|()| Import { tenant, end }),
            Err(_) => Err(Error::Stopped {
                step: "unknown",
                message: "the import ended before it began".to_owned(),
            }),
        }
    }

    async fn check_archive(&self, new: &NewImport) -> Result<Manifest, Error> {
        if let Some(name) = &new.name {
            check_name(name)?;
        }
        let Checked { manifest } = archive::check(archive::entries(self.parts(&new.archive))).await?;
        check_name(&manifest.tenant.name).map_err(|error| Error::Archive(error.to_string()))?;
        if digest_of(&manifest) != manifest.digest {
            return Err(Error::Archive(
                "the manifest's digest is not that of its tables".to_owned(),
            ));
        }
        self.fits(&manifest).await?;
        let client = self.pool.get().await?;
        let buried = client
            .query_opt(
                "SELECT FROM terrace.tombstone WHERE tenant = $1",
                &[&manifest.tenant.id.as_str()],
            )
            .await?;
        if buried.is_some() && !new.force {
            return Err(Error::Buried(manifest.tenant.id));
        }
        let there = client
            .query_opt("SELECT FROM terrace.archive WHERE id = $1", &[&new.archive.as_str()])
            .await?;
        there.ok_or_else(|| Error::unknown("archive", &new.archive))?;
        Ok(manifest)
    }

    /// That every service of the archive is served here, by a release that came from the same
    /// migrations and is not older.
    pub(crate) async fn fits(&self, manifest: &Manifest) -> Result<(), Error> {
        let client = self.pool.get().await?;
        let current = current(&**client).await?;
        drop(client);
        for service in &manifest.services {
            let name = &service.name;
            let release = current
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, release)| release);
            let Some(release) = release else {
                return Err(Error::Archive(format!(
                    "the archive has data of the service `{name}`, which is not deployed here: deploy it first"
                )));
            };
            let migrations = self.migrations_of(release).await?;
            for (index, applied) in service.migrations.iter().enumerate() {
                match migrations.list().get(index) {
                    None => {
                        return Err(Error::Archive(format!(
                            "the archive's `{name}` is at migration {}, and the release that is served here ends at {}: activate a newer release of `{name}` first",
                            service.migrations.len(),
                            migrations.head()
                        )));
                    }
                    Some(here) if here.sha256 != applied.sha256 || here.number != applied.number => {
                        return Err(Error::Archive(format!(
                            "migration {} of `{name}` is another one here ({}) than in the archive ({}): it is another service of the same name",
                            applied.number, here.name, applied.name
                        )));
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }

    async fn begin_import(&self, id: &TenantId, new: NewImport, manifest: Manifest) -> Result<Operation, Error> {
        let tenant = NewTenant {
            slug: new.slug,
            name: new.name.unwrap_or_else(|| manifest.tenant.name.clone()),
            plan: new.plan.unwrap_or_else(|| manifest.tenant.plan.clone()),
            context: None,
            actor: new.actor,
        };
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        let free = transaction
            .execute(
                "UPDATE terrace.archive SET tenant = $2 WHERE id = $1 AND tenant IS NULL",
                &[&new.archive.as_str(), &id.as_str()],
            )
            .await?;
        if free == 0 {
            return Err(Error::Archive(
                "the archive is being imported already; upload it again for another tenant".to_owned(),
            ));
        }
        slugs::take(&transaction, &tenant.slug, id).await?;
        let lane = lane::seat(&transaction, &self.config).await?;
        insert(&transaction, id, &tenant, &lane).await?;
        let source = manifest.tenant.id.clone();
        let input = Input {
            archive: new.archive,
            manifest,
        };
        let asked = Asked {
            actor: tenant.actor.as_deref(),
            context: None,
            input: serde_json::to_value(&input).map_err(|error| Error::corrupt("manifest", error))?,
        };
        let operation = Operation::begin(&transaction, id, Kind::Import, Step::Received, asked).await?;
        let evidence = json!({"source": source, "forced": new.force});
        transaction
            .execute(
                "UPDATE terrace.lifecycle SET evidence = $2::text::jsonb WHERE id = $1",
                &[&operation.id, &evidence.to_string()],
            )
            .await?;
        transaction.commit().await?;
        drop(client);
        // So that it can be shown while it is made.
        self.refresh().await?;
        info!(tenant.id = %id, "Began to import a tenant");
        Ok(operation)
    }

    /// The parts of an archive, one after the other.
    pub(crate) fn parts(&self, archive: &ArchiveId) -> mpsc::Receiver<Result<Bytes, Error>> {
        let (sender, receiver) = mpsc::channel(1);
        let (pool, archive) = (self.pool.clone(), archive.clone());
        tokio::spawn(async move {
            for number in 0_i32.. {
                let part = async {
                    let client = pool.get().await?;
                    let row = client
                        .query_opt(
                            "SELECT content FROM terrace.archive_part WHERE archive = $1 AND number = $2",
                            &[&archive.as_str(), &number],
                        )
                        .await?;
                    Ok::<_, Error>(row.map(|row| row.try_get::<_, Vec<u8>>(0)).transpose()?)
                };
                let sent = match part.await {
                    Ok(None) => return,
                    Ok(Some(content)) => sender.send(Ok(content.into())).await,
                    Err(error) => sender.send(Err(error)).await,
                };
                if sent.is_err() {
                    return;
                }
            }
        });
        receiver
    }

    /// Removes archives that nobody will import: uploads that were left, and what a finished import
    /// could not remove any more. Now and then, on every node.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn forget_archives(&self) -> Result<u64, Error> {
        let client = self.pool.get().await?;
        let gone = client
            .execute(
                "DELETE FROM terrace.archive a WHERE CASE WHEN a.tenant IS NULL THEN a.created_at < now() - $1::integer * interval '1 hour'
                    ELSE NOT EXISTS (SELECT FROM terrace.lifecycle l WHERE l.tenant = a.tenant AND l.kind = 'import' AND l.state = 'running') END",
                &[&UPLOAD_HOURS],
            )
            .await?;
        Ok(gone)
    }
}
