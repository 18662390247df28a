//! What the control plane needs of the platform, as a trait: `platform` implements it over the
//! directory and the engine, the tests over memory.

use std::{fmt, str::FromStr, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use terrace_ground_error::FieldError;
use terrace_ground_ids::{ClusterName, ReleaseId, ServiceName, SiteName, Slug, TenantId};

use crate::{
    Build, Cluster, DeletedTenant, EdgeSnapshot, InvocationResult, Lifecycle, LogFilter, LogLines, Meters, NewCluster,
    NewInvocation, NewSetting, Plan, Release, ReleaseDiff, ReleaseFacts, Service, Setting, SettingKind, SettingRef,
    Site, Suggestion, Tenant, TenantDatabase, UsageFilter, UsageReport,
};

/// The platform, as operators and the edge see it.
#[async_trait]
pub trait Platform: Send + Sync + 'static {
    /// Called at every sign-in. `None` for an unknown address; the control plane then spends the
    /// time of a password check all the same.
    async fn operator(&self, email: &str) -> Result<Option<OperatorRecord>, Error>;

    /// Up to `limit` tenants in the order of their slugs, from the first after `after`. Called for
    /// each page of the console and of `terrace tenant list`.
    async fn tenants(&self, after: Option<&Slug>, limit: usize) -> Result<TenantSlice, Error>;

    /// One tenant. [`Error::NotFound`] if there is none.
    async fn tenant(&self, tenant: &TenantRef) -> Result<Tenant, Error>;

    /// How a tenant's data is doing. Called every few seconds for each console that shows it; reads the
    /// catalogue of the tenant's cluster, and takes no lock there that anybody waits for.
    async fn database(&self, tenant: &TenantRef) -> Result<TenantDatabase, Error>;

    /// Creates a tenant with the schemas of every service, and runs the services' hooks. It returns
    /// when the tenant can be used. [`Error::Conflict`] if the slug is taken.
    async fn create_tenant(&self, tenant: NewTenant, operator: &str) -> Result<Tenant, Error>;

    /// Deletes a tenant with all its data. It returns when nothing is left, with what was removed.
    async fn delete_tenant(&self, tenant: &TenantRef, operator: &str) -> Result<DeletedTenant, Error>;

    /// What else is done to tenants.
    fn lifecycle(&self) -> &dyn Lifecycle;

    /// Every service with its releases, in the order of their names; releases newest first.
    async fn services(&self) -> Result<Vec<Service>, Error>;

    /// Checks a release as [`Platform::create_release`] does, stores nothing, and says what is
    /// different from the one that is served. Called before each upload is accepted, too.
    async fn preview_release(&self, service: &ServiceName, release: &NewRelease) -> Result<ReleaseDiff, Error>;

    /// Checks, compiles and stores a release; it serves nobody yet. The same bundle again is the same
    /// release. [`Error::Invalid`] for a bundle that can never run, with pointers into the upload.
    async fn create_release(&self, service: &ServiceName, release: NewRelease) -> Result<Release, Error>;

    /// One release with everything that is known about it.
    async fn release(&self, service: &ServiceName, release: &ReleaseId) -> Result<ReleaseFacts, Error>;

    /// Migrates every tenant and routes the service's requests to one of its releases: the last step
    /// of a deploy, also of one that was served before. Idempotent. `by` is the operator's address, for
    /// the history, here and below.
    async fn activate_release(&self, service: &ServiceName, release: &ReleaseId, by: &str) -> Result<Service, Error>;

    /// Goes back to `to`, or to the release that was served before the current one. [`Error::Conflict`]
    /// when migrations have taken away what it uses, unless `force`.
    async fn rollback(
        &self,
        service: &ServiceName,
        to: Option<&ReleaseId>,
        force: bool,
        by: &str,
    ) -> Result<Service, Error>;

    /// Gives a release to some tenants; again with others, to those.
    async fn start_canary(
        &self,
        service: &ServiceName,
        release: &ReleaseId,
        to: CanarySplit,
        by: &str,
    ) -> Result<Service, Error>;

    /// Gives the canary to everybody. [`Error::Conflict`] when there is none.
    async fn promote_canary(&self, service: &ServiceName, by: &str) -> Result<Service, Error>;

    /// Takes the canary from its tenants. [`Error::Conflict`] when there is none.
    async fn abort_canary(&self, service: &ServiceName, by: &str) -> Result<Service, Error>;

    /// Sends one request to a service as a client would, and says how it went. [`Error::NotFound`] for a
    /// service, a tenant or an operation that is not there; [`Error::Invalid`] for a component that
    /// cannot run.
    async fn invoke(&self, service: &ServiceName, invocation: NewInvocation) -> Result<InvocationResult, Error>;

    /// What is set for a service. The value of a secret is never in it.
    async fn settings(&self, kind: SettingKind, service: &ServiceName) -> Result<Vec<Setting>, Error>;

    /// Keeps a value, in place of what was there. [`Error::NotFound`] for a tenant that is not there;
    /// the service need not be there yet.
    async fn put_setting(&self, setting: NewSetting) -> Result<(), Error>;

    /// Forgets a value. [`Error::NotFound`] if there is none.
    async fn delete_setting(&self, setting: &SettingRef) -> Result<(), Error>;

    /// Every site with its builds, in the order of their names; builds newest first.
    async fn sites(&self) -> Result<Vec<Site>, Error>;

    /// Stores a build and makes it the current one. The same files again are the same build.
    async fn create_build(&self, site: &SiteName, build: NewBuild) -> Result<Build, Error>;

    /// Every cluster, with whether it answers now.
    async fn clusters(&self) -> Result<Vec<Cluster>, Error>;

    /// Prepares a cluster and lets it take tenants.
    async fn add_cluster(&self, cluster: NewCluster) -> Result<Cluster, Error>;

    /// Keeps new tenants from a cluster, or lets it take them.
    async fn drain_cluster(&self, name: &ClusterName, draining: bool) -> Result<Cluster, Error>;

    /// Moves that would make the clusters' shares more even, at most 100.
    async fn suggest_moves(&self) -> Result<Vec<Suggestion>, Error>;

    /// The figures of the last 60 seconds. Called once a second for each open stream, so it answers
    /// from memory; [`Meters::from_snapshot`] makes it from the node's meters.
    async fn meters(&self) -> Result<Meters, Error>;

    /// Lines that services wrote. Waits for a first one as long as the filter says.
    /// [`Error::NotFound`] for a tenant that is not there.
    async fn logs(&self, filter: &LogFilter) -> Result<LogLines, Error>;

    /// What tenants used of services. [`Error::NotFound`] for a slug that nobody has; the id of a tenant
    /// that is gone is good.
    async fn usage(&self, filter: &UsageFilter) -> Result<UsageReport, Error>;

    /// Everything the edge needs to serve. Called once a second by each edge, so it answers from
    /// memory and shares what it has.
    async fn edge_snapshot(&self) -> Result<Arc<EdgeSnapshot>, Error>;

    /// The bytes with this hash (64 lowercase hexadecimal characters), if a build has them.
    async fn blob(&self, sha256: &str) -> Result<Option<Bytes>, Error>;
}

