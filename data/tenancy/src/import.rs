//! Importing or restoring a tenant, up to its first step: parts come in, the whole is checked, names are taken.
//!
//! Until all of an archive was read once and fits what is deployed here, nothing is written but its
//! parts. What follows is in load.rs.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use terrace_ground_ids::{ArchiveId, Slug, TenantId};
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::Transaction;
use tracing::info;

use crate::{
    Directory, Error, Kind, NewTenant, Running, Step,
    archive::{self, Checked, Manifest},
    change::settled,
    create::{check_name, current, insert},
    export::digest_of,
    lane,
    lifecycle::{Asked, Operation},
    slugs, view,
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

/// A tenant that is to become what an archive of it says.
#[derive(Debug, Clone)]
pub struct NewRestore {
    /// The uploaded archive.
    pub archive: ArchiveId,
    /// The tenant: active or suspended.
    pub tenant: TenantId,
    /// Take the archive of another tenant, too.
    pub force: bool,
    /// The operator who asks.
    pub actor: Option<String>,
}

/// Either of them.
struct Wanted {
    archive: ArchiveId,
    /// The tenant whose place is taken; `None`: it becomes a tenant beside all others.
    of: Option<TenantId>,
    /// Of a restore, made from the tenant's.
    slug: Option<Slug>,
    name: Option<String>,
    plan: Option<String>,
    force: bool,
    actor: Option<String>,
}

/// An import or a restore that runs.
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
    /// The tenant whose place is taken in the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) of: Option<TenantId>,
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
        self.take_in(Wanted {
            archive: new.archive,
            of: None,
            slug: Some(new.slug),
            name: new.name,
            plan: new.plan,
            force: new.force,
            actor: new.actor,
        })
        .await
    }

    /// Brings a tenant back to what an uploaded archive of it says. A tenant is made beside it as an
    /// import makes one ([`Import::tenant`]), and when it was verified the two change places in one
    /// transaction: the tenant keeps its id, its names, its plan and its settings, and what it was
    /// before is kept as the other one, suspended. Until then it is served as it is.
    ///
    /// # Errors
    /// As [`Directory::import_tenant`]; [`Error::Buried`] when the tenant was deleted, [`Error::Running`]
    /// when it is being restored already: nothing was begun.
    pub async fn restore_tenant(self: &Arc<Self>, new: NewRestore) -> Result<Import, Error> {
        self.take_in(Wanted {
            archive: new.archive,
            of: Some(new.tenant),
            slug: None,
            name: None,
            plan: None,
            force: new.force,
            actor: new.actor,
        })
        .await
    }

    async fn take_in(self: &Arc<Self>, new: Wanted) -> Result<Import, Error> {
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

    async fn check_archive(&self, new: &Wanted) -> Result<Manifest, Error> {
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
        if let Some(of) = &new.of
            && *of != manifest.tenant.id
            && !new.force
        {
            return Err(Error::Archive(format!(
                "the archive is of the tenant {} ({}), and not of {of}; force the restore if that is what you want",
                manifest.tenant.id, manifest.tenant.slug
            )));
        }
        let client = self.pool.get().await?;
        let buried = "SELECT tenant FROM terrace.tombstone WHERE tenant = $1 AND NOT $3 OR tenant = $2";
        let of = new.of.as_ref().map(TenantId::as_str);
        let buried = client
            .query_opt(buried, &[&manifest.tenant.id.as_str(), &of, &new.force])
            .await?;
        if let Some(row) = buried {
            return Err(Error::Buried(view::parsed(&row, 0, "tenant id")?));
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

    async fn begin_import(&self, id: &TenantId, new: Wanted, manifest: Manifest) -> Result<Operation, Error> {
        let cluster = match &new.of {
            // They change places by renaming, which is within one database.
            Some(of) => self.cluster_of(of).await?,
            None => {
                let plan = new.plan.as_deref().unwrap_or(&manifest.tenant.plan);
                self.choose_cluster(plan, None).await?
            }
        };
        let lanes = self.lanes(&cluster).await?;
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        let (slug, name, plan) = match (new.of.as_ref(), new.slug) {
            (None, Some(slug)) => (slug, new.name, new.plan),
            (of, _) => {
                let of = of.ok_or_else(|| Error::Invalid("an import needs a slug".to_owned()))?;
                beside(&transaction, of, id).await?
            }
        };
        let tenant = NewTenant {
            slug,
            name: name.unwrap_or_else(|| manifest.tenant.name.clone()),
            plan: plan.unwrap_or_else(|| manifest.tenant.plan.clone()),
            region: None,
            context: None,
            actor: new.actor,
        };
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
        let lane = lane::seat(&transaction, &self.config, &lanes, self.config.lane_size(&tenant.plan)).await?;
        insert(&transaction, id, &tenant, &lane).await?;
        let source = manifest.tenant.id.clone();
        let input = Input {
            archive: new.archive,
            manifest,
            of: new.of,
        };
        let kind = if input.of.is_some() {
            Kind::Restore
        } else {
            Kind::Import
        };
        let asked = Asked {
            actor: tenant.actor.as_deref(),
            context: None,
            input: serde_json::to_value(&input).map_err(|error| Error::corrupt("manifest", error))?,
        };
        let operation = Operation::begin(&transaction, id, kind, Step::Received, asked).await?;
        let evidence = json!({"source": source, "made_at": input.manifest.made_at, "forced": new.force});
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
        info!(tenant.id = %id, "Began the {kind} of a tenant");
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
                    ELSE NOT EXISTS (SELECT FROM terrace.lifecycle l WHERE l.tenant = a.tenant AND l.kind IN ('import', 'restore') AND l.state = 'running') END",
                &[&UPLOAD_HOURS],
            )
            .await?;
        Ok(gone)
    }
}

/// Names and plan for what is made beside a tenant, to take its place: `acme-7f3k9q2m`.
async fn beside(
    transaction: &Transaction<'_>,
    of: &TenantId,
    made: &TenantId,
) -> Result<(Slug, Option<String>, Option<String>), Error> {
    let (slug, name, plan) = settled(transaction, of).await?;
    let row = transaction
        .query_opt(
            "SELECT id, tenant, step FROM terrace.lifecycle WHERE kind = 'restore' AND state = 'running' AND input ->> 'of' = $1",
            &[&of.as_str()],
        )
        .await?;
    if let Some(row) = row {
        let step: &str = row.try_get(2)?;
        return Err(Error::Running(Running {
            operation: row.try_get(0)?,
            kind: Kind::Restore,
            tenant: view::parsed(&row, 1, "tenant id")?,
            step: Step::parse(step).ok_or_else(|| Error::corrupt("step", step))?,
            alive: false,
        }));
    }
    let stem: String = slug.as_str().chars().take(22).collect();
    let beside = format!(
        "{}-{}",
        stem.trim_end_matches('-'),
        made.as_str().trim_start_matches("t_")
    );
    let beside = beside.parse().map_err(|_| Error::corrupt("slug", &beside))?;
    Ok((beside, Some(name), Some(plan)))
}
