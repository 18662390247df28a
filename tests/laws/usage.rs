//! Law: what tenants are said to use is what the node used for them.
//!
//! In the real sandbox: the processor time by the kernel's own account of the threads that run
//! services, the bytes by what a server outside got and gave, the statements by what was sent.

use std::fs;

use http::Method;
use serde_json::{Value, json};
use terrace_tests_harness::{Client, Part};

use crate::{stage::hostile, wait::until};

/// Processor time of the node's threads that run services, in microseconds, by the kernel.
fn guests_cpu_us(node: i32) -> u64 {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{node}/task")).unwrap() {
        let folder = task.unwrap().path();
        // A thread may end in between.
        let Ok(name) = fs::read_to_string(folder.join("comm")) else {
            continue;
        };
        if name.starts_with("terrace-guest") || name.starts_with("terrace-long") {
            let text = fs::read_to_string(folder.join("schedstat")).unwrap_or_default();
            let nanos: u64 = text.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0);
            sum += nanos / 1_000;
        }
    }
    sum
}

async fn usage(client: &Client, query: &str) -> Vec<Value> {
    let path = format!("/api/control/usage{query}");
    let answer = client
        .control(Method::GET, &path, None)
        .await
        .unwrap()
        .success()
        .unwrap();
    answer.body["items"].as_array().unwrap().clone()
}

fn sum(rows: &[Value], figure: &str) -> u64 {
    rows.iter().map(|row| row[figure].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn what_tenants_are_said_to_use_is_what_the_node_used_for_them() {
    let (mut terrace, client, ada, gus) = hostile().await;
    let node = terrace.pid(Part::Node).unwrap();
    let post = async |session, path: &str| client.call(session, Method::POST, path, None).await.unwrap();

    // A tenant's requests to a release begin where they arrive, on threads that do other things too, until
    // one was long: then all of them run on the threads that are looked at here.
    for session in [&ada, &gus] {
        assert_eq!(post(session, "/api/hostile/loop").await.code(), "service-cpu-limit");
    }
    // Long and short requests of two tenants. A loop is ended by its limit of 100 ms.
    let hostile_only = "?service=hostile";
    let (cpu_before, said_before) = (guests_cpu_us(node), usage(&client, hostile_only).await);
    for _ in 0..10 {
        assert_eq!(post(&ada, "/api/hostile/loop").await.code(), "service-cpu-limit");
        post(&gus, "/api/hostile/sleep?amount=50").await.success().unwrap();
    }
    for _ in 0..300 {
        client
            .get(&gus, "/api/hostile/body?amount=64")
            .await
            .unwrap()
            .success()
            .unwrap();
    }
    let by_kernel = guests_cpu_us(node) - cpu_before;
    let said = sum(&usage(&client, hostile_only).await, "cpu_us") - sum(&said_before, "cpu_us");
    // The kernel's sum also has what the threads do between requests. What is measured by the clock on
    // the wall, in requests without a tick, also has what other processes took in the middle: more, the
    // busier the machine is. Something that is counted twice or not at all is further off than that.
    let ratio = said as f64 / by_kernel as f64;
    assert!(
        (0.85..1.5).contains(&ratio),
        "said {said} µs, the kernel says {by_kernel} µs: {ratio:.3}"
    );

    // Whose, of what, and what for.
    let acme = usage(&client, "?tenant=acme&service=hostile").await;
    assert_eq!(
        (acme[0]["requests"].as_u64(), acme[0]["failures"].as_u64()),
        (Some(11), Some(11))
    );
    assert!(acme[0]["cpu_us"].as_u64().unwrap() >= 10 * 100_000);
    let globex = usage(&client, "?tenant=globex&service=hostile").await;
    assert_eq!(
        (globex[0]["requests"].as_u64(), globex[0]["failures"].as_u64()),
        (Some(311), Some(1))
    );
    assert!(
        globex[0]["wall_us"].as_u64().unwrap() >= 10 * 50_000,
        "waiting takes time"
    );
    assert!(
        globex[0]["cpu_us"].as_u64().unwrap() < globex[0]["wall_us"].as_u64().unwrap() / 2,
        "and no processor"
    );
    assert!(globex[0]["memory_peak_bytes"].as_u64().unwrap() >= 1 << 17);
    // The demo's boards were made by requests, too.
    let made = sum(&usage(&client, "?tenant=acme&service=tasks").await, "requests");
    for _ in 0..300 {
        client.get(&ada, "/api/tasks/boards").await.unwrap().success().unwrap();
    }
    let tasks = usage(&client, "?tenant=acme&service=tasks").await;
    assert_eq!(tasks[0]["requests"].as_u64(), Some(made + 300));
    assert!(tasks[0]["statements"].as_u64().unwrap() >= 300 && tasks[0]["sql_us"].as_u64().unwrap() > 0);
    assert_eq!(tasks[0]["slug"], "acme");
    // Hashing a password is done on another thread, and charged all the same.
    let identity = usage(&client, "?tenant=acme&service=identity").await;
    assert!(identity[0]["cpu_us"].as_u64().unwrap() > 5_000, "{identity:?}");

    // A scraper sees the same, and nobody outside does.
    let outside = client.control(Method::GET, "/internal/metrics", None).await.unwrap();
    assert_eq!(outside.status, 404);
    let report = client
        .control(Method::GET, "/api/control/usage?tenant=nobody", None)
        .await
        .unwrap();
    assert_eq!(report.status, 404);
    let wrong = client
        .control(Method::GET, "/api/control/usage?from=now", None)
        .await
        .unwrap();
    assert_eq!(wrong.status, 422, "{}", json!(wrong.body));

    // Nobody but tenants uses anything: not the release that was asked once before its first tenant.
    let all = usage(&client, "").await;
    assert!(all.iter().all(|row| !row["slug"].is_null()), "{all:?}");

    // A node that is stopped forgets nothing that it has not written yet.
    let counted = sum(&all, "requests");
    for _ in 0..50 {
        client.get(&gus, "/api/hostile/ok").await.unwrap().success().unwrap();
    }
    terrace.toggle_node().await.unwrap();
    terrace.toggle_node().await.unwrap();
    let again = until("the node answers again", || async {
        let answer = client.control(Method::GET, "/api/control/usage", None).await.ok()?;
        answer.success().ok()
    })
    .await;
    let items = again.body["items"].as_array().unwrap();
    assert_eq!(sum(items, "requests"), counted + 50);
}
