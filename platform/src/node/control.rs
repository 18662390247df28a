//! The platform as the control plane sees it: the directory, the engine and the meters behind one trait.

mod invoke;
mod releases;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::json;
use terrace_compute_engine::Logs;
use terrace_control::{
    Build, BuildState, CanarySplit, Cluster, ClusterState, DeletedTenant, EdgeSnapshot, Error, Lifecycle, LogFilter,
    LogLines, Meters, NewBuild, NewCluster, NewRelease, NewSetting, NewTenant, OperatorRecord, Placement, Plan,
    Platform, Release, ReleaseDiff, ReleaseFacts, Secret, Service, Setting, SettingRef, Site, Suggestion, Tenant,
    TenantDatabase, TenantRef, TenantSlice, TenantState, UsageFilter, UsageReport,
};
use terrace_data_router::Address;
use terrace_data_tenancy::{self as tenancy, Directory};
use terrace_ground_error::FieldError;
use terrace_ground_ids::{ClusterName, ReleaseId, ServiceName, SiteName, Slug, TenantId};
use terrace_ground_telemetry as telemetry;
use tracing::warn;

use super::{
    database::Databases,
    deployments::Deployments,
    settings::{Settings, kind},
    usage::Metering,
};

/// Most moves that are suggested at once.
const SUGGESTIONS_MAX: usize = 100;

/// What the control plane acts on.
pub(crate) struct Plane {
    pub(super) directory: Arc<Directory>,
    deployments: Arc<Deployments>,
    meters: Arc<telemetry::Meters>,
    logs: Arc<Logs>,
    settings: Arc<Settings>,
    metering: Arc<Metering>,
    databases: Arc<Databases>,
    snapshot: ArcSwapOption<EdgeSnapshot>,
}

impl Plane {
    pub(crate) fn new(
        directory: Arc<Directory>,
        deployments: Arc<Deployments>,
        meters: Arc<telemetry::Meters>,
        logs: Arc<Logs>,
        settings: Arc<Settings>,
        metering: Arc<Metering>,
        databases: Arc<Databases>,
    ) -> Self {
        Self {
            directory,
            deployments,
            meters,
            logs,
            settings,
            metering,
            databases,
            snapshot: ArcSwapOption::empty(),
        }
    }

    pub(super) fn find(&self, reference: &TenantRef) -> Result<Arc<tenancy::Tenant>, Error> {
        let view = self.directory.tenants();
        let found = match reference {
            TenantRef::Id(id) => view.by_id(id),
            TenantRef::Slug(slug) => view.by_slug(slug),
        };
        found
            .cloned()
            .ok_or_else(|| Error::NotFound(format!("There is no tenant `{reference}`.")))
    }

    /// None for a tenant that has no place yet: in the first moments of its creation it is only a name.
    pub(super) fn describe(&self, tenant: &tenancy::Tenant) -> Option<Tenant> {
        let view = self.directory.tenants();
        let schemas = view
            .services()
            .iter()
            .filter(|service| service.current.is_some())
            .map(|service| tenant.id.schema(&service.name))
            .collect();
        let lane = &tenant.placement.as_ref()?.lane;
        Some(Tenant {
            id: tenant.id.clone(),
            slug: tenant.slug.clone(),
            name: tenant.name.clone(),
            plan: tenant.plan.parse().unwrap_or(Plan::Free),
            state: match tenant.state {
                tenancy::State::Creating => TenantState::Creating,
                tenancy::State::Active => TenantState::Active,
                tenancy::State::Suspended => TenantState::Suspended,
                tenancy::State::Deleting => TenantState::Deleting,
            },
            host: tenant.host.clone(),
            placement: Placement {
                cluster: lane.cluster.name.clone(),
                lane: lane.id.clone(),
                schemas,
            },
            created_at: tenant.created_at,
            operation: None,
        })
    }

    fn key_of(&self, setting: &SettingRef) -> Result<tenancy::SettingKey, Error> {
        let tenant = setting.tenant.as_ref().map(|tenant| self.find(tenant)).transpose()?;
        Ok(tenancy::SettingKey {
            kind: kind(setting.kind),
            service: setting.service.clone(),
            name: setting.name.clone(),
            tenant: tenant.map(|tenant| tenant.id.clone()),
        })
    }

    /// The version and the size in bytes of the directory's database; None when it does not answer.
    async fn cluster(&self, name: &ClusterName) -> Result<Cluster, Error> {
        let clusters = self.clusters().await?;
        clusters
            .into_iter()
            .find(|cluster| cluster.name == *name)
            .ok_or_else(|| Error::NotFound(format!("There is no cluster `{name}`.")))
    }

