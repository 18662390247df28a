//! A thousand deploys and rollbacks under load: requests that failed, and how long a switch takes.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use data_encoding::BASE64;
use http::Method;
use serde_json::{Value, json};
use terrace_tests_harness::{Client, Options, Session, Terrace, bundles};

use crate::{Figure, tenants::quantiles};

/// Deploys and rollbacks together.
const SWITCHES: usize = 1_000;
/// Every so many-th deploy brings a component that was never compiled.
const COMPILED_EVERY: usize = 50;
/// Who sends requests, one after the other, all the while.
const CLIENTS: usize = 8;

const SERVICE: &str = "/api/control/services/hostile";

pub(crate) async fn measure() -> Result<Vec<Figure>> {
    let terrace = Terrace::start(Options {
        hostile: true,
        ..Options::default()
    })
    .await?;
    let client = terrace.client();
    let sessions = [
        client.sign_in("acme", "ada@acme.example").await?,
        client.sign_in("globex", "gus@globex.example").await?,
    ];
    let stop = Arc::new(AtomicBool::new(false));
    let (sent, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let loads: Vec<_> = (0..CLIENTS)
        .filter_map(|number| sessions.get(number % sessions.len()))
        .map(|session| {
            tokio::spawn(load(
                client.clone(),
                session.clone(),
                stop.clone(),
                sent.clone(),
                failed.clone(),
            ))
        })
        .collect();
    let (mut deploys, mut rollbacks) = (Vec::new(), Vec::new());
    let began = Instant::now();
    for number in 0..SWITCHES / 2 {
        let body = bundle(number)?;
        deploys.push(timed(&client, &format!("{SERVICE}/releases"), body).await?);
        rollbacks.push(timed(&client, &format!("{SERVICE}/rollback"), json!({})).await?);
        if number % 50 == 49 {
            eprintln!(
                "{} of {SWITCHES} switches, {} requests, {} failed",
                (number + 1) * 2,
                sent.load(Ordering::SeqCst),
                failed.load(Ordering::SeqCst)
            );
        }
    }
    let took = began.elapsed();
    stop.store(true, Ordering::SeqCst);
    for load in loads {
        load.await?;
    }
    let (sent, failed) = (sent.load(Ordering::SeqCst), failed.load(Ordering::SeqCst));
    let times = |took: &mut [Duration]| {
        let (p50, p99) = quantiles(took);
        format!(
            "p50 {:.0} ms, p99 {:.0} ms",
            p50.as_secs_f64() * 1e3,
            p99.as_secs_f64() * 1e3
        )
    };
    let row = |what: &str, ours| Figure {
        what: what.to_owned(),
        ours,
        peer: "none in this run".to_owned(),
        ratio: "-".to_owned(),
    };
    Ok(vec![
        row(
            "failed requests over 1,000 deploys and rollbacks",
            format!("{failed} of {sent}, in {:.0} s", took.as_secs_f64()),
        ),
        row("a rollback under that load, by the API", times(&mut rollbacks)),
        row(
            "a deploy under that load, checks and upload included",
            times(&mut deploys),
        ),
    ])
}

async fn timed(client: &Client, path: &str, body: Value) -> Result<Duration> {
    let start = Instant::now();
    client
        .control(Method::POST, path, Some(body))
        .await?
        .success()
        .with_context(|| format!("POST {path}"))?;
    Ok(start.elapsed())
}

async fn load(client: Client, session: Session, stop: Arc<AtomicBool>, sent: Arc<AtomicU64>, failed: Arc<AtomicU64>) {
    while !stop.load(Ordering::SeqCst) {
        for (method, path) in [
            (Method::GET, "/api/hostile/ok"),
            (Method::POST, "/api/hostile/hold?amount=2"),
            (Method::GET, "/api/hostile/body?amount=64"),
            (Method::POST, "/api/hostile/sleep?amount=5"),
        ] {
            let answer = client.call(&session, method, path, None).await;
            sent.fetch_add(1, Ordering::SeqCst);
            if !answer.as_ref().is_ok_and(|answer| answer.status.is_success()) {
                failed.fetch_add(1, Ordering::SeqCst);
                eprintln!("{path}: {answer:?}");
            }
        }
    }
}

/// The hostile service with another title each time, and now and then with another component.
fn bundle(number: usize) -> Result<Value> {
    let folder = bundles("hostile").join("hostile");
    let text = |name: &str| fs::read_to_string(folder.join(name)).with_context(|| format!("read {name}"));
    let manifest = text("service.toml")?.replace("A service that misbehaves on request", &format!("Number {number}"));
    let contract: Value = serde_json::from_str(&text("openapi.json")?)?;
    let mut component = fs::read(folder.join("service.wasm")).context("read the component")?;
    if number.is_multiple_of(COMPILED_EVERY) {
        // A custom section at the end: other bytes, the same code.
        let mark = u8::try_from(number / COMPILED_EVERY).unwrap_or(u8::MAX);
        component.extend([0, 6, 4, b'm', b'a', b'r', b'k', mark]);
    }
    Ok(json!({
        "manifest": manifest,
        "contract": contract,
        "migrations": [{ "name": "0001_counter.sql", "sql": text("migrations/0001_counter.sql")? }],
        "component": BASE64.encode(&component),
    }))
}
