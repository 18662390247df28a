//! Releases of services: uploaded whole, never changed, found again by content.

use std::fmt;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use terrace_data_migrate::{File, Migrations};
use terrace_data_objects::Hash;
use terrace_ground_ids::{ReleaseId, ServiceName};
use tokio_postgres::Row;

use crate::{Directory, Error, Service, retention::STORING, view};

/// A bundle that is uploaded.
#[derive(Debug, Clone)]
pub struct NewRelease {
    /// The service; it is made when it is new.
    pub service: ServiceName,
    /// The name that people see.
    pub title: String,
    /// What the manifest asks for.
    pub capabilities: Vec<String>,
    /// `service.toml`, as it came.
    pub manifest: String,
    /// `openapi.json`, as it came.
    pub contract: String,
    /// `migrations/*.sql`.
    pub migrations: Vec<File>,
    /// `service.wasm`.
    pub component: Vec<u8>,
    /// The interfaces that the component imports.
    pub imports: Vec<String>,
    /// Whoever uploads it: an operator's address.
    pub uploaded_by: String,
}

/// What became of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReleaseState {
    /// There, and never served.
    Uploaded,
    /// The one that is served.
    Active,
    /// Served to some tenants.
    Canary,
    /// Was served, and can be again.
    Retained,
    /// Its activation failed, or it used up its error budget.
    Failed,
}

impl ReleaseState {
    /// `uploaded`, `active`, `canary`, `retained`, `failed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uploaded => "uploaded",
            Self::Active => "active",
            Self::Canary => "canary",
            Self::Retained => "retained",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for ReleaseState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One release, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its id.
    pub id: ReleaseId,
    /// Its service.
    pub service: ServiceName,
    /// What became of it.
    pub state: ReleaseState,
    /// Of the whole bundle, hexadecimal.
    pub sha256: String,
    /// Of the component, in bytes.
    pub size_bytes: u64,
    /// What the manifest asks for.
    pub capabilities: Vec<String>,
    /// Of the component alone; `None` for releases of an older version of this program.
    pub component_sha256: Option<String>,
    /// The interfaces that the component imports.
    pub imports: Vec<String>,
    /// Who uploaded it.
    pub uploaded_by: String,
    /// Why its activation failed, or why it was taken away.
    pub error: Option<String>,
    /// When it was uploaded.
    pub created_at: Timestamp,
}

/// One release with its texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseFacts {
    /// The release.
    pub release: Release,
    /// `service.toml`.
    pub manifest: String,
    /// `openapi.json`.
    pub contract: String,
    /// The migrations, in order.
    pub migrations: Vec<File>,
}

const COLUMNS: &str =
    "id, service, state, sha256, size_bytes, capabilities, error, (extract(epoch FROM created_at) * 1000000)::bigint,
    component_sha256, imports, uploaded_by";

impl Directory {
    /// Stores a bundle. The same bundle a second time is the same release.
    ///
    /// # Errors
    /// [`Error::Migrate`] when the guard refuses a migration; [`Error::Invalid`] for a reserved name.
    pub async fn put_release(&self, new: NewRelease) -> Result<Release, Error> {
        if new.service.as_str() == "owner" || new.service.as_str() == "control" || new.service.as_str() == "events" {
            // `owner` would be the owner role's name; the other two are paths of the platform.
            return Err(Error::Invalid(format!("a service may not be called `{}`", new.service)));
        }
        // The release keeps them in order, so that a reader need not sort.
        let checked = Migrations::read(&new.service, &new.migrations)?;
        let mut files = new.migrations;
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let migrations = written(&files);
        let sha256 = bundle_hash(&new.manifest, &new.contract, &files, &new.component);
        let size = i64::try_from(new.component.len()).unwrap_or(i64::MAX);
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        // The object first, then the row that refers to it; no sweep comes between the two.
        transaction.execute(STORING, &[]).await?;
        let component = self.objects.put(new.component.into()).await?;
        transaction
            .execute("INSERT INTO terrace.service (name, title) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET title = excluded.title", &[&new.service.as_str(), &new.title])
            .await?;
        let there = transaction
            .query_opt(
                &format!("SELECT {COLUMNS} FROM terrace.release WHERE service = $1 AND sha256 = $2"),
                &[&new.service.as_str(), &sha256],
            )
            .await?;
        let row = match there {
            Some(row) => row,
            None => {
                let insert = format!(
                    "INSERT INTO terrace.release (id, service, state, sha256, size_bytes, capabilities, manifest, contract, migrations, component_sha256, imports, uploaded_by)
                     VALUES ($1, $2, 'uploaded', $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING {COLUMNS}"
                );
                let id = ReleaseId::random();
                transaction
                    .query_one(
                        &insert,
                        &[
                            &id.as_str(),
                            &new.service.as_str(),
                            &sha256,
                            &size,
                            &new.capabilities,
                            &new.manifest,
                            &new.contract,
                            &migrations,
                            &component.as_str(),
                            &new.imports,
                            &new.uploaded_by,
                        ],
                    )
                    .await?
            }
        };
        transaction.execute("SELECT terrace.bump()", &[]).await?;
        transaction.commit().await?;
        drop(client);
        let release = release(&row)?;
        self.migrations_lock().insert(release.id.clone(), checked);
        self.refresh().await?;
        Ok(release)
    }

    /// Every service with its releases, the newest first.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn services(&self) -> Result<Vec<(Service, Vec<Release>)>, Error> {
        let client = self.pool.get().await?;
        let rows = client
            .query(
                &format!("SELECT {COLUMNS} FROM terrace.release ORDER BY created_at DESC, id"),
                &[],
            )
            .await?;
        let releases = rows.iter().map(release).collect::<Result<Vec<_>, _>>()?;
        let rows = client
            .query(
                &format!("SELECT {} FROM terrace.service ORDER BY name", view::SERVICE_COLUMNS),
                &[],
            )
            .await?;
        let mut services = Vec::with_capacity(rows.len());
        for row in &rows {
            let service = view::service(row)?;
            let own = releases
                .iter()
                .filter(|release| release.service == service.name)
                .cloned()
                .collect();
            services.push((service, own));
        }
        Ok(services)
    }

