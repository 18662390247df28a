//! Law: a service reaches and knows what its manifest lists and an operator set, and nothing else.
//!
//! In the real sandbox, by the real node, against a real server. The corpus of spellings and addresses
//! is in `capabilities/http/tests/egress`; here is proved that a component cannot get around it.

use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::{Value, json};
use terrace_tests_harness::{Answer, Client, Session};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::stage::{hostile, hostile_with};

/// Answers every request with `good`, and remembers its head.
async fn server(address: &str) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind(address).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = heads.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let seen = seen.clone();
            tokio::spawn(async move {
                let (mut seen_of_it, mut part) = (Vec::new(), [0; 8192]);
                while !is_whole(&seen_of_it) {
                    match stream.read(&mut part).await {
                        Ok(length) if length > 0 => seen_of_it.extend_from_slice(&part[..length]),
                        _ => return,
                    }
                }
                seen.lock()
                    .unwrap()
                    .push(String::from_utf8_lossy(&seen_of_it).into_owned());
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\ngood";
                drop(stream.write_all(answer).await);
            });
        }
    });
    (port, heads)
}

/// A head, and as much of a body as it announces.
fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

async fn deploy(client: &Client, change: impl Fn(&str) -> String) -> Answer {
    let folder = terrace_tests_harness::bundles("hostile").join("hostile");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let migration = String::from_utf8(read("migrations/0001_counter.sql")).unwrap();
    let bundle = json!({
        "manifest": change(&String::from_utf8(read("service.toml")).unwrap()),
        "contract": serde_json::from_slice::<Value>(&read("openapi.json")).unwrap(),
        "migrations": [{ "name": "0001_counter.sql", "sql": migration }],
        "component": data_encoding::BASE64.encode(&read("service.wasm")),
        "allow_new_asks": true,
    });
    let path = "/api/control/services/hostile/releases";
    client.control(Method::POST, path, Some(bundle)).await.unwrap()
}

async fn fetch(client: &Client, session: &Session, request: Value) -> String {
    let answer = client
        .post(session, "/api/hostile/fetch", request)
        .await
        .unwrap()
        .success()
        .unwrap();
    answer.body["did"].as_str().unwrap().to_owned()
}

async fn read(client: &Client, session: &Session, path: &str) -> String {
    let answer = client.get(session, path).await.unwrap().success().unwrap();
    answer.body["did"].as_str().unwrap().to_owned()
}

async fn set(client: &Client, name: &str, body: Value) {
    let path = format!("/api/control/services/hostile/settings/{name}");
    client
        .control(Method::PUT, &path, Some(body))
        .await
        .unwrap()
        .success()
        .unwrap();
}

#[tokio::test]
async fn a_service_reaches_the_hosts_that_its_manifest_lists_and_no_other() {
    let (port, heads) = server("127.0.0.2:0").await;
    let (inside, inside_heads) = server("127.0.0.1:0").await;
    let (terrace, client, ada, _) = hostile_with("[http]\nopen = [\"127.0.0.2/32\"]\n").await;
    let good = format!("http://127.0.0.2:{port}/v1?a=b");

    // The bundle lists no host: the operator's open range is no permission.
    assert!(fetch(&client, &ada, json!({ "url": good })).await.contains("is denied"));
    // A component that can send, and a manifest that does not say so.
    let refused = deploy(&client, |manifest| manifest.replace("\"http\", ", "")).await;
    assert!(refused.status.is_client_error(), "{}", refused.status);
    let said = refused.body.to_string();
    assert!(said.contains("imports wasi:http/outgoing-handler: add"), "{said}");
    let deployed = deploy(&client, |manifest| {
        format!(
            "{manifest}\n[http]\nallow = [\"http://127.0.0.2:{port}\", \"http://127.0.0.1:{inside}\", \"http://localhost:{inside}\"]\nrequests = 3\n"
        )
    })
    .await;
    assert!(deployed.status.is_success(), "{}", deployed.body);
    let post = json!({ "method": "POST", "url": good, "headers": [["x-mine", "1"]], "body": "hello" });
    assert_eq!(fetch(&client, &ada, post).await, "200 good");
    let head = heads.lock().unwrap().last().unwrap().clone();
    assert!(
        head.starts_with("POST /v1?a=b HTTP/1.1\r\n") && head.ends_with("\r\n\r\nhello"),
        "{head}"
    );
    assert!(
        head.contains("x-mine: 1\r\n") && head.contains(&format!("host: 127.0.0.2:{port}\r\n")),
        "{head}"
    );

    // Listed, and yet inside; and the node's own doors.
    let denied = [
        format!("http://127.0.0.1:{inside}/"),
        format!("http://localhost:{inside}/"),
        format!("http://127.0.0.2:{inside}/"),
        format!("http://[::ffff:127.0.0.1]:{inside}/"),
        format!("http://127.0.0.1:{}/internal/health", terrace.node_port),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
    ];
    for url in denied {
        let said = fetch(&client, &ada, json!({ "url": url })).await;
        assert!(said.contains("is denied"), "{url}: {said}");
    }
    for url in [
        format!("http://127.1:{inside}/"),
        format!("http://user@127.0.0.2:{port}/"),
        format!("http://0x7f.1:{port}/"),
    ] {
        let said = fetch(&client, &ada, json!({ "url": url })).await;
        assert!(said.contains("cannot be sent"), "{url}: {said}");
    }
    assert!(
        inside_heads.lock().unwrap().is_empty(),
        "a forbidden server was reached"
    );

    // So many for one request, and again for the next.
    let before = heads.lock().unwrap().len();
    let said = fetch(&client, &ada, json!({ "url": good, "times": 5 })).await;
    assert!(said.contains("no answer"), "{said}");
    assert_eq!(heads.lock().unwrap().len(), before + 3);
    assert_eq!(fetch(&client, &ada, json!({ "url": good })).await, "200 good");
}