    async fn snapshot(&self) -> Result<Arc<EdgeSnapshot>, Error> {
        let fresh = self.directory.edge_snapshot().await.map_err(refuse)?;
        if let Some(known) = self.snapshot.load_full()
            && known.version == *fresh.version
        {
            return Ok(known);
        }
        let parsed: EdgeSnapshot =
            serde_json::from_slice(&fresh.body).map_err(|error| Error::Internal(error.into()))?;
        let parsed = Arc::new(parsed);
        self.snapshot.store(Some(parsed.clone()));
        Ok(parsed)
    }
}

#[async_trait]
impl Platform for Plane {
    async fn operator(&self, email: &str) -> Result<Option<OperatorRecord>, Error> {
        let found = self.directory.operator(email).await.map_err(refuse)?;
        Ok(found.map(|operator| OperatorRecord {
            email: operator.email,
            name: operator.name,
            password_hash: Secret::new(operator.password_hash),
        }))
    }

    async fn tenants(&self, after: Option<&Slug>, limit: usize) -> Result<TenantSlice, Error> {
        let page = self.directory.list_tenants(after.map(Slug::as_str), limit);
        Ok(TenantSlice {
            tenants: page.items.iter().filter_map(|tenant| self.describe(tenant)).collect(),
            more: page.next.is_some(),
        })
    }

    async fn tenant(&self, tenant: &TenantRef) -> Result<Tenant, Error> {
        let known = self.find(tenant)?;
        let mut shown = self
            .describe(&known)
            .ok_or_else(|| Error::NotFound(format!("There is no tenant `{tenant}`.")))?;
        let running = self.directory.running_operation(&known.id).await.map_err(refuse)?;
        shown.operation = running.map(|running| self.describe_operation(running));
        Ok(shown)
    }

    async fn database(&self, tenant: &TenantRef) -> Result<TenantDatabase, Error> {
        let known = self.find(tenant)?;
        self.databases.show(&known).await.map_err(refuse)
    }

    async fn create_tenant(&self, tenant: NewTenant, operator: &str) -> Result<Tenant, Error> {
        let owner = tenant
            .owner
            .as_ref()
            .map(|owner| json!({ "email": owner.email, "name": owner.name, "password": owner.password.reveal() }));
        let new = tenancy::NewTenant {
            slug: tenant.slug,
            name: tenant.name,
            plan: tenant.plan.as_str().to_owned(),
            region: tenant.region,
            context: owner.map(|owner| json!({ "owner": owner })),
            actor: Some(operator.to_owned()),
        };
        let created = self.directory.create_tenant(new).await.map_err(refuse)?;
        self.describe(&created)
            .ok_or_else(|| Error::Internal("a created tenant has no place".into()))
    }

    async fn delete_tenant(&self, tenant: &TenantRef, operator: &str) -> Result<DeletedTenant, Error> {
        let id = self.find(tenant)?.id.clone();
        self.directory.delete_tenant(&id, operator).await.map_err(refuse)?;
        self.evidence(&TenantRef::Id(id)).await
    }

    fn lifecycle(&self) -> &dyn Lifecycle {
        self
    }

    async fn services(&self) -> Result<Vec<Service>, Error> {
        self.all_services().await
    }

    async fn preview_release(&self, service: &ServiceName, release: &NewRelease) -> Result<ReleaseDiff, Error> {
        self.preview(service, release).await
    }

    async fn create_release(&self, service: &ServiceName, release: NewRelease) -> Result<Release, Error> {
        self.store(service, release).await
    }

    async fn release(&self, service: &ServiceName, release: &ReleaseId) -> Result<ReleaseFacts, Error> {
        self.facts(service, release).await
    }

    async fn activate_release(&self, service: &ServiceName, release: &ReleaseId, by: &str) -> Result<Service, Error> {
        self.activate(service, release, by).await
    }

    async fn rollback(
        &self,
        service: &ServiceName,
        to: Option<&ReleaseId>,
        force: bool,
        by: &str,
    ) -> Result<Service, Error> {
        self.go_back(service, to, force, by).await
    }

    async fn start_canary(
        &self,
        service: &ServiceName,
        release: &ReleaseId,
        to: CanarySplit,
        by: &str,
    ) -> Result<Service, Error> {
        self.give_canary(service, release, to, by).await
    }

    async fn promote_canary(&self, service: &ServiceName, by: &str) -> Result<Service, Error> {
        self.promote(service, by).await
    }

