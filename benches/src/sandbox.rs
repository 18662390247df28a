//! The sandbox alone: an empty request, beside native axum and `wasmtime serve`; and what an instance costs.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use serde_json::json;
use terrace_compute_capability::{Invocation, TenantFacts};
use terrace_compute_engine::{Config, Engine, Isolation, Limits, Release, ReleaseSpec};
use terrace_ground_ids::{ReleaseId, RequestId, TenantId};
use terrace_tests_harness::{Client, Options, Terrace, bundles};

use crate::{
    Figure,
    load::{self, Target},
    peers,
    task::Native,
    tenants::quantiles,
};

pub(crate) async fn measure() -> Result<Vec<Figure>> {
    let terrace = Terrace::start(Options::default()).await?;
    let client = terrace.client();
    let native = Native::start(&["native-hello", "{address}"])?;
    let mut targets = vec![target(terrace.node_port), target(native.port)];
    let component = bundles("figures/hello/service.wasm");
    let wasmtime = peers::WASMTIME.version().map(|_| peers::WASMTIME.start(&component));
    let wasmtime = wasmtime.transpose()?;
    targets.extend(wasmtime.as_ref().map(|wasmtime| target(wasmtime.attacked)));

    deploy(&client, "tenant").await?;
    let reused = load::compare(&targets)?;
    deploy(&client, "request").await?;
    let fresh = load::compare(&targets)?;
    let serve = |seen: &[load::Seen]| {
        seen.get(2).map_or_else(
            || ("wasmtime serve is not installed".to_owned(), "-".to_owned()),
            |peer| (format!("wasmtime serve 48: {}", peer.describe()), seen[0].ratio(peer)),
        )
    };
    let (serve_fresh, ratio_fresh) = serve(&fresh);
    let (serve_reused, ratio_reused) = serve(&reused);
    let mut figures = vec![
        Figure {
            what: "an empty request, instance reused inside the tenant, all limits on".to_owned(),
            ours: reused[0].describe(),
            peer: format!("native axum: {}", reused[1].describe()),
            ratio: reused[0].ratio(&reused[1]),
        },
        Figure {
            what: "the same".to_owned(),
            ours: reused[0].describe(),
            peer: serve_reused,
            ratio: ratio_reused,
        },
        Figure {
            what: "an empty request, fresh instance each, all limits on".to_owned(),
            ours: fresh[0].describe(),
            peer: serve_fresh,
            ratio: ratio_fresh,
        },
    ];
    figures.extend(instances().await?);
    Ok(figures)
}

fn target(port: u16) -> Target {
    Target {
        url: format!("http://127.0.0.1:{port}/api/hello/ping"),
        host: "acme.localhost".to_owned(),
        cookies: String::new(),
        body: None,
    }
}

fn component() -> Result<Vec<u8>> {
    std::fs::read(bundles("figures/hello/service.wasm")).context("read the hello service: run `cargo figures`")
}

async fn deploy(client: &Client, isolation: &str) -> Result<()> {
    let operation =
        json!({ "operationId": "hello_ping", "security": [], "responses": { "200": { "description": "Hello" } } });
    let paths = json!({ "/api/hello/ping": { "get": operation } });
    let contract = json!({ "openapi": "3.1.0", "info": { "title": "Hello", "version": "1" }, "paths": paths });
    let body = json!({
        "manifest": format!("name = \"hello\"\nisolation = \"{isolation}\"\n[limits]\nconcurrency = 64\n"),
        "contract": contract,
        "migrations": [],
        "component": data_encoding::BASE64.encode(&component()?),
    });
    client
        .control(Method::POST, "/api/control/services/hello/releases", Some(body))
        .await?
        .success()?;
    Ok(())
}