/// Why the platform did not do what was asked. The text of the first three is shown to operators.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such thing. A sentence: "There is no tenant `acme`."
    #[error("{0}")]
    NotFound(String),
    /// It contradicts what is there. A sentence that says what.
    #[error("{0}")]
    Conflict(String),
    /// What was sent is not valid.
    #[error("{} fields are not valid", .0.len())]
    Invalid(Vec<FieldError>),
    /// The database does not answer. The text is logged, never shown.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// Anything else. It is logged, never shown.
    #[error(transparent)]
    Internal(#[from] Box<dyn std::error::Error + Send + Sync>),
}

/// A text that never reaches a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself; whoever asks takes care of it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// An operator as the directory knows them.
#[derive(Debug, Clone)]
pub struct OperatorRecord {
    /// Where they sign in with.
    pub email: String,
    /// Their name, to show.
    pub name: String,
    /// The password's hash in PHC form, made by [`crate::hash_password`].
    pub password_hash: Secret,
}

/// A tenant by its id or by its slug. No text is both: an id holds an underscore, a slug never does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantRef {
    /// By its id.
    Id(TenantId),
    /// By its slug.
    Slug(Slug),
}

impl FromStr for TenantRef {
    type Err = terrace_ground_ids::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('_') {
            text.parse().map(Self::Id)
        } else {
            text.parse().map(Self::Slug)
        }
    }
}

impl fmt::Display for TenantRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Slug(slug) => slug.fmt(f),
        }
    }
}

/// Some tenants in a row.
#[derive(Debug, Clone, Default)]
pub struct TenantSlice {
    /// In the order of their slugs.
    pub tenants: Vec<Tenant>,
    /// Whether others come after the last one.
    pub more: bool,
}

/// A tenant to be created; everything in it was checked.
#[derive(Debug, Clone)]
pub struct NewTenant {
    /// The first label of its host.
    pub slug: Slug,
    /// Its name, to show.
    pub name: String,
    /// What it pays for.
    pub plan: Plan,
    /// Only on a cluster of this region.
    pub region: Option<String>,
    /// Its first member, if one is wanted.
    pub owner: Option<NewOwner>,
}

/// The first member of a tenant.
#[derive(Debug, Clone)]
pub struct NewOwner {
    /// Where they sign in with.
    pub email: String,
    /// Their name, to show.
    pub name: String,
    /// Their first password.
    pub password: Secret,
}

/// A release to be stored. Its shape was checked; whether it can run was not.
#[derive(Debug, Clone)]
pub struct NewRelease {
    /// The text of `service.toml`.
    pub manifest: String,
    /// The OpenAPI document.
    pub contract: serde_json::Value,
    /// In the order in which they run.
    pub migrations: Vec<NewMigration>,
    /// The Wasm component.
    pub component: Bytes,
    /// The operator's address.
    pub uploaded_by: String,
}

/// Which tenants get a canary.
#[derive(Debug, Clone, PartialEq)]
pub enum CanarySplit {
    /// So many of a hundred; above 0.
    SharePercent(f64),
    /// These; at least one.
    Tenants(Vec<TenantRef>),
}

/// One step of a service's schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMigration {
    /// `0001_create_boards.sql`.
    pub name: String,
    /// Its statements.
    pub sql: String,
}

/// A build to be stored. Paths were checked: they start with a slash and never leave the site.
#[derive(Debug, Clone)]
pub struct NewBuild {
    /// The site's title, to show.
    pub title: String,
    /// In the order of their paths; `/index.html` is one of them.
    pub files: Vec<NewFile>,
}

/// One file of a build.
#[derive(Debug, Clone)]
pub struct NewFile {
    /// `/assets/app-3f9c.js`.
    pub path: String,
    /// Its bytes.
    pub content: Bytes,
}
