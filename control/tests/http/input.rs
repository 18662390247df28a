//! Bad input: each kind has its own clear answer.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use data_encoding::BASE64;
use serde_json::{Value, json};
use terrace_control::Config;

use crate::{app, app_with, get, post, request, send, session};

#[tokio::test]
async fn an_unknown_path_and_a_wrong_method_are_problems() {
    let app = app();
    for path in [
        "/api/control",
        "/api/control/",
        "/api/control/tenant",
        "/api/control/tenants/",
        "/api/control/tenants/a/b",
        "/internal/x",
    ] {
        get(&app, path).await.is_problem("unknown-path", 404);
    }
    for (method, path) in [
        ("PUT", "/api/control/tenants"),
        ("PATCH", "/api/control/session"),
        ("POST", "/internal/health"),
    ] {
        let answer = send(&app, request(method, path, None)).await;
        answer.is_problem("method-not-allowed", 405);
        assert!(answer.headers.contains_key(header::ALLOW), "{path}");
    }
}

#[tokio::test]
async fn a_path_that_is_not_text_is_a_problem() {
    get(&app(), "/api/control/tenants/%ff")
        .await
        .is_problem("malformed-request", 400);
    get(&app(), "/api/control/tenants/Acme!")
        .await
        .is_problem("not-found", 404);
}

