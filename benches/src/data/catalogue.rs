//! What one connection keeps of the catalogue: a lane's, which serves at most 64 tenants, beside one of
//! a pool that serves everybody.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use terrace_data_router::Router;
use terrace_data_tenancy::testing::principal;

use crate::Figure;

use super::{
    memory::{Memory, megabytes},
    say,
    stage::Stage,
};

/// Lanes that are looked at.
const LANES: usize = 4;
/// Tenants that the peer's connection serves: it takes too long for all.
const PEER_TENANTS: usize = 2_000;

const TABLES: [(&str, &str, &str); 8] = [
    ("identity", "member", "name"),
    ("identity", "refresh_token", "family"),
    ("tasks", "board", "title"),
    ("tasks", "task", "title"),
    ("tasks", "comment", "text"),
    ("tasks", "counter", "value"),
    ("billing", "subscription", "plan"),
    ("billing", "meter", "value"),
];

/// Every table of every tenant is read and written once.
pub(super) async fn measure(stage: &Stage) -> Result<Vec<Figure>> {
    let lanes = lanes(stage);
    let tenants = lanes.iter().map(Vec::len).max().unwrap_or(0);
    let mut largest = 0;
    let mut fresh = 0;
    for lane in &lanes {
        // A router of its own, so that its connections are new.
        let router = Router::new(terrace_data_router::Config::default(), stage.world.directory.clone());
        let since: String = stage
            .admin
            .query_one("SELECT clock_timestamp()::text", &[])
            .await?
            .try_get(0)?;
        let condition = format!("usename LIKE 'lane\\_%' AND backend_start > '{since}'");
        for (number, tenant) in lane.iter().enumerate() {
            for (service, table, column) in TABLES {
                let who = principal(tenant, service);
                for sql in statements(table, column) {
                    let deadline = Instant::now() + Duration::from_secs(20);
                    router.query(&who, deadline, &sql, &[]).await?;
                }
                if number == 0 && table == "member" {
                    fresh = Memory::of(&stage.admin, &condition).await?.largest;
                }
            }
        }
        largest = largest.max(Memory::of(&stage.admin, &condition).await?.largest);
    }
    let (peer, served) = peer(stage).await?;
    let figure = Figure {
        what: format!(
            "memory of one connection that served {tenants} tenants of 8 tables, its whole lane; {} tenants",
            stage.tenants.len()
        ),
        ours: format!("{:.1} MB ({:.1} MB when new)", megabytes(largest), megabytes(fresh)),
        peer: format!(
            "a connection of a shared pool that served {served} tenants: {:.0} MB",
            megabytes(peer)
        ),
        ratio: format!("{:.2}x", megabytes(largest) / megabytes(peer)),
    };
    say(&format!(
        "{}: {} | {} | {}",
        figure.what, figure.ours, figure.peer, figure.ratio
    ));
    Ok(vec![figure])
}

/// The tenants of a few lanes, the fullest first.
fn lanes(stage: &Stage) -> Vec<Vec<terrace_ground_ids::TenantId>> {
    let mut lanes: HashMap<String, Vec<_>> = HashMap::new();
    for tenant in &stage.tenants {
        if let Some(placement) = &tenant.placement {
            lanes
                .entry(placement.lane.id.to_string())
                .or_default()
                .push(tenant.id.clone());
        }
    }
    let mut lanes: Vec<_> = lanes.into_values().collect();
    lanes.sort_by_key(|tenants| std::cmp::Reverse(tenants.len()));
    lanes.truncate(LANES);
    lanes
}

fn statements(table: &str, column: &str) -> [String; 2] {
    [
        format!("SELECT count(*) FROM {table} WHERE {column} IS NOT NULL"),
        format!("UPDATE {table} SET {column} = {column} WHERE {column} IS NULL"),
    ]
}

async fn peer(stage: &Stage) -> Result<(u64, usize)> {
    let mut config = stage.connection().client_config();
    config.application_name("figures-catalogue");
    let (client, connection) = config
        .connect(tokio_postgres::NoTls)
        .await
        .context("connect as the peer")?;
    tokio::spawn(connection);
    let mut served = 0;
    for tenant in stage.tenants.iter().take(PEER_TENANTS) {
        for (service, table, column) in TABLES {
            let table = format!("\"{}_{service}\".{table}", tenant.id);
            for sql in statements(&table, column) {
                // Prepared statements are not kept: only what PostgreSQL knows of tables is compared.
                client.query(&sql, &[]).await?;
            }
        }
        served += 1;
    }
    let memory = Memory::of(&stage.admin, "application_name = 'figures-catalogue'").await?;
    Ok((memory.largest, served))
}