    /// One release with its manifest, contract and migrations.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub async fn release(&self, id: &ReleaseId) -> Result<ReleaseFacts, Error> {
        let found = self.releases_by_id(std::slice::from_ref(id)).await?.pop();
        found.ok_or_else(|| Error::unknown("release", id))
    }

    /// Those of the releases that exist, in no order, in one query.
    ///
    /// # Errors
    /// When the database is away, or a row cannot be read.
    pub async fn releases_by_id(&self, ids: &[ReleaseId]) -> Result<Vec<ReleaseFacts>, Error> {
        let ids: Vec<&str> = ids.iter().map(ReleaseId::as_str).collect();
        let client = self.pool.get().await?;
        let columns =
            format!("SELECT {COLUMNS}, manifest, contract, migrations FROM terrace.release WHERE id = ANY($1)");
        let rows = client.query(&columns, &[&ids]).await?;
        rows.iter().map(facts).collect()
    }

    /// The component of a release, as it was uploaded: its bytes are hashed again before they are
    /// given out.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Objects`].
    pub async fn component(&self, id: &ReleaseId) -> Result<Bytes, Error> {
        let client = self.pool.get().await?;
        let row = client
            .query_opt(
                "SELECT component_sha256, component FROM terrace.release WHERE id = $1",
                &[&id.as_str()],
            )
            .await?
            .ok_or_else(|| Error::unknown("release", id))?;
        drop(client);
        let hash: Option<&str> = row.try_get(0)?;
        match hash {
            Some(hash) => Ok(self.objects.get(&Hash::parse(hash)?).await?),
            // Uploaded before there was an object store.
            None => Ok(row.try_get::<_, Vec<u8>>(1)?.into()),
        }
    }
}

/// The hash of a whole bundle: two with the same one are one release.
pub fn bundle_hash(manifest: &str, contract: &str, migrations: &[File], component: &[u8]) -> String {
    let mut files = migrations.to_vec();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let migrations = written(&files);
    let mut hash = Sha256::new();
    for part in [
        manifest.as_bytes(),
        contract.as_bytes(),
        migrations.as_bytes(),
        component,
    ] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(part);
    }
    HEXLOWER.encode(&hash.finalize())
}

/// As the column `migrations` holds them.
fn written(files: &[File]) -> String {
    let list: Vec<_> = files
        .iter()
        .map(|file| json!({"name": file.name, "sql": file.sql}))
        .collect();
    json!(list).to_string()
}

fn release(row: &Row) -> Result<Release, Error> {
    let state: &str = row.try_get(2)?;
    Ok(Release {
        id: view::parsed(row, 0, "release id")?,
        service: view::parsed(row, 1, "service name")?,
        state: [
            ReleaseState::Uploaded,
            ReleaseState::Active,
            ReleaseState::Canary,
            ReleaseState::Retained,
            ReleaseState::Failed,
        ]
        .into_iter()
        .find(|known| known.as_str() == state)
        .ok_or_else(|| Error::Corrupt {
            what: "state of a release",
            value: state.to_owned(),
        })?,
        sha256: row.try_get(3)?,
        size_bytes: u64::try_from(row.try_get::<_, i64>(4)?).unwrap_or(0),
        capabilities: row.try_get(5)?,
        error: row.try_get(6)?,
        created_at: Timestamp::from_microsecond(row.try_get(7)?).unwrap_or_default(),
        component_sha256: row.try_get(8)?,
        imports: row.try_get(9)?,
        uploaded_by: row.try_get(10)?,
    })
}

fn facts(row: &Row) -> Result<ReleaseFacts, Error> {
    #[derive(Deserialize)]
    struct Stored {
        name: String,
        sql: String,
    }
    let release = release(row)?;
    let migrations: &str = row.try_get(13)?;
    let stored: Vec<Stored> = serde_json::from_str(migrations).map_err(|_| Error::Corrupt {
        what: "list of migrations",
        value: release.id.to_string(),
    })?;
    Ok(ReleaseFacts {
        release,
        manifest: row.try_get(11)?,
        contract: row.try_get(12)?,
        migrations: stored
            .into_iter()
            .map(|file| File {
                name: file.name,
                sql: file.sql,
            })
            .collect(),
    })
}
