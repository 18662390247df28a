//! Law: an unmodified component of preview 3 (`wasi:http/handler`) runs within every limit that one of
//! preview 2 has. What it sees of a request and how its answer arrives is in `conformity`.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use data_encoding::BASE64;
use futures_util::future::join_all;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, StreamBody, combinators::BoxBody};
use hyper::body::Frame;
use hyper_util::{client::legacy::Client as Http, rt::TokioExecutor};
use serde_json::{Value, json};
use terrace_tests_harness::{Client, Part, Session, Terrace, bundles};

use crate::{stage::hostile, wait::until};

async fn text(client: &Client, session: &Session, what: &str) -> String {
    let answer = client.get(session, &format!("/api/preview3/{what}")).await.unwrap();
    let answer = answer.success().unwrap();
    String::from_utf8(answer.bytes.to_vec()).unwrap()
}

/// What is in the service's log.
async fn log(client: &Client) -> Option<String> {
    let path = "/api/control/logs?service=preview3&limit=1000";
    let answer = client.control(Method::GET, path, None).await.ok()?;
    Some(answer.success().ok()?.body.to_string())
}

#[tokio::test]
async fn it_answers_and_every_limit_ends_it_with_the_code_of_preview_2() {
    let (terrace, client, ada, gus) = hostile().await;
    let before = terrace.pid(Part::Node).unwrap();
    assert_eq!(text(&client, &ada, "hello").await, "hello");
    // No host is listed, so nobody is asked.
    let said = text(&client, &ada, "outgoing").await;
    assert!(said.contains("Denied") || said.contains("Prohibited"), "{said}");

    // An answer that has begun ends by breaking off: its code is in the log only.
    let broken_off = "";
    for (attack, code, logged) in [
        ("loop", "service-cpu-limit", "passed its CPU limit"),
        ("memory", "service-memory-limit", "passed its memory limit"),
        ("trap", "service-failed", "trapped"),
        ("sleep", "service-timeout", "did not answer in time"),
        ("streams", "service-failed", "trapped"),
        ("fields", "service-failed", "trapped"),
        ("header-bomb", "service-failed", "trapped"),
        ("no-response", "service-failed", ""),
        ("late-loop", broken_off, "passed its CPU limit"),
        ("late-trap", broken_off, "trapped"),
        ("late-sleep", broken_off, "did not answer in time"),
        ("slow-body", broken_off, "did not answer in time"),
        ("stream-bomb", broken_off, ""),
    ] {
        match client.get(&ada, &format!("/api/preview3/{attack}")).await {
            Ok(answer) => assert_eq!(answer.code(), code, "{attack}: {} {}", answer.status, terrace.logs()),
            Err(error) => assert_eq!(code, broken_off, "{attack}: {error:#}"),
        }
        let line = format!("{logged} on GET /api/preview3/{attack}");
        if !logged.is_empty() {
            until(&format!("the log has `{line}`"), async || {
                log(&client).await?.contains(&line).then_some(())
            })
            .await;
        }
        let victim = client.get(&gus, "/api/preview3/hello").await.unwrap();
        assert!(victim.status.is_success(), "after {attack}: {}", victim.body);
    }
    assert_eq!(terrace.pid(Part::Node).unwrap(), before, "the node died");
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut_and_a_body_over_its_limit_refused() {
    let (terrace, client, ada, _gus) = hostile().await;
    let flood = client.get(&ada, "/api/preview3/log-flood").await.unwrap();
    assert!(
        ["", "service-cpu-limit"].contains(&flood.code()),
        "{} {}",
        flood.body,
        terrace.logs()
    );
    // `log_kib` is 4, and of a hundred thousand lines some five hundred are that long.
    let lines = log(&client).await.unwrap();
    assert!(lines.contains("line 100") && !lines.contains("line 1000"), "{lines}");
    assert!(lines.contains("were over the budget of the request"), "{lines}");

    // With a length and without one; read by the component, and passed through it.
    for what in ["mirror", "pass-through"] {
        let whole = Bytes::from(vec![b'x'; 300 << 10]);
        let path = format!("/api/preview3/{what}");
        let refused = client
            .send("acme", Method::POST, &path, &[("cookie", &ada.cookies)], whole)
            .await
            .unwrap();
        assert_eq!(
            (refused.status, refused.code()),
            (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large"),
            "{what}: {}",
            refused.body
        );
        let read = streamed(&terrace, &ada, &path, 300).await;
        assert!(read.is_none_or(|bytes| bytes <= 256 << 10), "{what}: {read:?}");
        // And one below it comes back whole, many times what one piece may have.
        assert_eq!(streamed(&terrace, &ada, &path, 200).await, Some(200 << 10), "{what}");
    }
}

/// Sends so many KiB, and says how many bytes came back, if the answer came to an end.
async fn streamed(terrace: &Terrace, session: &Session, path: &str, kib: usize) -> Option<usize> {
    let pieces = (0..kib).map(|_| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'x'; 1 << 10]))));
    let request = Request::post(format!("http://127.0.0.1:{}{path}", terrace.port))
        .header("host", "acme.localhost")
        .header("cookie", &session.cookies)
        .body(BoxBody::new(StreamBody::new(futures_util::stream::iter(pieces))))
        .unwrap();
    let http = Http::builder(TokioExecutor::new()).build_http();
    let response = http.request(request).await.ok()?;
    if !response.status().is_success() {
        return None;
    }
    Some(response.into_body().collect().await.ok()?.to_bytes().len())
}

