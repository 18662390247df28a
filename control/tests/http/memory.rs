//! A platform in memory: enough to see what the API does with it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use terrace_control::{
    Asked, Build, BuildState, CanarySplit, Cluster, ClusterState, ContractChange, DeletedTenant, EdgeSnapshot, Error,
    InvocationResult, Lifecycle, LogFilter, LogLines, Meters, NewBuild, NewCluster, NewInvocation, NewMigrationStep,
    NewRelease, NewSetting, NewTenant, OperatorRecord, Placement, Platform, Release, ReleaseDiff, ReleaseFacts,
    ReleaseState, Secret, Service, Setting, SettingKind, SettingRef, Site, SlowStatement, StatementCounts, Suggestion,
    Tenant, TenantConnections, TenantDatabase, TenantRef, TenantSlice, TenantState, UsageFilter, UsageReport,
};
use terrace_ground_ids::{ClusterName, LaneId, ReleaseId, RequestId, ServiceName, SiteName, Slug, TenantId};
use terrace_ground_telemetry::Meters as NodeMeters;

use crate::{EMAIL, PASSWORD};

pub(crate) struct Memory {
    operator: OperatorRecord,
    pub(crate) tenants: Mutex<BTreeMap<Slug, Tenant>>,
    pub(crate) parts: Mutex<BTreeMap<u32, Bytes>>,
    settings: Mutex<Vec<Setting>>,
    meters: NodeMeters,
}

impl Memory {
    pub(crate) fn new() -> Self {
        let password_hash = Secret::new(terrace_control::hash_password(PASSWORD).unwrap());
        let operator = OperatorRecord {
            email: EMAIL.to_owned(),
            name: "Olga".to_owned(),
            password_hash,
        };
        Self {
            operator,
            tenants: Mutex::default(),
            parts: Mutex::default(),
            settings: Mutex::default(),
            meters: NodeMeters::default(),
        }
    }
}

fn is(tenant: &Tenant, reference: &TenantRef) -> bool {
    match reference {
        TenantRef::Id(id) => &tenant.id == id,
        TenantRef::Slug(slug) => &tenant.slug == slug,
    }
}

fn release(service: &ServiceName, size_bytes: usize) -> Release {
    Release {
        id: ReleaseId::random(),
        service: service.clone(),
        state: ReleaseState::Active,
        size_bytes: size_bytes as u64,
        sha256: "0".repeat(64),
        capabilities: vec!["sql".to_owned()],
        uploaded_by: EMAIL.to_owned(),
        error: None,
        created_at: Timestamp::now(),
    }
}

#[async_trait]
impl Platform for Memory {
    async fn operator(&self, email: &str) -> Result<Option<OperatorRecord>, Error> {
        Ok((email == self.operator.email).then(|| self.operator.clone()))
    }

    async fn tenants(&self, after: Option<&Slug>, limit: usize) -> Result<TenantSlice, Error> {
        let tenants = self.tenants.lock().unwrap();
        let mut rest = tenants
            .values()
            .filter(|tenant| after.is_none_or(|after| tenant.slug > *after))
            .cloned();
        let tenants = rest.by_ref().take(limit).collect();
        Ok(TenantSlice {
            tenants,
            more: rest.next().is_some(),
        })
    }

    async fn tenant(&self, tenant: &TenantRef) -> Result<Tenant, Error> {
        let tenants = self.tenants.lock().unwrap();
        let found = tenants.values().find(|each| is(each, tenant)).cloned();
        found.ok_or_else(|| Error::NotFound(format!("There is no tenant `{tenant}`.")))
    }

    async fn database(&self, tenant: &TenantRef) -> Result<TenantDatabase, Error> {
        let Tenant { placement, .. } = self.tenant(tenant).await?;
        Ok(TenantDatabase {
            at: Timestamp::now(),
            cluster: placement.cluster,
            size_bytes: 8_192,
            index_bytes: 0,
            exact: true,
            live_rows: 0,
            dead_rows: 0,
            cache_hit_ratio: None,
            longest_transaction_ms: None,
            lock_waits: Vec::new(),
            schemas: Vec::new(),
            connections: TenantConnections {
                in_flight: 0,
                waiting: 0,
                lane_in_use: 0,
                lane_idle: 0,
                lane_limit: 8,
            },
            counts: StatementCounts {
                statements: 1,
                failures: 0,
                refused: 0,
                lock_timeouts: 0,
                timeouts: 0,
                conflicts: 0,
            },
            statements: vec![SlowStatement {
                service: "tasks".parse().unwrap(),
                fingerprint: "50fde20626009aba".to_owned(),
                text: "SELECT $1".to_owned(),
                calls: 1,
                failures: 0,
                total_ms: 0.5,
                mean_ms: 0.5,
                max_ms: 0.5,
            }],
            other_calls: 0,
            other_ms: 0.0,
        })
    }

