//! What a node knows of the directory, in memory: tenants by host label and by id, lanes, services.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    str::FromStr,
    sync::Arc,
};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use terrace_data_router::{Address, Cluster, ErrorKind, Lane, Placement, Placements};
use terrace_ground_ids::{ClusterName, LaneId, ReleaseId, ServiceName, Slug, TenantId};
use tokio_postgres::{Client, IsolationLevel, Row, Transaction};

use crate::{Config, Directory, Error, lane};

/// What may be done with a tenant now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Being made; only the platform's hooks run in it.
    Creating,
    /// Served.
    Active,
    /// Not served to members. Its data stays, and its events wait for their consumers.
    Suspended,
    /// Being removed; nothing runs in it.
    Deleting,
}

impl State {
    /// `creating`, `active`, `suspended`, `deleting`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleting => "deleting",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One tenant.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// Its opaque id.
    pub id: TenantId,
    /// The first label of its host.
    pub slug: Slug,
    /// The name that people see.
    pub name: String,
    /// What it pays for.
    pub plan: String,
    /// What may be done with it.
    pub state: State,
    /// Its host: `acme.localhost`.
    pub host: String,
    /// Counts how often its data was replaced as a whole: what is remembered of an earlier one is worth
    /// nothing.
    pub epoch: u32,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Where its data lives; `None` only in the first moments of its creation.
    pub placement: Option<Arc<Placement>>,
}

/// One service, as far as serving needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// The name that people see.
    pub title: String,
    /// The release that is served; `None` until the first is activated.
    pub current: Option<ReleaseId>,
    /// The one that was served before it: where a rollback leads.
    pub previous: Option<ReleaseId>,
    /// Since when `current` is on trial; `None` when it need not prove itself (any more).
    pub trial_since: Option<Timestamp>,
    /// The release that some tenants have before all others.
    pub canary: Option<Canary>,
}

/// A release that some tenants have before all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    /// The release.
    pub release: ReleaseId,
    /// The share that was asked for, of [`crate::WHOLE`]; `None` for a list of tenants.
    pub share: Option<u16>,
    /// Who has it.
    pub tenants: Arc<HashSet<TenantId>>,
    /// Since when.
    pub since: Timestamp,
}

/// What [`service`] reads of `terrace.service`.
pub(crate) const SERVICE_COLUMNS: &str =
    "name, title, current, previous, (extract(epoch FROM trial_since) * 1000000)::bigint,
    canary, canary_share, canary_tenants, (extract(epoch FROM canary_since) * 1000000)::bigint";

/// A row of [`SERVICE_COLUMNS`].
pub(crate) fn service(row: &Row) -> Result<Service, Error> {
    let at = |micros: i64| Timestamp::from_microsecond(micros).unwrap_or_default();
    let canary: Option<ReleaseId> = optional(row, 5, "release id")?;
    let share: Option<i32> = row.try_get(6)?;
    let tenants: Vec<&str> = row.try_get(7)?;
    let tenants = tenants.iter().map(|text| {
        text.parse::<TenantId>().map_err(|_| Error::Corrupt {
            what: "tenant of a canary",
            value: (*text).to_owned(),
        })
    });
    let tenants = Arc::new(tenants.collect::<Result<HashSet<_>, _>>()?);
    Ok(Service {
        name: parsed(row, 0, "service name")?,
        title: row.try_get(1)?,
        current: optional(row, 2, "release id")?,
        previous: optional(row, 3, "release id")?,
        trial_since: row.try_get::<_, Option<i64>>(4)?.map(at),
        canary: match canary {
            None => None,
            Some(release) => Some(Canary {
                release,
                share: share.and_then(|share| u16::try_from(share).ok()),
                tenants,
                since: at(row.try_get::<_, Option<i64>>(8)?.unwrap_or_default()),
            }),
        },
    })
}

/// One cluster, as the directory has it.
#[derive(Debug, Clone)]
pub struct KnownCluster {
    /// Its name, and how to reach it.
    pub place: Arc<Cluster>,
    /// The platform's own login there; `None`: the same as in the directory.
    pub login: Option<String>,
    /// Where it is, in the operator's words; may be empty.
    pub region: String,
    /// The plans whose new tenants it takes; `None`: all.
    pub plans: Option<Vec<String>>,
    /// Whether it takes no new tenants.
    pub draining: bool,
}

/// The directory at one version. Never changes; a newer one replaces it.
#[derive(Debug, Clone, Default)]
pub struct View {
    version: u64,
    // These share what did not change with the view before: a copy costs nothing, whatever their size.
    tenants: imbl::HashMap<TenantId, Arc<Tenant>>,
    slugs: imbl::HashMap<Slug, TenantId>,
    lanes: HashMap<LaneId, Arc<Lane>>,
    clusters: HashMap<ClusterName, KnownCluster>,
    services: Arc<[Service]>,
}