#[tokio::test]
async fn an_instance_serves_one_request_at_a_time_and_one_tenant_for_life() {
    let (_terrace, client, ada, gus) = hostile().await;
    // As many instances as requests at once, each with its own count; none of them is another tenant's.
    let uses: Vec<u32> = join_all((0..8).map(|_| text(&client, &ada, "uses")))
        .await
        .iter()
        .map(|count| count.parse().unwrap())
        .collect();
    assert!(uses.iter().all(|count| (1..=8).contains(count)), "{uses:?}");
    assert_eq!(text(&client, &gus, "uses").await, "1", "an instance of another tenant");
    // One that is used again counts on.
    until("an instance is used again", async || {
        let count: u32 = text(&client, &gus, "uses").await.parse().unwrap();
        (count > 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_leaves_ends_the_body_and_frees_its_place() {
    let (terrace, client, ada, _gus) = hostile().await;
    // `concurrency` is 8: were the places not given back, the ninth would wait until `wall_ms` is over.
    for _ in 0..24 {
        let request = Request::get(format!(
            "http://127.0.0.1:{}/api/preview3/late-sleep",
            terrace.node_port
        ))
        .header("host", "acme.localhost")
        .header("cookie", &ada.cookies)
        .body(http_body_util::Empty::<Bytes>::new())
        .unwrap();
        let http = Http::builder(TokioExecutor::new()).build_http();
        let answer = tokio::time::timeout(Duration::from_secs(5), http.request(request));
        let mut answer = answer.await.unwrap().unwrap();
        assert!(answer.body_mut().frame().await.unwrap().is_ok());
    }
    assert_eq!(text(&client, &ada, "hello").await, "hello");
}

#[tokio::test]
async fn what_the_manifest_does_not_list_a_component_of_preview_3_does_not_get() {
    let (_terrace, client, _ada, _gus) = hostile().await;
    let folder = bundles("hostile").join("preview3");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let manifest = String::from_utf8(read("service.toml")).unwrap();
    let without = manifest.replace("capabilities = [\"http\"]", "capabilities = []");
    assert_ne!(without, manifest);
    let bundle = json!({
        "manifest": without,
        "contract": serde_json::from_slice::<Value>(&read("openapi.json")).unwrap(),
        "migrations": [],
        "component": BASE64.encode(&read("service.wasm")),
    });
    let path = "/api/control/services/preview3/releases";
    let answer = client.control(Method::POST, path, Some(bundle)).await.unwrap();
    assert!(answer.status.is_client_error(), "{}", answer.status);
    let said = answer.body.to_string();
    assert!(said.contains("imports wasi:http/client: add \\\"http\\\""), "{said}");
}
