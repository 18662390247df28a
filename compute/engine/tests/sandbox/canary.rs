//! What one tenant leaves in an instance is found by no other: in memory, in what memory grew by, in
//! statics, globals, tables, and among the handles to the host's resources.

use super::*;
use crate::preview3::spec3;

/// Looks everywhere for what another instance left (a trap is a find), leaves the same everywhere, and
/// answers.
const CANARY: &str = r"
    (if (i32.eq (memory.grow (i32.const 3)) (i32.const -1)) (then unreachable))
    (if (i64.ne (i64.load (i32.const 5000)) (i64.const 0x0807060504030201)) (then unreachable))
    (if (i64.ne (global.get $canary) (i64.const 0)) (then unreachable))
    (local.set $at (i32.const 0))
    (loop $tables
      (if (i32.eqz (ref.is_null (table.get $table (local.get $at)))) (then unreachable))
      (table.set $table (local.get $at) (ref.func $deeper))
      (br_if $tables (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const 8))))
    (local.set $at (i32.const 8192))
    (loop $memory
      (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then unreachable))
      (i64.store (local.get $at) (i64.const 0x6372616e61636172))
      (br_if $memory (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.mul (memory.size) (i32.const 65536)))))
    (i64.store (i32.const 5000) (i64.const 0x6372616e61636172))
    (global.set $canary (i64.const 0x6372616e61636172))
    (call $answer (local.get $outparam))";

/// An engine with a place for one instance: whoever comes next gets the memory of the one before.
fn narrow(keep_resident_kib: usize) -> Engine {
    let config = Config {
        threads: 1,
        instances_max: 1,
        keep_resident_kib,
        ..Config::default()
    };
    Engine::new(config, vec![Arc::new(TestHost::default())]).unwrap()
}

#[tokio::test]
async fn nothing_that_a_tenant_leaves_is_found_by_the_next() {
    let work = CANARY.replace('\n', " ");
    for (keep_resident_kib, isolation, spec) in [
        (0, Isolation::Tenant, spec(&work)),
        (0, Isolation::Request, spec(&work)),
        (256, Isolation::Tenant, spec(&work)),
        (256, Isolation::Request, spec(&work)),
        (0, Isolation::Tenant, spec3(&work)),
        (0, Isolation::Request, spec3(&work)),
        (256, Isolation::Tenant, spec3(&work)),
        (256, Isolation::Request, spec3(&work)),
    ] {
        let engine = narrow(keep_resident_kib);
        let release = engine.load(ReleaseSpec { isolation, ..spec }).await.unwrap();
        for _ in 0..20 {
            assert_eq!(
                ask(&engine, &release, &tenant()).await,
                Ok(201),
                "{isolation:?}, {keep_resident_kib} KiB"
            );
            quiet(&engine).await;
        }
        // The search does find what is there: an instance that is used again by its own tenant has it all.
        let (own, again) = (tenant(), tenant());
        assert_eq!(ask(&engine, &release, &own).await, Ok(201));
        quiet(&engine).await;
        let second = ask(&engine, &release, &own).await;
        match isolation {
            Isolation::Tenant => assert_eq!(second, Err(Fault::Trap)),
            Isolation::Request => assert_eq!(second, Ok(201)),
        }
        quiet(&engine).await;
        // And after a trap in the middle of everything.
        assert_eq!(ask(&engine, &release, &again).await, Ok(201));
        quiet(&engine).await;
    }
}

#[tokio::test]
async fn a_handle_that_a_tenant_kept_opens_nothing_for_another() {
    let engine = engine_with(Config {
        threads: 1,
        ..Config::default()
    });
    // Keeps the handles of a body and its stream for good.
    let keeper = engine
        .load(spec("(call $begin (local.get $outparam)) (call $write) (call $wait)"))
        .await
        .unwrap();
    let owner = tenant();
    let kept = open(&engine, &keeper, &owner).await.unwrap();
    for handle in 1..=16 {
        let guess = format!(
            "(call $write-to (i32.const {handle}) (i32.const 1024) (i32.const 1000) (i32.const 16)) (call $answer (local.get $outparam))"
        );
        let release = engine.load(spec(&guess)).await.unwrap();
        for who in [tenant(), owner.clone()] {
            assert_eq!(ask(&engine, &release, &who).await, Err(Fault::Trap), "handle {handle}");
            quiet_but(&engine, 1).await;
        }
    }
    // The owner's own stream got nothing of it.
    let mut body = kept.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), 1_000);
}

/// Waits until only `running` requests run.
async fn quiet_but(engine: &Engine, running: usize) {
    while engine.stats().in_flight > running {
        tokio::task::yield_now().await;
    }
}
