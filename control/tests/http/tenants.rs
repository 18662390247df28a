//! Tenants: created, listed page by page, shown by id and slug, deleted.

use axum::http::StatusCode;
use serde_json::json;

use crate::{app, get, post, request, send};

#[tokio::test]
async fn a_tenant_is_created_shown_and_deleted() {
    let app = app();
    let owner = json!({ "email": "ada@acme.example", "name": "Ada" });
    let made = post(
        &app,
        "/api/control/tenants",
        json!({ "slug": "acme", "name": " Acme ", "owner": owner }),
    )
    .await;
    assert_eq!(
        (made.status, &made.body["name"], &made.body["plan"]),
        (StatusCode::CREATED, &json!("Acme"), &json!("free"))
    );
    assert!(made.body["owner"]["password"].as_str().unwrap().len() >= 15);
    let id = made.body["id"].as_str().unwrap();
    assert_eq!(made.headers["location"], format!("/api/control/tenants/{id}").as_str());

    for name in [id, "acme"] {
        let shown = get(&app, &format!("/api/control/tenants/{name}")).await;
        assert_eq!(
            (shown.status, &shown.body["id"], shown.body.get("owner")),
            (StatusCode::OK, &made.body["id"], None)
        );
    }
    post(&app, "/api/control/tenants", json!({ "slug": "acme", "name": "Other" }))
        .await
        .is_problem("conflict", 409);
    let deleted = send(&app, request("DELETE", "/api/control/tenants/acme", None)).await;
    assert_eq!(
        (deleted.status, &deleted.body["id"]),
        (StatusCode::OK, &made.body["id"])
    );
    assert_eq!(deleted.body["evidence"]["left"], 0);
    send(&app, request("DELETE", "/api/control/tenants/acme", None))
        .await
        .is_problem("not-found", 404);
    get(&app, &format!("/api/control/tenants/{id}"))
        .await
        .is_problem("not-found", 404);
}

#[tokio::test]
async fn a_tenants_database_is_shown_by_slug_and_id_and_is_nobodys_when_there_is_no_tenant() {
    let app = app();
    let made = post(&app, "/api/control/tenants", json!({ "slug": "acme", "name": "Acme" })).await;
    for name in [made.body["id"].as_str().unwrap(), "acme"] {
        let shown = get(&app, &format!("/api/control/tenants/{name}/database")).await;
        assert_eq!(shown.status, StatusCode::OK);
        assert_eq!(shown.body["statements"][0]["text"], "SELECT $1");
        assert!(shown.body["cache_hit_ratio"].is_null() && shown.body.get("longest_transaction_ms").is_some());
    }
    get(&app, "/api/control/tenants/globex/database")
        .await
        .is_problem("not-found", 404);
}

#[tokio::test]
async fn a_password_that_was_given_is_not_sent_back() {
    let owner = json!({ "email": "ada@acme.example", "name": "Ada", "password": "correct horse battery" });
    let made = post(
        &app(),
        "/api/control/tenants",
        json!({ "slug": "acme", "name": "Acme", "plan": "team", "owner": owner }),
    )
    .await;
    assert_eq!(
        made.body["owner"],
        json!({ "email": "ada@acme.example", "name": "Ada" })
    );
}

#[tokio::test]
async fn the_pages_together_are_the_list() {
    let app = app();
    for slug in ["delta", "alpha", "charlie", "bravo", "echo"] {
        post(&app, "/api/control/tenants", json!({ "slug": slug, "name": slug })).await;
    }
    for (list, key, whole) in [
        ("tenants", "slug", vec!["alpha", "bravo", "charlie", "delta", "echo"]),
        ("services", "name", vec!["billing", "identity", "tasks"]),
    ] {
        for size in 1..=6 {
            let mut seen = Vec::new();
            let mut query = format!("?page_size={size}");
            loop {
                let page = get(&app, &format!("/api/control/{list}{query}")).await.body;
                let items = page["items"].as_array().unwrap();
                assert!(!items.is_empty() && items.len() <= size);
                seen.extend(items.iter().map(|item| item[key].as_str().unwrap().to_owned()));
                let Some(token) = page["next_page_token"].as_str() else {
                    break;
                };
                query = format!("?page_size={size}&page_token={token}");
            }
            assert_eq!(seen, whole, "{list} by {size}");
        }
    }
}
