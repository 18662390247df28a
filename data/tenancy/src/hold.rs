//! The right to change one thing (a tenant, a service) for a while: no two operations at once, on
//! whatever nodes they are.
//!
//! A right is a session lock, and all rights of a node are on one connection of their own. When the
//! process is killed, PostgreSQL sees that connection end and lets go of them; nothing has to expire.
//! One connection per right would be simpler, and was wrong: a few creations at once took the whole
//! pool, and then waited for it.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use deadpool_postgres::{ClientWrapper, Object, Pool};

use crate::{Directory, Error};

pub(crate) struct Holds {
    inner: Arc<Inner>,
}

struct Inner {
    pool: Pool,
    client: tokio::sync::Mutex<Option<ClientWrapper>>,
    /// What this process holds: to PostgreSQL, one session may take its own lock twice.
    held: Mutex<HashSet<String>>,
}

impl Holds {
    pub(crate) fn new(pool: Pool) -> Self {
        Self {
            inner: Arc::new(Inner {
                pool,
                client: tokio::sync::Mutex::default(),
                held: Mutex::default(),
            }),
        }
    }
}

impl Directory {
    /// Does `work` while nobody else can hold `what`.
    pub(crate) async fn holding<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let hold = self.hold(what).await?;
        let outcome = work.await;
        hold.release().await;
        outcome
    }

    pub(crate) async fn hold(&self, what: &str) -> Result<Hold, Error> {
        Hold::take(&self.holds.inner, what).await
    }
}

pub(crate) struct Hold {
    inner: Arc<Inner>,
    what: Option<String>,
}

impl Hold {
    async fn take(inner: &Arc<Inner>, what: &str) -> Result<Self, Error> {
        let busy = || Error::Busy { what: what.to_owned() };
        if !inner.held().insert(what.to_owned()) {
            return Err(busy());
        }
        let mut hold = Self {
            inner: inner.clone(),
            what: Some(what.to_owned()),
        };
        let mut client = inner.client.lock().await;
        if client.as_ref().is_none_or(|client| client.is_closed()) {
            // Taken out of the pool for good, so that the pool may open another in its place.
            *client = Some(Object::take(inner.pool.get().await?));
        }
        let Some(connection) = &*client else { return Err(busy()) };
        let row = connection
            .query_one("SELECT pg_try_advisory_lock(hashtextextended($1, 1))", &[&what])
            .await?;
        let is_taken: bool = row.try_get(0)?;
        drop(client);
        if is_taken {
            return Ok(hold);
        }
        // Somebody else's: nothing is to be let go of in the database.
        hold.what = None;
        inner.held().remove(what);
        Err(busy())
    }

    pub(crate) async fn release(mut self) {
        if let Some(what) = self.what.take() {
            self.inner.release(&what).await;
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // Cut off or panicked: the lock must not stay until the process ends.
        if let (Some(what), Ok(runtime)) = (self.what.take(), tokio::runtime::Handle::try_current()) {
            let inner = self.inner.clone();
            runtime.spawn(async move { inner.release(&what).await });
        }
    }
}

impl Inner {
    /// Lets go in the database first: until then it is still held here.
    async fn release(&self, what: &str) {
        let mut client = self.client.lock().await;
        let unlocked = match &*client {
            // Unlocking what is not held is a warning of PostgreSQL, and no error.
            Some(connection) => connection
                .query("SELECT pg_advisory_unlock(hashtextextended($1, 1))", &[&what])
                .await
                .is_ok(),
            None => true,
        };
        if !unlocked {
            // The connection is gone or going, and all its locks with it.
            *client = None;
        }
        drop(client);
        self.held().remove(what);
    }

    fn held(&self) -> MutexGuard<'_, HashSet<String>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