    async fn abort_canary(&self, service: &ServiceName, by: &str) -> Result<Service, Error> {
        self.abort(service, by).await
    }

    async fn invoke(
        &self,
        service: &ServiceName,
        invocation: terrace_control::NewInvocation,
    ) -> Result<terrace_control::InvocationResult, Error> {
        self.by_hand(service, invocation).await
    }

    async fn settings(&self, kind: terrace_control::SettingKind, service: &ServiceName) -> Result<Vec<Setting>, Error> {
        let settings = self.settings.list(kind, service).await.map_err(refuse)?;
        let view = self.directory.tenants();
        Ok(settings
            .into_iter()
            .map(|(setting, value)| Setting {
                name: setting.key.name,
                kind,
                tenant: setting
                    .key
                    .tenant
                    .as_ref()
                    .and_then(|id| view.by_id(id))
                    .map(|tenant| tenant.slug.clone()),
                value,
                updated_at: setting.updated_at,
            })
            .collect())
    }

    async fn put_setting(&self, setting: NewSetting) -> Result<(), Error> {
        let key = self.key_of(&setting.setting)?;
        self.settings.put(&key, setting.value.reveal()).await.map_err(refuse)
    }

    async fn delete_setting(&self, setting: &SettingRef) -> Result<(), Error> {
        let key = self.key_of(setting)?;
        self.directory.delete_setting(&key).await.map_err(refuse)
    }

    async fn sites(&self) -> Result<Vec<Site>, Error> {
        let snapshot = self.snapshot().await?;
        let sites = self.directory.sites().await.map_err(refuse)?;
        Ok(sites.into_iter().map(|site| describe_site(site, &snapshot)).collect())
    }

    async fn create_build(&self, site: &SiteName, build: NewBuild) -> Result<Build, Error> {
        let files: Vec<tenancy::NewFile> = build
            .files
            .into_iter()
            .map(|file| tenancy::NewFile {
                content_type: content_type(&file.path),
                path: file.path,
                content: file.content.to_vec(),
            })
            .collect();
        let (count, size) = (
            files.len() as u64,
            files.iter().map(|file| file.content.len() as u64).sum(),
        );
        let stored = self
            .directory
            .put_build(site, &build.title, files)
            .await
            .map_err(refuse)?;
        self.directory.activate_build(site, &stored.id).await.map_err(refuse)?;
        Ok(Build {
            id: stored.id,
            site: stored.site,
            state: BuildState::Active,
            files: count,
            size_bytes: size,
            created_at: stored.created_at,
        })
    }

    async fn clusters(&self) -> Result<Vec<Cluster>, Error> {
        let facts = self.directory.clusters().await;
        Ok(facts.into_iter().map(describe_cluster).collect())
    }

    async fn add_cluster(&self, cluster: NewCluster) -> Result<Cluster, Error> {
        let address = if cluster.host.starts_with('/') {
            Address::Unix {
                dir: cluster.host.into(),
                port: cluster.port,
            }
        } else {
            Address::Tcp {
                host: cluster.host,
                port: cluster.port,
            }
        };
        let plans = cluster.plans.as_ref();
        let new = tenancy::NewCluster {
            name: cluster.name.clone(),
            address,
            database: cluster.database,
            login: cluster.login,
            region: cluster.region,
            plans: plans.map(|plans| plans.iter().map(|plan| plan.as_str().to_owned()).collect()),
        };
        self.directory.add_cluster(new).await.map_err(|error| match error {
            // Whoever adds it must read why it cannot be reached.
            error @ (tenancy::Error::Connect(_) | tenancy::Error::Query(_) | tenancy::Error::Config(_)) => {
                invalid("/host", error.to_string())
            }
            error => refuse(error),
        })?;
        self.cluster(&cluster.name).await
    }

    async fn drain_cluster(&self, name: &ClusterName, draining: bool) -> Result<Cluster, Error> {
        self.directory.drain_cluster(name, draining).await.map_err(refuse)?;
        self.cluster(name).await
    }

    async fn suggest_moves(&self) -> Result<Vec<Suggestion>, Error> {
        let view = self.directory.tenants();
        let moves = self.directory.suggest_moves(SUGGESTIONS_MAX);
        Ok(moves
            .into_iter()
            .filter_map(|(tenant, from, to)| {
                let slug = view.by_id(&tenant)?.slug.clone();
                Some(Suggestion { tenant, slug, from, to })
            })
            .collect())
    }

