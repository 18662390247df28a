//! What the engine promises about releases as a whole: a replaced one leaves at once, and nothing is
//! compiled twice.

use std::collections::HashSet;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use terrace_compute_engine::Config;

use crate::{ANSWER, ask, component, engine, engine_with, quiet, spec, tenant};

#[tokio::test]
async fn a_retired_release_leaves_no_instance_behind() {
    let engine = engine();
    let (old, new) = (
        engine.load(spec(ANSWER)).await.unwrap(),
        engine.load(spec(ANSWER)).await.unwrap(),
    );
    let acme = tenant();
    for release in [&old, &new] {
        ask(&engine, release, &acme).await.unwrap();
    }
    assert_eq!(quiet(&engine).await.idle, 2);
    engine.retire(&old);
    let stats = quiet(&engine).await;
    assert_eq!((stats.idle, stats.instances), (1, 1), "the other release keeps its own");
    // A request that came late, or runs still, is answered; its instance is not kept.
    assert_eq!(ask(&engine, &old, &acme).await, Ok(201));
    assert_eq!(quiet(&engine).await.instances, 1);
    assert_eq!(ask(&engine, &new, &acme).await, Ok(202), "and was not disturbed");
}

#[tokio::test]
async fn a_second_start_compiles_nothing_and_what_is_not_used_any_more_goes() {
    let folder = tempfile::tempdir().unwrap();
    let config = || Config {
        threads: 1,
        cache_dir: Some(folder.path().to_owned()),
        cache_key: Some([7; 32]),
        ..Config::default()
    };
    let first = engine_with(config());
    first.load(spec(ANSWER)).await.unwrap();
    first.load(spec(ANSWER)).await.unwrap();
    assert_eq!(first.compiled(), 1, "the same component once");
    drop(first);
    let second = engine_with(config());
    let release = second.load(spec(ANSWER)).await.unwrap();
    assert_eq!(second.compiled(), 0);
    assert_eq!(ask(&second, &release, &tenant()).await, Ok(201));

    let hash = HEXLOWER.encode(&Sha256::digest(component(ANSWER)));
    assert_eq!(second.keep_compiled(&HashSet::from([hash])), 0);
    assert_eq!(second.keep_compiled(&HashSet::new()), 1);
    second.load(spec(ANSWER)).await.unwrap();
    assert_eq!(second.compiled(), 1);
}
