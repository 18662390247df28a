//! Who works on a (service, tenant): one node at a time, by a session lock.
//!
//! All locks of a node live on one connection. When the node dies, PostgreSQL sees the connection end
//! and gives them free at once: nothing has to expire. When only the connection dies, another node may
//! begin while this one still delivers; the cursor in the service's transaction keeps the effect single.

use deadpool_postgres::{ClientWrapper, Object, Pool};
use tokio::sync::Mutex;

use crate::{Error, ready::Key};

/// The turns that this node has.
pub struct Turns {
    pool: Pool,
    /// Keeps these locks apart from those of others.
    kind: i64,
    client: Mutex<Option<ClientWrapper>>,
}

impl Turns {
    /// None. `kind` keeps what has turns of its own apart: 3 is the dispatcher's.
    pub fn new(pool: Pool, kind: i64) -> Self {
        Self {
            pool,
            kind,
            client: Mutex::default(),
        }
    }

    /// Takes the turn; `false` when another node has it.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn take(&self, key: &Key) -> Result<bool, Error> {
        let mut client = self.client.lock().await;
        if client.as_ref().is_none_or(|client| client.is_closed()) {
            // Taken out of the pool for good: its locks must never go back there with it.
            *client = Some(Object::take(self.pool.get().await?));
        }
        let Some(client) = &*client else { return Ok(false) };
        let statement = client
            .prepare_cached("SELECT pg_try_advisory_lock(hashtextextended($1, $2))")
            .await?;
        Ok(client
            .query_one(&statement, &[&name(key), &self.kind])
            .await?
            .try_get(0)?)
    }

    /// Gives the turn back.
    ///
    /// # Errors
    /// When the database is away; then it has been given back.
    pub async fn give(&self, key: &Key) -> Result<(), Error> {
        if let Some(client) = &*self.client.lock().await
            && !client.is_closed()
        {
            let statement = client
                .prepare_cached("SELECT pg_advisory_unlock(hashtextextended($1, $2))")
                .await?;
            client.query_one(&statement, &[&name(key), &self.kind]).await?;
        }
        Ok(())
    }
}

fn name((service, tenant): &Key) -> String {
    format!("{service} {tenant}")
}
