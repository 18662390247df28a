//! The directory and the streams, as the gateway asks for them.

use std::sync::Arc;

use async_trait::async_trait;
use terrace_compute_capability::{OwnTables, Tables, TenantFacts, Unavailable};
use terrace_compute_gateway::{Body, Resolved, Streams, TenantState, Tenants};
use terrace_data_tenancy::{BLOB, Directory, KEYVALUE, State, Tenant};
use terrace_events_live::{Live, Topics};
use terrace_ground_error::{Code, Problem};
use terrace_ground_ids::{ServiceName, Slug, TenantId};
use tracing::warn;

/// Tenants by their hosts, from the directory's memory.
pub(crate) struct Hosts {
    directory: Arc<Directory>,
}

impl Hosts {
    pub(crate) fn new(directory: Arc<Directory>) -> Self {
        Self { directory }
    }
}

impl Tenants for Hosts {
    fn by_label(&self, label: &str) -> Option<Resolved> {
        let slug: Slug = label.to_ascii_lowercase().parse().ok()?;
        let view = self.directory.tenants();
        let tenant = view.by_slug(&slug)?;
        let state = match tenant.state {
            State::Active => TenantState::Active,
            State::Suspended => TenantState::Suspended,
            State::Creating | State::Deleting => TenantState::Absent,
        };
        Some(Resolved {
            facts: facts(tenant),
            state,
        })
    }
}

/// What services may know of a tenant.
pub(crate) fn facts(tenant: &Tenant) -> Arc<TenantFacts> {
    Arc::new(TenantFacts {
        id: tenant.id.clone(),
        slug: tenant.slug.clone(),
        name: tenant.name.clone(),
        plan: tenant.plan.clone(),
    })
}

/// Live streams, as bodies.
pub(crate) struct LiveStreams {
    directory: Arc<Directory>,
    live: Live,
}

impl LiveStreams {
    pub(crate) fn new(directory: Arc<Directory>, live: Live) -> Self {
        Self { directory, live }
    }
}

#[async_trait]
impl Streams for LiveStreams {
    async fn open(&self, tenant: &TenantId, member: &str, topics: &str, cursor: Option<&str>) -> Result<Body, Problem> {
        let refuse = |error: terrace_events_live::Error| {
            let problem = Problem::new(error.code());
            if let terrace_events_live::Error::Log(error) = &error {
                warn!(tenant.id = %tenant, "Cannot open a live stream: {error}");
                return problem;
            }
            problem.detail(error.to_string())
        };
        let topics = Topics::parse(topics).map_err(refuse)?;
        let body = self.live.open(tenant, member, topics, cursor).await.map_err(refuse)?;
        // A suspension ends the streams that it finds. Had it come between the gateway's look and this
        // one's place among them, nothing would ever end this one.
        let view = self.directory.tenants();
        match view.by_id(tenant).map(|tenant| tenant.state) {
            Some(State::Active) => Ok(body),
            _ => Err(Problem::new(Code::TenantSuspended)),
        }
    }
}

/// The tables of capabilities, in tenants' schemas.
pub(crate) struct TenantTables(pub(crate) Arc<Directory>);

#[async_trait]
impl Tables for TenantTables {
    async fn make(&self, which: OwnTables, tenant: &TenantId, service: &ServiceName) -> Result<(), Unavailable> {
        let statements = match which {
            OwnTables::KeyValue => KEYVALUE,
            OwnTables::Blob => BLOB,
        };
        self.0.make_tables(tenant, service, statements).await.map_err(|error| {
            warn!(tenant.id = %tenant, service.name = %service, "Cannot make the tables of a capability: {error}");
            Unavailable("the store cannot be made at the moment; try again".to_owned())
        })
    }
}
