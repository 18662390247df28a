//! One flight is one write; and whatever happens to a transaction, the pool stays in order.

use std::time::{Duration, Instant};

use crate::house::{A, B, C, House, principal, soon};
use terrace_data_router::{Config, ErrorKind, LaneHealth, Trusted, Value};

fn shared_lane(house: &House) -> LaneHealth {
    house
        .router
        .health()
        .into_iter()
        .find(|lane| lane.lane.as_str() == "l_aaaaaa")
        .unwrap()
}

async fn count(house: &House, tenant: &str) -> i64 {
    match house
        .query(tenant, "SELECT count(*) FROM items", &[])
        .await
        .unwrap()
        .rows[0][0]
    {
        Value::Integer(count) => count,
        _ => unreachable!("a count is an integer"),
    }
}

/// Waits until the lane's connections are where they should be.
async fn until(house: &House, condition: impl Fn(&LaneHealth) -> bool) {
    let began = Instant::now();
    while !condition(&shared_lane(house)) {
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", shared_lane(house));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_query_is_one_write_and_the_first_of_its_kind_is_two() {
    let house = House::new(Config::default()).await;
    let sql = "INSERT INTO items (title) VALUES ($1) RETURNING id";
    for (number, writes) in [(1, 2), (2, 3), (3, 4), (4, 5)] {
        house
            .query(A, sql, &[Value::Text(format!("title {number}"))])
            .await
            .unwrap();
        assert_eq!(shared_lane(&house).writes, writes);
    }
    assert_eq!(shared_lane(&house).opened, 1);
}

/// The first to need a connection may be a thread where guests compute: others must not wait for it later.
#[tokio::test]
async fn a_connection_does_not_belong_to_the_thread_that_asked_for_it_first() {
    let house = House::new(Config::default()).await;
    let router = house.router.clone();
    let elsewhere = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let mut transaction = router.begin(&principal(A), soon()).await.unwrap();
            let insert = "INSERT INTO items (title) VALUES ('not committed')";
            transaction.query(insert, &[]).await.map(drop)
        })
        // That runtime ends here, with an open transaction.
    });
    elsewhere.await.unwrap().unwrap();
    until(&house, |lane| lane.in_use == 0).await;
    assert_eq!(count(&house, A).await, 0);
    let lane = shared_lane(&house);
    assert_eq!((lane.opened, lane.destroyed), (1, 0));
}

#[tokio::test]
async fn a_tenant_is_served_where_it_was_served_before_also_when_its_neighbour_was_there_since() {
    let house = House::new(Config::default()).await;
    let sql = "SELECT title FROM items WHERE id = 1";
    // One connection knows both and served A last, the other knows A.
    house.query(A, sql, &[]).await.unwrap();
    house.query(B, sql, &[]).await.unwrap();
    let mut transactions = Vec::new();
    for _ in 0..2 {
        let mut transaction = house.router.begin(&principal(A), soon()).await.unwrap();
        transaction.query(sql, &[]).await.unwrap();
        transactions.push(transaction);
    }
    for transaction in transactions {
        transaction.commit(&[]).await.unwrap();
    }
    let before = shared_lane(&house);
    assert_eq!((before.opened, before.idle), (2, 2));
    house.query(B, sql, &[]).await.unwrap();
    assert_eq!(
        shared_lane(&house).writes,
        before.writes + 1,
        "nothing was prepared again"
    );
}

