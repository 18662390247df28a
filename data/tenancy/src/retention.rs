//! Which releases stay, and the end of those that do not: the row, then the component that nobody
//! refers to any more.

use std::collections::HashSet;

use terrace_ground_ids::ReleaseId;
use tracing::info;

use crate::{Directory, Error, view};

/// Held shared from before a component is stored until its row is committed, and exclusively by the
/// sweep: so no component is swept between the two.
pub(crate) const STORING: &str = "SELECT pg_advisory_xact_lock_shared(hashtextextended('terrace objects', 3))";
const SWEEPING: &str = "SELECT pg_advisory_xact_lock(hashtextextended('terrace objects', 3))";

/// What a sweep removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// The releases that are gone.
    pub releases: Vec<ReleaseId>,
    /// How many components went from the object store.
    pub objects: usize,
}

impl Directory {
    /// Keeps the newest `keep` releases of each service, and whatever is current, is where a rollback
    /// leads, or is a canary; removes the others. It may be killed and called again: a component whose
    /// row is gone is found by the next sweep.
    ///
    /// # Errors
    /// When the database or the object store is away; what was removed stays removed.
    pub async fn sweep_releases(&self, keep: u32) -> Result<Swept, Error> {
        let mut swept = Swept::default();
        let names: Vec<String> = self
            .tenants()
            .services()
            .iter()
            .map(|service| service.name.to_string())
            .collect();
        for name in names {
            let mut client = self.pool.get().await?;
            let transaction = client.transaction().await?;
            // The row of the service first, as a switch takes it: what is current then is seen here.
            // A release that is just being made ready, and is as old as that, fails to switch.
            transaction
                .query("SELECT FROM terrace.service WHERE name = $1 FOR UPDATE", &[&name])
                .await?;
            let gone = transaction
                .query(
                    "DELETE FROM terrace.release r USING terrace.service s WHERE r.service = $1 AND s.name = r.service
                        AND r.id IS DISTINCT FROM s.current AND r.id IS DISTINCT FROM s.previous AND r.id IS DISTINCT FROM s.canary
                        AND r.id NOT IN (SELECT id FROM terrace.release WHERE service = $1 ORDER BY created_at DESC, id LIMIT $2)
                     RETURNING r.id",
                    &[&name, &i64::from(keep.max(1))],
                )
                .await?;
            transaction.commit().await?;
            for row in &gone {
                swept.releases.push(view::parsed(row, 0, "release id")?);
            }
        }
        for release in &swept.releases {
            self.migrations_lock().remove(release);
        }
        swept.objects = self.sweep_objects().await?;
        if swept != Swept::default() {
            info!(
                "Removed {} old releases and {} components",
                swept.releases.len(),
                swept.objects
            );
        }
        Ok(swept)
    }

    async fn sweep_objects(&self) -> Result<usize, Error> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        transaction.execute(SWEEPING, &[]).await?;
        let used: HashSet<String> = components(&*transaction).await?.into_iter().collect();
        let mut removed = 0;
        for object in self.objects.list().await? {
            if !used.contains(object.as_str()) {
                self.objects.delete(&object).await?;
                removed += 1;
            }
        }
        transaction.commit().await?;
        Ok(removed)
    }

    /// The hashes of the components of all releases: for whoever keeps something of them, too.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn component_hashes(&self) -> Result<Vec<String>, Error> {
        components(&**self.pool.get().await?).await
    }
}

async fn components(client: &impl tokio_postgres::GenericClient) -> Result<Vec<String>, Error> {
    let rows = client
        .query(
            // Those of an older version still lie in the table.
            "SELECT DISTINCT coalesce(component_sha256, encode(sha256(component), 'hex')) FROM terrace.release",
            &[],
        )
        .await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}
