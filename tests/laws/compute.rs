//! Law (b): a service that panics, loops for ever or allocates without end costs that request only.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use terrace_tests_harness::{Answer, Client, Options, Part, Session, Terrace};

async fn attack(client: &Client, session: &Session, path: &str) -> Answer {
    client.call(session, Method::POST, path, None).await.unwrap()
}

#[tokio::test]
async fn a_service_that_fails_costs_that_request_only() {
    let terrace = Terrace::start(Options {
        hostile: true,
        ..Options::default()
    })
    .await
    .unwrap();
    let client = terrace.client();
    let ada = client.sign_in("acme", "ada@acme.example").await.unwrap();
    let gus = client.sign_in("globex", "gus@globex.example").await.unwrap();
    let before = terrace.pid(Part::Node).unwrap();

    let attacks = [
        ("/api/hostile/panic", StatusCode::BAD_GATEWAY, "service-failed"),
        ("/api/hostile/loop", StatusCode::GATEWAY_TIMEOUT, "service-cpu-limit"),
        ("/api/hostile/allocate", StatusCode::BAD_GATEWAY, "service-memory-limit"),
        ("/api/hostile/overflow", StatusCode::BAD_GATEWAY, "service-failed"),
    ];
    for (path, status, code) in attacks {
        let answer = attack(&client, &ada, path).await;
        assert_eq!(
            (answer.status, answer.code()),
            (status, code),
            "{path}: {}\n{}",
            answer.body,
            terrace.logs()
        );
        assert!(
            !String::from_utf8_lossy(&answer.bytes).contains("wasm"),
            "an inner message reached the client"
        );
        // The same tenant's other service, and another tenant, answer as if nothing had been.
        assert!(
            client.get(&ada, "/api/tasks/boards").await.unwrap().status.is_success(),
            "after {path}"
        );
        assert!(
            client.get(&gus, "/api/tasks/boards").await.unwrap().status.is_success(),
            "after {path}"
        );
    }
    assert_eq!(terrace.pid(Part::Node).unwrap(), before, "the node died");
}

#[tokio::test]
async fn others_answer_while_every_core_runs_an_endless_loop() {
    let terrace = Terrace::start(Options {
        hostile: true,
        ..Options::default()
    })
    .await
    .unwrap();
    let client = terrace.client();
    let ada = client.sign_in("acme", "ada@acme.example").await.unwrap();
    let gus = client.sign_in("globex", "gus@globex.example").await.unwrap();
    let loops: Vec<_> = (0..8)
        .map(|_| {
            let (client, ada) = (client.clone(), ada.clone());
            tokio::spawn(async move { attack(&client, &ada, "/api/hostile/loop").await })
        })
        .collect();
    let mut answered = 0;
    while !loops.iter().all(tokio::task::JoinHandle::is_finished) {
        let start = Instant::now();
        let answer = client.get(&gus, "/api/tasks/boards").await.unwrap();
        assert!(answer.status.is_success(), "{}", answer.body);
        // Not a figure, a bound: an engine that lets a loop keep its thread answers after the loop's end.
        assert!(start.elapsed() < Duration::from_secs(5));
        answered += 1;
    }
    for attack in loops {
        let answer = attack.await.unwrap();
        assert!(
            ["service-cpu-limit", "service-overloaded", "service-timeout"].contains(&answer.code()),
            "{}",
            answer.body
        );
    }
    assert!(answered > 0, "the loops were over before the victim was asked");
}
