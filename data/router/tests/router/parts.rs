//! Parts of a transaction: savepoints that take one back, scans that read one result in parts.

use std::time::{Duration, Instant};

use crate::house::{A, House, principal, soon};
use terrace_data_router::{Config, ErrorKind, Rows, Transaction, Value};

const INSERT: &str = "INSERT INTO items (title) VALUES ($1)";

fn title(text: &str) -> [Value; 1] {
    [Value::Text(text.to_owned())]
}

async fn titles(house: &House) -> Vec<String> {
    let rows = house
        .query(A, "SELECT title FROM items ORDER BY id", &[])
        .await
        .unwrap();
    rows.rows
        .into_iter()
        .map(|mut row| match row.remove(0) {
            Value::Text(title) => title,
            other => panic!("{other:?}"),
        })
        .collect()
}

async fn begin(house: &House) -> Transaction {
    house.router.begin(&principal(A), soon()).await.unwrap()
}

#[tokio::test]
async fn a_savepoint_takes_a_part_back_also_after_an_error_and_the_rest_is_committed() {
    let house = House::new(Config::default()).await;
    let mut transaction = begin(&house).await;
    // The first thing that a transaction does may be a savepoint.
    let first = transaction.savepoint().await.unwrap();
    transaction.query(INSERT, &title("one")).await.unwrap();
    let second = transaction.savepoint().await.unwrap();
    transaction.query(INSERT, &title("two")).await.unwrap();
    assert_eq!(
        transaction.query(INSERT, &title("one")).await.unwrap_err().kind,
        ErrorKind::Constraint
    );
    assert!(
        transaction.query("SELECT 1", &[]).await.is_err(),
        "failed until it is rolled back to"
    );
    transaction.rollback_to(second.number()).await.unwrap();
    transaction.query(INSERT, &title("three")).await.unwrap();
    // It is still set, and can be used again.
    transaction.rollback_to(second.number()).await.unwrap();
    transaction.query(INSERT, &title("four")).await.unwrap();
    let third = transaction.savepoint().await.unwrap();
    transaction.query(INSERT, &title("five")).await.unwrap();
    transaction.release(first.number()).await.unwrap();
    for gone in [first, second, third] {
        assert_eq!(
            transaction.rollback_to(gone.number()).await.unwrap_err().kind,
            ErrorKind::Other
        );
        assert_eq!(
            transaction.release(gone.number()).await.unwrap_err().kind,
            ErrorKind::Other
        );
    }
    transaction.commit(&[]).await.unwrap();
    assert_eq!(titles(&house).await, ["one", "four", "five"]);
    let lane = &house.router.health()[0];
    assert_eq!((lane.opened, lane.destroyed), (1, 0));
}

#[tokio::test]
async fn a_service_cannot_name_a_savepoint_and_makes_no_more_than_the_server_keeps_cheaply() {
    let house = House::new(Config {
        savepoints_max: 3,
        ..Config::default()
    })
    .await;
    let mut transaction = begin(&house).await;
    let error = transaction.query("SAVEPOINT s0", &[]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    for _ in 0..3 {
        let savepoint = transaction.savepoint().await.unwrap();
        transaction
            .query(INSERT, &title(&format!("{}", savepoint.number())))
            .await
            .unwrap();
        // Released, it still counts: the server keeps it until the transaction ends.
        transaction.release(savepoint.number()).await.unwrap();
    }
    let error = transaction.savepoint().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Limit, "{error}");
    transaction.commit(&[]).await.unwrap();
    assert_eq!(titles(&house).await.len(), 3);
}

async fn read(transaction: &mut Transaction, scan: u32) -> Vec<Rows> {
    let mut batches = Vec::new();
    while let Some(rows) = transaction.next(scan).await.unwrap() {
        batches.push(rows);
    }
    batches
}

#[tokio::test]
async fn a_scan_reads_far_more_than_a_result_may_have_in_batches_that_stay_small() {
    let config = Config {
        result_rows_max: 2_000,
        result_bytes_max: 100_000,
        batch_bytes: 20_000,
        ..Config::default()
    };
    let house = House::new(config).await;
    let sql = "SELECT n, repeat('x', CASE WHEN n % 1000 = 0 THEN 5000 ELSE 10 END) FROM generate_series(1, $1) AS n";
    let many = [Value::Integer(30_000)];
    assert_eq!(house.query(A, sql, &many).await.unwrap_err().kind, ErrorKind::Limit);
    let mut transaction = begin(&house).await;
    let scan = transaction.scan(sql, &many).await.unwrap();
    let batches = read(&mut transaction, scan.number()).await;
    let numbers: Vec<_> = batches
        .iter()
        .flat_map(|rows| rows.rows.iter().map(|row| row[0].clone()))
        .collect();
    assert_eq!(numbers, (1..=30_000).map(Value::Integer).collect::<Vec<_>>());
    assert_eq!(batches[0].columns, ["n", "repeat"]);
    assert!(batches.iter().all(|rows| rows.rows.len() <= 1_000), "bounded by rows");
    assert!(batches.len() < 1_000, "and not one row at a time: {}", batches.len());
    assert_eq!(
        transaction.next(scan.number()).await.unwrap_err().kind,
        ErrorKind::Other,
        "it is over"
    );
    transaction.commit(&[]).await.unwrap();
}

