//! What the sandbox promises, for preview 3: the same as for preview 2, by the same limits.

use std::time::Duration;

use data_encoding::HEXLOWER;
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use terrace_compute_capability::{Isolation, Limits};
use terrace_compute_engine::{Config, Engine, Fault, ReleaseSpec, Stats};

use crate::{ANSWER, LOOP, TRAP, ask, component3, engine, engine_with, open, quiet, spec, spec_of, tenant};

/// A head and 1,000 bytes.
const BEGIN: &str = "(call $begin (local.get $outparam)) (call $write)";

pub(crate) fn spec3(work: &str) -> ReleaseSpec {
    spec_of(component3(work))
}

/// What became of the body of a response that had begun: its bytes and whether there were trailers, or the
/// fault that ended it.
async fn body(engine: &Engine, spec: ReleaseSpec) -> Result<(usize, bool), Option<Fault>> {
    let release = engine.load(spec).await.unwrap();
    let response = open(engine, &release, &tenant()).await.unwrap();
    let body = response.into_body().collect().await;
    let ended = body.map(|body| (body.trailers().is_some(), body.to_bytes().len()));
    quiet(engine).await;
    match ended {
        Ok((has_trailers, bytes)) => Ok((bytes, has_trailers)),
        Err(error) => Err(error.downcast_ref::<Fault>().cloned()),
    }
}

#[tokio::test]
async fn an_instance_of_preview_3_is_used_again_by_its_own_tenant_and_by_no_other() {
    let engine = engine();
    let release = engine.load(spec3(ANSWER)).await.unwrap();
    let (acme, globex) = (tenant(), tenant());
    for expected in [201, 202, 203] {
        assert_eq!(ask(&engine, &release, &acme).await, Ok(expected));
        quiet(&engine).await;
    }
    assert_eq!(ask(&engine, &release, &globex).await, Ok(201));
    assert_eq!(quiet(&engine).await.idle, 2);
    // One of preview 2 runs beside it.
    let second = engine.load(spec(ANSWER)).await.unwrap();
    assert_eq!(ask(&engine, &second, &acme).await, Ok(201));
}

#[tokio::test]
async fn in_preview_3_too_isolation_by_request_means_a_fresh_instance() {
    let engine = engine();
    let isolation = Isolation::Request;
    let spec = ReleaseSpec {
        isolation,
        ..spec3(ANSWER)
    };
    let release = engine.load(spec).await.unwrap();
    let tenant = tenant();
    for _ in 0..3 {
        assert_eq!(ask(&engine, &release, &tenant).await, Ok(201));
        let nothing = Stats {
            instances: 0,
            idle: 0,
            in_flight: 0,
        };
        assert_eq!(quiet(&engine).await, nothing);
    }
}

#[tokio::test]
async fn an_instance_in_which_something_goes_on_is_not_used_again() {
    let engine = engine();
    for left in ["(drop (call $stream))", "(drop (call $future))", "(drop (call $set))"] {
        let release = engine.load(spec3(&format!("{left} {ANSWER}"))).await.unwrap();
        assert_eq!(ask(&engine, &release, &tenant()).await, Ok(201), "{left}");
        assert_eq!(quiet(&engine).await.instances, 0, "{left}");
    }
}

#[tokio::test]
async fn an_instance_whose_body_is_under_way_takes_no_other_request() {
    let engine = engine();
    // The first request of an instance is answered; the second one's body does not end.
    let work = format!("(if (i32.eq (global.get $uses) (i32.const 1)) (then {ANSWER}) (else {BEGIN} (call $wait)))");
    let release = engine.load(spec3(&work)).await.unwrap();
    let tenant = tenant();
    assert_eq!(ask(&engine, &release, &tenant).await, Ok(201));
    assert_eq!(quiet(&engine).await.idle, 1);
    let mut under_way = open(&engine, &release, &tenant).await.unwrap();
    assert_eq!(under_way.status(), 200, "it is the instance that was idle");
    assert!(under_way.body_mut().frame().await.unwrap().is_ok());
    assert_eq!(ask(&engine, &release, &tenant).await, Ok(201), "in another instance");
}

#[tokio::test]
async fn every_way_to_fail_in_preview_3_costs_one_request_and_the_instance() {
    let engine = engine();
    let grow = "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";
    let cases = [
        (TRAP, Fault::Trap),
        (LOOP, Fault::CpuLimit),
        (grow, Fault::MemoryLimit),
        // Each of these is kept by the host: `handles` bounds them.
        ("(loop $again (drop (call $stream)) (br $again))", Fault::Trap),
        ("(loop $again (drop (call $future)) (br $again))", Fault::Trap),
        ("(loop $again (drop (call $set)) (br $again))", Fault::Trap),
        ("(drop (call $deeper (i32.const 0)))", Fault::Trap),
        ("(call $wait)", Fault::WallLimit),
        // An event that never comes.
        ("(drop (call $event (call $set) (i32.const 32)))", Fault::WallLimit),
        ("(call $panic)", Fault::Internal),
        ("(call $refuse)", Fault::NoResponse),
        ("", Fault::Trap),
    ];
    let healthy = engine.load(spec3(ANSWER)).await.unwrap();
    let tenant = tenant();
    for (work, fault) in cases {
        let limits = Limits {
            cpu_ms: if work == LOOP { 20 } else { 1_000 },
            wall_ms: if fault == Fault::WallLimit { 500 } else { 10_000 },
            ..Limits::default()
        };
        let release = engine.load(ReleaseSpec { limits, ..spec3(work) }).await.unwrap();
        assert_eq!(ask(&engine, &release, &tenant).await, Err(fault), "{work}");
        let before = quiet(&engine).await;
        assert_eq!(before.idle, before.instances, "{work}");
        assert!(ask(&engine, &healthy, &tenant).await.is_ok(), "after {work}");
        quiet(&engine).await;
    }
}

