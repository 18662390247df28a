//! Law (e): kill -9 of any process at any time, then start again: nothing acknowledged is lost.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::json;
use terrace_tests_harness::{Options, Part, Terrace};

use crate::wait::until;

#[tokio::test]
async fn nothing_acknowledged_is_lost_whatever_is_killed() {
    let mut terrace = Terrace::start(Options::default()).await.unwrap();
    let mut acknowledged = BTreeSet::new();
    for part in [Part::Node, Part::Edge, Part::Database, Part::Supervisor] {
        let client = terrace.client();
        let ada = until("signing in works", || async {
            terrace.client().sign_in("acme", "ada@acme.example").await.ok()
        })
        .await;
        let count = Arc::new(AtomicUsize::new(0));
        let writer = {
            let (client, ada, count) = (client.clone(), ada.clone(), count.clone());
            tokio::spawn(async move {
                let mut written = Vec::new();
                for number in 0..400 {
                    let title = format!("{part:?}-{number}");
                    match client.post(&ada, "/api/tasks/boards", json!({ "title": title })).await {
                        Ok(answer) if answer.status.is_success() => {
                            written.push(title);
                            count.fetch_add(1, Ordering::SeqCst);
                        }
                        // After the kill some fail: that is allowed, losing an acknowledged one is not.
                        _ if written.len() >= 20 => break,
                        _ => {}
                    }
                }
                written
            })
        };
        until("some writes are acknowledged", || {
            let enough = count.load(Ordering::SeqCst) >= 20;
            async move { enough.then_some(()) }
        })
        .await;
        terrace.kill(part).await.unwrap();
        let written = writer.await.unwrap();
        assert!(written.len() >= 20, "{part:?}: the writer did not get going");
        acknowledged.extend(written);
        if part == Part::Supervisor {
            terrace.start_again().await.unwrap();
        }
    }
    let client = terrace.client();
    let ada = until("signing in works", || async {
        client.sign_in("acme", "ada@acme.example").await.ok()
    })
    .await;
    let mut found = BTreeSet::new();
    let mut path = "/api/tasks/boards?page_size=100".to_owned();
    loop {
        let page = client.get(&ada, &path).await.unwrap().success().unwrap().body;
        found.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|board| board["title"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next_page_token"].as_str() else {
            break;
        };
        path = format!("/api/tasks/boards?page_size=100&page_token={next}");
    }
    let lost: Vec<_> = acknowledged.difference(&found).collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged boards are lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
    // Every board that is there has its event, in one dense stream.
    let mut events = client.events(&ada, Some("0")).await.unwrap();
    let (mut expected, mut created) = (1, BTreeSet::new());
    loop {
        let (event, _, data) = events.next().await.unwrap();
        match event.as_str() {
            "event" => {
                assert_eq!(data["seq"].as_u64(), Some(expected), "a hole in the stream");
                expected += 1;
                if data["type"] == "tasks.board.created" {
                    created.insert(data["data"]["title"].as_str().unwrap().to_owned());
                }
            }
            "caught-up" => break,
            other => panic!("{other}"),
        }
    }
    assert_eq!(found.difference(&created).next(), None, "a board without its event");
    assert_eq!(created.difference(&found).next(), None, "an event without its board");
}
