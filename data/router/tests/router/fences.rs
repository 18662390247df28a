//! The guard is one of three fences. Here it is removed, and everything that it refuses is sent.

use std::{fs, path::Path, sync::Arc};

use crate::house::{A, B, C, House, principal, soon};
use terrace_data_router::{Config, ErrorKind, Placements, Router, Rows, Value};

fn attacks(other: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guard/tests/attacks");
    let mut attacks = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        attacks.extend(
            text.lines()
                .filter(|line| !line.is_empty() && !line.starts_with("--"))
                .map(|line| line.replace("{other}", other)),
        );
    }
    attacks.sort();
    attacks
}

fn unguarded(house: &House) -> Router {
    Router::without_guard_for_tests(Config::default(), Arc::clone(&house.placements) as Arc<dyn Placements>)
}

fn leaks(rows: &Rows, tenant: &str) -> bool {
    format!("{rows:?}").contains(&format!("the secret of {tenant}"))
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum End {
    /// Another tenant's secret was read.
    Leak,
    /// The router did not like the answer and destroyed the connection.
    Tag,
    /// It went on, and led nowhere.
    Nothing,
}

/// The attack as the first statement of a transaction, then the other tenant's table.
async fn try_one(router: &Router, attack: &str, other: &str) -> End {
    let steal = format!("SELECT secret FROM {other}_tasks.secret");
    let mut transaction = router.begin(&principal(A), soon()).await.unwrap();
    let mut end = End::Nothing;
    for sql in [attack, steal.as_str()] {
        match transaction.query(sql, &[]).await {
            Ok(rows) if leaks(&rows, other) => return End::Leak,
            Ok(_) => {}
            Err(error) if error.kind == ErrorKind::Refused && error.sqlstate.is_none() => end = End::Tag,
            Err(_) => {}
        }
    }
    // Alone, too, and whatever it left behind must not serve the next one.
    for sql in [attack, steal.as_str()] {
        if router
            .query(&principal(A), soon(), sql, &[])
            .await
            .is_ok_and(|rows| leaks(&rows, other))
        {
            return End::Leak;
        }
    }
    end
}

async fn run(house: &House, router: &Router, other: &str) -> Vec<(String, End)> {
    let mut ends = Vec::new();
    // Some of them would wait for a while; none needs longer than this to show what it does.
    for attack in attacks(&format!("{other}_tasks")) {
        if attack.contains("pg_sleep(100)") || attack.contains("pg_sleep FROM") {
            continue;
        }
        ends.push((attack.clone(), try_one(router, &attack, other).await));
        let own = format!("SELECT secret FROM {A}_tasks.secret");
        let rows = router
            .query(&principal(A), soon(), &own, &[])
            .await
            .unwrap_or_else(|error| panic!("after `{attack}`: {error}"));
        assert!(leaks(&rows, A), "after `{attack}`");
        let theirs = house.query(other, "SELECT secret FROM secret", &[]).await.unwrap();
        assert!(leaks(&theirs, other) && !leaks(&theirs, A));
    }
    ends
}

fn with_end(ends: &[(String, End)], end: End) -> Vec<&str> {
    ends.iter()
        .filter(|(_, found)| *found == end)
        .map(|(attack, _)| attack.as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_guard_roles_and_tags_let_nothing_through_in_one_lane() {
    let house = House::alone(Config::default()).await;
    let ends = run(&house, &unguarded(&house), B).await;
    assert!(ends.len() >= 60);
    assert_eq!(with_end(&ends, End::Leak), Vec::<&str>::new());
    println!("stopped by their tag: {:#?}", with_end(&ends, End::Tag));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_guard_nothing_reaches_a_tenant_of_another_lane() {
    let house = House::with_revokes(Config::default(), false).await;
    let ends = run(&house, &unguarded(&house), C).await;
    assert_eq!(with_end(&ends, End::Leak), Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_tags_alone_only_what_hides_in_an_allowed_statement_gets_through() {
    let house = House::with_revokes(Config::default(), false).await;
    let ends = run(&house, &unguarded(&house), B).await;
    let leaked = with_end(&ends, End::Leak);
    println!(
        "leaked: {leaked:#?}\nstopped by their tag: {:#?}",
        with_end(&ends, End::Tag)
    );
    // A function that changes the role inside a SELECT answers like any SELECT. This is what the
    // revoked rights are for; were the list empty, this test would prove nothing.
    assert!(!leaked.is_empty());
    assert!(leaked.iter().all(|attack| attack.contains("set_config")), "{leaked:#?}");
    let stopped = with_end(&ends, End::Tag);
    for attack in ["RESET ROLE", "COMMIT", "ROLLBACK", "LISTEN events", "SAVEPOINT a"] {
        assert!(stopped.contains(&attack), "{attack}");
    }
    assert!(stopped.iter().any(|attack| attack.starts_with("SET ROLE")));
    assert!(stopped.iter().any(|attack| attack.starts_with("DO ")));
}

#[tokio::test]
async fn the_same_statement_shows_each_tenant_its_own_rows_in_one_lane_and_in_two() {
    let house = House::new(Config::default()).await;
    for _ in 0..3 {
        for tenant in [A, B, C] {
            let rows = house.query(tenant, "SELECT secret FROM secret", &[]).await.unwrap();
            assert_eq!(rows.rows, [[Value::Text(format!("the secret of {tenant}"))]]);
        }
    }
    let health = house.router.health();
    assert_eq!(health.len(), 2);
    assert!(
        health.iter().all(|lane| lane.opened == 1),
        "one connection served both tenants of the lane: {health:?}"
    );
}