#[tokio::test]
async fn what_the_host_keeps_for_streams_futures_and_sets_is_bounded_by_handles() {
    let engine = engine();
    for made in ["stream", "future", "set"] {
        // Four handles for each one that the manifest allows, and the default is 1,024.
        for (count, ended) in [(1_000, Ok(201)), (5_000, Err(Fault::Trap))] {
            let next = "(local.tee $at (i32.add (local.get $at) (i32.const 1)))";
            let more = format!("(br_if $again (i32.lt_u {next} (i32.const {count})))");
            let make = format!("(loop $again (drop (call ${made})) {more})");
            let release = engine.load(spec3(&format!("{make} {ANSWER}"))).await.unwrap();
            assert_eq!(ask(&engine, &release, &tenant()).await, ended, "{count} of {made}");
            quiet(&engine).await;
        }
    }
}

#[tokio::test]
async fn a_body_of_preview_3_comes_whole_or_as_an_error_and_never_short() {
    let engine = engine();
    let limits = Limits {
        cpu_ms: 20,
        wall_ms: 500,
        response_body_kib: 2,
        ..Limits::default()
    };
    let after = |work: &str| ReleaseSpec {
        limits,
        ..spec3(&format!("{BEGIN} {work}"))
    };
    for (work, ended) in [
        ("(call $write) (call $finish)", Ok((2_000, false))),
        ("(call $write) (call $finish-late)", Ok((2_000, true))),
        (
            "(call $write) (call $write) (call $finish)",
            Err(Some(Fault::ResponseTooLarge)),
        ),
        ("unreachable", Err(Some(Fault::Trap))),
        (LOOP, Err(Some(Fault::CpuLimit))),
        ("(call $wait)", Err(Some(Fault::WallLimit))),
        // The handler is done, and nobody will end the body.
        ("", Err(Some(Fault::WallLimit))),
    ] {
        assert_eq!(body(&engine, after(work)).await, ended, "{work}");
    }
}

#[tokio::test]
async fn trailers_come_after_the_body_in_both_previews() {
    let engine = engine();
    let work = format!("{BEGIN} (call $finish-late)");
    assert_eq!(body(&engine, spec(&work)).await, Ok((1_000, true)));
    assert_eq!(body(&engine, spec3(&work)).await, Ok((1_000, true)));
}

#[tokio::test]
async fn a_guest_that_writes_on_after_its_response_stops_when_nobody_reads() {
    let engine = engine();
    let release = engine.load(spec3(&format!("{BEGIN} (call $wait)"))).await.unwrap();
    let mut response = open(&engine, &release, &tenant()).await.unwrap();
    assert!(response.body_mut().frame().await.unwrap().is_ok());
    assert_eq!(engine.stats().in_flight, 1);
    drop(response);
    // The wall limit is ten seconds; this test would time out before it.
    let stopped = tokio::time::timeout(Duration::from_secs(5), quiet(&engine));
    assert_eq!(stopped.await.unwrap().instances, 0);
}

#[tokio::test]
async fn an_import_that_was_not_granted_is_named_in_preview_3_too() {
    let engine = engine();
    let capabilities = Vec::new();
    let refused = engine
        .load(ReleaseSpec {
            capabilities,
            ..spec3(ANSWER)
        })
        .await
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "imports terrace:test/host: add \"test-host\" to capabilities"
    );
    let stranger = r#"(component
        (import "stranger:things/here@0.3.0" (instance (export "run" (func))))
        (instance $i) (export "wasi:http/handler@0.3.0" (instance $i)))"#;
    let stranger = engine.load(spec_of(wat::parse_str(stranger).unwrap().into())).await;
    let said = stranger.unwrap_err().to_string();
    assert!(said.contains("stranger:things/here@0.3.0"), "{said}");
    let empty = r#"(component (instance $i) (export "wasi:http/handler@0.3.0" (instance $i)))"#;
    let empty = engine.load(spec_of(wat::parse_str(empty).unwrap().into())).await;
    let said = empty.unwrap_err().to_string();
    assert!(said.starts_with("exports no wasi:http/handler"), "{said}");
}

#[tokio::test]
async fn a_second_start_compiles_nothing_of_preview_3_and_finds_it_by_its_hash() {
    let folder = tempfile::tempdir().unwrap();
    let config = || Config {
        threads: 1,
        cache_dir: Some(folder.path().to_owned()),
        cache_key: Some([7; 32]),
        ..Config::default()
    };
    let first = engine_with(config());
    first.load(spec3(ANSWER)).await.unwrap();
    assert_eq!(first.compiled(), 1);
    drop(first);
    let second = engine_with(config());
    let hash = HEXLOWER.encode(&Sha256::digest(component3(ANSWER)));
    let spec = || ReleaseSpec {
        component: bytes::Bytes::new(),
        ..spec3(ANSWER)
    };
    let release = second.find_compiled(spec(), &hash).unwrap().unwrap();
    assert_eq!(ask(&second, &release, &tenant()).await, Ok(201));
    assert_eq!(second.compiled(), 0);
    assert!(
        second
            .find_compiled(spec(), &hash.replace(|_| true, "0"))
            .unwrap()
            .is_none()
    );
    assert_eq!(second.keep_compiled(&[hash].into()), 0);
    assert_eq!(second.keep_compiled(&[].into()), 1);
}
