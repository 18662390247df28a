//! SQL as a component sees it: every value, parts of a transaction, and a sealed release.

use data_encoding::BASE64;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use terrace_tests_harness::{Client, Session, bundles};

use crate::stage::hostile;

async fn did(client: &Client, session: &Session, path: &str, body: Value) -> String {
    let answer = client.post(session, path, body).await.unwrap().success().unwrap();
    answer.body["did"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn every_value_comes_back_to_a_component_as_it_went_and_a_transaction_has_parts() {
    let (_terrace, client, ada, _) = hostile().await;
    // Twice: the second time the statement is prepared.
    for _ in 0..2 {
        assert_eq!(did(&client, &ada, "/api/hostile/values", json!({})).await, "");
        let parts = did(&client, &ada, "/api/hostile/parts", json!({})).await;
        assert_eq!(parts, "kept 20000 true true true");
    }
}

fn upload(prefix: &str) -> Value {
    let folder = bundles("hostile/hostile");
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let mut migrations: Vec<_> = std::fs::read_dir(folder.join("migrations"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    migrations.sort();
    let migrations: Vec<Value> = migrations
        .iter()
        .map(|path| json!({ "name": path.file_name().unwrap().to_str().unwrap(), "sql": std::fs::read_to_string(path).unwrap() }))
        .collect();
    json!({
        "manifest": format!("{prefix}{}", text("service.toml")),
        "contract": serde_json::from_str::<Value>(&text("openapi.json")).unwrap(),
        "migrations": migrations,
        "component": BASE64.encode(&std::fs::read(folder.join("service.wasm")).unwrap()),
    })
}

#[tokio::test]
async fn a_sealed_release_sends_what_its_list_has_and_nothing_that_is_injected() {
    let (terrace, client, ada, _) = hostile().await;
    let path = "/api/control/services/hostile/releases";
    let list = "SELECT value FROM counter WHERE name = 'a'";
    for (prefix, wanted) in [
        ("sealed_sql = true\n".to_owned(), "statements.sql"),
        (
            "sealed_sql = true\nstatements = [\"RESET ROLE\"]\n".to_owned(),
            "RESET ROLE",
        ),
    ] {
        let refused = client.control(Method::POST, path, Some(upload(&prefix))).await.unwrap();
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", refused.body);
        assert!(refused.body.to_string().contains(wanted), "{}", refused.body);
    }
    let statements = |list: &[&str]| json!({ "statements": list });
    let injected = "SELECT value FROM counter WHERE name = '' OR true";
    let seen = did(&client, &ada, "/api/hostile/sql", statements(&[injected])).await;
    assert!(!seen.contains("Unsealed"), "not sealed yet: {seen}");

    let prefix = format!("sealed_sql = true\nstatements = [{list:?}]\n");
    client
        .control(Method::POST, path, Some(upload(&prefix)))
        .await
        .unwrap()
        .success()
        .unwrap();
    // Served as soon as the answer is there. Another value is the same statement.
    let listed = "SELECT value FROM counter WHERE name = 'another'";
    let seen = did(&client, &ada, "/api/hostile/sql", statements(&[listed])).await;
    assert!(!seen.contains("Unsealed") && seen.contains("0 Rows"), "{seen}");
    for statement in [
        injected,
        "SELECT value FROM counter WHERE name = '' UNION SELECT 1",
        "SELECT name FROM counter WHERE name = 'a'",
        "DELETE FROM counter",
    ] {
        let seen = did(&client, &ada, "/api/hostile/sql", statements(&[statement])).await;
        assert_eq!(
            seen.matches("Unsealed").count(),
            2,
            "in a transaction and alone: {statement}: {seen}"
        );
    }
    // It is the guard that speaks first, and says what it always says.
    let seen = did(&client, &ada, "/api/hostile/sql", statements(&["RESET ROLE"])).await;
    assert!(seen.contains("Refused"), "{seen}");
    assert!(terrace.logs().contains("does not list"), "it is in the log");
}
