//! The directory itself: connections, the view, and the task that keeps the view fresh.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use terrace_data_migrate::Migrations;
use terrace_data_objects::Objects;
use terrace_ground_ids::ReleaseId;
use tokio::sync::watch;
use tokio_postgres::NoTls;
use tracing::warn;

use crate::{
    Config, Endpoint, Error, Hooks, Snapshot, View, export::Readers, hold::Holds, homes::Homes, hooks::NoHooks,
};

/// The directory of one installation. One per process, behind an `Arc`.
pub struct Directory {
    pub(crate) config: Config,
    /// Connections for the directory's own tables.
    pub(crate) pool: Pool,
    /// Connections for what tenants have in the directory's own cluster; apart from the others as if it
    /// were elsewhere (homes.rs).
    pub(crate) own_home: Pool,
    pub(crate) view: ArcSwap<View>,
    pub(crate) snapshot: ArcSwap<Option<Snapshot>>,
    /// Checked migrations of releases; a release never changes, so an entry is never stale.
    pub(crate) migrations: Mutex<HashMap<ReleaseId, Migrations>>,
    pub(crate) holds: Holds,
    pub(crate) readers: Readers,
    pub(crate) homes: Homes,
    pub(crate) objects: Objects,
    refreshing: tokio::sync::Mutex<()>,
    /// How many refreshes have begun.
    looks: AtomicU64,
    changed: watch::Sender<u64>,
    hooks: OnceLock<Arc<dyn Hooks>>,
    pub(crate) fences: OnceLock<crate::Fences>,
}

impl Directory {
    /// Connects. The view is empty until [`Directory::install`] or [`Directory::refresh`]. A task
    /// looks for changes of other nodes until the directory is dropped.
    ///
    /// # Errors
    /// [`Error::Config`], [`Error::Objects`]. The database is not asked for anything yet.
    pub fn connect(config: Config) -> Result<Arc<Self>, Error> {
        if config.lane_secret.len() < 32 {
            return Err(Error::Config("lane_secret must have at least 32 characters".to_owned()));
        }
        let own_home = pool(&config.database, config.connections_max)?;
        let pool = pool(&config.database, config.connections_max)?;
        let poll = Duration::from_millis(config.poll_ms.max(10));
        let directory = Arc::new(Self {
            holds: Holds::new(pool.clone()),
            objects: Objects::open(&config.objects)?,
            config,
            pool,
            own_home,
            view: ArcSwap::default(),
            snapshot: ArcSwap::default(),
            migrations: Mutex::default(),
            readers: Readers::default(),
            homes: Homes::default(),
            refreshing: tokio::sync::Mutex::default(),
            looks: AtomicU64::new(0),
            changed: watch::Sender::new(0),
            hooks: OnceLock::new(),
            fences: OnceLock::new(),
        });
        tokio::spawn(follow(Arc::downgrade(&directory), poll));
        Ok(directory)
    }

    /// Gives the platform's part in lifecycles. Once, before the first tenant is created; a second
    /// call changes nothing.
    pub fn set_hooks(&self, hooks: Arc<dyn Hooks>) {
        drop(self.hooks.set(hooks));
    }

    pub(crate) fn hooks(&self) -> Arc<dyn Hooks> {
        self.hooks.get().cloned().unwrap_or_else(|| Arc::new(NoHooks))
    }

    /// The connections of the platform's own login. For the event log and the dispatcher, which live
    /// in the same database; never for a statement of a service.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// What the directory knows now, from memory.
    pub fn tenants(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Tells when the view changed: its version. For caches that are built from it.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Brings the view up to what is committed. Every change through this directory does it already.
    ///
    /// # Errors
    /// When the database is away; the old view stays.
    pub async fn refresh(&self) -> Result<(), Error> {
        // One at a time, so that an older answer never replaces a newer one.
        let _turn = self.refreshing.lock().await;
        self.look().await
    }

    /// The same for many who ask at once: one look that begins after they asked is enough for all.
    pub(crate) async fn refresh_together(&self) -> Result<(), Error> {
        let begun = self.looks.load(Ordering::Acquire);
        let _turn = self.refreshing.lock().await;
        if self.looks.load(Ordering::Acquire) > begun {
            return Ok(());
        }
        self.look().await
    }

    async fn look(&self) -> Result<(), Error> {
        self.looks.fetch_add(1, Ordering::AcqRel);
        let mut client = self.pool.get().await?;
        if let Some(view) = View::load(&mut client, &self.view.load(), &self.config).await? {
            let version = view.version();
            self.view.store(Arc::new(view));
            self.changed.send_replace(version);
        }
        Ok(())
    }

    pub(crate) fn migrations_lock(&self) -> std::sync::MutexGuard<'_, HashMap<ReleaseId, Migrations>> {
        self.migrations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connections of the platform's own login to one database.
pub(crate) fn pool(endpoint: &Endpoint, connections_max: usize) -> Result<Pool, Error> {
    // Asked before it is given out (some 30 µs): after a restart of PostgreSQL the first caller must
    // not get a connection that is dead and does not know it yet.
    let recycling = ManagerConfig {
        recycling_method: RecyclingMethod::Verified,
    };
    let manager = Manager::from_config(endpoint.to_postgres(), NoTls, recycling);
    Pool::builder(manager)
        .max_size(connections_max.max(1))
        .wait_timeout(Some(Duration::from_secs(10)))
        .runtime(deadpool_postgres::Runtime::Tokio1)
        .build()
        .map_err(|error| Error::Config(error.to_string()))
}

async fn follow(directory: Weak<Directory>, every: Duration) {
    let mut away = false;
    loop {
        tokio::time::sleep(every).await;
        let Some(directory) = directory.upgrade() else { return };
        if directory.view.load().version() == 0 {
            // Not installed yet, or nobody has looked.
            continue;
        }
        match directory.refresh().await {
            Ok(()) => away = false,
            Err(error) if !away => {
                away = true;
                warn!(%error, "Cannot look for changes in the directory; serving from what is known");
            }
            Err(_) => {}
        }
    }
}
