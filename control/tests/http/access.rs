//! Who may call what.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use serde_json::json;
use terrace_ground_token::{CONTROL_AUDIENCE, Keys, Member};

use crate::{EMAIL, OPERATOR_TOKEN, PASSWORD, TENANT, app, get, request, send, session, token};

/// Every operation of the contract: method, path with its parameters filled in, and whether it asks
/// for a session.
fn operations() -> Vec<(String, String, bool)> {
    let contract = serde_json::to_value(terrace_control::contract()).unwrap();
    let mut found = Vec::new();
    for (path, operations) in contract["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let security = operation["security"]
                .as_array()
                .expect("every operation says who may call it");
            let path = path
                .replace("{tenant}", "acme")
                .replace("{service}", "tasks")
                .replace("{site}", "tasks");
            found.push((method.to_uppercase(), path, !security.is_empty()));
        }
    }
    assert!(found.len() >= 15, "{found:?}");
    found
}

#[tokio::test]
async fn every_operation_but_sign_in_needs_a_session() {
    let app = app();
    for (method, path, needs_session) in operations() {
        assert_eq!(
            needs_session,
            (method.as_str(), path.as_str()) != ("POST", "/api/control/session"),
            "{method} {path}"
        );
        let bare = Request::builder()
            .method(method.as_str())
            .uri(&path)
            .body(Body::empty())
            .unwrap();
        let answer = send(&app, bare).await;
        if needs_session {
            answer.is_problem("unauthenticated", 401);
        } else {
            assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn no_token_but_an_operators_is_accepted() {
    let app = app();
    let now = jiff::Timestamp::now().as_second();
    let member = Member {
        id: EMAIL,
        name: "Olga",
        role: "operator",
    };
    let forged = Keys::from_seed(&[8; 32]).sign(CONTROL_AUDIENCE, &member, now, 60);
    let cases = [
        (token(TENANT, "owner", 0), "token-foreign", 403),
        (token(TENANT, "operator", 0), "token-foreign", 403),
        (token(CONTROL_AUDIENCE, "owner", 0), "forbidden", 403),
        (token(CONTROL_AUDIENCE, "operator", 61), "token-expired", 401),
        (forged, "token-invalid", 401),
        (
            "op_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab".to_owned(),
            "token-invalid",
            401,
        ),
        ("op_".to_owned(), "token-invalid", 401),
        (String::new(), "token-invalid", 401),
    ];
    for (token, code, status) in cases {
        for (name, value) in [
            (header::AUTHORIZATION, format!("Bearer {token}")),
            (header::COOKIE, format!("a=b; __Host-session={token}")),
        ] {
            let asked = Request::builder()
                .uri("/api/control/session")
                .header(name, value)
                .body(Body::empty())
                .unwrap();
            send(&app, asked).await.is_problem(code, status);
        }
    }
}

#[tokio::test]
async fn a_session_and_the_operator_token_are_accepted_as_bearer_and_as_cookie() {
    let app = app();
    for (token, email) in [(session(), json!(EMAIL)), (OPERATOR_TOKEN.to_owned(), json!(null))] {
        for (name, value) in [
            (header::AUTHORIZATION, format!("bearer {token}")),
            (header::COOKIE, format!("a=b; __Host-session={token}")),
        ] {
            let asked = Request::builder()
                .uri("/api/control/session")
                .header(name, value)
                .body(Body::empty())
                .unwrap();
            let answer = send(&app, asked).await;
            assert_eq!(
                (answer.status, &answer.body["operator"]["email"]),
                (StatusCode::OK, &email)
            );
        }
    }
}

#[tokio::test]
async fn signing_in_gives_a_cookie_that_opens_the_api_and_signing_out_takes_it_back() {
    let app = app();
    let answer = send(&app, sign_in(EMAIL, PASSWORD)).await;
    assert_eq!(
        (answer.status, &answer.body["operator"]),
        (StatusCode::OK, &json!({ "email": EMAIL, "name": "Olga" }))
    );
    let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap().to_owned();
    for attribute in [
        "__Host-session=",
        "; Path=/",
        "; Max-Age=43200",
        "; Secure",
        "; HttpOnly",
        "; SameSite=Strict",
    ] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    let pair = cookie.split(';').next().unwrap();
    let asked = |method: &str| {
        Request::builder()
            .method(method)
            .uri("/api/control/session")
            .header(header::COOKIE, pair)
            .body(Body::empty())
            .unwrap()
    };
    assert_eq!(send(&app, asked("GET")).await.status, StatusCode::OK);
    let out = send(&app, asked("DELETE")).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    assert!(out.headers[header::SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_get_the_same_answer() {
    let app = app();
    let long = "x".repeat(300);
    for (email, password) in [
        (EMAIL, "wrong-but-long-enough"),
        ("nobody@terrace.example", PASSWORD),
        (EMAIL, &long),
        ("", ""),
    ] {
        let answer = send(&app, sign_in(email, password)).await;
        answer.is_problem("unauthenticated", 401);
        assert_eq!(answer.body["detail"], "The address or the password is wrong.");
        assert!(!answer.headers.contains_key(header::SET_COOKIE));
    }
}

#[tokio::test]
async fn a_write_that_another_site_caused_is_refused() {
    let app = app();
    for (site, is_refused) in [
        ("cross-site", true),
        ("same-site", true),
        ("same-origin", false),
        ("none", false),
    ] {
        let mut asked = request("DELETE", "/api/control/session", None);
        asked.headers_mut().insert("sec-fetch-site", site.parse().unwrap());
        let answer = send(&app, asked).await;
        if is_refused {
            answer.is_problem("cross-site-request", 403);
        } else {
            assert_eq!(answer.status, StatusCode::NO_CONTENT);
        }
    }
    let mut read = request("GET", "/api/control/session", None);
    read.headers_mut()
        .insert("sec-fetch-site", "cross-site".parse().unwrap());
    assert_eq!(send(&app, read).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_contract_is_public_and_is_what_the_crate_says() {
    let bare = Request::builder()
        .uri("/api/control/openapi.json")
        .body(Body::empty())
        .unwrap();
    let answer = send(&app(), bare).await;
    assert_eq!(answer.body, serde_json::to_value(terrace_control::contract()).unwrap());
    assert_eq!(get(&app(), "/api/control/openapi.json").await.status, StatusCode::OK);
}

fn sign_in(email: &str, password: &str) -> Request<Body> {
    let body = json!({ "email": email, "password": password }).to_string();
    let builder = Request::builder().method("POST").uri("/api/control/session");
    builder
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.into())
        .unwrap()
}
