//! Figures of the sandbox alone, without a network: `cargo run -p terrace-compute-engine --example
//! figures -- <component.wasm> <path> [seconds] [keep_resident_kib]`.
//!
//! The component may import nothing but WASI and the interfaces `request` and `log`; what it logs is
//! thrown away.

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use terrace_compute_capability::{Capability, Guest, Invocation, TenantFacts};
use terrace_compute_engine::{Body, Config, Engine, Isolation, Limits, Release, ReleaseSpec};
use terrace_ground_ids::{ReleaseId, RequestId, TenantId};

/// The `log` interface without a log.
struct Silence;

impl Capability for Silence {
    fn name(&self) -> &'static str {
        "log"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["terrace:platform/log"]
    }

    fn link(&self, linker: &mut wasmtime::component::Linker<Guest>) -> wasmtime::Result<()> {
        linker
            .instance("terrace:platform/log@0.1.0")?
            .func_new("write", |_, _, _, _| Ok(()))
    }
}

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(component), Some(path)) = (arguments.next(), arguments.next()) else {
        return Err("figures <component.wasm> <path> [seconds] [keep_resident_kib]".into());
    };
    let seconds = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let keep_resident_kib = arguments.next().map_or(Ok(0), |text| text.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(figures(
        Bytes::from(std::fs::read(component)?),
        &path,
        Duration::from_secs(seconds),
        keep_resident_kib,
    ))
}

async fn figures(component: Bytes, path: &str, time: Duration, keep_resident_kib: usize) -> Result<()> {
    let cache = tempfile::tempdir()?;
    let config = Config {
        cache_dir: Some(cache.path().into()),
        cache_key: Some([7; 32]),
        keep_resident_kib,
        ..Config::default()
    };
    let spec = |isolation| ReleaseSpec {
        id: ReleaseId::random(),
        service: "hello".parse().unwrap_or_else(|_| unreachable!("a valid name")),
        component: component.clone(),
        capabilities: vec!["log".to_owned()],
        isolation,
        limits: Limits {
            concurrency: 256,
            ..Limits::default()
        },
        calls: Vec::new(),
        grants: terrace_compute_engine::Shared::default(),
    };
    let engine = Engine::new(config, vec![Arc::new(Silence)])?;
    let began = Instant::now();
    let fresh = engine.load(spec(Isolation::Request)).await?;
    println!("compile and load            {:>9.1?}", began.elapsed());
    let began = Instant::now();
    let reused = engine.load(spec(Isolation::Tenant)).await?;
    println!("load what is compiled       {:>9.1?}", began.elapsed());

    let tenant = || -> Result<Arc<TenantFacts>> {
        Ok(Arc::new(TenantFacts {
            id: TenantId::random(),
            slug: "acme".parse()?,
            name: "Acme".into(),
            plan: "free".into(),
        }))
    };
    let acme = tenant()?;
    sequence("one at a time, fresh", &engine, &fresh, path, time, || Ok(acme.clone())).await?;
    sequence("one at a time, reused", &engine, &reused, path, time, || {
        Ok(acme.clone())
    })
    .await?;
    sequence("one at a time, new tenant", &engine, &reused, path, time, tenant).await?;
    let (mut made, mut dropped) = (Vec::new(), Vec::new());
    for _ in 0..5_000 {
        let [make, drop] = engine.time_instance(&fresh, invocation(&fresh, &acme)).await?;
        made.push(make);
        dropped.push(drop);
    }
    say("make an instance", made);
    say("drop it", dropped);
    for (name, release) in [("16 at once, fresh", &fresh), ("16 at once, reused", &reused)] {
        let until = Instant::now() + time;
        let mut tasks = Vec::new();
        for _ in 0..16 {
            let (engine, release, tenant, path) = (engine.clone(), release.clone(), tenant()?, path.to_owned());
            tasks.push(tokio::spawn(async move {
                let mut count = 0_u64;
                while Instant::now() < until {
                    ask(&engine, &release, &tenant, &path).await?;
                    count += 1;
                }
                Ok::<_, Box<dyn Error + Send + Sync>>(count)
            }));
        }
        let mut count = 0;
        for task in tasks {
            count += task.await??;
        }
        println!("{name:<27} {:>9} requests a second", count / time.as_secs());
    }
    Ok(())
}

async fn sequence(
    name: &str,
    engine: &Engine,
    release: &Arc<Release>,
    path: &str,
    time: Duration,
    tenant: impl Fn() -> Result<Arc<TenantFacts>>,
) -> Result<()> {
    let until = Instant::now() + time;
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let tenant = tenant()?;
        let began = Instant::now();
        ask(engine, release, &tenant, path).await?;
        latencies.push(began.elapsed());
        // The instance goes back a moment after the answer.
        while engine.stats().in_flight > 0 {
            tokio::task::yield_now().await;
        }
    }
    say(name, latencies);
    Ok(())
}

fn say(name: &str, mut latencies: Vec<Duration>) {
    latencies.sort_unstable();
    let (p50, p99) = (latencies[latencies.len() / 2], latencies[latencies.len() * 99 / 100]);
    println!(
        "{name:<27} {p50:>9.1?} p50 {p99:>9.1?} p99 ({} requests)",
        latencies.len()
    );
}

fn invocation(release: &Release, tenant: &Arc<TenantFacts>) -> Invocation {
    Invocation {
        tenant: tenant.clone(),
        service: release.service().clone(),
        release: release.id().clone(),
        caller: None,
        request: RequestId::random(),
        deadline: Instant::now() + Duration::from_secs(60),
        depth: 0,
        delivery: None,
    }
}

async fn ask(engine: &Engine, release: &Arc<Release>, tenant: &Arc<TenantFacts>, path: &str) -> Result<()> {
    let body: Body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let response = engine
        .handle(
            release,
            invocation(release, tenant),
            http::Request::get(path).body(body)?,
        )
        .await?;
    if !response.status().is_success() {
        return Err(format!("answered {}", response.status()).into());
    }
    response.into_body().collect().await?;
    Ok(())
}
