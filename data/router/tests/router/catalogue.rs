//! What a backend remembers of the tables it has seen has a bound.

use crate::house::{A, B, House};
use terrace_data_router::Config;

#[tokio::test]
async fn a_connection_that_has_opened_more_tables_than_it_may_remember_is_replaced() {
    let config = Config {
        backend_relations_max: 10,
        ..Config::default()
    };
    let house = House::new(config).await;
    let tables: Vec<String> = (0..25)
        .map(|number| format!("CREATE TABLE t{number} (a int)"))
        .collect();
    house.table(&tables.join(";")).await;
    let opened = || house.router.health().iter().map(|lane| lane.opened).sum::<u64>();
    // The same few tables, in whatever statements, are no reason.
    for number in 0..40 {
        let sql = format!("SELECT {number}, a.a FROM t{} AS a, t{} AS b", number % 4, number % 5);
        house.query(A, &sql, &[]).await.unwrap();
    }
    assert_eq!(opened(), 1);
    for number in 0..25 {
        house.query(A, &format!("SELECT a FROM t{number}"), &[]).await.unwrap();
    }
    assert_eq!(opened(), 3, "25 tables, 11 at most on one connection");
    // Another tenant's tables of the same names are others.
    for tenant in [A, B, A, B] {
        house
            .query(tenant, "SELECT count(*) FROM items, secret", &[])
            .await
            .unwrap();
    }
    assert_eq!(opened(), 3);
}
