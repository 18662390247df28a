//! Law (a): with every backend process dead, the UI still loads, and an API call gets a problem document.

use http::{Method, StatusCode};
use serde_json::json;
use terrace_tests_harness::{Options, Part, Terrace};

use crate::wait::until;

#[tokio::test]
async fn the_page_loads_with_node_and_database_stopped_and_recovers_by_itself() {
    let mut terrace = Terrace::start(Options::default()).await.unwrap();
    let client = terrace.client();
    let ada = client.sign_in("acme", "ada@acme.example").await.unwrap();
    terrace.toggle_node().await.unwrap();
    terrace.toggle_database().await.unwrap();
    let refused = until("the API is away", || async {
        let answer = client.get(&ada, "/api/tasks/boards").await.unwrap();
        (answer.status == StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    })
    .await;
    assert_eq!(refused.code(), "backend-unavailable");
    assert_eq!(refused.headers["content-type"], "application/problem+json");
    assert!(refused.headers.contains_key("retry-after"));
    assert!(
        refused.body["request_id"]
            .as_str()
            .is_some_and(|id| id.starts_with("req_"))
    );

    for label in ["acme", "globex", "console"] {
        let page = client
            .send(label, Method::GET, "/", &[("accept", "text/html")], "".into())
            .await
            .unwrap();
        assert_eq!(page.status, StatusCode::OK, "{label}");
        let html = String::from_utf8(page.bytes.to_vec()).unwrap();
        let script = html
            .split("src=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .unwrap();
        let script = client.send(label, Method::GET, script, &[], "".into()).await.unwrap();
        assert_eq!(script.status, StatusCode::OK);
        assert!(script.headers["cache-control"].to_str().unwrap().contains("immutable"));
    }

    terrace.kill(Part::Edge).await.unwrap();
    until("the edge serves again from its own snapshot", || async {
        let page = client
            .send("acme", Method::GET, "/", &[("accept", "text/html")], "".into())
            .await
            .ok()?;
        (page.status == StatusCode::OK).then_some(())
    })
    .await;

    terrace.toggle_database().await.unwrap();
    terrace.toggle_node().await.unwrap();
    until("the API is back", || async {
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

#[tokio::test]
async fn a_node_that_restarts_fails_no_read() {
    let mut terrace = Terrace::start(Options::default()).await.unwrap();
    let client = terrace.client();
    let ada = client.sign_in("acme", "ada@acme.example").await.unwrap();
    terrace.kill(Part::Node).await.unwrap();
    // The edge holds the request while the supervisor starts the node again.
    let answer = client.get(&ada, "/api/tasks/boards").await.unwrap();
    assert!(
        answer.status.is_success(),
        "{} {}\n{}",
        answer.status,
        answer.body,
        terrace.logs()
    );
    let written = client
        .post(&ada, "/api/tasks/boards", json!({ "title": "After the restart" }))
        .await
        .unwrap();
    assert!(written.status.is_success());
}
