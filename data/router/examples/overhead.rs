//! What a routed, role-enforced query costs over a bare pool: `cargo run -p terrace-data-router --example overhead`.
//!
//! One caller, one row by primary key, over the same unix socket, in turns so that the machine's mood
//! meets all of them. Prints the median and the 99th percentile of each, in microseconds.

use std::{
    error::Error as StdError,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use deadpool_postgres::{Manager, Pool};
use terrace_data_embedded::testing::Scratch;
use terrace_data_router::{Address, Cluster, Config, Lane, Placement, Placements, Principal, Result, Router, Value};
use terrace_ground_ids::TenantId;
use tokio_postgres::NoTls;

const ROUNDS: usize = 40;
const PER_ROUND: usize = 500;
const ROLE: &str = "t_aaaaaaaa_tasks";

struct Only(Arc<Placement>);

#[async_trait]
impl Placements for Only {
    async fn placement(&self, _: &TenantId) -> Result<Arc<Placement>> {
        Ok(Arc::clone(&self.0))
    }
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn StdError>> {
    let scratch = Scratch::new().await;
    let admin = scratch.admin().await;
    admin
        .batch_execute(&format!(
            "CREATE ROLE lane_aaaaaa LOGIN NOINHERIT PASSWORD 'lane-password'; CREATE ROLE {ROLE}; GRANT {ROLE} TO lane_aaaaaa;
             CREATE SCHEMA {ROLE}; GRANT USAGE ON SCHEMA {ROLE} TO {ROLE};
             CREATE TABLE {ROLE}.items (id bigint PRIMARY KEY, title text);
             INSERT INTO {ROLE}.items SELECT n, 'item ' || n FROM generate_series(1, 1000) n;
             GRANT ALL ON {ROLE}.items TO {ROLE}; ANALYZE;"
        ))
        .await?;
    let connection = scratch.connection();
    let pool = Pool::builder(Manager::new(connection.client_config(), NoTls))
        .max_size(4)
        .build()?;
    let cluster = Arc::new(Cluster {
        name: "main".parse()?,
        address: Address::Unix {
            dir: connection.socket_dir.clone(),
            port: connection.port,
        },
        database: connection.database.clone(),
    });
    let lane = Lane {
        id: "l_aaaaaa".parse()?,
        login: "lane_aaaaaa".to_owned(),
        password: "lane-password".to_owned(),
        connection_limit: 4,
        tenants_max: 64,
        cluster,
    };
    let principal = Principal {
        tenant: "t_aaaaaaaa".parse()?,
        service: "tasks".parse()?,
    };
    let placement = Placement {
        tenant: principal.tenant.clone(),
        lane: Arc::new(lane),
    };
    let router = Router::new(Config::default(), Arc::new(Only(Arc::new(placement))));

    let bare_sql = format!("SELECT title FROM {ROLE}.items WHERE id = $1");
    let role_sql = format!("SET LOCAL ROLE {ROLE}");
    let (mut bare, mut separate, mut routed) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        if round == 1 {
            // The first round only warms up.
            (bare, separate, routed) = (Vec::new(), Vec::new(), Vec::new());
        }
        for number in 0..PER_ROUND {
            let id = i64::try_from(number)? + 1;
            let began = Instant::now();
            let client = pool.get().await?;
            let statement = client.prepare_cached(&bare_sql).await?;
            let title: String = client.query_one(&statement, &[&id]).await?.get(0);
            bare.push(began.elapsed());
            assert!(title.ends_with(&id.to_string()));
        }
        for number in 0..PER_ROUND {
            let params = [Value::Integer(i64::try_from(number)? + 1)];
            let began = Instant::now();
            let deadline = began + Duration::from_secs(10);
            let rows = router
                .query(&principal, deadline, "SELECT title FROM items WHERE id = $1", &params)
                .await?;
            routed.push(began.elapsed());
            assert_eq!(rows.rows.len(), 1);
        }
        for number in 0..PER_ROUND / 5 {
            let id = i64::try_from(number)? + 1;
            let began = Instant::now();
            let mut client = pool.get().await?;
            let statement = client.prepare_cached(&bare_sql).await?;
            let transaction = client.transaction().await?;
            transaction.batch_execute(&role_sql).await?;
            transaction.batch_execute("SET LOCAL statement_timeout = 10000").await?;
            transaction.query_one(&statement, &[&id]).await?;
            transaction.commit().await?;
            separate.push(began.elapsed());
        }
    }
    let bare = report("bare pool (tokio-postgres, deadpool)", bare);
    let routed = report("Router::query (role, timeout, tags)", routed);
    let separate = report("the same as separate round trips", separate);
    println!(
        "over the bare pool: routed {:+.1} µs, separate {:+.1} µs at the median",
        routed - bare,
        separate - bare
    );
    Ok(())
}

fn report(name: &str, mut times: Vec<Duration>) -> f64 {
    times.sort();
    let at = |share: usize| times[times.len() * share / 100].as_secs_f64() * 1e6;
    println!("{name:40} p50 {:7.1} µs   p99 {:7.1} µs", at(50), at(99));
    at(50)
}
