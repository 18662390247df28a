//! Events reach the tenant's own browsers, resume without a gap, and cost a consumer exactly one effect.

use serde_json::json;
use terrace_tests_harness::{Options, Part, Terrace};

use crate::wait::until;

#[tokio::test]
async fn a_stream_resumes_where_it_broke_off_even_over_a_killed_node() {
    let mut terrace = Terrace::start(Options::default()).await.unwrap();
    let client = terrace.client();
    let ada = client.sign_in("acme", "ada@acme.example").await.unwrap();
    let mut events = client.events(&ada, None).await.unwrap();
    let (event, _, _) = events.next().await.unwrap();
    assert_eq!(event, "caught-up");
    client
        .post(&ada, "/api/tasks/boards", json!({ "title": "One" }))
        .await
        .unwrap()
        .success()
        .unwrap();
    let (event, id, data) = events.next().await.unwrap();
    assert_eq!(
        (event.as_str(), &data["type"]),
        ("event", &json!("tasks.board.created"))
    );
    let seen: u64 = id.parse().unwrap();
    terrace.kill(Part::Node).await.unwrap();
    for title in ["Two", "Three"] {
        until("a write is taken", || async {
            client
                .post(&ada, "/api/tasks/boards", json!({ "title": title }))
                .await
                .ok()?
                .status
                .is_success()
                .then_some(())
        })
        .await;
    }
    let mut events = client.events(&ada, Some(&id)).await.unwrap();
    for expected in [seen + 1, seen + 2] {
        let (_, id, _) = events.next().await.unwrap();
        assert_eq!(id, expected.to_string());
    }
}

#[tokio::test]
async fn the_meter_counts_each_created_task_exactly_once_though_the_node_is_killed() {
    let mut terrace = Terrace::start(Options::default()).await.unwrap();
    let client = terrace.client();
    let ada = client.sign_in("acme", "ada@acme.example").await.unwrap();
    let usage = || async { client.get(&ada, "/api/billing/plan").await.ok()?.body["usage"]["tasks"].as_u64() };
    // The demo made four.
    until("the demo's tasks are counted", || async {
        (usage().await? == 4).then_some(())
    })
    .await;
    let board = client
        .post(&ada, "/api/tasks/boards", json!({ "title": "Metered" }))
        .await
        .unwrap()
        .success()
        .unwrap()
        .body;
    let board = board["id"]
        .as_str()
        .map_or_else(|| board["id"].to_string(), str::to_owned);
    for number in 0..20 {
        let path = format!("/api/tasks/boards/{board}/tasks");
        client
            .post(&ada, &path, json!({ "title": format!("Task {number}") }))
            .await
            .unwrap()
            .success()
            .unwrap();
        if number % 7 == 6 {
            terrace.kill(Part::Node).await.unwrap();
            until("the node is back", || async {
                client
                    .get(&ada, "/api/tasks/boards")
                    .await
                    .ok()?
                    .status
                    .is_success()
                    .then_some(())
            })
            .await;
        }
    }
    until("all are counted", || async { (usage().await? >= 24).then_some(()) }).await;
    assert_eq!(usage().await, Some(24), "a task was counted twice");
}
