//! Clusters besides the directory's own: adding one, draining one, and choosing one for a new tenant.

use std::sync::Arc;

use terrace_data_router::Address;
use terrace_ground_ids::{ClusterName, TenantId};
use tokio_postgres::GenericClient;
use tracing::info;

use crate::{Directory, Endpoint, Error, KnownCluster, Tenant, view};

/// A cluster that is to take tenants.
#[derive(Debug, Clone)]
pub struct NewCluster {
    /// Its name.
    pub name: ClusterName,
    /// How to reach it.
    pub address: Address,
    /// The database that is to hold the schemas. It is there, and empty.
    pub database: String,
    /// The platform's own login there; as in the directory when absent.
    pub login: Option<String>,
    /// Where it is, in the operator's words; may be empty.
    pub region: String,
    /// The plans whose new tenants it takes; all when absent.
    pub plans: Option<Vec<String>>,
}

/// One cluster, and how it is.
#[derive(Debug, Clone)]
pub struct ClusterFacts {
    /// What the directory has.
    pub known: crate::KnownCluster,
    /// Lanes there.
    pub lanes: u64,
    /// Tenants there.
    pub tenants: u64,
    /// Its version, the bytes of its database, and whether its log can be followed (which a move of a
    /// tenant away from it needs); `None` when it does not answer.
    pub health: Option<Health>,
}

/// What a cluster answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// `15.18`
    pub version: String,
    /// Of the whole database.
    pub size_bytes: u64,
    /// Whether `wal_level` is `logical`.
    pub is_logical: bool,
}

// A cluster for this plan alone before one for all; then the one with the fewest tenants.
const CHOOSE: &str = "SELECT c.name FROM terrace.cluster c
    WHERE c.state = 'open' AND (c.plans IS NULL OR $1 = ANY(c.plans)) AND ($2::text IS NULL OR c.region = $2)
    ORDER BY c.plans IS NULL, (SELECT coalesce(sum(l.tenants), 0) FROM terrace.lane l WHERE l.cluster = c.name), c.created_at, c.name LIMIT 1";

impl Directory {
    /// Prepares a cluster and lets it take tenants. The same again changes how it is reached and whom
    /// it takes.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is on the server of another cluster, or is older than PostgreSQL 15;
    /// [`Error::Connect`] and [`Error::Query`] when it cannot be reached or prepared: nothing is recorded.
    pub async fn add_cluster(&self, new: NewCluster) -> Result<(), Error> {
        if new.name == self.config.cluster {
            return Err(Error::Invalid(format!(
                "`{}` is the directory's own cluster; give the new one another name",
                new.name
            )));
        }
        let place = terrace_data_router::Cluster {
            name: new.name.clone(),
            address: new.address.clone(),
            database: new.database.clone(),
        };
        let endpoint: Endpoint = crate::homes::endpoint(&self.config, &place, new.login.as_deref());
        let pool = crate::directory::pool(&endpoint, 2)?;
        let mut there = pool.get().await?;
        let server = server(&**there).await?;
        for (known, pool) in self.homes() {
            // One that does not answer is not the one that just did.
            let Ok(client) = pool.get().await else { continue };
            if known != new.name && self::server(&**client).await? == server {
                return Err(Error::Invalid(format!(
                    "this is the server of the cluster `{known}`; roles belong to a server, so each cluster is one of its own"
                )));
            }
        }
        self.install_cluster(&mut there).await?;
        let address = crate::install::written(&new.address);
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        transaction
            .execute(
                "INSERT INTO terrace.cluster (name, address, database, login, region, plans) VALUES ($1, $2::text::jsonb, $3, $4, $5, $6)
                 ON CONFLICT (name) DO UPDATE SET address = excluded.address, database = excluded.database, login = excluded.login,
                     region = excluded.region, plans = excluded.plans",
                &[
                    &new.name.as_str(),
                    &address.to_string(),
                    &new.database,
                    &new.login,
                    &new.region,
                    &new.plans,
                ],
            )
            .await?;
        transaction.execute("SELECT terrace.bump()", &[]).await?;
        transaction.commit().await?;
        drop(client);
        info!(cluster.name = %new.name, "Added a cluster");
        self.refresh().await
    }

