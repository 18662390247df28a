//! Who computes for long gives way to others on the server's machine, and nobody else does.

use std::{fs, time::Instant};

use crate::house::{A, B, House, principal, soon};
use terrace_data_router::{Config, ErrorKind};

/// Some hundred milliseconds of a processor.
const LONG: &str = "SELECT count(*) FROM generate_series(1, 4000000) AS n";

/// The priorities of the processes of the shared lane's connections, in order: 0 is the usual one, 19 the lowest.
async fn priorities(house: &House) -> Vec<i32> {
    let rows = house
        .scratch
        .admin()
        .await
        .query(
            "SELECT pid FROM pg_stat_activity WHERE usename = 'lane_aaaaaa' AND datname = current_database()",
            &[],
        )
        .await
        .unwrap();
    let mut priorities: Vec<_> = rows
        .iter()
        .filter_map(|row| {
            let stat = fs::read_to_string(format!("/proc/{}/stat", row.get::<_, i32>(0))).ok()?;
            let (_, after_name) = stat.rsplit_once(')')?;
            after_name.split_ascii_whitespace().nth(16)?.parse().ok()
        })
        .collect();
    priorities.sort_unstable();
    priorities
}

#[tokio::test]
async fn a_statement_that_computes_stands_back_and_its_connection_comes_forward_for_another_tenant() {
    let house = House::new(Config {
        long_statement_niceness: 7,
        ..Config::default()
    })
    .await;
    house.query(A, "SELECT 1", &[]).await.unwrap();
    assert_eq!(priorities(&house).await, [0]);

    let router = house.router.clone();
    let long = tokio::spawn(async move { router.query(&principal(A), soon(), LONG, &[]).await });
    let mut has_stood_back = false;
    while !long.is_finished() {
        has_stood_back |= priorities(&house).await == [7];
    }
    long.await.unwrap().unwrap();
    assert!(has_stood_back);

    house.query(A, "SELECT 1", &[]).await.unwrap();
    assert_eq!(priorities(&house).await, [7], "its tenant is remembered for a while");
    house.query(B, "SELECT 1", &[]).await.unwrap();
    // Without the right to raise a priority, another connection was opened for it.
    assert_eq!(priorities(&house).await[0], 0);
    house.query(A, "SELECT 1", &[]).await.unwrap();
    let after = priorities(&house).await;
    assert_eq!(
        after,
        [0, 7],
        "it takes no connection of another's while it may open one"
    );
}

#[tokio::test]
async fn a_statement_that_waits_is_not_taken_for_one_that_computes() {
    let house = House::new(Config {
        lock_timeout_ms: 300,
        ..Config::default()
    })
    .await;
    let admin = house.scratch.admin().await;
    admin
        .batch_execute(&format!("BEGIN; LOCK TABLE {A}_tasks.items"))
        .await
        .unwrap();
    let began = Instant::now();
    let error = house.query(A, "SELECT * FROM items", &[]).await.unwrap_err();
    assert_eq!(
        (error.kind, error.sqlstate.as_deref()),
        (ErrorKind::Timeout, Some("55P03"))
    );
    assert!(began.elapsed().as_millis() >= 300, "it waited while it was looked at");
    house.query(A, "SELECT 1", &[]).await.unwrap();
    assert_eq!(priorities(&house).await, [0]);
}

#[tokio::test]
async fn where_it_is_switched_off_all_statements_are_alike() {
    let house = House::new(Config {
        long_statement_niceness: 0,
        ..Config::default()
    })
    .await;
    house.query(A, LONG, &[]).await.unwrap();
    house.query(A, "SELECT 1", &[]).await.unwrap();
    assert_eq!(priorities(&house).await, [0]);
}