#[tokio::test]
async fn a_service_knows_the_settings_that_its_manifest_lists_each_tenants_own_first() {
    let (terrace, client, ada, gus) = hostile().await;
    let secret = "/api/hostile/secret?name=listed";

    assert!(read(&client, &ada, secret).await.contains("is not set"));
    set(
        &client,
        "listed",
        json!({ "kind": "secret", "value": "everybodys-s3cret" }),
    )
    .await;
    set(
        &client,
        "listed",
        json!({ "kind": "secret", "value": "acmes-s3cret", "tenant": "acme" }),
    )
    .await;
    set(
        &client,
        "unlisted",
        json!({ "kind": "secret", "value": "hidden-s3cret" }),
    )
    .await;
    set(&client, "greeting", json!({ "kind": "config", "value": "Hello" })).await;
    set(
        &client,
        "greeting",
        json!({ "kind": "config", "value": "Moin", "tenant": "globex" }),
    )
    .await;
    assert_eq!(read(&client, &ada, secret).await, "acmes-s3cret");
    assert_eq!(read(&client, &gus, secret).await, "everybodys-s3cret");
    assert_eq!(read(&client, &ada, "/api/hostile/config?name=greeting").await, "Hello");
    assert_eq!(read(&client, &gus, "/api/hostile/config?name=greeting").await, "Moin");
    for path in [
        "secret?name=unlisted",
        "config?name=listed",
        "secret?name=greeting",
        "config?name=unlisted",
    ] {
        let said = read(&client, &ada, &format!("/api/hostile/{path}")).await;
        assert!(said.contains("does not list"), "{path}: {said}");
    }

    // Nobody is shown a secret, and the database has none that one could read.
    let listed = client
        .control(Method::GET, "/api/control/services/hostile/settings?kind=secret", None)
        .await
        .unwrap();
    assert_eq!(listed.body["items"].as_array().unwrap().len(), 3);
    assert!(!listed.body.to_string().contains("s3cret"), "{}", listed.body);
    let database = terrace.database().await.unwrap();
    let kept = database
        .query("SELECT value FROM terrace.setting WHERE kind = 'secret'", &[])
        .await
        .unwrap();
    assert_eq!(kept.len(), 3);
    for row in kept {
        let value: Vec<u8> = row.get(0);
        assert!(!String::from_utf8_lossy(&value).contains("s3cret"));
    }
    assert!(!terrace.logs().contains("s3cret"), "a secret is in a log");

    // A tenant's row that somebody moves to another tenant does not open.
    let moved = "UPDATE terrace.setting SET tenant = (SELECT id FROM terrace.tenant WHERE slug = 'globex')
                 WHERE kind = 'secret' AND tenant IS NOT NULL";
    assert_eq!(database.execute(moved, &[]).await.unwrap(), 1);
    database.execute("SELECT terrace.bump()", &[]).await.unwrap();
    set(&client, "greeting", json!({ "kind": "config", "value": "Hello again" })).await;
    assert!(read(&client, &gus, secret).await.contains("cannot be read"));

    let gone = client
        .control(
            Method::DELETE,
            "/api/control/services/hostile/settings/greeting?kind=config",
            None,
        )
        .await;
    assert_eq!(gone.unwrap().status, 204);
    assert_eq!(
        read(&client, &ada, "/api/hostile/config?name=greeting").await,
        "nothing"
    );
    assert!(read(&client, &ada, "/api/hostile/random").await.starts_with("true "));
}

#[tokio::test]
async fn a_tenants_cache_is_bounded_and_nobody_elses() {
    let (_terrace, client, ada, gus) = hostile().await;
    let fill = async |session: &Session, entry: Value| {
        let answer = client
            .post(session, "/api/hostile/cache", entry)
            .await
            .unwrap()
            .success()
            .unwrap();
        answer.body["did"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        fill(&gus, json!({ "key": "k", "size": 10, "seconds": 600 })).await,
        "kept"
    );
    assert_eq!(read(&client, &gus, "/api/hostile/cache?name=k").await, "10 bytes");
    assert_eq!(
        read(&client, &ada, "/api/hostile/cache?name=k").await,
        "nothing",
        "another tenant's"
    );
    // Far more than one tenant may have: its own oldest go, and a neighbour's stay.
    assert_eq!(
        fill(
            &ada,
            json!({ "key": "k", "size": 60_000, "seconds": 600, "copies": 100 })
        )
        .await,
        "kept"
    );
    assert_eq!(read(&client, &ada, "/api/hostile/cache?name=k").await, "nothing");
    assert_eq!(read(&client, &ada, "/api/hostile/cache?name=k99").await, "60000 bytes");
    assert_eq!(read(&client, &gus, "/api/hostile/cache?name=k").await, "10 bytes");
    assert!(
        fill(&ada, json!({ "key": "k", "size": 65_537, "seconds": 600 }))
            .await
            .contains("at most 65,536 bytes")
    );
}
