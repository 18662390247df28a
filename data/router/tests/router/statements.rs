//! What tenants' statements took: by fingerprint, without values, in bounded memory.

use std::time::{Duration, Instant};

use crate::house::{A, B, House, principal, soon};
use terrace_data_router::{Config, ErrorKind, StatementStats, Value};
use terrace_ground_ids::TenantId;

fn id(tenant: &str) -> TenantId {
    tenant.parse().unwrap()
}

fn known(house: &House, tenant: &str) -> Vec<StatementStats> {
    house.router.statements(&id(tenant)).items
}

#[tokio::test]
async fn a_statement_is_known_by_its_fingerprint_and_its_values_are_nowhere() {
    let house = House::new(Config::default()).await;
    for title in ["hunter2", "correct horse"] {
        let sql = format!("SELECT id FROM items WHERE title = '{title}' /* {title} */");
        house.query(A, &sql, &[]).await.unwrap();
    }
    // One that fails, and PostgreSQL says the value in its message.
    let error = house
        .query(A, "SELECT CAST('hunter2' AS bigint)", &[])
        .await
        .unwrap_err();
    assert!(error.message.contains("hunter2"), "{error}");
    let insert = "INSERT INTO items (title) VALUES ($1)";
    let mut transaction = house.router.begin(&principal(A), soon()).await.unwrap();
    transaction
        .query(insert, &[Value::Text("hunter2".to_owned())])
        .await
        .unwrap();
    let scan = transaction
        .scan("SELECT title FROM items WHERE title <> 'hunter2'", &[])
        .await
        .unwrap();
    while transaction.next(scan.number()).await.unwrap().is_some() {}
    transaction.commit(&[]).await.unwrap();

    let mut items = known(&house, A);
    assert!(items.is_sorted_by_key(|each| std::cmp::Reverse(each.total)));
    items.sort_by(|a, b| a.shape.cmp(&b.shape));
    let shown: Vec<_> = items
        .iter()
        .map(|each| (&*each.shape, each.calls, each.failures))
        .collect();
    assert_eq!(
        shown,
        [
            (insert, 1, 0),
            ("SELECT CAST($1 AS bigint)", 1, 1),
            ("SELECT id FROM items WHERE title = $1", 2, 0),
            ("SELECT title FROM items WHERE title <> $1", 1, 0),
        ]
    );
    for item in &items {
        assert!(item.max <= item.total && !item.total.is_zero(), "{item:?}");
        assert!(!format!("{item:?}").contains("hunter2"), "{item:?}");
    }
    assert_eq!(known(&house, B), [], "a neighbour's statements are its own");
    assert_eq!(house.router.stats(&id(B)).statements, 0);
}

#[tokio::test]
async fn a_statement_that_waits_for_a_lock_is_counted_when_it_gives_up_and_when_it_is_given_up() {
    let house = House::new(Config {
        lock_timeout_ms: 100,
        ..Config::default()
    })
    .await;
    let sql = "SELECT id FROM items WHERE title = 'hunter2'";
    house.query(A, sql, &[]).await.unwrap();
    let locker = house.scratch.admin().await;
    locker
        .batch_execute(&format!("BEGIN; LOCK TABLE {A}_tasks.items"))
        .await
        .unwrap();
    let error = house.query(A, sql, &[]).await.unwrap_err();
    assert_eq!(error.sqlstate.as_deref(), Some("55P03"));
    // Sooner than the lock's own limit: the deadline ends it.
    let deadline = Instant::now() + Duration::from_millis(30);
    let error = house.router.query(&principal(A), deadline, sql, &[]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout);
    let stats = house.router.stats(&id(A));
    assert_eq!((stats.lock_timeouts, stats.timeouts, stats.failures), (1, 1, 2));
    let items = known(&house, A);
    assert_eq!((items.len(), items[0].calls, items[0].failures), (1, 3, 2));
    assert!(items[0].max >= Duration::from_millis(90), "{items:?}");
}

/// A statement of its own shape for each number.
fn different(number: usize) -> String {
    format!("SELECT id{} FROM items", " + id".repeat(number))
}

#[tokio::test]
async fn what_is_kept_has_a_bound_and_what_is_not_kept_is_in_the_sum() {
    let house = House::new(Config {
        tenant_statements_max: 8,
        statements_max: 10,
        ..Config::default()
    })
    .await;
    for tenant in [A, B] {
        for number in 0..40 {
            house.query(tenant, &different(number), &[]).await.unwrap();
        }
    }
    let (a, b) = (house.router.statements(&id(A)), house.router.statements(&id(B)));
    assert_eq!((a.items.len(), b.items.len()), (8, 2), "8 of one tenant, 10 of all");
    for statements in [a, b] {
        let calls: u64 = statements.items.iter().map(|each| each.calls).sum();
        assert_eq!(calls + statements.other_calls, 40);
    }
    // A tenant that is gone gives back what it had.
    house.router.forget(&id(A));
    for number in 0..40 {
        house.query(B, &different(number), &[]).await.unwrap();
    }
    assert_eq!(known(&house, B).len(), 8);
    assert_eq!(known(&house, A), []);
}

#[tokio::test]
async fn a_bound_of_none_keeps_nothing() {
    let house = House::new(Config {
        tenant_statements_max: 0,
        ..Config::default()
    })
    .await;
    house.query(A, "SELECT id FROM items", &[]).await.unwrap();
    assert_eq!(
        house.router.statements(&id(A)),
        terrace_data_router::Statements::default()
    );
}
