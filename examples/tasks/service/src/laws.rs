//! What this service promises, over a real PostgreSQL. Named as laws.

use std::{path::Path, sync::Arc};

use serde_json::{Value, json};
use terrace_data_embedded::testing::Scratch;
use terrace_sdk::{
    Role, Router, axum,
    native::{Client, Facts, Postgres},
};

struct World {
    host: Postgres,
    ada: Client,
    bob: Client,
    nobody: Client,
    _scratch: Scratch,
}

/// Stands in for identity: knows `m_bob`, and fails when asked for `m_trouble`.
fn identity() -> Router {
    use terrace_sdk::prelude::*;

    #[utoipa::path(get, path = "/api/identity/members/{member}", responses((status = 200)))]
    async fn member(Path(member): Path<String>) -> Result<Json<Value>, Problem> {
        match member.as_str() {
            "m_bob" => Ok(Json(json!({ "id": member }))),
            "m_trouble" => Err(Problem::new(Code::Internal)),
            _ => Err(Problem::not_found("member")),
        }
    }
    routes!(Router::new(), member)
}

async fn world() -> World {
    let scratch = Scratch::new().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let host = Postgres::open(scratch.connection().client_config(), "tasks", folder, 8)
        .await
        .unwrap();
    let host = host.with_service("identity", identity());
    let nobody = Client::new(crate::router(), Arc::new(host.clone()), Facts::of("acme"));
    let (ada, bob) = (
        nobody.member("m_ada", Role::Owner),
        nobody.member("m_bob", Role::Member),
    );
    World {
        host,
        ada,
        bob,
        nobody,
        _scratch: scratch,
    }
}

impl World {
    async fn board(&self) -> i64 {
        self.ada
            .post("/api/tasks/boards", json!({ "title": "Garden" }))
            .await
            .value()["id"]
            .as_i64()
            .unwrap()
    }

    async fn task(&self, board: i64, title: &str) -> Value {
        let answer = self
            .ada
            .post(&format!("/api/tasks/boards/{board}/tasks"), json!({ "title": title }))
            .await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.value()
    }

    /// Tells the service what the plan allows, as the platform would.
    async fn allow(&self, limit: Option<i64>) {
        let data = json!({ "feature": "tasks", "limit": limit });
        let event = json!({ "seq": 1, "type": "billing.entitlement-changed", "topic": "plan", "data": data, "time": "2026-01-01T00:00:00Z" });
        assert_eq!(self.nobody.post("/_terrace/events", event).await.status, 204);
    }

    fn kinds(&self) -> Vec<(String, String)> {
        self.host
            .published()
            .into_iter()
            .map(|event| (event.kind, event.topic))
            .collect()
    }
}

