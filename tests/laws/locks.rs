//! Law (d): a tenant that holds an exclusive lock on all its tables does not delay another.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;
use terrace_tests_harness::{Options, Terrace};

use crate::wait::until;

#[tokio::test]
async fn a_tenant_that_locks_all_its_tables_does_not_delay_its_lane_mate() {
    let terrace = Terrace::start(Options::default()).await.unwrap();
    let client = terrace.client();
    let ada = client.sign_in("acme", "ada@acme.example").await.unwrap();
    let gus = client.sign_in("globex", "gus@globex.example").await.unwrap();
    let tenants = client
        .control(Method::GET, "/api/control/tenants", None)
        .await
        .unwrap()
        .body;
    let find = |slug: &str| {
        tenants["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|tenant| tenant["slug"] == slug)
            .unwrap()
            .clone()
    };
    let (acme, globex) = (find("acme"), find("globex"));
    assert_eq!(
        acme["placement"]["lane"], globex["placement"]["lane"],
        "they share a lane, or the law would be easier than it is"
    );

    let locker = terrace.database().await.unwrap();
    let schema = format!("{}_tasks", acme["id"].as_str().unwrap());
    let tables = locker
        .query(
            "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname = $1",
            &[&schema],
        )
        .await
        .unwrap();
    assert!(!tables.is_empty());
    let tables: Vec<String> = tables.iter().map(|row| row.get(0)).collect();
    locker
        .batch_execute(&format!(
            "begin; lock table {} in access exclusive mode",
            tables.join(", ")
        ))
        .await
        .unwrap();

    // Acme's own members pile up behind the lock: more of them than the lane has connections.
    let waiting: Vec<_> = (0..60)
        .map(|_| {
            let (client, ada) = (client.clone(), ada.clone());
            tokio::spawn(async move { client.get(&ada, "/api/tasks/boards").await })
        })
        .collect();
    until("Acme waits for its lock", || async {
        let waits = locker
            .query_one("select count(*) from pg_locks where not granted", &[])
            .await
            .unwrap();
        (waits.get::<_, i64>(0) > 0).then_some(())
    })
    .await;

    let mut slowest = Duration::ZERO;
    for round in 0..40 {
        let start = Instant::now();
        let answer = client
            .post(&gus, "/api/tasks/boards", json!({ "title": format!("Board {round}") }))
            .await
            .unwrap();
        assert!(
            answer.status.is_success(),
            "{} {}\n{}",
            answer.status,
            answer.body,
            terrace.logs()
        );
        slowest = slowest.max(start.elapsed());
    }
    // A bound, not a figure: a delayed neighbour would wait for Acme's lock timeout, which is seconds.
    assert!(slowest < Duration::from_secs(1), "the neighbour waited {slowest:?}");
    locker.batch_execute("rollback").await.unwrap();
    for request in waiting {
        request.await.unwrap().unwrap();
    }
    assert!(client.get(&ada, "/api/tasks/boards").await.unwrap().status.is_success());
}
