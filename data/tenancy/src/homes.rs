//! Connections of the platform's own login to every cluster: tenants' schemas, streams and ledgers are
//! where the tenant lives, and only there.
//!
//! The directory's own tables are in the first cluster, and a transaction cannot be in two. So whatever
//! is done in a tenant's home commits there first and is recorded in the directory afterwards, and doing
//! it again changes nothing.
//!
//! Connections are taken in one order, so that nobody who has one waits for somebody who has the other:
//! first those of homes (of several: by the clusters' names), then the directory's, and never two of one
//! cluster. Whoever has one of the directory's takes no other before it is given back. Tests run with one
//! connection each, where whoever does otherwise waits for itself.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use deadpool_postgres::Pool;
use terrace_data_router::{Address, Cluster};
use terrace_ground_ids::{ClusterName, TenantId};
use tokio_postgres::GenericClient;

use crate::{Config, Directory, Endpoint, Error, Place, directory::pool, view};

/// One pool for each cluster but the directory's own.
#[derive(Default)]
pub(crate) struct Homes(Mutex<HashMap<ClusterName, (Endpoint, Pool)>>);

impl Homes {
    fn lock(&self) -> MutexGuard<'_, HashMap<ClusterName, (Endpoint, Pool)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(address: &Address) -> Option<Place> {
    let (socket_dir, host, port) = match address {
        Address::Unix { dir, port } => (Some(dir.clone()), None, *port),
        Address::Tcp { host, port } => (None, Some(host.clone()), *port),
        // The directory keeps no list in a list.
        Address::Several(_) => return None,
    };
    Some(Place { socket_dir, host, port })
}

/// How the platform itself reaches a cluster. The password is no row of the directory: it is in the
/// node's configuration, or the server asks for none.
pub(crate) fn endpoint(config: &Config, cluster: &Cluster, login: Option<&str>) -> Endpoint {
    let mut places = match &cluster.address {
        Address::Several(places) => places.iter().filter_map(place).collect(),
        one => place(one).into_iter().collect::<Vec<_>>(),
    };
    let first = if places.is_empty() {
        config.database.first()
    } else {
        places.remove(0)
    };
    Endpoint {
        socket_dir: first.socket_dir,
        host: first.host,
        port: first.port,
        standbys: places,
        name: cluster.database.clone(),
        user: login.unwrap_or(&config.database.user).to_owned(),
        password: config.cluster_passwords.get(&cluster.name).cloned().unwrap_or_default(),
    }
}

impl Directory {
    /// The connections to the cluster where a tenant lives, as far as this node knows. Of a tenant that
    /// it does not know: the directory's own.
    pub fn home(&self, tenant: &TenantId) -> Pool {
        self.cluster_pool(&self.home_cluster(tenant))
            .unwrap_or_else(|_| self.own_home.clone())
    }

    /// The name of that cluster.
    pub fn home_cluster(&self, tenant: &TenantId) -> ClusterName {
        let view = self.tenants();
        let placement = view.by_id(tenant).and_then(|tenant| tenant.placement.as_ref());
        placement.map_or_else(
            || self.config.cluster.clone(),
            |placement| placement.lane.cluster.name.clone(),
        )
    }

    /// The cluster that the directory is in.
    pub fn first_cluster(&self) -> ClusterName {
        self.config.cluster.clone()
    }

    /// The name and the connections of every cluster.
    pub fn homes(&self) -> Vec<(ClusterName, Pool)> {
        let view = self.tenants();
        let mut homes: Vec<(ClusterName, Pool)> = view
            .clusters()
            .filter_map(|cluster| {
                let pool = self.cluster_pool(&cluster.place.name).ok()?;
                Some((cluster.place.name.clone(), pool))
            })
            .collect();
        if homes.is_empty() {
            homes.push((self.config.cluster.clone(), self.own_home.clone()));
        }
        homes
    }

    /// The connections to where a tenant lives by the directory's word, whatever this node remembers.
    pub(crate) async fn home_of(&self, tenant: &TenantId) -> Result<Pool, Error> {
        let cluster = self.cluster_of(tenant).await?;
        self.known_cluster_pool(&cluster).await
    }

    /// The cluster where a tenant lives by the directory's word.
    pub(crate) async fn cluster_of(&self, tenant: &TenantId) -> Result<ClusterName, Error> {
        self.cluster_in(&**self.pool.get().await?, tenant).await
    }

    /// The same in a transaction of the caller's.
    pub(crate) async fn cluster_in(
        &self,
        directory: &impl GenericClient,
        tenant: &TenantId,
    ) -> Result<ClusterName, Error> {
        let row = directory
            .query_opt(
                "SELECT l.cluster FROM terrace.lane l JOIN terrace.tenant t ON t.lane = l.id WHERE t.id = $1",
                &[&tenant.as_str()],
            )
            .await?;
        match row {
            Some(row) => view::parsed(&row, 0, "cluster name"),
            // A spare, or one that has no lane yet.
            None => Ok(self.config.cluster.clone()),
        }
    }

    /// The same as [`Directory::cluster_pool`], for a cluster that may be newer than the view.
    pub(crate) async fn known_cluster_pool(&self, cluster: &ClusterName) -> Result<Pool, Error> {
        if *cluster != self.config.cluster && self.tenants().cluster(cluster).is_none() {
            self.refresh().await?;
        }
        self.cluster_pool(cluster)
    }

    /// The connections to a cluster.
    pub(crate) fn cluster_pool(&self, cluster: &ClusterName) -> Result<Pool, Error> {
        if *cluster == self.config.cluster {
            return Ok(self.own_home.clone());
        }
        let view = self.tenants();
        let known = view
            .cluster(cluster)
            .ok_or_else(|| Error::unknown("cluster", cluster))?;
        let endpoint = endpoint(&self.config, &known.place, known.login.as_deref());
        let mut pools = self.homes.lock();
        if let Some((there, pool)) = pools.get(cluster)
            && *there == endpoint
        {
            return Ok(pool.clone());
        }
        let pool = pool(&endpoint, self.config.connections_max)?;
        pools.insert(cluster.clone(), (endpoint, pool.clone()));
        Ok(pool)
    }
}
