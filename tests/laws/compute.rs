//! Law (b): a service that panics, loops for ever or allocates without end costs that request only.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use terrace_tests_harness::{Answer, Client, Part, Session};

use crate::stage::hostile;

async fn attack(client: &Client, session: &Session, path: &str) -> Answer {
    client.call(session, Method::POST, path, None).await.unwrap()
}

#[tokio::test]
async fn a_service_that_fails_costs_that_request_only() {
    let (terrace, client, ada, gus) = hostile().await;
    let before = terrace.pid(Part::Node).unwrap();

    let attacks = [
        ("/api/hostile/panic", StatusCode::BAD_GATEWAY, "service-failed"),
        ("/api/hostile/loop", StatusCode::GATEWAY_TIMEOUT, "service-cpu-limit"),
        ("/api/hostile/allocate", StatusCode::BAD_GATEWAY, "service-memory-limit"),
        ("/api/hostile/overflow", StatusCode::BAD_GATEWAY, "service-failed"),
        ("/api/hostile/recurse", StatusCode::OK, ""),
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
    let (_terrace, client, ada, gus) = hostile().await;
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

/// Every attack that standard WASI allows ends by a limit of its own, and the node goes on.
#[tokio::test]
async fn every_attack_of_the_gauntlet_ends_by_its_limit() {
    let (terrace, client, ada, gus) = hostile().await;
    let before = terrace.pid(Part::Node).unwrap();
    // An answer that has begun ends by breaking off: its code is in the log only.
    let broken_off = "";
    for (attack, code) in [
        ("loop", "service-cpu-limit"),
        ("reused-loop", ""),
        ("reused-loop", "service-cpu-limit"),
        ("memory", "service-memory-limit"),
        ("list-bomb", "service-failed"),
        ("random-bomb", "service-failed"),
        ("header-bomb", "service-failed"),
        ("fields", "service-failed"),
        ("handles", "service-failed"),
        ("bulk-copy", "service-cpu-limit"),
        ("stack", "service-failed"),
        ("trap", "service-failed"),
        ("sleep", "service-timeout"),
        ("outgoing", "service-failed"),
        ("log-flood", "service-cpu-limit"),
        ("stream-bomb", broken_off),
        ("slow-body", broken_off),
    ] {
        let answer = client.get(&ada, &format!("/api/gauntlet/{attack}")).await;
        match answer {
            Ok(answer) => assert_eq!(answer.code(), code, "{attack}: {} {}", answer.status, terrace.logs()),
            Err(error) => assert_eq!(code, broken_off, "{attack}: {error:#}"),
        }
        let victim = client.get(&gus, "/api/tasks/boards").await.unwrap();
        assert!(victim.status.is_success(), "after {attack}: {}", victim.body);
    }
    assert_eq!(terrace.pid(Part::Node).unwrap(), before, "the node died");
}