impl View {
    /// Counts the changes of the directory. 0: nothing was loaded yet.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The tenant whose host begins with this label.
    pub fn by_slug(&self, slug: &Slug) -> Option<&Arc<Tenant>> {
        self.tenants.get(self.slugs.get(slug)?)
    }

    /// The tenant with this id.
    pub fn by_id(&self, id: &TenantId) -> Option<&Arc<Tenant>> {
        self.tenants.get(id)
    }

    /// All tenants, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Tenant>> {
        self.tenants.values()
    }

    /// How many tenants there are.
    pub fn len(&self) -> usize {
        self.tenants.len()
    }

    /// Whether there is no tenant.
    pub fn is_empty(&self) -> bool {
        self.tenants.is_empty()
    }

    /// All services, by name.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// All clusters, in no order.
    pub fn clusters(&self) -> impl Iterator<Item = &KnownCluster> {
        self.clusters.values()
    }

    /// The cluster of this name.
    pub fn cluster(&self, name: &ClusterName) -> Option<&KnownCluster> {
        self.clusters.get(name)
    }

    /// All lanes, in no order.
    pub fn lanes(&self) -> impl Iterator<Item = &Arc<Lane>> {
        self.lanes.values()
    }

    /// The view that follows `previous`; `None` when nothing changed. It reads only the tenants that
    /// changed, and shares the rest with it.
    pub(crate) async fn load(client: &mut Client, previous: &Self, config: &Config) -> Result<Option<Self>, Error> {
        let version: i64 = client
            .query_one("SELECT value FROM terrace.version", &[])
            .await?
            .try_get(0)?;
        if u64::try_from(version).unwrap_or(0) == previous.version {
            return Ok(None);
        }
        let transaction = client
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .await?;
        let version: i64 = transaction
            .query_one("SELECT value FROM terrace.version", &[])
            .await?
            .try_get(0)?;
        let mut view = previous.clone();
        if version < i64::try_from(previous.version).unwrap_or(i64::MAX) {
            // The database was restored from a backup: nothing of what is known counts.
            view = Self::default();
        }
        let since = i64::try_from(view.version).unwrap_or(i64::MAX);
        view.version = u64::try_from(version).unwrap_or(0);
        view.load_lanes(&transaction, config).await?;
        view.load_tenants(&transaction, since, config).await?;
        let services = transaction
            .query(
                &format!("SELECT {SERVICE_COLUMNS} FROM terrace.service ORDER BY name"),
                &[],
            )
            .await?;
        view.services = services.iter().map(service).collect::<Result<_, Error>>()?;
        transaction.commit().await?;
        Ok(Some(view))
    }

    async fn load_lanes(&mut self, transaction: &Transaction<'_>, config: &Config) -> Result<(), Error> {
        let mut clusters = HashMap::new();
        for row in transaction
            .query(
                "SELECT name, address::text, database, login, region, plans, state = 'draining' FROM terrace.cluster",
                &[],
            )
            .await?
        {
            let address: String = row.try_get(1)?;
            let place = Cluster {
                name: parsed(&row, 0, "cluster name")?,
                address: self::address(&address)?,
                database: row.try_get(2)?,
            };
            let known = KnownCluster {
                place: Arc::new(place),
                login: row.try_get(3)?,
                region: row.try_get(4)?,
                plans: row.try_get(5)?,
                draining: row.try_get(6)?,
            };
            clusters.insert(known.place.name.clone(), known);
        }
        let mut lanes = HashMap::new();
        for row in transaction
            .query(
                "SELECT id, login, connection_limit, cluster, capacity FROM terrace.lane",
                &[],
            )
            .await?
        {
            let (login, cluster): (String, ClusterName) = (row.try_get(1)?, parsed(&row, 3, "cluster name")?);
            let lane = Lane {
                id: parsed(&row, 0, "lane id")?,
                password: lane::password(&config.lane_secret, &login),
                login,
                connection_limit: usize::try_from(row.try_get::<_, i32>(2)?).unwrap_or(1),
                tenants_max: usize::try_from(row.try_get::<_, i32>(4)?).unwrap_or(1),
                cluster: clusters
                    .get(&cluster)
                    .map(|known: &KnownCluster| known.place.clone())
                    .ok_or_else(|| Error::corrupt("cluster of a lane", &cluster))?,
            };
            // The router knows its pools by lane: one that did not change stays the same object.
            let lane = self
                .lanes
                .get(&lane.id)
                .filter(|known| ***known == lane)
                .cloned()
                .unwrap_or_else(|| Arc::new(lane));
            lanes.insert(lane.id.clone(), lane);
        }
        self.lanes = lanes;
        self.clusters = clusters;
        Ok(())
    }

    async fn load_tenants(&mut self, transaction: &Transaction<'_>, since: i64, config: &Config) -> Result<(), Error> {
        for row in transaction
            .query("SELECT tenant FROM terrace.tombstone WHERE version > $1", &[&since])
            .await?
        {
            let id: TenantId = parsed(&row, 0, "tenant id")?;
            if let Some(gone) = self.tenants.remove(&id)
                && self.slugs.get(&gone.slug) == Some(&id)
            {
                self.slugs.remove(&gone.slug);
            }
        }
        let changed = "SELECT id, slug, name, plan, state, lane, (extract(epoch FROM created_at) * 1000000)::bigint, epoch FROM terrace.tenant WHERE version > $1";
        for row in transaction.query(changed, &[&since]).await? {
            let tenant = self.tenant(&row, config)?;
            if let Some(known) = self.tenants.get(&tenant.id)
                && known.slug != tenant.slug
                && self.slugs.get(&known.slug) == Some(&tenant.id)
            {
                // Renamed: nobody answers to the old slug.
                self.slugs.remove(&known.slug);
            }
            self.slugs.insert(tenant.slug.clone(), tenant.id.clone());
            self.tenants.insert(tenant.id.clone(), Arc::new(tenant));
        }
        Ok(())
    }

    fn tenant(&self, row: &Row, config: &Config) -> Result<Tenant, Error> {
        let (id, slug): (TenantId, Slug) = (parsed(row, 0, "tenant id")?, parsed(row, 1, "slug")?);
        let lane: Option<LaneId> = optional(row, 5, "lane id")?;
        let placement = lane
            .map(|lane| match self.lanes.get(&lane) {
                Some(lane) => Ok(Arc::new(Placement {
                    tenant: id.clone(),
                    lane: lane.clone(),
                })),
                None => Err(Error::Corrupt {
                    what: "lane of a tenant",
                    value: lane.to_string(),
                }),
            })
            .transpose()?;
        Ok(Tenant {
            host: format!("{slug}.{}", config.base_domain),
            id,
            slug,
            name: row.try_get(2)?,
            plan: row.try_get(3)?,
            state: state(row.try_get(4)?)?,
            epoch: u32::try_from(row.try_get::<_, i32>(7)?).unwrap_or(0),
            created_at: Timestamp::from_microsecond(row.try_get(6)?).unwrap_or_default(),
            placement,
        })
    }
}