#[tokio::test]
async fn a_transaction_opens_with_its_first_statement_and_commits_with_the_platforms_own() {
    let house = House::new(Config::default()).await;
    let trusted = || Trusted {
        sql: "SELECT current_user::text || $1",
        params: vec![Value::Text("!".to_owned())],
    };
    for number in 0..3 {
        let before = house.router.health().first().map_or(0, |lane| lane.writes);
        let mut transaction = house.router.begin(&principal(A), soon()).await.unwrap();
        let title = Value::Text(format!("title {number}"));
        transaction
            .query("INSERT INTO items (title) VALUES ($1)", &[title])
            .await
            .unwrap();
        transaction.query("SELECT * FROM items", &[]).await.unwrap();
        let results = transaction.commit(&[trusted(), trusted()]).await.unwrap();
        assert_eq!(results.len(), 2);
        assert_eq!(results[0].rows, [[Value::Text(format!("{A}_tasks!"))]]);
        if number > 0 {
            assert_eq!(
                shared_lane(&house).writes - before,
                3,
                "insert, select, and everything of the commit"
            );
        }
    }
    assert_eq!(count(&house, A).await, 3);
    // Without a statement there is nothing to send; with an epilogue there is.
    assert!(
        house
            .router
            .begin(&principal(A), soon())
            .await
            .unwrap()
            .commit(&[])
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        house
            .router
            .begin(&principal(A), soon())
            .await
            .unwrap()
            .commit(&[trusted()])
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_dropped_a_failed_and_a_rolled_back_transaction_leave_nothing_and_the_connection_lives() {
    let house = House::new(Config::default()).await;
    let insert = "INSERT INTO items (title) VALUES ('one')";
    let mut dropped = house.router.begin(&principal(A), soon()).await.unwrap();
    dropped.query(insert, &[]).await.unwrap();
    drop(dropped);
    until(&house, |lane| lane.idle == 1 && lane.in_use == 0).await;

    let mut failed = house.router.begin(&principal(A), soon()).await.unwrap();
    failed.query(insert, &[]).await.unwrap();
    assert_eq!(failed.query(insert, &[]).await.unwrap_err().kind, ErrorKind::Constraint);
    assert_eq!(
        failed.query("SELECT 1", &[]).await.unwrap_err().sqlstate.as_deref(),
        Some("25P02")
    );
    assert!(failed.commit(&[]).await.is_err());
    until(&house, |lane| lane.idle == 1 && lane.in_use == 0).await;

    let mut rolled_back = house.router.begin(&principal(A), soon()).await.unwrap();
    rolled_back.query(insert, &[]).await.unwrap();
    rolled_back.rollback().await;

    // A platform statement that fails takes the whole transaction with it.
    let mut refused = house.router.begin(&principal(A), soon()).await.unwrap();
    refused.query(insert, &[]).await.unwrap();
    assert!(
        refused
            .commit(&[Trusted {
                sql: "SELECT 1 / $1::int",
                params: vec![Value::Integer(0)]
            }])
            .await
            .is_err()
    );

    assert_eq!(count(&house, A).await, 0);
    let lane = shared_lane(&house);
    assert_eq!((lane.opened, lane.destroyed, lane.in_use), (1, 0, 0));
    assert_eq!(house.router.stats(&principal(A).tenant).in_flight, 0);
}

#[tokio::test]
async fn a_cancelled_future_ends_its_statement_and_destroys_its_connection() {
    let house = House::alone(Config::default()).await;
    let admin = house.scratch.admin().await;
    admin
        .batch_execute(&format!("BEGIN; LOCK TABLE {A}_tasks.items"))
        .await
        .unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(300), house.query(A, "SELECT * FROM items", &[])).await;
    assert!(waiting.is_err(), "the statement waits for the lock");
    until(&house, |lane| lane.in_use == 0).await;
    assert_eq!((shared_lane(&house).idle, shared_lane(&house).destroyed), (0, 1));
    // Nobody waits for the lock any more.
    let began = Instant::now();
    let observer = house.scratch.admin().await;
    let waiters = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    while observer.query_one(waiters, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "the statement was not cancelled"
        );
    }
    admin.batch_execute("COMMIT").await.unwrap();
    assert_eq!(count(&house, A).await, 0);
}

#[tokio::test]
async fn a_deadline_ends_a_statement_and_not_its_connection() {
    let house = House::new(Config::default()).await;
    assert_eq!(count(&house, A).await, 0);
    let deadline = Instant::now() + Duration::from_millis(200);
    let slow = "SELECT count(*) FROM generate_series(1, 1000000000)";
    let error = house
        .router
        .query(&principal(A), deadline, slow, &[])
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout, "{error}");
    assert!(deadline.elapsed() < Duration::from_secs(1));
    assert_eq!(
        house
            .router
            .query(&principal(A), Instant::now(), "SELECT 1", &[])
            .await
            .unwrap_err()
            .kind,
        ErrorKind::Timeout
    );
    assert_eq!(count(&house, A).await, 0);
}