    async fn create_tenant(&self, new: NewTenant, _: &str) -> Result<Tenant, Error> {
        if new.slug.as_str() == "broken" {
            return Err(Error::Internal("password=hunter2 in a connection string".into()));
        }
        if new.slug.as_str() == "offline" {
            return Err(Error::Unavailable("connection refused to /var/run/secret".to_owned()));
        }
        let mut tenants = self.tenants.lock().unwrap();
        if tenants.contains_key(&new.slug) {
            return Err(Error::Conflict(format!("The slug `{}` is taken.", new.slug)));
        }
        let tenant = Tenant {
            id: TenantId::random(),
            host: format!("{}.localhost", new.slug),
            slug: new.slug.clone(),
            name: new.name,
            plan: new.plan,
            state: TenantState::Active,
            placement: Placement {
                cluster: "main".parse().unwrap(),
                lane: LaneId::random(),
                schemas: Vec::new(),
            },
            created_at: Timestamp::now(),
            operation: None,
        };
        tenants.insert(new.slug, tenant.clone());
        Ok(tenant)
    }

    async fn delete_tenant(&self, tenant: &TenantRef, _: &str) -> Result<DeletedTenant, Error> {
        let Tenant { id, slug, .. } = self.tenant(tenant).await?;
        self.tenants.lock().unwrap().remove(&slug);
        Ok(DeletedTenant {
            id,
            deleted_at: Timestamp::now(),
            deleted_by: None,
            evidence: serde_json::json!({"rows": 3, "left": 0}),
        })
    }

    fn lifecycle(&self) -> &dyn Lifecycle {
        self
    }

    async fn services(&self) -> Result<Vec<Service>, Error> {
        let names = ["billing", "identity", "tasks"];
        let service = |name: &str| Service {
            name: name.parse().unwrap(),
            title: name.to_owned(),
            current: None,
            previous: None,
            canary: None,
            releases: Vec::new(),
            history: Vec::new(),
        };
        Ok(names.map(service).into())
    }

    /// A manifest with a comment that says so breaks clients, or asks for more.
    async fn preview_release(&self, _: &ServiceName, new: &NewRelease) -> Result<ReleaseDiff, Error> {
        let mut diff = ReleaseDiff {
            against: Some(ReleaseId::random()),
            ..ReleaseDiff::default()
        };
        if new.manifest.contains("# breaks") {
            diff.breaking = true;
            diff.contract.push(ContractChange {
                breaking: true,
                place: "GET /api/tasks/boards".to_owned(),
                detail: "the operation is gone".to_owned(),
            });
        }
        if new.manifest.contains("# asks") {
            diff.asks.push(Asked {
                kind: "capability".to_owned(),
                name: "http".to_owned(),
            });
        }
        for (says, taken, waits) in [
            ("# takes", vec!["drops `a.b`"], vec![]),
            ("# waits", vec![], vec!["rewrites `a`: do not"]),
        ] {
            if new.manifest.contains(says) {
                let owned = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect();
                diff.migrations.push(NewMigrationStep {
                    name: "0002_a".to_owned(),
                    takes_away: owned(taken),
                    makes_wait: owned(waits),
                });
            }
        }
        Ok(diff)
    }

    async fn create_release(&self, service: &ServiceName, new: NewRelease) -> Result<Release, Error> {
        assert_eq!(new.uploaded_by, EMAIL, "a release knows who uploaded it");
        Ok(release(service, new.component.len()))
    }

    async fn release(&self, _: &ServiceName, release: &ReleaseId) -> Result<ReleaseFacts, Error> {
        Err(Error::NotFound(format!("There is no release `{release}`.")))
    }

    async fn activate_release(&self, service: &ServiceName, id: &ReleaseId, _: &str) -> Result<Service, Error> {
        let current = Release {
            id: id.clone(),
            ..release(service, 8)
        };
        Ok(Service {
            name: service.clone(),
            title: service.to_string(),
            current: Some(current.clone()),
            previous: None,
            canary: None,
            releases: vec![current],
            history: Vec::new(),
        })
    }

    async fn rollback(
        &self,
        service: &ServiceName,
        to: Option<&ReleaseId>,
        _: bool,
        by: &str,
    ) -> Result<Service, Error> {
        match to {
            Some(to) => self.activate_release(service, to, by).await,
            None => Err(Error::Conflict("No release was served before this one.".to_owned())),
        }
    }

    async fn start_canary(
        &self,
        service: &ServiceName,
        id: &ReleaseId,
        _: CanarySplit,
        by: &str,
    ) -> Result<Service, Error> {
        self.activate_release(service, id, by).await
    }