#[tokio::test]
async fn a_board_shows_what_was_put_on_it_in_the_order_of_its_columns() {
    let world = world().await;
    let board = world.board().await;
    let first = world.task(board, "Dig").await;
    world.task(board, "Plant").await;
    let path = format!("/api/tasks/tasks/{}", first["id"]);
    assert_eq!(
        world.bob.patch(&path, json!({ "column": "doing" })).await.value()["column"],
        "doing"
    );
    let detail = world.bob.get(&format!("/api/tasks/boards/{board}")).await.value();
    let seen: Vec<(&str, &str)> = detail["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| (task["column"].as_str().unwrap(), task["title"].as_str().unwrap()))
        .collect();
    assert_eq!(seen, [("doing", "Dig"), ("todo", "Plant")]);
    assert_eq!(detail["board"]["tasks_count"], 2);
    assert_eq!(detail["columns"], json!(["todo", "doing", "done"]));
}

#[tokio::test]
async fn every_change_is_told_on_the_topic_of_its_board() {
    let world = world().await;
    let board = world.board().await;
    let task = world.task(board, "Dig").await;
    let path = format!("/api/tasks/tasks/{}", task["id"]);
    world
        .ada
        .patch(&path, json!({ "title": "Dig deeper", "position": 7.5 }))
        .await;
    world
        .ada
        .post(&format!("{path}/comments"), json!({ "text": "How deep?" }))
        .await;
    world.ada.delete(&path).await;
    world.ada.delete(&format!("/api/tasks/boards/{board}")).await;
    let topic = format!("board/{board}");
    let expected = [
        "task.created",
        "task.moved",
        "task.updated",
        "comment.created",
        "task.deleted",
        "board.deleted",
    ];
    let mut expected: Vec<(String, String)> = expected.map(|kind| (kind.to_owned(), topic.clone())).to_vec();
    expected.insert(0, ("board.created".to_owned(), "boards".to_owned()));
    assert_eq!(world.kinds(), expected);
}

#[tokio::test]
async fn a_change_that_fails_is_not_told() {
    let world = world().await;
    let board = world.board().await;
    let told = world.kinds().len();
    world.allow(Some(0)).await;
    let refused = world
        .ada
        .post(
            &format!("/api/tasks/boards/{board}/tasks"),
            json!({ "title": "One too many" }),
        )
        .await;
    assert_eq!(refused.code(), "plan-limit-reached");
    assert_eq!(world.kinds().len(), told);
    assert_eq!(
        world.ada.get(&format!("/api/tasks/boards/{board}")).await.value()["tasks"],
        json!([])
    );
}

#[tokio::test]
async fn the_plans_limit_holds_when_many_create_at_once() {
    let world = world().await;
    let board = world.board().await;
    world.allow(Some(5)).await;
    let path = format!("/api/tasks/boards/{board}/tasks");
    let attempts = (0..20).map(|number| {
        let (client, path) = (world.ada.clone(), path.clone());
        tokio::spawn(async move {
            client
                .post(&path, json!({ "title": format!("Task {number}") }))
                .await
                .status
                .as_u16()
        })
    });
    let mut made = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        match attempt.await.unwrap() {
            201 => made += 1,
            402 => {}
            status => panic!("unexpected status {status}"),
        }
    }
    assert_eq!(made, 5);
    // What is deleted makes room, also when it goes with its board.
    assert_eq!(
        world.ada.delete(&format!("/api/tasks/boards/{board}")).await.status,
        204
    );
    let board = world.board().await;
    for number in 0..5 {
        world.task(board, &format!("Again {number}")).await;
    }
    world.allow(None).await;
    world.task(board, "Without a limit").await;
}

#[tokio::test]
async fn a_repeated_request_with_the_same_key_happens_once() {
    let world = world().await;
    let board = world.board().await;
    let path = format!("/api/tasks/boards/{board}/tasks");
    let ada = world.ada.header("idempotency-key", "k1");
    let (first, again) = tokio::join!(
        ada.post(&path, json!({ "title": "Dig" })),
        ada.post(&path, json!({ "title": "Dig" }))
    );
    assert_eq!(
        (first.status.as_u16(), again.status.as_u16()),
        (201, 201),
        "{first:?} {again:?}"
    );
    assert_eq!(first.value(), again.value());
    assert_eq!(ada.post(&path, json!({ "title": "Something else" })).await.status, 422);
    // Another member's key of the same text is another key.
    assert_eq!(
        world
            .bob
            .header("idempotency-key", "k1")
            .post(&path, json!({ "title": "Plant" }))
            .await
            .status,
        201
    );
    let tasks = world.ada.get(&format!("/api/tasks/boards/{board}")).await.value()["tasks"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(tasks, 2);
}

#[tokio::test]
async fn a_change_meant_for_an_older_version_is_refused() {
    let world = world().await;
    let board = world.board().await;
    let task = world.task(board, "Dig").await;
    let path = format!("/api/tasks/tasks/{}", task["id"]);
    let etag = world.ada.get(&path).await.headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(etag, "\"1\"");
    let ada = world.ada.header("if-match", &etag);
    assert_eq!(ada.patch(&path, json!({ "title": "First" })).await.status, 200);
    let late = ada.patch(&path, json!({ "title": "Second" })).await;
    assert_eq!((late.status.as_u16(), late.code().as_str()), (409, "conflict"));
    assert_eq!(world.ada.get(&path).await.value()["task"]["title"], "First");
}

#[tokio::test]
async fn only_a_member_can_be_assigned_and_identity_is_asked() {
    let world = world().await;
    let board = world.board().await;
    let path = format!("/api/tasks/tasks/{}", world.task(board, "Dig").await["id"]);
    let assigned = world.ada.patch(&path, json!({ "assignee": "m_bob" })).await;
    assert_eq!(assigned.value()["assignee"], "m_bob");
    for stranger in ["m_eve", "", "../session", "m_bob/..", "m_bob?x=1"] {
        let refused = world.ada.patch(&path, json!({ "assignee": stranger })).await;
        assert_eq!(
            (refused.status.as_u16(), refused.value()["errors"][0]["pointer"].clone()),
            (422, json!("/assignee"))
        );
    }
    assert_eq!(
        world.ada.patch(&path, json!({ "assignee": "m_trouble" })).await.code(),
        "service-failed"
    );
    assert_eq!(
        world.ada.patch(&path, json!({ "title": "Dig on" })).await.value()["assignee"],
        "m_bob"
    );
    assert_eq!(
        world.ada.patch(&path, json!({ "assignee": null })).await.value()["assignee"],
        Value::Null
    );
}

#[tokio::test]
async fn comments_are_counted_and_paged_newest_first() {
    let world = world().await;
    let board = world.board().await;
    let path = format!("/api/tasks/tasks/{}", world.task(board, "Dig").await["id"]);
    for number in 1..=5 {
        let answer = world
            .bob
            .post(&format!("{path}/comments"), json!({ "text": format!("{number}") }))
            .await;
        assert_eq!(answer.value()["author"], "m_bob");
    }
    let detail = world.ada.get(&path).await.value();
    assert_eq!(detail["task"]["comments_count"], 5);
    assert_eq!(detail["comments"][0]["text"], "1");
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let page = world
            .ada
            .get(&format!("{path}/comments?page_size=2{token}"))
            .await
            .value();
        seen.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|comment| comment["text"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next_page_token"].as_str() else {
            break;
        };
        token = format!("&page_token={next}");
    }
    assert_eq!(seen, ["5", "4", "3", "2", "1"]);
}

