//! A primary dies, its standby is promoted, and nobody here is restarted.

use std::time::Duration;

use crate::house::{A, C, House, principal, soon};
use terrace_data_router::{Config, ErrorKind, Value};

const INSERT: &str = "INSERT INTO items (title) VALUES ($1)";

fn title(number: usize) -> [Value; 1] {
    [Value::Text(format!("title {number}"))]
}

async fn count(house: &House) -> i64 {
    match house.query(A, "SELECT count(*) FROM items", &[]).await.unwrap().rows[0][0] {
        Value::Integer(count) => count,
        _ => unreachable!("a count is an integer"),
    }
}

#[tokio::test]
async fn after_a_failover_the_next_statement_finds_the_new_primary() {
    // A promotion may take long on a busy machine.
    let config = Config {
        connect_timeout_ms: 10_000,
        ..Config::default()
    };
    let house = House::replicated(config).await;
    let standby = house.standby.as_ref().unwrap();
    for number in 0..5 {
        house.query(A, INSERT, &title(number)).await.unwrap();
    }
    let mut open = house.router.begin(&principal(A), soon()).await.unwrap();
    open.query("SELECT 1", &[]).await.unwrap();
    // What was acknowledged has arrived.
    let admin = standby.admin().await;
    let arrived = format!("SELECT count(*) FROM {A}_tasks.items");
    loop {
        match admin.query_one(&arrived, &[]).await {
            Ok(row) if row.get::<_, i64>(0) == 5 => break,
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }

    house.scratch.crash().await;
    assert_eq!(
        open.query("SELECT 1", &[]).await.unwrap_err().kind,
        ErrorKind::Unavailable
    );
    // Asked for in between, with nobody there to write to: it waits, and is served after the promotion.
    let early = {
        let router = house.router.clone();
        tokio::spawn(async move { router.query(&principal(A), soon(), INSERT, &title(5)).await })
    };
    // A reader could be served by the standby, and would see an older moment than it was told of.
    standby.promote().await;
    early.await.unwrap().unwrap();
    house.query(A, INSERT, &title(6)).await.unwrap();
    assert_eq!(count(&house).await, 7);
    assert_eq!(
        house.query(C, "SELECT count(*) FROM items", &[]).await.unwrap().rows[0][0],
        Value::Integer(0)
    );
}

#[tokio::test]
async fn a_standby_is_never_written_to_and_with_nobody_else_the_answer_is_unavailable() {
    let config = Config {
        connect_timeout_ms: 300,
        ..Config::default()
    };
    let house = House::replicated(config).await;
    assert_eq!(count(&house).await, 0);
    house.scratch.stop().await;
    let error = house.query(A, "SELECT count(*) FROM items", &[]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    // The same primary comes back: found again.
    house.scratch.start().await;
    house.query(A, INSERT, &title(1)).await.unwrap();
    assert_eq!(count(&house).await, 1);
}

#[tokio::test]
async fn a_connection_whose_server_stops_writing_is_not_used_again() {
    let config = Config {
        connect_timeout_ms: 300,
        ..Config::default()
    };
    let house = House::replicated(config).await;
    house.query(A, INSERT, &title(1)).await.unwrap();
    let admin = house.scratch.admin().await;
    let set = |value: &str| format!("ALTER SYSTEM SET default_transaction_read_only = {value}");
    admin.batch_execute(&set("on")).await.unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    loop {
        let error = house.query(A, INSERT, &title(2)).await;
        match error {
            // The server has not told its backends yet.
            Ok(_) => drop(house.query(A, "DELETE FROM items WHERE title = 'title 2'", &[]).await),
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
                break;
            }
        }
    }
    admin
        .batch_execute("SET default_transaction_read_only = off")
        .await
        .unwrap();
    admin.batch_execute(&set("off")).await.unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let began = std::time::Instant::now();
    while house.query(A, INSERT, &title(3)).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(10), "it never came back");
    }
}