#[tokio::test]
async fn a_body_that_is_not_the_expected_json_is_refused_with_what_is_wrong() {
    let app = app();
    let cases = [
        ("{", "EOF"),
        ("[]", "JSON object"),
        (r#"["acme","Acme",null,null]"#, "JSON object"),
        ("", "JSON object"),
        (r#"{"slug":"acme"}"#, "missing field `name`"),
        (r#"{"slug":"acme","name":"Acme","colour":1}"#, "unknown field `colour`"),
        (r#"{"slug":7,"name":"Acme"}"#, "expected a string"),
    ];
    for (body, says) in cases {
        let mut asked = request("POST", "/api/control/tenants", Some(json!({})));
        *asked.body_mut() = body.to_owned().into();
        let answer = send(&app, asked).await;
        answer.is_problem("malformed-body", 400);
        assert!(
            answer.body["detail"].as_str().unwrap().contains(says),
            "{}",
            answer.body
        );
    }
    let mut asked = request("POST", "/api/control/tenants", Some(json!({})));
    asked
        .headers_mut()
        .insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
    send(&app, asked).await.is_problem("malformed-body", 400);
}

#[tokio::test]
async fn a_body_over_its_limit_is_refused_whether_it_says_so_or_not() {
    let app = app();
    let large = json!({ "slug": "acme", "name": "x".repeat(70 << 10) });
    post(&app, "/api/control/tenants", large.clone())
        .await
        .is_problem("body-too-large", 413);

    let announced = Request::builder()
        .method("POST")
        .uri("/api/control/tenants")
        .header(header::AUTHORIZATION, format!("Bearer {}", session()))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_LENGTH, 70 << 10)
        .body(Body::empty())
        .unwrap();
    send(&app, announced).await.is_problem("body-too-large", 413);

    // An upload may be larger than that, up to its own limit.
    let app = app_with(Config {
        upload_max_mib: 1,
        ..Config::default()
    });
    let release = |kib: usize| json!({ "manifest": "x".repeat(kib << 10), "contract": { "openapi": "3.1.0" }, "migrations": [], "component": component() });
    assert_eq!(
        post(&app, "/api/control/services/tasks/releases", release(100))
            .await
            .status,
        StatusCode::CREATED
    );
    post(&app, "/api/control/services/tasks/releases", release(1100))
        .await
        .is_problem("body-too-large", 413);
}

#[tokio::test]
async fn every_field_that_is_not_valid_is_named_at_once() {
    let app = app();
    let owner = json!({ "email": "ada", "name": " ", "password": "short" });
    let answer = post(
        &app,
        "/api/control/tenants",
        json!({ "slug": "Acme!", "name": "", "plan": "gold", "owner": owner }),
    )
    .await;
    answer.is_problem("validation-failed", 422);
    assert_eq!(
        answer.pointers(),
        [
            "/slug",
            "/name",
            "/plan",
            "/owner/email",
            "/owner/name",
            "/owner/password"
        ]
    );

    for slug in ["console", "api", "www", "admin", "internal"] {
        let answer = post(&app, "/api/control/tenants", json!({ "slug": slug, "name": "Acme" })).await;
        answer.is_problem("validation-failed", 422);
        assert!(
            answer.body["errors"][0]["detail"]
                .as_str()
                .unwrap()
                .contains("reserved")
        );
    }
    get(&app, "/api/control/tenants?page_size=0")
        .await
        .is_problem("validation-failed", 422);
    get(&app, "/api/control/tenants?page_token=x")
        .await
        .is_problem("validation-failed", 422);
}

#[tokio::test]
async fn a_bundle_that_can_never_run_is_refused_before_the_platform_sees_it() {
    let app = app();
    let migration = |name: &str| json!({ "name": name, "sql": "select 1" });
    let release = json!({
        "manifest": "", "contract": { "openapi": "3.0.0" }, "component": "AAAA",
        "migrations": [migration("0002_b.sql"), migration("0001_a.sql"), migration("x.sql")],
    });
    let answer = post(&app, "/api/control/services/tasks/releases", release).await;
    answer.is_problem("validation-failed", 422);
    assert_eq!(
        answer.pointers(),
        [
            "/contract/openapi",
            "/migrations/1/name",
            "/migrations/2/name",
            "/component"
        ]
    );

    let file = |path: &str, content: &str| json!({ "path": path, "content": content });
    let files = [file("/../a", ""), file("/b", "!"), file("/c", ""), file("/c", "")];
    let answer = post(
        &app,
        "/api/control/sites/tasks/builds",
        json!({ "title": "Tasks", "files": files }),
    )
    .await;
    assert_eq!(
        answer.pointers(),
        ["/files/0/path", "/files/1/content", "/files/3/path", "/files"]
    );
}

#[tokio::test]
async fn a_good_bundle_is_taken() {
    let app = app();
    let release = json!({ "manifest": "name = \"tasks\"", "contract": { "openapi": "3.1.0" }, "migrations": [], "component": component() });
    let answer = post(&app, "/api/control/services/tasks/releases", release).await;
    assert_eq!(
        (answer.status, &answer.body["size_bytes"]),
        (StatusCode::CREATED, &json!(8))
    );
    let id = answer.body["id"].clone();
    let answer = post(&app, "/api/control/services/tasks/activate", json!({ "release": id })).await;
    assert_eq!((answer.status, &answer.body["current"]["id"]), (StatusCode::OK, &id));
    post(
        &app,
        "/api/control/services/tasks/activate",
        json!({ "release": "latest" }),
    )
    .await
    .is_problem("validation-failed", 422);
    let files = json!([{ "path": "/index.html", "content": BASE64.encode(b"<h1>hello</h1>") }]);
    let answer = post(
        &app,
        "/api/control/sites/tasks/builds",
        json!({ "title": "Tasks", "files": files }),
    )
    .await;
    assert_eq!(
        (answer.status, &answer.body["size_bytes"]),
        (StatusCode::CREATED, &json!(14))
    );
}

#[tokio::test]
async fn the_cause_of_a_fault_is_never_shown() {
    let app = app();
    for (slug, code, status) in [("broken", "internal", 500), ("offline", "data-unavailable", 503)] {
        let answer = post(&app, "/api/control/tenants", json!({ "slug": slug, "name": "Acme" })).await;
        answer.is_problem(code, status);
        let text = answer.body.to_string();
        assert!(!text.contains("hunter2") && !text.contains("secret"), "{text}");
    }
}

#[tokio::test]
async fn the_edges_request_id_is_kept_and_a_strange_one_is_replaced() {
    let app = app();
    for (sent, is_kept) in [("req_7f3k9q2m7f3k9q2m", true), ("<script>", false)] {
        let mut asked = request("GET", "/api/control/nothing", None);
        asked.headers_mut().insert("x-request-id", sent.parse().unwrap());
        let answer = send(&app, asked).await;
        answer.is_problem("unknown-path", 404);
        assert_eq!(answer.body["request_id"] == sent, is_kept);
    }
}

#[tokio::test]
async fn the_edge_polls_the_snapshot_and_mostly_hears_that_nothing_changed() {
    let app = app();
    let first = get(&app, "/internal/edge/snapshot").await;
    assert_eq!(first.body["base_domain"], "localhost");
    let again = |etag: &str| {
        let mut asked = request("GET", "/internal/edge/snapshot", None);
        asked.headers_mut().insert(header::IF_NONE_MATCH, etag.parse().unwrap());
        asked
    };
    let etag = first.headers[header::ETAG].to_str().unwrap();
    assert_eq!(send(&app, again(etag)).await.status, StatusCode::NOT_MODIFIED);
    assert_eq!(send(&app, again("\"other\"")).await.status, StatusCode::OK);

    let blob = get(&app, &format!("/internal/edge/blob/{}", "a".repeat(64))).await;
    assert_eq!(blob.body, Value::from("hello"));
    assert!(
        blob.headers[header::CACHE_CONTROL]
            .to_str()
            .unwrap()
            .contains("immutable")
    );
    get(&app, &format!("/internal/edge/blob/{}", "b".repeat(64)))
        .await
        .is_problem("not-found", 404);
    get(&app, "/internal/edge/blob/..%2f..%2fetc%2fpasswd")
        .await
        .is_problem("not-found", 404);
    assert_eq!(get(&app, "/internal/health").await.body, json!({ "status": "ok" }));
}

/// The first bytes of a component: enough for the API, not for an engine.
fn component() -> String {
    BASE64.encode(b"\0asm\x0d\0\x01\0")
}