    async fn meters(&self) -> Result<Meters, Error> {
        let view = self.directory.tenants();
        let slug_of = |id: &TenantId| view.by_id(id).map(|tenant| tenant.slug.clone());
        Ok(Meters::from_snapshot(self.meters.snapshot(), Timestamp::now(), slug_of))
    }

    async fn logs(&self, filter: &LogFilter) -> Result<LogLines, Error> {
        super::logs::read(&self.logs, &self.directory, filter).await
    }

    async fn usage(&self, filter: &UsageFilter) -> Result<UsageReport, Error> {
        let tenant = match &filter.tenant {
            Some(TenantRef::Id(id)) => Some(id.clone()),
            Some(reference) => Some(self.find(reference)?.id.clone()),
            None => None,
        };
        self.metering.report(filter, tenant).await.map_err(refuse)
    }

    async fn edge_snapshot(&self) -> Result<Arc<EdgeSnapshot>, Error> {
        self.snapshot().await
    }

    async fn blob(&self, sha256: &str) -> Result<Option<Bytes>, Error> {
        Ok(self.directory.blob(sha256).await.map_err(refuse)?.map(Bytes::from))
    }
}

fn describe_site(site: tenancy::Site, snapshot: &EdgeSnapshot) -> Site {
    let current = site.current.clone();
    let describe = |build: tenancy::Build| {
        let files = snapshot
            .builds
            .get(&build.id)
            .map(|build| build.files.as_slice())
            .unwrap_or_default();
        Build {
            state: if current.as_ref() == Some(&build.id) {
                BuildState::Active
            } else {
                BuildState::Retained
            },
            files: files.len() as u64,
            size_bytes: files.iter().map(|file| file.size).sum(),
            id: build.id,
            site: build.site,
            created_at: build.created_at,
        }
    };
    let builds: Vec<Build> = site.builds.into_iter().map(describe).collect();
    let current = builds.iter().find(|build| build.state == BuildState::Active).cloned();
    Site {
        name: site.name,
        title: site.title,
        current,
        builds,
    }
}

fn describe_cluster(facts: tenancy::ClusterFacts) -> Cluster {
    let known = facts.known;
    let plans = known.plans;
    Cluster {
        name: known.place.name.clone(),
        state: if facts.health.is_some() {
            ClusterState::Up
        } else {
            ClusterState::Down
        },
        database: known.place.database.clone(),
        version: facts.health.as_ref().map(|health| health.version.clone()),
        region: known.region,
        plans: plans.map(|plans| plans.iter().filter_map(|plan| plan.parse().ok()).collect()),
        draining: known.draining,
        movable: facts.health.as_ref().map(|health| health.is_logical),
        lanes: facts.lanes,
        tenants: facts.tenants,
        size_bytes: facts.health.map(|health| health.size_bytes),
    }
}

/// By the file's extension; text is UTF-8.
fn content_type(path: &str) -> String {
    let guessed = mime_guess::from_path(path).first_or_octet_stream();
    let text = guessed.type_() == mime_guess::mime::TEXT
        || matches!(guessed.subtype().as_str(), "javascript" | "json" | "svg");
    if text {
        format!("{guessed}; charset=utf-8")
    } else {
        guessed.to_string()
    }
}

fn invalid(pointer: &str, detail: impl Into<String>) -> Error {
    Error::Invalid(vec![FieldError {
        pointer: pointer.to_owned(),
        detail: detail.into(),
    }])
}

pub(super) fn refuse(error: tenancy::Error) -> Error {
    match error {
        tenancy::Error::SlugTaken(_)
        | tenancy::Error::Busy { .. }
        | tenancy::Error::Running(_)
        | tenancy::Error::Limit(_)
        | tenancy::Error::Buried(_)
        | tenancy::Error::NotReady { .. } => Error::Conflict(error.to_string()),
        // Operators run the services; what one said is theirs to read.
        tenancy::Error::Hook { .. } => Error::Conflict(format!(
            "{error}; it is tried again by itself, and `terrace tenant operations` shows how it stands"
        )),
        tenancy::Error::Archive(message) => Error::Invalid(vec![FieldError {
            pointer: "/archive".to_owned(),
            detail: message,
        }]),
        tenancy::Error::Unknown { .. } => Error::NotFound(error.to_string()),
        tenancy::Error::Lag(message) => Error::Unavailable(message),
        tenancy::Error::Invalid(message) => invalid("", message),
        tenancy::Error::Connect(_) => Error::Unavailable(error.to_string()),
        other => {
            warn!("The control plane failed: {other}");
            Error::Internal(Box::new(other))
        }
    }
}
