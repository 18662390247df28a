//! Retention: what may still be served stays, the rest goes with its component.

use std::sync::{Arc, LazyLock};

use terrace_data_tenancy::{
    Error, Split,
    testing::{World, release},
};
use terrace_ground_ids::{ReleaseId, ServiceName};

fn notes() -> &'static ServiceName {
    static NAME: LazyLock<ServiceName> = LazyLock::new(|| "notes".parse().unwrap());
    &NAME
}

/// A release with a component of its own.
async fn upload(world: &World, component: &str) -> ReleaseId {
    let mut bundle = release("notes", &[]);
    bundle.component = format!("\0asm {component}").into_bytes();
    world.directory.put_release(bundle).await.unwrap().id
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_and_whatever_is_in_use_stay_and_the_rest_goes_with_its_component() {
    let world = World::new().await;
    let tenant = world.tenant("one").await;
    let mut ids = Vec::new();
    for number in 0..6 {
        ids.push(upload(&world, &number.to_string()).await);
    }
    let activate = |id: ReleaseId| {
        let directory = world.directory.clone();
        async move {
            directory
                .activate_release(notes(), &id, Arc::new(|_| ()))
                .await
                .unwrap()
        }
    };
    activate(ids[0].clone()).await;
    activate(ids[1].clone()).await;
    let split = Split::Tenants(vec![tenant.id.clone()]);
    let start = world
        .directory
        .start_canary(notes(), &ids[2], split, "olga", Arc::new(|_| ()));
    start.await.unwrap();
    // Of the oldest three, one is where a rollback leads, one is current and one is a canary.
    let swept = world.directory.sweep_releases(1).await.unwrap();
    assert_eq!(swept.releases.len(), 2);
    assert!(swept.releases.contains(&ids[3]) && swept.releases.contains(&ids[4]));
    assert_eq!(swept.objects, 2);
    for id in [&ids[0], &ids[1], &ids[2], &ids[5]] {
        world.directory.component(id).await.unwrap();
    }
    assert!(matches!(
        world.directory.component(&ids[3]).await,
        Err(Error::Unknown { .. })
    ));
    assert_eq!(world.directory.component_hashes().await.unwrap().len(), 4);
    assert_eq!(world.directory.sweep_releases(1).await.unwrap().releases, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_another_release_has_too_stays() {
    let world = World::new().await;
    let one = upload(&world, "shared").await;
    let mut other = release("other", &[]);
    other.component = b"\0asm shared".to_vec();
    let other = world.directory.put_release(other).await.unwrap().id;
    upload(&world, "newer").await;
    let swept = world.directory.sweep_releases(1).await.unwrap();
    assert_eq!((swept.releases, swept.objects), (vec![one], 0));
    assert_eq!(world.directory.component(&other).await.unwrap(), &b"\0asm shared"[..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_upload_left_behind_is_swept() {
    let world = World::new().await;
    let kept = upload(&world, "kept").await;
    let folder = World::config(&world.scratch).objects;
    let objects = terrace_data_objects::Objects::open(&folder).unwrap();
    let orphan = objects.put("\0asm of a killed upload".into()).await.unwrap();
    assert_eq!(world.directory.sweep_releases(1).await.unwrap().objects, 1);
    assert!(objects.get(&orphan).await.is_err());
    world.directory.component(&kept).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_was_changed_in_the_store_is_never_given_out() {
    let world = World::new().await;
    let id = upload(&world, "true").await;
    let facts = world.directory.release(&id).await.unwrap();
    let config = World::config(&world.scratch).objects;
    let path = config
        .folder
        .unwrap()
        .join(config.prefix)
        .join(facts.release.component_sha256.unwrap());
    std::fs::write(path, "\0asm of somebody else").unwrap();
    let refused = world.directory.component(&id).await;
    assert!(matches!(refused, Err(Error::Objects(_))), "{refused:?}");
}
