//! What the sandbox promises, on components written by hand: bounds hold, faults stay alone, and no
//! instance knows two tenants.

#![expect(clippy::unwrap_used, reason = "a test fails where it is surprised")]

mod placement;
mod preview3;
mod releases;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use terrace_compute_capability::{Capability, Guest, Invocation, Isolation, Limits, TenantFacts};
use terrace_compute_engine::{Body, Config, Engine, Error, Fault, Release, ReleaseSpec, Stats};
use terrace_ground_ids::{ReleaseId, RequestId, TenantId};
use wasmtime::component::Linker;

mod canary;

const ANSWER: &str = "(call $answer (local.get $outparam))";
const LOOP: &str = "(loop $again (br $again))";
const TRAP: &str = "unreachable";

/// A host interface for tests: `wait` never returns, `panic` panics, or does what it is told instead.
struct TestHost(Arc<dyn Fn() + Send + Sync>);

impl Default for TestHost {
    fn default() -> Self {
        Self(Arc::new(|| panic!("a host function panics, for a test")))
    }
}

impl Capability for TestHost {
    fn name(&self) -> &'static str {
        "test-host"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["terrace:test/host"]
    }

    fn link(&self, linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
        let mut instance = linker.instance("terrace:test/host")?;
        instance.func_wrap_async("wait", |_, (): ()| {
            Box::new(async {
                std::future::pending::<()>().await;
                Ok(())
            })
        })?;
        let panic = self.0.clone();
        instance.func_wrap("panic", move |_, (): ()| {
            panic();
            Ok(())
        })
    }
}

fn component(work: &str) -> Bytes {
    let text = include_str!("service.wat").replace("WORK", work);
    wat::parse_str(text).unwrap().into()
}

/// The same in preview 3.
fn component3(work: &str) -> Bytes {
    let text = include_str!("service3.wat").replace("WORK", work);
    wat::parse_str(text).unwrap().into()
}

fn spec(work: &str) -> ReleaseSpec {
    spec_of(component(work))
}

fn spec_of(component: Bytes) -> ReleaseSpec {
    ReleaseSpec {
        id: ReleaseId::random(),
        service: "tasks".parse().unwrap(),
        component,
        capabilities: vec!["test-host".to_owned()],
        isolation: Isolation::Tenant,
        limits: Limits::default(),
        calls: Vec::new(),
        grants: terrace_compute_capability::Shared::default(),
    }
}

fn engine_with(config: Config) -> Engine {
    Engine::new(
        Config {
            instances_max: 64,
            ..config
        },
        vec![Arc::new(TestHost::default())],
    )
    .unwrap()
}

fn engine() -> Engine {
    engine_with(Config {
        threads: 1,
        ..Config::default()
    })
}

fn tenant() -> Arc<TenantFacts> {
    Arc::new(TenantFacts {
        id: TenantId::random(),
        slug: "acme".parse().unwrap(),
        name: "Acme".into(),
        plan: "free".into(),
    })
}

async fn open(
    engine: &Engine,
    release: &Arc<Release>,
    tenant: &Arc<TenantFacts>,
) -> Result<http::Response<Body>, Fault> {
    send(engine, release, tenant, http::Method::GET).await
}

async fn send(
    engine: &Engine,
    release: &Arc<Release>,
    tenant: &Arc<TenantFacts>,
    method: http::Method,
) -> Result<http::Response<Body>, Fault> {
    let invocation = Invocation {
        tenant: tenant.clone(),
        service: release.service().clone(),
        release: release.id().clone(),
        caller: None,
        request: RequestId::random(),
        deadline: Instant::now() + Duration::from_secs(60),
        depth: 0,
        delivery: None,
    };
    let body: Body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let request = http::Request::builder().method(method).uri("/");
    engine.handle(release, invocation, request.body(body).unwrap()).await
}

async fn ask(engine: &Engine, release: &Arc<Release>, tenant: &Arc<TenantFacts>) -> Result<u16, Fault> {
    let response = open(engine, release, tenant).await?;
    let status = response.status().as_u16();
    response.into_body().collect().await.unwrap();
    Ok(status)
}

