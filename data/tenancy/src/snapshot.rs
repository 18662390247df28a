//! What the edge needs to serve without anybody: hosts, sites, builds, files. As JSON, made once per
//! version of the directory.

use std::{collections::BTreeMap, sync::Arc};

use data_encoding::HEXLOWER;
use serde::Serialize;
use sha2::{Digest, Sha256};
use terrace_ground_ids::{BuildId, SiteName, TenantId};

use crate::{BuildFile, Directory, Error, State};

/// The document of `GET /internal/edge/snapshot`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Snapshot {
    of: u64,
    /// The hash of its content: the `ETag`.
    pub version: Arc<str>,
    /// JSON.
    pub body: Arc<[u8]>,
}

#[derive(Serialize)]
struct Document<'a> {
    version: &'a str,
    base_domain: &'a str,
    hosts: BTreeMap<String, Host>,
    sites: BTreeMap<SiteName, Builds>,
    builds: BTreeMap<BuildId, Files>,
}

#[derive(Serialize)]
struct Host {
    site: SiteName,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<TenantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
}

#[derive(Serialize)]
struct Builds {
    current: Option<BuildId>,
    builds: Vec<BuildId>,
}

#[derive(Serialize)]
struct Files {
    site: SiteName,
    files: Vec<BuildFile>,
}

impl Directory {
    /// The snapshot of now. From memory, unless the directory changed since the last one.
    ///
    /// # Errors
    /// When the directory changed and its database is away.
    pub async fn edge_snapshot(&self) -> Result<Snapshot, Error> {
        let view = self.tenants();
        if let Some(made) = &**self.snapshot.load()
            && made.of == view.version()
        {
            return Ok(made.clone());
        }
        let mut hosts: BTreeMap<String, Host> = view
            .iter()
            .filter(|tenant| matches!(tenant.state, State::Active | State::Suspended))
            .map(|tenant| {
                (
                    tenant.host.clone(),
                    Host {
                        site: self.config.tenant_site.clone(),
                        tenant: Some(tenant.id.clone()),
                        state: Some(tenant.state),
                    },
                )
            })
            .collect();
        hosts.insert(
            format!("console.{}", self.config.base_domain),
            Host {
                site: self.config.console_site.clone(),
                tenant: None,
                state: None,
            },
        );
        let mut files = self.build_files().await?;
        let (mut sites, mut builds) = (BTreeMap::new(), BTreeMap::new());
        for site in self.sites().await? {
            for build in &site.builds {
                builds.insert(
                    build.id.clone(),
                    Files {
                        site: site.name.clone(),
                        files: files.remove(&build.id).unwrap_or_default(),
                    },
                );
            }
            sites.insert(
                site.name,
                Builds {
                    current: site.current,
                    builds: site.builds.into_iter().map(|build| build.id).collect(),
                },
            );
        }
        let mut document = Document {
            version: "",
            base_domain: &self.config.base_domain,
            hosts,
            sites,
            builds,
        };
        let version = HEXLOWER.encode(&Sha256::digest(to_json(&document)?)[..16]);
        document.version = &version;
        let snapshot = Snapshot {
            of: view.version(),
            body: to_json(&document)?.into(),
            version: version.into(),
        };
        self.snapshot.store(Arc::new(Some(snapshot.clone())));
        Ok(snapshot)
    }
}

fn to_json(document: &Document<'_>) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(document).map_err(|error| Error::Corrupt {
        what: "snapshot",
        value: error.to_string(),
    })
}
