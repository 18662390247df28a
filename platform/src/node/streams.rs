//! The streams of tenants, each on the cluster where its tenant lives.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use terrace_data_tenancy::Directory;
use terrace_events_dispatch::{LivesThere, Pool, Pools};
use terrace_events_log::{Error, Event, Log, Postgres, Retention, Selection, Span};
use terrace_ground_ids::{ClusterName, TenantId};

/// Finds a tenant's stream by the directory.
#[derive(Clone)]
pub(crate) struct Streams(Arc<Directory>);

impl Streams {
    pub(crate) fn new(directory: Arc<Directory>) -> Self {
        Self(directory)
    }

    fn log(&self, tenant: &TenantId) -> Postgres {
        Postgres::new(self.0.home(tenant))
    }
}

#[async_trait]
impl Log for Streams {
    async fn read(&self, tenant: &TenantId, after: u64, limit: u32) -> Result<Vec<Event>, Error> {
        self.log(tenant).read(tenant, after, limit).await
    }

    async fn select(&self, tenant: &TenantId, after: u64, kinds: &[String], limit: u32) -> Result<Selection, Error> {
        self.log(tenant).select(tenant, after, kinds, limit).await
    }

    async fn span(&self, tenant: &TenantId) -> Result<Span, Error> {
        self.log(tenant).span(tenant).await
    }

    async fn heads(&self, tenants: &[TenantId]) -> Result<Vec<(TenantId, u64)>, Error> {
        let mut homes: HashMap<ClusterName, Vec<TenantId>> = HashMap::new();
        for tenant in tenants {
            homes
                .entry(self.0.home_cluster(tenant))
                .or_default()
                .push(tenant.clone());
        }
        let (mut heads, mut failed) = (Vec::with_capacity(tenants.len()), None);
        for there in homes.values() {
            let Some(first) = there.first() else { continue };
            // A cluster that is away keeps nobody else's streams waiting.
            match self.log(first).heads(there).await {
                Ok(here) => heads.extend(here),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if heads.is_empty() => Err(error),
            _ => Ok(heads),
        }
    }

    async fn retention(&self, retention: Retention) -> Result<u64, Error> {
        let mut outcome = Ok(0);
        for (_, pool) in self.0.homes() {
            let gone = Postgres::new(pool).retention(retention).await;
            outcome = outcome.and_then(|so_far| Ok(so_far + gone?));
        }
        outcome
    }
}

impl Pools for Streams {
    fn turns(&self) -> Pool {
        self.0.pool().clone()
    }

    fn of(&self, tenant: &TenantId) -> Pool {
        self.0.home(tenant)
    }

    fn all(&self) -> Vec<(Pool, LivesThere)> {
        let homes = self.0.homes().into_iter();
        homes
            .map(|(cluster, pool)| {
                let directory = self.0.clone();
                let lives_there: LivesThere =
                    Box::new(move |tenant: &TenantId| directory.home_cluster(tenant) == cluster);
                (pool, lives_there)
            })
            .collect()
    }
}