/// In this process, one request after the other: with a fresh instance each, with a reused one, and
/// the first of each of a thousand tenants.
async fn instances() -> Result<Vec<Figure>> {
    const ROUNDS: usize = 2_000;
    let engine = Engine::new(Config::default(), Vec::new())?;
    let fresh = load_release(&engine, Isolation::Request).await?;
    let reused = load_release(&engine, Isolation::Tenant).await?;
    let one = tenant();
    let mut took_fresh = Vec::with_capacity(ROUNDS);
    let mut took_reused = Vec::with_capacity(ROUNDS);
    let mut took_first = Vec::with_capacity(ROUNDS);
    let (mut made, mut dropped) = (Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS));
    for _ in 0..ROUNDS {
        took_fresh.push(ask(&engine, &fresh, &one).await?);
        took_reused.push(ask(&engine, &reused, &one).await?);
        took_first.push(ask(&engine, &reused, &tenant()).await?);
        let [make, drop] = engine.time_instance(&fresh, invocation(&fresh, &one)).await?;
        made.push(make);
        dropped.push(drop);
    }
    let micros = |took: &mut [Duration]| {
        let (p50, p99) = quantiles(took);
        format!(
            "p50 {:.0} µs, p99 {:.0} µs",
            p50.as_secs_f64() * 1e6,
            p99.as_secs_f64() * 1e6
        )
    };
    let reused = micros(&mut took_reused);
    let usual = quantiles(&mut took_reused).0;
    let added = |took: &mut [Duration]| {
        let more = quantiles(took).0.saturating_sub(usual);
        format!("+{:.0} µs at p50", more.as_secs_f64() * 1e6)
    };
    let (added_fresh, added_first) = (added(&mut took_fresh), added(&mut took_first));
    Ok(vec![
        Figure {
            what: "make an instance of an axum component, and drop it".to_owned(),
            ours: format!("{}; {}", micros(&mut made), micros(&mut dropped)),
            peer: "none in this run".to_owned(),
            ratio: String::new(),
        },
        Figure {
            what: "one request in a fresh instance of an axum component, engine only".to_owned(),
            ours: micros(&mut took_fresh),
            peer: format!("in a reused one: {reused}"),
            ratio: added_fresh,
        },
        Figure {
            what: "the first request ever of a tenant, engine only".to_owned(),
            ours: micros(&mut took_first),
            peer: format!("in a reused one: {reused}"),
            ratio: added_first,
        },
    ])
}

async fn load_release(engine: &Engine, isolation: Isolation) -> Result<Arc<Release>> {
    let spec = ReleaseSpec {
        id: ReleaseId::random(),
        service: "hello".parse()?,
        component: component()?.into(),
        capabilities: Vec::new(),
        isolation,
        limits: Limits::default(),
        calls: Vec::new(),
        grants: terrace_compute_engine::Shared::default(),
    };
    Ok(engine.load(spec).await?)
}

fn tenant() -> Arc<TenantFacts> {
    #[expect(clippy::unwrap_used, reason = "a constant slug")]
    let slug = "acme".parse().unwrap();
    Arc::new(TenantFacts {
        id: TenantId::random(),
        slug,
        name: "Acme".to_owned(),
        plan: "free".to_owned(),
    })
}

fn invocation(release: &Release, tenant: &Arc<TenantFacts>) -> Invocation {
    Invocation {
        tenant: tenant.clone(),
        service: release.service().clone(),
        release: release.id().clone(),
        caller: None,
        request: RequestId::random(),
        deadline: Instant::now() + Duration::from_secs(10),
        depth: 0,
        delivery: None,
    }
}

async fn ask(engine: &Engine, release: &Arc<Release>, tenant: &Arc<TenantFacts>) -> Result<Duration> {
    let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
    let request = Request::builder()
        .uri("http://acme.localhost/api/hello/ping")
        .body(body)?;
    let start = Instant::now();
    let response = engine.handle(release, invocation(release, tenant), request).await?;
    response
        .into_body()
        .collect()
        .await
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(start.elapsed())
}