#[tokio::test]
async fn bad_input_gets_a_problem_that_names_what_is_wrong() {
    let world = world().await;
    let board = world.board().await;
    let tasks = format!("/api/tasks/boards/{board}/tasks");
    let long = "x".repeat(201);
    for (body, pointer) in [
        (json!({ "title": "" }), "/title"),
        (json!({ "title": "  " }), "/title"),
        (json!({ "title": long }), "/title"),
        (json!({ "title": "a\u{0}b" }), "/title"),
        (json!({ "title": 7 }), "/title"),
        (json!({ "title": "a", "column": "later" }), "/column"),
    ] {
        let refused = world.ada.post(&tasks, body.clone()).await;
        assert_eq!(
            (refused.status.as_u16(), refused.code().as_str()),
            (422, "validation-failed"),
            "{body}"
        );
        assert_eq!(refused.value()["errors"][0]["pointer"], pointer, "{body}");
    }
    let malformed = world
        .ada
        .send(axum::http::Method::POST, &tasks, axum::body::Body::from("{\"title\":"))
        .await;
    assert_eq!(
        (malformed.status.as_u16(), malformed.code().as_str()),
        (400, "malformed-body")
    );
    for missing in [
        "/api/tasks/boards/999",
        "/api/tasks/boards/x",
        "/api/tasks/tasks/999",
        "/api/tasks/tasks/999/comments",
    ] {
        assert_eq!(world.ada.get(missing).await.code(), "not-found", "{missing}");
    }
    assert_eq!(
        world
            .ada
            .post("/api/tasks/boards/999/tasks", json!({ "title": "a" }))
            .await
            .code(),
        "not-found"
    );
    assert_eq!(world.ada.get("/api/tasks/nothing").await.code(), "unknown-path");
    assert_eq!(
        world.ada.put("/api/tasks/boards", json!({})).await.code(),
        "method-not-allowed"
    );
    assert_eq!(
        world.ada.get("/api/tasks/boards?page_size=0").await.code(),
        "validation-failed"
    );
    assert_eq!(
        world.ada.get("/api/tasks/boards?page_token=7").await.code(),
        "validation-failed"
    );
}

#[tokio::test]
async fn nobody_gets_anything_without_being_signed_in() {
    let world = world().await;
    let board = world.board().await;
    for path in ["/api/tasks/boards".to_owned(), format!("/api/tasks/boards/{board}")] {
        let refused = world.nobody.get(&path).await;
        assert_eq!(
            (refused.status.as_u16(), refused.code().as_str()),
            (401, "unauthenticated"),
            "{path}"
        );
    }
    let refused = world.nobody.delete(&format!("/api/tasks/boards/{board}")).await;
    assert_eq!(refused.status, 401);
}