#[tokio::test]
async fn a_server_that_restarts_is_met_again_by_the_next_statement() {
    let house = House::alone(Config::default()).await;
    house
        .query(A, "INSERT INTO items (title) VALUES ('kept')", &[])
        .await
        .unwrap();
    for is_clean in [true, false] {
        // A transaction that is open when the server goes is lost, and says so.
        let mut open = house.router.begin(&principal(A), soon()).await.unwrap();
        open.query("SELECT 1", &[]).await.unwrap();
        if is_clean {
            house.scratch.stop().await
        } else {
            house.scratch.crash().await
        }
        assert_eq!(
            open.query("SELECT 1", &[]).await.unwrap_err().kind,
            ErrorKind::Unavailable
        );
        let away = house.query(A, "SELECT 1", &[]).await.unwrap_err();
        assert_eq!(away.kind, ErrorKind::Unavailable);
        house.scratch.start().await;
        assert_eq!(count(&house, A).await, 1);
        // The idle connections from before the restart are not given to a write either.
        let mut again = house.router.begin(&principal(A), soon()).await.unwrap();
        again.query("SELECT 1", &[]).await.unwrap();
        again.commit(&[]).await.unwrap();
    }
}

#[tokio::test]
async fn an_idle_connection_that_the_server_ended_is_replaced_without_an_error() {
    let house = House::alone(Config::default()).await;
    let admin = house.scratch.admin().await;
    for number in 0..5 {
        house
            .query(
                A,
                "INSERT INTO items (title) VALUES ($1)",
                &[Value::Text(format!("{number}"))],
            )
            .await
            .unwrap();
        let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename LIKE 'lane%'";
        assert_eq!(admin.query_one(ended, &[]).await.unwrap().get::<_, i64>(0), 1);
        // One that is ending is still listed for a moment.
        let left = "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'lane%'";
        while admin.query_one(left, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(count(&house, A).await, 5);
}

#[tokio::test]
async fn a_tenant_that_sends_everything_at_once_waits_in_its_own_queue() {
    let config = Config {
        tenant_in_flight_max: 2,
        tenant_queue_max: 3,
        ..Config::default()
    };
    let house = House::new(config).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut transaction = house.router.begin(&principal(A), soon()).await.unwrap();
        transaction.query("SELECT 1", &[]).await.unwrap();
        held.push(transaction);
    }
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let router = house.router.clone();
            tokio::spawn(async move { router.query(&principal(A), soon(), "SELECT 1", &[]).await })
        })
        .collect();
    while house.router.stats(&principal(A).tenant).waiting < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        house.query(A, "SELECT 1", &[]).await.unwrap_err().kind,
        ErrorKind::Unavailable
    );
    // Its neighbour in the lane, and one elsewhere, do not notice.
    assert_eq!(count(&house, B).await, 0);
    assert_eq!(count(&house, C).await, 0);
    drop(held);
    for waiting in waiting {
        waiting.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_result_has_an_end() {
    let config = Config {
        result_rows_max: 100,
        result_bytes_max: 10_000,
        ..Config::default()
    };
    let house = House::new(config).await;
    let rows = |count: i64| vec![Value::Integer(count)];
    let series = "SELECT n FROM generate_series(1, $1) AS n";
    assert_eq!(house.query(A, series, &rows(100)).await.unwrap().rows.len(), 100);
    assert_eq!(
        house.query(A, series, &rows(101)).await.unwrap_err().kind,
        ErrorKind::Limit
    );
    assert_eq!(
        house.query(A, series, &rows(100_000)).await.unwrap_err().kind,
        ErrorKind::Limit
    );
    let wide = "SELECT repeat('x', $1::int)";
    assert_eq!(house.query(A, wide, &rows(9_000)).await.unwrap().rows.len(), 1);
    assert_eq!(
        house.query(A, wide, &rows(20_000)).await.unwrap_err().kind,
        ErrorKind::Limit
    );
    assert_eq!(
        house.query(A, wide, &rows(50_000_000)).await.unwrap_err().kind,
        ErrorKind::Limit
    );
    assert_eq!(house.query(A, series, &rows(3)).await.unwrap().rows.len(), 3);
}

#[tokio::test]
async fn more_statements_than_a_connection_keeps_are_prepared_anew_and_the_old_ones_closed() {
    let config = Config {
        prepared_max: 16,
        ..Config::default()
    };
    let house = House::new(config).await;
    for round in 0..2 {
        for number in 0..40 {
            let rows = house
                .query(A, &format!("SELECT {number} + $1::int"), &[Value::Integer(1)])
                .await
                .unwrap();
            assert_eq!(rows.rows, [[Value::Integer(number + 1)]], "round {round}");
        }
    }
    assert_eq!(shared_lane(&house).opened, 1);
}
