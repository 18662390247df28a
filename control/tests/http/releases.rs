//! Releases over HTTP: what is refused until somebody has agreed, and what a canary is.

use serde_json::{Value, json};

use crate::{app, post};

const RELEASES: &str = "/api/control/services/tasks/releases";

fn upload(manifest: &str, more: &[(&str, Value)]) -> Value {
    let component = data_encoding::BASE64.encode(b"\0asm\x0d\0\x01\0");
    let mut body =
        json!({ "manifest": manifest, "contract": { "openapi": "3.1.0" }, "migrations": [], "component": component });
    for (key, value) in more {
        body[*key] = value.clone();
    }
    body
}

#[tokio::test]
async fn a_release_that_breaks_clients_or_asks_for_more_needs_consent_for_just_that() {
    let app = app();
    for (manifest, consent, says) in [
        ("# breaks", "allow_breaking", "the operation is gone"),
        ("# asks", "allow_new_asks", "capability http"),
        ("# takes", "force_migration", "0002_a drops `a.b`"),
        ("# waits", "force_migration", "0002_a rewrites `a`: do not"),
    ] {
        let answer = post(&app, RELEASES, upload(manifest, &[])).await;
        answer.is_problem("conflict", 409);
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains(says) && detail.contains(consent), "{detail}");
        for given in ["allow_breaking", "allow_new_asks", "force_migration"] {
            let expected = if given == consent { 201 } else { 409 };
            let answer = post(&app, RELEASES, upload(manifest, &[(given, json!(true))])).await;
            assert_eq!(
                answer.status.as_u16(),
                expected,
                "{manifest} with {given}: {}",
                answer.body
            );
        }
        let preview = post(&app, &format!("{RELEASES}/preview"), upload(manifest, &[])).await;
        assert_eq!(preview.status.as_u16(), 200, "{}", preview.body);
    }
}

#[tokio::test]
async fn a_canary_is_a_share_or_a_list_and_neither_is_empty_or_endless() {
    let app = app();
    let start = |to: Value| {
        let app = app.clone();
        async move {
            let body = json!({ "release": "r_23456789ab", "to": to });
            post(&app, "/api/control/services/tasks/canary", body).await
        }
    };
    for good in [
        json!({ "share_percent": 5 }),
        json!({ "tenants": ["acme", "t_7f3k9q2m"] }),
    ] {
        assert_eq!(start(good.clone()).await.status.as_u16(), 200, "{good}");
    }
    for (bad, pointer) in [
        (json!({}), "/to"),
        (json!({ "share_percent": 5, "tenants": ["acme"] }), "/to"),
        (json!({ "share_percent": 0 }), "/to/share_percent"),
        (json!({ "share_percent": 101 }), "/to/share_percent"),
        (json!({ "tenants": [] }), "/to/tenants"),
        (json!({ "tenants": vec!["acme"; 1001] }), "/to/tenants"),
        (json!({ "tenants": ["acme", "../x"] }), "/to/tenants/1"),
    ] {
        let answer = start(bad.clone()).await;
        answer.is_problem("validation-failed", 422);
        assert_eq!(answer.pointers(), [pointer], "{bad}");
    }
    for verb in ["promote", "abort"] {
        let path = format!("/api/control/services/tasks/canary/{verb}");
        post(&app, &path, json!({})).await.is_problem("conflict", 409);
    }
    let nowhere = post(&app, "/api/control/services/tasks/rollback", json!({})).await;
    nowhere.is_problem("conflict", 409);
    let to = post(
        &app,
        "/api/control/services/tasks/rollback",
        json!({ "release": "r_23456789ab" }),
    )
    .await;
    assert_eq!(to.status.as_u16(), 200, "{}", to.body);
}