#[async_trait]
impl Placements for Directory {
    /// From memory. A suspended tenant is placed: what its members may not do is the gateway's to
    /// say, while events and hooks still run.
    async fn placement(&self, tenant: &TenantId) -> Result<Arc<Placement>, terrace_data_router::Error> {
        let refused = |message: String| Err(terrace_data_router::Error::new(ErrorKind::Unavailable, message));
        match self.view.load().by_id(tenant) {
            None => refused(format!("there is no tenant {tenant}")),
            Some(known) if known.state == State::Deleting => refused(format!("{tenant} is being deleted")),
            Some(known) => match &known.placement {
                Some(placement) => Ok(placement.clone()),
                None => refused(format!("{tenant} has no lane yet")),
            },
        }
    }

    async fn look_again(&self, _: &TenantId) {
        // When the directory is away, the next look may be luckier; the deadline ends it.
        drop(self.refresh_together().await);
    }
}

pub(crate) fn state(text: &str) -> Result<State, Error> {
    [State::Creating, State::Active, State::Suspended, State::Deleting]
        .into_iter()
        .find(|state| state.as_str() == text)
        .ok_or_else(|| Error::Corrupt {
            what: "state",
            value: text.to_owned(),
        })
}

pub(crate) fn parsed<T: FromStr>(row: &Row, column: usize, what: &'static str) -> Result<T, Error> {
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|_| Error::Corrupt {
        what,
        value: text.to_owned(),
    })
}

pub(crate) fn optional<T: FromStr>(row: &Row, column: usize, what: &'static str) -> Result<Option<T>, Error> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| {
        text.parse().map_err(|_| Error::Corrupt {
            what,
            value: text.to_owned(),
        })
    })
    .transpose()
}

fn address(text: &str) -> Result<Address, Error> {
    let corrupt = || Error::Corrupt {
        what: "address of a cluster",
        value: text.to_owned(),
    };
    let value: Json = serde_json::from_str(text).map_err(|_| corrupt())?;
    if let Some(places) = value["several"].as_array() {
        let places: Result<_, _> = places.iter().map(|place| address(&place.to_string())).collect();
        return Ok(Address::Several(places?));
    }
    let port = |part: &Json| {
        part["port"]
            .as_u64()
            .and_then(|port| u16::try_from(port).ok())
            .ok_or_else(corrupt)
    };
    if let Some(dir) = value["unix"]["dir"].as_str() {
        return Ok(Address::Unix {
            dir: dir.into(),
            port: port(&value["unix"])?,
        });
    }
    let host = value["tcp"]["host"].as_str().ok_or_else(corrupt)?;
    Ok(Address::Tcp {
        host: host.to_owned(),
        port: port(&value["tcp"])?,
    })
}
