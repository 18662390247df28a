//! Who works on a (service, tenant): one node at a time, by a session lock.
//!
//! All locks of a node live on one connection. When the node dies, PostgreSQL sees the connection end
//! and gives them free at once: nothing has to expire. When only the connection dies, another node may
//! begin while this one still delivers; the cursor in the service's transaction keeps the effect single.

use deadpool_postgres::{ClientWrapper, Object, Pool};
use tokio::sync::Mutex;

use crate::{Error, ready::Key};

pub(crate) struct Turns {
    pool: Pool,
    client: Mutex<Option<ClientWrapper>>,
}

impl Turns {
    pub(crate) fn new(pool: Pool) -> Self {
        Self {
            pool,
            client: Mutex::default(),
        }
    }

    /// Takes the turn; `false` when another node has it.
    pub(crate) async fn take(&self, key: &Key) -> Result<bool, Error> {
        let mut client = self.client.lock().await;
        if client.as_ref().is_none_or(|client| client.is_closed()) {
            // Taken out of the pool for good: its locks must never go back there with it.
            *client = Some(Object::take(self.pool.get().await?));
        }
        let Some(client) = &*client else { return Ok(false) };
        let statement = client
            .prepare_cached("SELECT pg_try_advisory_lock(hashtextextended($1, 3))")
            .await?;
        Ok(client.query_one(&statement, &[&name(key)]).await?.try_get(0)?)
    }

    /// Gives the turn back.
    pub(crate) async fn give(&self, key: &Key) -> Result<(), Error> {
        if let Some(client) = &*self.client.lock().await
            && !client.is_closed()
        {
            let statement = client
                .prepare_cached("SELECT pg_advisory_unlock(hashtextextended($1, 3))")
                .await?;
            client.query_one(&statement, &[&name(key)]).await?;
        }
        Ok(())
    }
}

fn name((service, tenant): &Key) -> String {
    format!("{service} {tenant}")
}
