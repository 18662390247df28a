//! Law (b): a service that panics, loops for ever or allocates without end costs that request only.

use std::{
    fs,
    time::{Duration, Instant},
};

use data_encoding::BASE64;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use terrace_tests_harness::{Answer, Client, Part, Session, bundles};

use crate::stage::{hostile, hostile_with};

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

/// Serves the gauntlet with some of its limits far away.
async fn without(client: &Client, limits: &[&str]) {
    let folder = bundles("hostile").join("gauntlet");
    let mut manifest = fs::read_to_string(folder.join("service.toml")).unwrap();
    for limit in limits {
        let kept: Vec<&str> = manifest.lines().filter(|line| !line.starts_with(limit)).collect();
        let far = match *limit {
            "memory_mib" => 1_024,
            "hostcall_mib" => 4_000,
            "cpu_ms" => 60_000,
            "wall_ms" => 600_000,
            _ => 1_000_000,
        };
        manifest = format!("{}\n{limit} = {far}\n", kept.join("\n"));
    }
    let contract: Value = serde_json::from_slice(&fs::read(folder.join("openapi.json")).unwrap()).unwrap();
    let body = json!({
        "manifest": manifest, "contract": contract, "migrations": [],
        "component": BASE64.encode(&fs::read(folder.join("service.wasm")).unwrap()),
    });
    let path = "/api/control/services/gauntlet/releases";
    client
        .control(Method::POST, path, Some(body))
        .await
        .unwrap()
        .success()
        .unwrap();
}

/// Each line of the gauntlet is held by the limit that it names: with that limit far away, the same
/// attack does not end like that. (The header bomb is not here: where `headers_kib` does not hold it, the
/// most headers that a message can have does.)
#[tokio::test]
async fn without_its_limit_no_attack_ends_as_it_did() {
    let far = "[engine.ceiling]\nmemory_mib = 1024\nhostcall_mib = 4000\nhandles = 1000000\nheaders_kib = 1000000\n";
    let (terrace, client, ada, _) = hostile_with(far).await;
    // Several limits hold the same attack one behind the other: the one before has to go first, and then
    // the attack still ends as it did.
    let cases: [(&[&str], &str, &str); 8] = [
        (&["cpu_ms"], "loop", "service-cpu-limit"),
        (&["cpu_ms"], "bulk-copy", "service-cpu-limit"),
        (&["cpu_ms"], "log-flood", "service-cpu-limit"),
        (&["wall_ms"], "sleep", "service-timeout"),
        (&["memory_mib"], "memory", "service-memory-limit"),
        (
            &["headers_kib", "cpu_ms", "hostcall_mib"],
            "list-bomb",
            "service-failed",
        ),
        (&["handles", "headers_kib"], "fields", "service-failed"),
        (&["handles"], "handles", "service-failed"),
    ];
    for (limits, attack, code) in cases {
        without(&client, limits).await;
        let path = format!("/api/gauntlet/{attack}");
        // Twice what the limit of two seconds allows: who sleeps for ever is still asleep.
        let answer = tokio::time::timeout(Duration::from_secs(4), client.get(&ada, &path)).await;
        let ended = match &answer {
            Ok(Ok(answer)) => answer.code().to_owned(),
            Ok(Err(_)) => "broken off".to_owned(),
            Err(_) => "not at all".to_owned(),
        };
        eprintln!("{attack} without {limits:?}: {ended}");
        assert_ne!(ended, code, "{attack} without {limits:?} {}", terrace.logs());
    }
    for (limits, attack) in [
        (&["headers_kib", "cpu_ms"][..], "list-bomb"),
        (&["handles"][..], "fields"),
    ] {
        without(&client, limits).await;
        let answer = client.get(&ada, &format!("/api/gauntlet/{attack}")).await.unwrap();
        assert_eq!(answer.code(), "service-failed", "{attack} without {limits:?}");
    }
}