/// Waits until nothing runs: an instance goes back a moment after its response.
async fn quiet(engine: &Engine) -> Stats {
    loop {
        let stats = engine.stats();
        if stats.in_flight == 0 {
            return stats;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_instance_is_reused_by_its_own_tenant_and_by_no_other() {
    let engine = engine();
    let release = engine.load(spec(ANSWER)).await.unwrap();
    let (acme, globex) = (tenant(), tenant());
    for expected in [201, 202, 203] {
        assert_eq!(ask(&engine, &release, &acme).await, Ok(expected));
        quiet(&engine).await;
    }
    assert_eq!(ask(&engine, &release, &globex).await, Ok(201));
    assert_eq!(quiet(&engine).await.idle, 2);
}

#[tokio::test]
async fn isolation_by_request_means_a_fresh_instance_every_time() {
    let engine = engine();
    let release = engine
        .load(ReleaseSpec {
            isolation: Isolation::Request,
            ..spec(ANSWER)
        })
        .await
        .unwrap();
    let tenant = tenant();
    for _ in 0..3 {
        assert_eq!(ask(&engine, &release, &tenant).await, Ok(201));
        assert_eq!(
            quiet(&engine).await,
            Stats {
                instances: 0,
                idle: 0,
                in_flight: 0
            }
        );
    }
}

#[tokio::test]
async fn every_way_to_fail_costs_one_request_and_the_instance() {
    let engine = engine();
    let grow = "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";
    let cases = [
        (TRAP, Fault::Trap),
        (LOOP, Fault::CpuLimit),
        (grow, Fault::MemoryLimit),
        ("(drop (call $deeper (i32.const 0)))", Fault::Trap),
        ("(call $wait)", Fault::WallLimit),
        ("(call $panic)", Fault::Internal),
        ("", Fault::NoResponse),
    ];
    let healthy = engine.load(spec(ANSWER)).await.unwrap();
    let tenant = tenant();
    for (work, fault) in cases {
        let limits = Limits {
            cpu_ms: 20,
            // A panic writes its backtrace first, which can take long.
            wall_ms: if work == "(call $wait)" { 500 } else { 10_000 },
            ..Limits::default()
        };
        let release = engine.load(ReleaseSpec { limits, ..spec(work) }).await.unwrap();
        assert_eq!(ask(&engine, &release, &tenant).await, Err(fault.clone()), "{work}");
        quiet(&engine).await;
        assert!(ask(&engine, &healthy, &tenant).await.is_ok(), "after {work}");
    }
}

#[tokio::test]
async fn a_loop_on_the_same_thread_does_not_hold_up_another_tenant() {
    let engine = engine();
    let looping = engine
        .load(ReleaseSpec {
            limits: Limits {
                cpu_ms: 300,
                ..Limits::default()
            },
            ..spec(LOOP)
        })
        .await
        .unwrap();
    let healthy = engine.load(spec(ANSWER)).await.unwrap();
    let (attacker, victim) = (tenant(), tenant());
    let stop = Arc::new(AtomicBool::new(false));
    let attack = tokio::spawn({
        let (engine, stop) = (engine.clone(), stop.clone());
        async move {
            let mut outcomes = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                outcomes = futures_util::future::join_all((0..8).map(|_| ask(&engine, &looping, &attacker))).await;
            }
            outcomes
        }
    });
    while engine.stats().in_flight < 8 {
        tokio::task::yield_now().await;
    }
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let began = Instant::now();
        assert!(ask(&engine, &healthy, &victim).await.is_ok());
        slowest = slowest.max(began.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    assert!(
        attack
            .await
            .unwrap()
            .iter()
            .all(|outcome| *outcome == Err(Fault::CpuLimit))
    );
    println!("slowest answer beside eight loops on one thread: {slowest:?}");
    // One loop's CPU budget is 300 ms: a victim that waited for any loop to end would be above it.
    assert!(slowest < Duration::from_millis(250), "{slowest:?}");
}

#[tokio::test]
async fn beyond_its_concurrency_and_queue_a_tenant_is_refused_and_others_are_not() {
    let engine = engine_with(Config {
        threads: 1,
        queue_max: 0,
        ..Config::default()
    });
    let limits = Limits {
        concurrency: 1,
        wall_ms: 400,
        ..Limits::default()
    };
    let waiting = engine
        .load(ReleaseSpec {
            limits,
            ..spec("(call $wait)")
        })
        .await
        .unwrap();
    let (acme, globex) = (tenant(), tenant());
    let first = tokio::spawn({
        let (engine, waiting, acme) = (engine.clone(), waiting.clone(), acme.clone());
        async move { ask(&engine, &waiting, &acme).await }
    });
    while engine.stats().in_flight < 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(ask(&engine, &waiting, &acme).await, Err(Fault::Overloaded));
    assert_eq!(ask(&engine, &waiting, &globex).await, Err(Fault::WallLimit));
    assert_eq!(first.await.unwrap(), Err(Fault::WallLimit));
}

#[tokio::test]
async fn all_tenants_together_have_a_share_of_the_node_with_one_service() {
    let engine = engine();
    let limits = Limits {
        service_concurrency: 2,
        wall_ms: 400,
        ..Limits::default()
    };
    let spec = |work: &str| ReleaseSpec { limits, ..spec(work) };
    let waiting = engine.load(spec("(call $wait)")).await.unwrap();
    let tenants = [tenant(), tenant(), tenant()];
    let held: Vec<_> = tenants[..2]
        .iter()
        .map(|tenant| {
            let (engine, waiting, tenant) = (engine.clone(), waiting.clone(), tenant.clone());
            tokio::spawn(async move { ask(&engine, &waiting, &tenant).await })
        })
        .collect();
    while engine.stats().in_flight < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(ask(&engine, &waiting, &tenants[2]).await, Err(Fault::Overloaded));
    // Another service is another share.
    let other = engine.load(spec(ANSWER)).await.unwrap();
    assert_eq!(ask(&engine, &other, &tenants[2]).await, Ok(201));
    for request in held {
        assert_eq!(request.await.unwrap(), Err(Fault::WallLimit));
    }
    quiet(&engine).await;
    // The places are free again.
    assert_eq!(ask(&engine, &waiting, &tenants[2]).await, Err(Fault::WallLimit));
}

#[tokio::test]
async fn what_a_tenants_responses_take_of_the_network_has_a_bound_and_nothing_is_lost_by_it() {
    let engine = engine_with(Config {
        tenant_response_mib_s: 1,
        ..Config::default()
    });
    let many = "(call $begin (local.get $outparam)) \
        (loop $again (call $write) \
            (local.set $at (i32.add (local.get $at) (i32.const 1))) \
            (br_if $again (i32.lt_u (local.get $at) (i32.const 150)))) \
        (call $finish)";
    let release = engine.load(spec(many)).await.unwrap();
    let tenant = tenant();
    let read = async || {
        let response = open(&engine, &release, &tenant).await.unwrap();
        response.into_body().collect().await.unwrap().to_bytes().len()
    };
    let began = Instant::now();
    assert_eq!(tokio::join!(read(), read()), (150_000, 150_000));
    // Three hundred pieces of 4 KiB at least, less the quarter that may leave at once and what is not counted.
    assert!(began.elapsed() > Duration::from_millis(500), "{:?}", began.elapsed());

    // What nobody reads costs as much as what somebody does: it is written all the same.
    let began = Instant::now();
    let answer = send(&engine, &release, &tenant, http::Method::HEAD).await.unwrap();
    assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty());
    quiet(&engine).await;
    assert!(began.elapsed() > Duration::from_millis(200), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_guest_stops_when_nobody_waits_for_its_answer() {
    let engine = engine();
    let release = engine.load(spec("(call $wait)")).await.unwrap();
    let (engine_too, tenant) = (engine.clone(), tenant());
    let asking = tokio::spawn(async move { ask(&engine_too, &release, &tenant).await });
    while engine.stats().instances < 1 {
        tokio::task::yield_now().await;
    }
    asking.abort();
    // The wall limit is ten seconds; this test would time out before it.
    let stopped = tokio::time::timeout(Duration::from_secs(5), quiet(&engine))
        .await
        .unwrap();
    assert_eq!(stopped.idle, 0);
}

#[tokio::test]
async fn idle_instances_expire() {
    let engine = engine_with(Config {
        threads: 1,
        idle_seconds: 0,
        ..Config::default()
    });
    let release = engine.load(spec(ANSWER)).await.unwrap();
    assert_eq!(ask(&engine, &release, &tenant()).await, Ok(201));
    while engine.stats().instances > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_import_that_was_not_granted_names_the_capability_to_list() {
    let engine = engine();
    let refused = engine
        .load(ReleaseSpec {
            capabilities: Vec::new(),
            ..spec(ANSWER)
        })
        .await
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "imports terrace:test/host: add \"test-host\" to capabilities"
    );
    let unknown = engine
        .load(ReleaseSpec {
            capabilities: vec!["test-hots".into()],
            ..spec(ANSWER)
        })
        .await
        .unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "there is no capability \"test-hots\"; did you mean \"test-host\"?"
    );
    let garbage = engine
        .load(ReleaseSpec {
            component: Bytes::from_static(b"not wasm"),
            ..spec(ANSWER)
        })
        .await
        .unwrap_err();
    assert!(matches!(garbage, Error::Compile(_)), "{garbage}");
    let greedy = engine
        .load(ReleaseSpec {
            limits: Limits {
                memory_mib: 4096,
                ..Limits::default()
            },
            ..spec(ANSWER)
        })
        .await
        .unwrap_err();
    assert_eq!(
        greedy.to_string(),
        "limits.memory_mib is 4096, and this node allows 256"
    );
}

#[tokio::test]
async fn compiled_code_is_believed_only_when_this_installation_signed_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = |key| Config {
        threads: 1,
        cache_dir: Some(dir.path().into()),
        cache_key: Some([key; 32]),
        ..Config::default()
    };
    let file = || {
        std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .next()
            .unwrap()
    };

    engine_with(config(1)).load(spec(ANSWER)).await.unwrap();
    let written = std::fs::read(file()).unwrap();
    let engine = engine_with(config(1));
    let release = engine.load(spec(ANSWER)).await.unwrap();
    assert_eq!(ask(&engine, &release, &tenant()).await, Ok(201));
    let inode = |path| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap());
    let before = inode(file());
    engine_with(config(1)).load(spec(ANSWER)).await.unwrap();
    assert_eq!(inode(file()), before, "a file of our own is used, not written again");

    // Somebody changes one byte of the code.
    let mut forged = written.clone();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    std::fs::write(file(), &forged).unwrap();
    let engine = engine_with(config(1));
    let release = engine.load(spec(ANSWER)).await.unwrap();
    assert_eq!(ask(&engine, &release, &tenant()).await, Ok(201));
    assert_ne!(std::fs::read(file()).unwrap(), forged, "it was compiled again");

    // The file of another installation is not ours either.
    let ours = inode(file());
    engine_with(config(2)).load(spec(ANSWER)).await.unwrap();
    assert_ne!(inode(file()), ours);
}

#[tokio::test]
async fn a_body_comes_whole_or_as_an_error_and_never_short() {
    let engine = engine();
    let (tenant, begin) = (tenant(), "(call $begin (local.get $outparam)) (call $write)");
    let limits = Limits {
        cpu_ms: 20,
        response_body_kib: 2,
        ..Limits::default()
    };
    let fault = async |work: &str| {
        let release = engine
            .load(ReleaseSpec {
                limits,
                ..spec(&format!("{begin} {work}"))
            })
            .await
            .unwrap();
        let response = open(&engine, &release, &tenant).await.unwrap();
        let error = response
            .into_body()
            .collect()
            .await
            .map(|body| body.to_bytes().len())
            .unwrap_err();
        quiet(&engine).await;
        error.downcast_ref::<Fault>().cloned()
    };
    assert_eq!(fault("unreachable").await, Some(Fault::Trap));
    assert_eq!(fault(LOOP).await, Some(Fault::CpuLimit));
    assert_eq!(
        fault("(call $write) (call $write) (call $finish)").await,
        Some(Fault::ResponseTooLarge)
    );

    let engine = self::engine();
    let release = engine
        .load(ReleaseSpec {
            limits,
            ..spec(&format!("{begin} (call $write) (call $finish)"))
        })
        .await
        .unwrap();
    for _ in 0..2 {
        let response = open(&engine, &release, &tenant).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len(), 2_000);
        assert_eq!(
            quiet(&engine).await,
            Stats {
                instances: 1,
                idle: 1,
                in_flight: 0
            }
        );
    }
}

#[tokio::test]
async fn a_guest_stops_when_its_body_is_dropped_half_read() {
    let engine = engine();
    let release = engine
        .load(spec("(call $begin (local.get $outparam)) (call $write) (call $wait)"))
        .await
        .unwrap();
    let response = open(&engine, &release, &tenant()).await.unwrap();
    let mut body = response.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), 1_000);
    drop(body);
    // The wall limit is ten seconds.
    let stopped = tokio::time::timeout(Duration::from_secs(5), quiet(&engine))
        .await
        .unwrap();
    assert_eq!(stopped.instances, 0);
}