#[tokio::test]
async fn the_server_computes_no_further_than_a_scan_was_read() {
    let house = House::new(Config::default()).await;
    house.table("CREATE SEQUENCE computed").await;
    house
        .table("GRANT USAGE ON SEQUENCE computed TO t_aaaaaaaa_tasks")
        .await;
    let mut transaction = begin(&house).await;
    let sql = "SELECT nextval('computed'), n FROM generate_series(1, 1000000) AS n";
    let scan = transaction.scan(sql, &[]).await.unwrap();
    for _ in 0..2 {
        transaction.next(scan.number()).await.unwrap().unwrap();
    }
    let rows = transaction.query("SELECT nextval('computed')", &[]).await.unwrap();
    let Value::Integer(computed) = rows.rows[0][0] else {
        panic!("{rows:?}")
    };
    assert!(computed < 100, "{computed} rows were computed for two batches");
    // Given up half way, it costs nothing more, and the connection is in order.
    transaction.close(scan.number());
    transaction.query("SELECT 1", &[]).await.unwrap();
    transaction.commit(&[]).await.unwrap();
    assert_eq!(house.router.health()[0].destroyed, 0);
}

#[tokio::test]
async fn several_scans_and_statements_take_turns_and_a_savepoint_takes_a_scan_along() {
    let house = House::new(Config::default()).await;
    let mut transaction = begin(&house).await;
    let sql = "SELECT n FROM generate_series(1, $1) AS n";
    let outer = transaction.scan(sql, &[Value::Integer(100)]).await.unwrap();
    let savepoint = transaction.savepoint().await.unwrap();
    let mut read_in_all = 0;
    while let Some(rows) = transaction.next(outer.number()).await.unwrap() {
        read_in_all += rows.rows.len();
        transaction
            .query(INSERT, &title(&format!("{read_in_all}")))
            .await
            .unwrap();
        let inner = transaction.scan(sql, &[Value::Integer(20)]).await.unwrap();
        let inner: usize = read(&mut transaction, inner.number())
            .await
            .iter()
            .map(|rows| rows.rows.len())
            .sum();
        assert_eq!(inner, 20);
    }
    assert_eq!(read_in_all, 100);
    let lost = transaction.scan(sql, &[Value::Integer(100)]).await.unwrap();
    transaction.rollback_to(savepoint.number()).await.unwrap();
    assert_eq!(
        transaction.next(lost.number()).await.unwrap_err().kind,
        ErrorKind::Other
    );
    transaction.commit(&[]).await.unwrap();
    assert!(titles(&house).await.is_empty());
}

#[tokio::test]
async fn only_a_select_is_scanned_and_only_so_many_at_once() {
    let house = House::new(Config {
        scans_max: 2,
        ..Config::default()
    })
    .await;
    let mut transaction = begin(&house).await;
    for (sql, kind) in [
        (
            "INSERT INTO items (title) VALUES ('x') RETURNING id",
            ErrorKind::Refused,
        ),
        ("DELETE FROM t_bbbbbbbb_tasks.items", ErrorKind::Refused),
        ("SELEC", ErrorKind::Syntax),
    ] {
        assert_eq!(transaction.scan(sql, &[]).await.unwrap_err().kind, kind, "{sql}");
    }
    let sql = "SELECT n FROM generate_series(1, 100) AS n";
    let first = transaction.scan(sql, &[]).await.unwrap();
    transaction.scan(sql, &[]).await.unwrap();
    assert_eq!(transaction.scan(sql, &[]).await.unwrap_err().kind, ErrorKind::Limit);
    transaction.close(first.number());
    transaction.scan(sql, &[]).await.unwrap();
    // A row that is larger than a result may be.
    let wide = "SELECT repeat('x', 20000000)";
    transaction.close(3);
    assert_eq!(transaction.scan(wide, &[]).await.unwrap_err().kind, ErrorKind::Limit);
    drop(transaction);
    assert_eq!(house.query(A, "SELECT 1", &[]).await.unwrap().rows.len(), 1);
}

#[tokio::test]
async fn a_scan_that_is_dropped_in_the_middle_of_a_batch_leaves_nothing_running() {
    let house = House::alone(Config::default()).await;
    let admin = house.scratch.admin().await;
    let mut transaction = begin(&house).await;
    // The first batch is quick, the second never ends.
    let sql = "SELECT count(*) FROM generate_series(1, CASE WHEN n < 9 THEN 1 ELSE 1000000000000 END)";
    let sql = format!("SELECT n, ({sql}) FROM generate_series(1, 20) AS n");
    let scan = transaction.scan(&sql, &[]).await.unwrap();
    transaction.next(scan.number()).await.unwrap().unwrap();
    let stuck = tokio::time::timeout(Duration::from_millis(300), transaction.next(scan.number())).await;
    assert!(stuck.is_err(), "the second batch takes for ever");
    drop(transaction);
    let began = Instant::now();
    let running = "SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'lane%' AND state = 'active'";
    while admin.query_one(running, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "the statement was not cancelled"
        );
    }
}
