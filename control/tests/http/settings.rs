//! What an operator sets for a service: kept, listed, deleted, and a secret never shown.

use axum::http::StatusCode;
use serde_json::json;

use crate::{app, get, post, request, send};

const SETTINGS: &str = "/api/control/services/billing/settings";

#[tokio::test]
async fn a_secret_is_listed_by_name_and_never_with_its_value() {
    let app = app();
    let put = |name: &str, body| send(&app, request("PUT", &format!("{SETTINGS}/{name}"), Some(body)));
    let secret = put("stripe-key", json!({ "kind": "secret", "value": "sk_live_1" })).await;
    assert_eq!(
        (secret.status, secret.body.as_str()),
        (StatusCode::NO_CONTENT, Some(""))
    );
    let plain = put("greeting", json!({ "kind": "config", "value": "Hello" })).await;
    assert_eq!(plain.status, StatusCode::NO_CONTENT);

    let secrets = get(&app, &format!("{SETTINGS}?kind=secret")).await;
    let item = &secrets.body["items"][0];
    assert_eq!(
        (&item["name"], &item["tenant"], &item["value"]),
        (&json!("stripe-key"), &json!(null), &json!(null))
    );
    assert!(!secrets.body.to_string().contains("sk_live_1"));
    let plain = get(&app, &format!("{SETTINGS}?kind=config")).await;
    assert_eq!(plain.body["items"][0]["value"], "Hello");
    assert_eq!(plain.body["items"].as_array().unwrap().len(), 1);

    let gone = format!("{SETTINGS}/stripe-key?kind=secret");
    assert_eq!(
        send(&app, request("DELETE", &gone, None)).await.status,
        StatusCode::NO_CONTENT
    );
    send(&app, request("DELETE", &gone, None))
        .await
        .is_problem("not-found", 404);
}

#[tokio::test]
async fn a_setting_for_a_tenant_needs_the_tenant() {
    let app = app();
    let path = format!("{SETTINGS}/greeting");
    let body = json!({ "kind": "config", "value": "Moin", "tenant": "acme" });
    send(&app, request("PUT", &path, Some(body.clone())))
        .await
        .is_problem("not-found", 404);
    let created = post(&app, "/api/control/tenants", json!({ "slug": "acme", "name": "Acme" })).await;
    assert_eq!(created.status, StatusCode::CREATED);
    assert_eq!(
        send(&app, request("PUT", &path, Some(body))).await.status,
        StatusCode::NO_CONTENT
    );
    let listed = get(&app, &format!("{SETTINGS}?kind=config")).await;
    assert_eq!(listed.body["items"][0]["tenant"], "acme");
}

#[tokio::test]
async fn what_is_wrong_with_a_setting_is_said_of_every_field() {
    let app = app();
    let answer = send(
        &app,
        request(
            "PUT",
            &format!("{SETTINGS}/Bad_Name"),
            Some(json!({ "kind": "sceret", "value": "", "tenant": "A B" })),
        ),
    )
    .await;
    answer.is_problem("validation-failed", 422);
    assert_eq!(answer.pointers(), ["/kind", "/name", "/tenant", "/value"]);
    let long = json!({ "kind": "secret", "value": "x".repeat(8_193) });
    let answer = send(&app, request("PUT", &format!("{SETTINGS}/key"), Some(long))).await;
    assert_eq!(answer.pointers(), ["/value"]);
    assert!(
        !answer.body.to_string().contains("xxxx"),
        "a refused secret does not come back"
    );
    get(&app, &format!("{SETTINGS}?kind=secret&kind=config"))
        .await
        .is_problem("malformed-request", 400);
    get(&app, SETTINGS).await.is_problem("validation-failed", 422);
    get(&app, "/api/control/services/No%20Service/settings?kind=secret")
        .await
        .is_problem("not-found", 404);
}
