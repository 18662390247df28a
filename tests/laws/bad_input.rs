//! Bad input gets a clear error with a code, and disturbs nothing else.

use http::{Method, StatusCode};
use serde_json::json;
use terrace_tests_harness::{Options, Terrace};

#[tokio::test]
#[expect(clippy::too_many_lines, clippy::type_complexity, reason = "one table of cases")]
async fn each_bad_request_gets_its_own_code() {
    let terrace = Terrace::start(Options::default()).await.unwrap();
    let client = terrace.client();
    let ada = client.sign_in("acme", "ada@acme.example").await.unwrap();
    let cookie = ("cookie", ada.cookies.as_str());
    let json_type = ("content-type", "application/json");
    let big = format!("{{\"title\":\"{}\"}}", "x".repeat(2 << 20));
    let bomb = "x".repeat(60_000);
    let forged = format!("{}x", ada.cookies.split(';').next().unwrap());
    let cases: Vec<(&str, Method, &str, Vec<(&str, &str)>, String, StatusCode, &str)> = vec![
        (
            "nobody",
            Method::GET,
            "/api/tasks/boards",
            vec![],
            String::new(),
            StatusCode::NOT_FOUND,
            "unknown-host",
        ),
        (
            "acme",
            Method::GET,
            "/api/nothing/here",
            vec![cookie],
            String::new(),
            StatusCode::NOT_FOUND,
            "unknown-path",
        ),
        (
            "acme",
            Method::POST,
            "/api/_terrace/events",
            vec![cookie],
            String::new(),
            StatusCode::NOT_FOUND,
            "unknown-path",
        ),
        (
            "acme",
            Method::PUT,
            "/api/tasks/boards",
            vec![cookie],
            String::new(),
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
        ),
        (
            "acme",
            Method::POST,
            "/api/tasks/boards",
            vec![cookie, json_type],
            "{\"title\":".to_owned(),
            StatusCode::BAD_REQUEST,
            "malformed-body",
        ),
        (
            "acme",
            Method::POST,
            "/api/tasks/boards",
            vec![cookie, json_type],
            json!({ "title": "" }).to_string(),
            StatusCode::UNPROCESSABLE_ENTITY,
            "validation-failed",
        ),
        (
            "acme",
            Method::POST,
            "/api/tasks/boards",
            vec![cookie, json_type],
            json!({ "title": "a\0b" }).to_string(),
            StatusCode::UNPROCESSABLE_ENTITY,
            "validation-failed",
        ),
        (
            "acme",
            Method::GET,
            "/api/identity/members/a%00b",
            vec![cookie],
            String::new(),
            StatusCode::UNPROCESSABLE_ENTITY,
            "validation-failed",
        ),
        (
            "acme",
            Method::POST,
            "/api/tasks/boards",
            vec![cookie, json_type],
            big,
            StatusCode::PAYLOAD_TOO_LARGE,
            "body-too-large",
        ),
        (
            "acme",
            Method::GET,
            "/api/tasks/boards",
            vec![cookie, ("x-bomb", &bomb)],
            String::new(),
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "headers-too-large",
        ),
        (
            "acme",
            Method::GET,
            "/api/tasks/boards",
            vec![("cookie", &forged)],
            String::new(),
            StatusCode::UNAUTHORIZED,
            "token-invalid",
        ),
        (
            "acme",
            Method::GET,
            "/api/tasks/boards",
            vec![("authorization", "Bearer nonsense")],
            String::new(),
            StatusCode::UNAUTHORIZED,
            "token-invalid",
        ),
        (
            "acme",
            Method::POST,
            "/api/tasks/boards",
            vec![cookie, json_type, ("sec-fetch-site", "same-site")],
            json!({ "title": "x" }).to_string(),
            StatusCode::FORBIDDEN,
            "cross-site-request",
        ),
    ];
    for (label, method, path, headers, body, status, code) in cases {
        let answer = client
            .send(label, method.clone(), path, &headers, body.into())
            .await
            .unwrap();
        assert_eq!(
            (answer.status, answer.code()),
            (status, code),
            "{method} {path} on {label}: {}",
            String::from_utf8_lossy(&answer.bytes)
        );
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{code}");
    }
    assert!(client.get(&ada, "/api/tasks/boards").await.unwrap().status.is_success());
}

#[tokio::test]
async fn a_release_that_cannot_run_is_refused_and_the_old_one_stays() {
    let terrace = Terrace::start(Options::default()).await.unwrap();
    let client = terrace.client();
    let ada = client.sign_in("acme", "ada@acme.example").await.unwrap();
    let folder = terrace_tests_harness::bundles("services").join("tasks");
    let manifest = std::fs::read_to_string(folder.join("service.toml")).unwrap();
    let contract: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("openapi.json")).unwrap()).unwrap();
    let component = data_encoding::BASE64.encode(&std::fs::read(folder.join("service.wasm")).unwrap());
    let migrations = |last: &str| {
        let mut files: Vec<_> = std::fs::read_dir(folder.join("migrations"))
            .unwrap()
            .flatten()
            .collect();
        files.sort_by_key(std::fs::DirEntry::file_name);
        let mut list: Vec<_> = files
            .iter()
            .map(|file| json!({ "name": file.file_name().to_str(), "sql": std::fs::read_to_string(file.path()).unwrap() }))
            .collect();
        list.push(json!({ "name": format!("{:04}_next.sql", list.len() + 1), "sql": last }));
        list
    };
    let bundle = |manifest: &str, migrations: Vec<serde_json::Value>, component: &str| json!({ "manifest": manifest, "contract": contract, "migrations": migrations, "component": component });
    let unknown_key = format!("colour = \"red\"\n{manifest}");
    let ungranted = manifest.replace("\"sql\", ", "");
    let bundles = [
        ("not a component", bundle(&manifest, Vec::new(), "AAAA")),
        ("an unknown key", bundle(&unknown_key, Vec::new(), &component)),
        (
            "an import that was not granted",
            bundle(&ungranted, Vec::new(), &component),
        ),
        (
            "a migration that leaves its schema",
            bundle(&manifest, migrations("DROP SCHEMA terrace CASCADE;"), &component),
        ),
        (
            "a migration that PostgreSQL refuses",
            bundle(
                &manifest,
                migrations("ALTER TABLE nowhere ADD COLUMN x text;"),
                &component,
            ),
        ),
    ];
    for (what, bundle) in bundles {
        let answer = client
            .control(Method::POST, "/api/control/services/tasks/releases", Some(bundle))
            .await
            .unwrap();
        assert!(
            answer.status.is_client_error(),
            "{what}: {} {}",
            answer.status,
            answer.body
        );
        assert!(
            client.get(&ada, "/api/tasks/boards").await.unwrap().status.is_success(),
            "after {what}"
        );
    }
}