    async fn promote_canary(&self, service: &ServiceName, _: &str) -> Result<Service, Error> {
        Err(Error::Conflict(format!("{service} has no canary.")))
    }

    async fn abort_canary(&self, service: &ServiceName, _: &str) -> Result<Service, Error> {
        Err(Error::Conflict(format!("{service} has no canary.")))
    }

    async fn invoke(&self, _: &ServiceName, new: NewInvocation) -> Result<InvocationResult, Error> {
        let mut result = InvocationResult::answered(None, RequestId::random(), Duration::ZERO);
        result.status = 200;
        result
            .headers
            .push(("x-caller".to_owned(), format!("{:?}", new.caller)));
        Ok(result)
    }

    async fn settings(&self, kind: SettingKind, _: &ServiceName) -> Result<Vec<Setting>, Error> {
        let settings = self.settings.lock().unwrap();
        Ok(settings
            .iter()
            .filter(|setting| setting.kind == kind)
            .cloned()
            .collect())
    }

    async fn put_setting(&self, new: NewSetting) -> Result<(), Error> {
        let tenant = match &new.setting.tenant {
            Some(tenant) => Some(self.tenant(tenant).await?.slug),
            None => None,
        };
        let is_plain = new.setting.kind == SettingKind::Config;
        self.settings.lock().unwrap().push(Setting {
            name: new.setting.name,
            kind: new.setting.kind,
            tenant,
            value: is_plain.then(|| new.value.reveal().to_owned()),
            updated_at: Timestamp::now(),
        });
        Ok(())
    }

    async fn delete_setting(&self, setting: &SettingRef) -> Result<(), Error> {
        let mut settings = self.settings.lock().unwrap();
        let at = settings
            .iter()
            .position(|each| each.name == setting.name && each.kind == setting.kind);
        let at = at.ok_or_else(|| Error::NotFound(format!("There is no `{}`.", setting.name)))?;
        settings.remove(at);
        Ok(())
    }

    async fn sites(&self) -> Result<Vec<Site>, Error> {
        Ok(Vec::new())
    }

    async fn create_build(&self, site: &SiteName, build: NewBuild) -> Result<Build, Error> {
        Ok(Build {
            id: "b_0123456789abcdef".parse().unwrap(),
            site: site.clone(),
            state: BuildState::Active,
            files: build.files.len() as u64,
            size_bytes: build.files.iter().map(|file| file.content.len() as u64).sum(),
            created_at: Timestamp::now(),
        })
    }

    async fn clusters(&self) -> Result<Vec<Cluster>, Error> {
        let name = "main".parse().unwrap();
        Ok(vec![Cluster {
            name,
            state: ClusterState::Down,
            database: "terrace".to_owned(),
            version: None,
            region: String::new(),
            plans: None,
            draining: false,
            movable: None,
            lanes: 1,
            tenants: 2,
            size_bytes: None,
        }])
    }

    async fn add_cluster(&self, cluster: NewCluster) -> Result<Cluster, Error> {
        if cluster.host == "nowhere" {
            return Err(Error::Unavailable("connection refused".to_owned()));
        }
        self.drain_cluster(&cluster.name, false).await
    }

    async fn drain_cluster(&self, name: &ClusterName, draining: bool) -> Result<Cluster, Error> {
        let mut cluster = self.clusters().await?.remove(0);
        cluster.name = name.clone();
        cluster.draining = draining;
        Ok(cluster)
    }

    async fn suggest_moves(&self) -> Result<Vec<Suggestion>, Error> {
        Ok(Vec::new())
    }

    async fn meters(&self) -> Result<Meters, Error> {
        Ok(Meters::from_snapshot(self.meters.snapshot(), Timestamp::now(), |_| {
            None
        }))
    }

    async fn usage(&self, filter: &UsageFilter) -> Result<UsageReport, Error> {
        Ok(UsageReport {
            from: filter.from,
            until: filter.until,
            items: Vec::new(),
        })
    }

    async fn logs(&self, filter: &LogFilter) -> Result<LogLines, Error> {
        Ok(LogLines {
            items: Vec::new(),
            last: filter.after,
        })
    }

    async fn edge_snapshot(&self) -> Result<Arc<EdgeSnapshot>, Error> {
        Ok(Arc::new(EdgeSnapshot::new(
            "localhost".to_owned(),
            BTreeMap::new(),
            BTreeMap::new(),
            BTreeMap::new(),
        )))
    }

    async fn blob(&self, sha256: &str) -> Result<Option<Bytes>, Error> {
        Ok(sha256.starts_with("aa").then(|| Bytes::from_static(b"hello")))
    }
}
