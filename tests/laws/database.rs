//! Law: what an operator sees of a tenant's data is that tenant's, and no value is in it.

use http::Method;
use serde_json::{Value, json};
use terrace_tests_harness::{Client, Options, Terrace};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::wait::until;

async fn database(client: &Client, tenant: &str) -> Value {
    let path = format!("/api/control/tenants/{tenant}/database");
    let answer = client.control(Method::GET, &path, None).await.unwrap();
    answer.success().unwrap().body
}

/// What a scraper reads, from the node itself.
async fn metrics(terrace: &Terrace) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", terrace.node_port)).await.unwrap();
    let request = "GET /internal/metrics HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn an_operator_sees_what_a_tenant_does_in_the_database_and_none_of_its_values() {
    let options = Options {
        config: "[metrics]\ntenants_max = 1\ncatalogue_seconds = 0\n".to_owned(),
        ..Options::default()
    };
    let terrace = Terrace::start(options).await.unwrap();
    let client = terrace.client();
    let ada = client.sign_in("acme", "ada@acme.example").await.unwrap();
    for round in 0..30 {
        let title = json!({ "title": format!("hunter2 {round}") });
        client
            .post(&ada, "/api/tasks/boards", title)
            .await
            .unwrap()
            .success()
            .unwrap();
        client.get(&ada, "/api/tasks/boards").await.unwrap().success().unwrap();
    }
    let acme = database(&client, "acme").await;
    let schemas = acme["schemas"].as_array().unwrap();
    assert!(
        schemas.len() >= 3 && schemas.iter().all(|schema| schema["state"] == "current"),
        "{schemas:?}"
    );
    assert_eq!((&acme["exact"], &acme["lock_waits"]), (&json!(true), &json!([])));
    let statements = acme["statements"].as_array().unwrap();
    let insert = statements
        .iter()
        .find(|one| one["text"].as_str().unwrap().starts_with("INSERT INTO board"))
        .unwrap();
    assert!(insert["calls"].as_u64().unwrap() >= 30, "{insert}");
    assert_eq!(insert["fingerprint"].as_str().unwrap().len(), 16);
    // A literal of the service's own is gone from its text, too.
    let entitled = statements
        .iter()
        .find(|one| one["text"].as_str().unwrap().contains("entitlement"));
    assert!(
        !entitled.unwrap()["text"].as_str().unwrap().contains('\''),
        "{entitled:?}"
    );
    for secret in ["hunter2", "ada@acme.example"] {
        assert!(!acme.to_string().contains(secret), "{acme}");
    }

    // Locked: seen while it is, and with the neighbour's figures as they were.
    let locker = terrace.database().await.unwrap();
    let id = client
        .control(Method::GET, "/api/control/tenants/acme", None)
        .await
        .unwrap()
        .body["id"]
        .clone();
    let id = id.as_str().unwrap().to_owned();
    locker
        .batch_execute(&format!("begin; lock table {id}_tasks.board"))
        .await
        .unwrap();
    let waiting = tokio::spawn({
        let (client, ada) = (client.clone(), ada.clone());
        async move { client.get(&ada, "/api/tasks/boards").await }
    });
    let locked = until("the wait is seen", || async {
        let locked = database(&client, "acme").await;
        (locked["lock_waits"] != json!([])).then_some(locked)
    })
    .await;
    assert_eq!(
        (&locked["lock_waits"][0]["table"], &locked["exact"]),
        (&json!("board"), &json!(false))
    );
    assert!(locked["connections"]["in_flight"].as_u64().unwrap() >= 1, "{locked}");
    let globex = database(&client, "globex").await;
    assert_eq!((&globex["lock_waits"], &globex["exact"]), (&json!([]), &json!(true)));

    // One tenant in the metrics, the one with the most to say; the other is counted.
    let text = metrics(&terrace).await;
    let tenants: std::collections::BTreeSet<&str> = text
        .lines()
        .filter(|line| line.starts_with("terrace_database_"))
        .filter_map(|line| line.split_once("tenant=\"")?.1.split('"').next())
        .collect();
    assert_eq!(tenants.into_iter().collect::<Vec<_>>(), [id.as_str()]);
    assert!(text.contains("\nterrace_database_tenants_left_out 1\n"), "{text}");
    assert!(
        text.contains(&format!("\nterrace_database_lock_waits{{tenant=\"{id}\"}} 1.0\n")),
        "{text}"
    );
    assert!(!text.contains("hunter2") && !text.contains("SELECT"), "{text}");

    locker.batch_execute("rollback").await.unwrap();
    waiting.await.unwrap().unwrap().success().unwrap();
    assert_eq!(database(&client, "acme").await["lock_waits"], json!([]));

    let nobody = client
        .control(Method::GET, "/api/control/tenants/nobody/database", None)
        .await
        .unwrap();
    assert_eq!(nobody.status, 404);
}
