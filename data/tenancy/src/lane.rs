//! Lanes: giving a tenant a login role with room, and making a new one when all are full.

use data_encoding::HEXLOWER;
use deadpool_postgres::Object;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use terrace_ground_ids::{ClusterName, LaneId, TenantId};
use tokio_postgres::Transaction;

use crate::{Config, Directory, Error};

/// The password of a lane: derived, so that no table holds it and every node knows it.
pub(crate) fn password(secret: &str, login: &str) -> String {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
    mac.update(login.as_bytes());
    HEXLOWER.encode(&mac.finalize().into_bytes())
}

/// The lanes of one cluster, for whoever wants a seat in one. Asked for before the connection to the
/// directory is (homes.rs).
pub(crate) struct Lanes {
    cluster: ClusterName,
    /// Where logins are made, when that is not the directory's own cluster.
    server: Option<Object>,
}

impl Directory {
    pub(crate) async fn lanes(&self, cluster: &ClusterName) -> Result<Lanes, Error> {
        let server = if *cluster == self.config.cluster {
            None
        } else {
            Some(self.known_cluster_pool(cluster).await?.get().await?)
        };
        Ok(Lanes {
            cluster: cluster.clone(),
            server,
        })
    }
}

impl Lanes {
    /// Where they are.
    pub(crate) fn cluster(&self) -> &ClusterName {
        &self.cluster
    }
}

/// Takes a seat in a lane of this size with room, for a tenant whose row the caller writes. The lock makes two
/// creations at once agree on who takes the last seat, and on who makes the next lane; it is held for one
/// short transaction.
pub(crate) async fn seat(
    transaction: &Transaction<'_>,
    config: &Config,
    lanes: &Lanes,
    size: u32,
) -> Result<LaneId, Error> {
    let size = i32::try_from(size.max(1)).unwrap_or(i32::MAX);
    transaction
        .execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('terrace lanes', 1))",
            &[],
        )
        .await?;
    let free = transaction
        .query_opt(
            "SELECT id FROM terrace.lane WHERE cluster = $1 AND capacity = $2 AND tenants < capacity ORDER BY created_at, id LIMIT 1",
            &[&lanes.cluster.as_str(), &size],
        )
        .await?;
    let lane: LaneId = match &free {
        Some(row) => crate::view::parsed(row, 0, "lane id")?,
        None => open(transaction, config, lanes, size).await?,
    };
    transaction
        .execute(
            "UPDATE terrace.lane SET tenants = tenants + 1 WHERE id = $1",
            &[&lane.as_str()],
        )
        .await?;
    Ok(lane)
}

/// A new lane: its login role, and its row.
async fn open(transaction: &Transaction<'_>, config: &Config, lanes: &Lanes, size: i32) -> Result<LaneId, Error> {
    let id = LaneId::random();
    let login = login(&id);
    // The verifier instead of the password, so that a server that logs statements does not log it.
    let verifier = postgres_protocol::password::scram_sha_256(password(&config.lane_secret, &login).as_bytes());
    let limit = i32::try_from(config.lane_connections_max.max(1)).unwrap_or(i32::MAX / 2);
    // Twice what one process may hold: when a node is replaced, the old and the new run side by side.
    let sql = format!(
        "CREATE ROLE \"{login}\" LOGIN NOINHERIT CONNECTION LIMIT {} PASSWORD '{verifier}'",
        limit * 2
    );
    match &lanes.server {
        None => transaction.batch_execute(&sql).await?,
        // When the transaction does not commit, a login stays that may act for nobody.
        Some(server) => server.batch_execute(&sql).await?,
    }
    transaction
        .execute(
            "INSERT INTO terrace.lane (id, cluster, login, capacity, connection_limit) VALUES ($1, $2, $3, $4, $5)",
            &[&id.as_str(), &lanes.cluster.as_str(), &login, &size, &limit],
        )
        .await?;
    Ok(id)
}

/// Gives a seat back.
pub(crate) async fn leave(transaction: &Transaction<'_>, lane: &LaneId) -> Result<(), Error> {
    transaction
        .execute(
            "UPDATE terrace.lane SET tenants = tenants - 1 WHERE id = $1",
            &[&lane.as_str()],
        )
        .await?;
    Ok(())
}

/// The login role of a lane: `lane_7f3k9q`.
pub(crate) fn login(lane: &LaneId) -> String {
    format!("lane_{}", lane.as_str().trim_start_matches("l_"))
}

/// Most tenants in the lane of a tenant.
pub(crate) async fn size(transaction: &Transaction<'_>, tenant: &TenantId) -> Result<u32, Error> {
    let row = transaction
        .query_one(
            "SELECT l.capacity FROM terrace.lane l JOIN terrace.tenant t ON t.lane = l.id WHERE t.id = $1",
            &[&tenant.as_str()],
        )
        .await?;
    Ok(u32::try_from(row.try_get::<_, i32>(0)?).unwrap_or(1))
}
