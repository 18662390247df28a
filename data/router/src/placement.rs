//! Who asks, and where the data lives: principals, placements, lanes, clusters.
//!
//! The directory (data/tenancy) implements [`Placements`]; the router asks it and believes it.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use terrace_ground_ids::{ClusterName, LaneId, ServiceName, TenantId};

use crate::{Error, Value};

/// On whose behalf a statement runs: one service of one tenant. It decides the schema and the role.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    /// The tenant of the request.
    pub tenant: TenantId,
    /// The service that runs.
    pub service: ServiceName,
}

impl Principal {
    /// The schema, and the runtime role of the same name: `t_7f3k9q2m_tasks`.
    pub fn schema(&self) -> String {
        self.tenant.schema(&self.service)
    }
}

/// The directory of where tenants live.
#[async_trait]
pub trait Placements: Send + Sync {
    /// Called once per query and once per transaction, so it answers from memory. A tenant that may
    /// not be served now (unknown, suspended, moving) is an error, which the caller gets unchanged.
    async fn placement(&self, tenant: &TenantId) -> Result<Arc<Placement>, Error>;

    /// Called when a lane may not act for a tenant that it is the lane of: what is remembered is old.
    /// Looks again. The router then asks for the placement once more, and goes on asking until its
    /// deadline.
    async fn look_again(&self, _tenant: &TenantId) {}
}

/// Where one tenant's data lives.
#[derive(Debug)]
pub struct Placement {
    /// The tenant.
    pub tenant: TenantId,
    /// The login that may act for it.
    pub lane: Arc<Lane>,
}

/// A login role that may act for a bounded number of tenants, with connections of its own.
#[derive(PartialEq, Eq)]
pub struct Lane {
    /// Its identity in the directory.
    pub id: LaneId,
    /// The login role: `lane_...`.
    pub login: String,
    /// Its password.
    pub password: String,
    /// Most connections that this process may hold as this login.
    pub connection_limit: usize,
    /// Most tenants that share it.
    pub tenants_max: usize,
    /// The server it lives on.
    pub cluster: Arc<Cluster>,
}

impl std::fmt::Debug for Lane {
    // By hand, because a password must never reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane")
            .field("id", &self.id)
            .field("login", &self.login)
            .field("connection_limit", &self.connection_limit)
            .field("cluster", &self.cluster.name)
            .finish_non_exhaustive()
    }
}

/// One PostgreSQL server.
#[derive(Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its name in the directory.
    pub name: ClusterName,
    /// How to reach it.
    pub address: Address,
    /// The database that holds the schemas.
    pub database: String,
}

/// How to reach a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A unix socket: `<dir>/.s.PGSQL.<port>`.
    Unix {
        /// The directory of the socket.
        dir: PathBuf,
        /// The number in the socket's name.
        port: u16,
    },
    /// TCP, without TLS: for a private network only.
    Tcp {
        /// A name or an address.
        host: String,
        /// The port.
        port: u16,
    },
    /// A primary and its standbys, in any order: whichever of them accepts writes when a connection is
    /// opened. So a failover needs no change here.
    Several(Vec<Self>),
}

impl Address {
    /// The places to try, one after the other.
    pub(crate) fn places(&self) -> &[Self] {
        match self {
            Self::Several(places) => places,
            one => std::slice::from_ref(one),
        }
    }
}

/// A statement of the platform itself. It is not guarded and its names are qualified by hand; it runs
/// as the tenant's role, in the flight of a commit.
#[derive(Debug, Clone)]
pub struct Trusted {
    /// The statement, `$1`-style parameters.
    pub sql: &'static str,
    /// Its parameters.
    pub params: Vec<Value>,
}