    /// Lets a cluster take new tenants, or keeps them from it. Those that it has stay, until they are
    /// moved.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub async fn drain_cluster(&self, name: &ClusterName, draining: bool) -> Result<(), Error> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        let state = if draining { "draining" } else { "open" };
        let changed = transaction
            .execute(
                "UPDATE terrace.cluster SET state = $2 WHERE name = $1",
                &[&name.as_str(), &state],
            )
            .await?;
        if changed == 0 {
            return Err(Error::unknown("cluster", name));
        }
        transaction.execute("SELECT terrace.bump()", &[]).await?;
        transaction.commit().await?;
        drop(client);
        info!(cluster.name = %name, "The cluster is {state} now");
        self.refresh().await
    }

    /// Every cluster, by name, and how it is.
    pub async fn clusters(&self) -> Vec<ClusterFacts> {
        let view = self.tenants();
        let mut facts = Vec::new();
        for known in view.clusters() {
            let name = &known.place.name;
            let is_here = |lane: &terrace_data_router::Lane| lane.cluster.name == *name;
            let tenants = view
                .iter()
                .filter(|tenant| {
                    tenant
                        .placement
                        .as_ref()
                        .is_some_and(|placement| is_here(&placement.lane))
                })
                .count();
            facts.push(ClusterFacts {
                known: known.clone(),
                lanes: view.lanes().filter(|lane| is_here(lane)).count() as u64,
                tenants: tenants as u64,
                health: self.health(name).await.ok(),
            });
        }
        facts.sort_by(|a, b| a.known.place.name.cmp(&b.known.place.name));
        facts
    }

    async fn health(&self, cluster: &ClusterName) -> Result<Health, Error> {
        let client = self.cluster_pool(cluster)?.get().await?;
        let row = client
            .query_one(
                "SELECT current_setting('server_version'), pg_database_size(current_database()), current_setting('wal_level') = 'logical'",
                &[],
            )
            .await?;
        let version: &str = row.try_get(0)?;
        Ok(Health {
            version: version.split_whitespace().next().unwrap_or(version).to_owned(),
            size_bytes: u64::try_from(row.try_get::<_, i64>(1)?).unwrap_or(0),
            is_logical: row.try_get(2)?,
        })
    }

    /// The cluster for a new tenant: of its region, for its plan, with the fewest tenants.
    pub(crate) async fn choose_cluster(&self, plan: &str, region: Option<&str>) -> Result<ClusterName, Error> {
        let client = self.pool.get().await?;
        let row = client.query_opt(CHOOSE, &[&plan, &region]).await?;
        match row {
            Some(row) => view::parsed(&row, 0, "cluster name"),
            None => Err(Error::Invalid(match region {
                Some(region) => format!(
                    "no open cluster of the region `{region}` takes tenants of the plan {plan}; `terrace cluster list` shows them"
                ),
                None => format!("no open cluster takes tenants of the plan {plan}; `terrace cluster list` shows them"),
            })),
        }
    }

    /// What would make the clusters' shares more even: tenants to move, and where to. Changes nothing. A
    /// tenant goes only where its plan is taken, and stays in its region.
    pub fn suggest_moves(&self, limit: usize) -> Vec<(TenantId, ClusterName, ClusterName)> {
        let view = self.tenants();
        let mut shares: Vec<Share> = view
            .clusters()
            .map(|known| Share {
                known,
                tenants: Vec::new(),
            })
            .collect();
        shares.sort_by(|a, b| a.known.place.name.cmp(&b.known.place.name));
        let mut tenants: Vec<_> = view.iter().collect();
        tenants.sort_by(|a, b| a.id.cmp(&b.id));
        for tenant in tenants {
            let Some(placement) = &tenant.placement else { continue };
            let here = |share: &&mut Share| share.known.place.name == placement.lane.cluster.name;
            if let Some(share) = shares.iter_mut().find(here) {
                share.tenants.push(tenant);
            }
        }
        let mut moves = Vec::new();
        while moves.len() < limit
            && let Some((from, at, to)) = next_move(&shares)
        {
            let (Some(source), Some(target)) = (shares.get(from), shares.get(to)) else {
                break;
            };
            let (source, target) = (source.known.place.name.clone(), target.known.place.name.clone());
            let Some(tenant) = shares.get_mut(from).map(|share| share.tenants.remove(at)) else {
                break;
            };
            moves.push((tenant.id.clone(), source, target));
            if let Some(share) = shares.get_mut(to) {
                share.tenants.push(tenant);
            }
        }
        moves
    }
}

/// A cluster, and who would live there.
struct Share<'a> {
    known: &'a KnownCluster,
    tenants: Vec<&'a Arc<Tenant>>,
}

impl Share<'_> {
    fn takes(&self, tenant: &Tenant, from: &Share) -> bool {
        let (plans, here, there) = (self.known.plans.as_ref(), &self.known.region, &from.known.region);
        // From one that drains they go to one whose region nobody has said, rather than nowhere.
        let is_near = there.is_empty() || here == there || (from.known.draining && here.is_empty());
        is_near && !self.known.draining && plans.is_none_or(|plans| plans.contains(&tenant.plan))
    }
}

/// The next tenant to move: from where, its place there, and where to. From a cluster that drains all go;
/// from another only while it has two more than where they would go.
fn next_move(shares: &[Share]) -> Option<(usize, usize, usize)> {
    let mut sources: Vec<usize> = (0..shares.len()).collect();
    let by_need = |at: &usize| {
        let share = shares.get(*at);
        std::cmp::Reverse(share.map_or((false, 0), |share| (share.known.draining, share.tenants.len())))
    };
    sources.sort_by_key(by_need);
    for from in sources {
        let source = shares.get(from)?;
        // The newest first: who has been there for long stays.
        for (at, tenant) in source.tenants.iter().enumerate().rev() {
            let to = (0..shares.len())
                .filter(|to| *to != from && shares.get(*to).is_some_and(|target| target.takes(tenant, source)))
                .min_by_key(|to| shares.get(*to).map_or(usize::MAX, |target| target.tenants.len()));
            let Some(to) = to else { continue };
            let room = shares.get(to).map_or(usize::MAX, |target| target.tenants.len());
            if source.known.draining || source.tenants.len() > room + 1 {
                return Some((from, at, to));
            }
        }
    }
    None
}

/// What tells a running server from every other; a copy of its files has the same identifier.
async fn server(client: &impl GenericClient) -> Result<(String, String), Error> {
    let row = client
        .query_one(
            "SELECT (SELECT system_identifier::text FROM pg_control_system()), pg_postmaster_start_time()::text",
            &[],
        )
        .await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}
