//! Law: what a service is written in makes no difference. One in JavaScript, deployed by the command
//! line, keeps tenants apart and is held by the same limits.

use std::process::Stdio;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use terrace_tests_harness::{Client, Options, Part, Session, Terrace, bundles, program};

/// `terrace deploy target/terrace/examples/notes`, as an author types it.
async fn deploy(terrace: &Terrace) {
    let operator: Value = serde_json::from_slice(&std::fs::read(terrace.path("operator.json")).unwrap()).unwrap();
    let given = |name: &str| operator[name].as_str().unwrap().to_owned();
    let output = tokio::process::Command::new(program("terrace"))
        .arg("deploy")
        .arg(bundles("examples").join("notes"))
        .env("TERRACE_URL", given("url"))
        .env("TERRACE_HOST", given("host"))
        .env("TERRACE_TOKEN", given("token"))
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{said}\nrun `cargo verify examples` first\n{}",
        terrace.logs()
    );
}

async fn put(client: &Client, session: &Session, name: &str, body: Value) -> terrace_tests_harness::Answer {
    let path = format!("/api/notes/notes/{name}");
    client.call(session, Method::PUT, &path, Some(body)).await.unwrap()
}

#[tokio::test]
async fn a_service_in_javascript_is_held_by_the_same_laws() {
    let terrace = Terrace::start(Options::default()).await.unwrap();
    let client = terrace.client();
    deploy(&terrace).await;
    let ada = client.sign_in("acme", "ada@acme.example").await.unwrap();
    let gus = client.sign_in("globex", "gus@globex.example").await.unwrap();
    let node = terrace.pid(Part::Node).unwrap();

    // It works, and each tenant has its own.
    let list = "/api/notes/notes";
    let empty = client.get(&ada, list).await.unwrap();
    assert_eq!(empty.body["items"], json!([]), "{}\n{}", empty.body, terrace.logs());
    let written = put(&client, &ada, "plan", json!({ "text": "grow" }))
        .await
        .success()
        .unwrap();
    assert_eq!(
        written.body,
        json!({ "name": "plan", "text": "grow", "revision": 1, "by": "Ada Lovelace" })
    );
    let theirs = client.get(&gus, "/api/notes/notes/plan").await.unwrap();
    assert_eq!((theirs.status, theirs.code()), (StatusCode::NOT_FOUND, "not-found"));
    put(&client, &gus, "plan", json!({ "text": "shrink" }))
        .await
        .success()
        .unwrap();
    let own = client.get(&ada, "/api/notes/notes/plan").await.unwrap();
    assert_eq!(own.body["text"], "grow");
    let setting = json!({ "kind": "config", "value": "Moin", "tenant": "globex" });
    let path = "/api/control/services/notes/settings/greeting";
    client
        .control(Method::PUT, path, Some(setting))
        .await
        .unwrap()
        .success()
        .unwrap();
    assert_eq!(client.get(&gus, list).await.unwrap().body["greeting"], "Moin");
    assert_eq!(client.get(&ada, list).await.unwrap().body["greeting"], Value::Null);

    // What an instance remembers in a global variable is never another tenant's.
    for _ in 0..20 {
        for (session, slug) in [(&ada, "acme"), (&gus, "globex")] {
            let answer = client.get(session, list).await.unwrap().success().unwrap();
            assert_eq!(answer.body["tenant"], slug);
            assert_eq!(answer.body["instance"]["tenant"], slug);
        }
    }

    // An expression that never ends, and a text that fits into no memory, cost that request only.
    put(&client, &ada, "long", json!({ "text": format!("{}!", "a".repeat(64)) }))
        .await
        .success()
        .unwrap();
    let (endless, huge) = (
        "/api/notes/notes?match=%28a%2B%29%2B%24",
        json!({ "text": "grow", "times": 100_000_000 }),
    );
    let looped = client.get(&ada, endless).await.unwrap();
    assert_eq!(
        (looped.status, looped.code()),
        (StatusCode::GATEWAY_TIMEOUT, "service-cpu-limit"),
        "{}",
        terrace.logs()
    );
    let grown = put(&client, &ada, "huge", huge).await;
    assert!(!grown.status.is_success(), "{}", grown.status);
    for session in [&ada, &gus] {
        client.get(session, list).await.unwrap().success().unwrap();
        client
            .get(session, "/api/tasks/boards")
            .await
            .unwrap()
            .success()
            .unwrap();
    }
    assert_eq!(terrace.pid(Part::Node).unwrap(), node, "the node died");
}
