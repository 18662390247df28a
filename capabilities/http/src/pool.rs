//! Idle connections, one pool for each (tenant, service): nobody speaks over another's connection.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use hyper::client::conn::http1::SendRequest;
use rustls::{ClientConfig, client::Resumption};
use terrace_ground_ids::{ServiceName, TenantId};
use wasmtime_wasi_http::WasiBody;

use crate::{Config, rules::Target};

/// TLS sessions that one (tenant, service) may resume.
const SESSIONS_MAX: usize = 8;

/// Whose connections.
pub(crate) type Owner = (TenantId, ServiceName);
/// A connection that takes a request.
pub(crate) type Connection = SendRequest<WasiBody>;

/// All pools of a node.
pub(crate) struct Pools {
    tls: Arc<ClientConfig>,
    idle_max: usize,
    idle_per_service_max: usize,
    idle_for: Duration,
    pools: Mutex<HashMap<Owner, Pool>>,
}

struct Pool {
    tls: Arc<ClientConfig>,
    idle: Vec<Idle>,
    used: Instant,
}

struct Idle {
    target: Target,
    connection: Connection,
    since: Instant,
}

impl Pools {
    pub(crate) fn new(config: &Config, tls: ClientConfig) -> Arc<Self> {
        Arc::new(Self {
            tls: Arc::new(tls),
            idle_max: config.idle_max,
            idle_per_service_max: config.idle_per_service_max,
            idle_for: Duration::from_secs(config.idle_seconds),
            pools: Mutex::default(),
        })
    }

    /// Closes what was idle for too long, until the pools are gone.
    pub(crate) async fn sweep(pools: Weak<Self>, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            let Some(pools) = pools.upgrade() else { return };
            let long = pools.idle_for;
            pools.lock().retain(|_, pool| {
                pool.idle
                    .retain(|idle| idle.since.elapsed() < long && !idle.connection.is_closed());
                !pool.idle.is_empty() || pool.used.elapsed() < long
            });
        }
    }

    /// An idle connection to the target, the one used last.
    pub(crate) fn take(&self, owner: &Owner, target: &Target) -> Option<Connection> {
        let mut pools = self.lock();
        let pool = pools.get_mut(owner)?;
        pool.used = Instant::now();
        loop {
            let at = pool.idle.iter().rposition(|idle| idle.target == *target)?;
            let idle = pool.idle.remove(at);
            if !idle.connection.is_closed() && idle.since.elapsed() < self.idle_for {
                return Some(idle.connection);
            }
        }
    }

    /// Keeps a connection, if there is room.
    pub(crate) fn put(&self, owner: &Owner, target: Target, connection: Connection) {
        if self.idle_per_service_max == 0 {
            return;
        }
        let mut pools = self.lock();
        let total: usize = pools.values().map(|pool| pool.idle.len()).sum();
        let pool = self.pool(&mut pools, owner);
        if pool.idle.len() >= self.idle_per_service_max {
            pool.idle.remove(0);
        } else if total >= self.idle_max {
            return;
        }
        pool.idle.push(Idle {
            target,
            connection,
            since: Instant::now(),
        });
    }

    /// The TLS settings of the owner: roots and ciphers are everybody's, the sessions to resume are its own.
    pub(crate) fn tls(&self, owner: &Owner) -> Arc<ClientConfig> {
        let mut pools = self.lock();
        self.pool(&mut pools, owner).tls.clone()
    }

    /// Connections that are idle.
    pub(crate) fn idle(&self) -> usize {
        self.lock().values().map(|pool| pool.idle.len()).sum()
    }

    fn pool<'a>(&self, pools: &'a mut HashMap<Owner, Pool>, owner: &Owner) -> &'a mut Pool {
        let pool = pools.entry(owner.clone()).or_insert_with(|| {
            let mut tls = ClientConfig::clone(&self.tls);
            tls.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
            Pool {
                tls: Arc::new(tls),
                idle: Vec::new(),
                used: Instant::now(),
            }
        });
        pool.used = Instant::now();
        pool
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Owner, Pool>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
