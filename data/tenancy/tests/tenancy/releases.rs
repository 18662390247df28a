//! Releases: all tenants are ready before a pointer switches.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use terrace_data_tenancy::{
    Error, ReleaseState,
    testing::{TestHooks, World, deadline, new_tenant, principal, release},
};

const NOTES: &[(&str, &str)] = &[(
    "0001_notes.sql",
    "CREATE TABLE note (id bigint PRIMARY KEY, text text NOT NULL)",
)];
const NOTES_2: &[(&str, &str)] = &[
    NOTES[0],
    ("0002_unique.sql", "CREATE UNIQUE INDEX note_text ON note (text)"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_deployed_later_reaches_every_tenant_and_its_hook_runs_once() {
    let world = World::new().await;
    let hooks = Arc::new(TestHooks::default());
    world.directory.set_hooks(hooks.clone());
    let tenants = [world.tenant("one").await, world.tenant("two").await];
    world.service("notes", NOTES).await;
    world.service("notes", NOTES_2).await;
    for tenant in &tenants {
        world
            .router
            .query(
                &principal(&tenant.id, "notes"),
                deadline(),
                "INSERT INTO note VALUES (1, 'a')",
                &[],
            )
            .await
            .unwrap();
    }
    assert_eq!(hooks.called.lock().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_tenant_that_is_created_during_an_activation_misses_the_release() {
    let world = World::new().await;
    world.service("notes", NOTES).await;
    world.tenant("first").await;
    let next = world.directory.put_release(release("notes", NOTES_2)).await.unwrap();
    let other = world.another_node().await;
    let creations: Vec<_> = (0..8)
        .map(|index| {
            let directory = if index % 2 == 0 {
                world.directory.clone()
            } else {
                other.clone()
            };
            tokio::spawn(async move { directory.create_tenant(new_tenant(&format!("tenant-{index}"))).await })
        })
        .collect();
    world
        .directory
        .activate_release(&"notes".parse().unwrap(), &next.id, Arc::new(|_| ()))
        .await
        .unwrap();
    for creation in creations {
        creation.await.unwrap().unwrap();
    }
    assert_eq!(
        world
            .count("SELECT count(*) FROM terrace.migration WHERE number = 2")
            .await,
        9
    );
    assert_eq!(
        world
            .count("SELECT count(*) FROM terrace.tenant WHERE state = 'active'")
            .await,
        9
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_whose_migration_fails_for_one_tenant_is_not_served_to_anybody() {
    let world = World::new().await;
    let first = world.service("notes", NOTES).await;
    let tenants = [
        world.tenant("one").await,
        world.tenant("two").await,
        world.tenant("three").await,
    ];
    // Doubles in one tenant's table keep the unique index from being made.
    let doubles = "INSERT INTO note VALUES (1, 'same'), (2, 'same')";
    let [.., last] = &tenants;
    world
        .router
        .query(&principal(&last.id, "notes"), deadline(), doubles, &[])
        .await
        .unwrap();
    let service = "notes".parse().unwrap();
    let next = world.directory.put_release(release("notes", NOTES_2)).await.unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let progress = done.clone();
    let outcome = world
        .directory
        .activate_release(
            &service,
            &next.id,
            Arc::new(move |p| progress.store(p.done, Ordering::SeqCst)),
        )
        .await;
    let Err(Error::NotReady { failed }) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(
        failed.len() == 1 && failed[0].0 == last.id && failed[0].1.contains("0002_unique"),
        "{failed:?}"
    );
    assert_eq!(done.load(Ordering::SeqCst), 3, "the others are migrated all the same");
    let (_, releases) = world.directory.services().await.unwrap().remove(0);
    let state = |id| releases.iter().find(|release| release.id == id).unwrap().state;
    assert_eq!(
        (state(first.clone()), state(next.id.clone())),
        (ReleaseState::Active, ReleaseState::Failed)
    );

    world
        .router
        .query(
            &principal(&last.id, "notes"),
            deadline(),
            "DELETE FROM note WHERE id = 2",
            &[],
        )
        .await
        .unwrap();
    let activation = world
        .directory
        .activate_release(&service, &next.id, Arc::new(|_| ()))
        .await
        .unwrap();
    assert_eq!(
        (activation.migrated, activation.current),
        (1, 2),
        "it goes on where it stopped"
    );
    world
        .directory
        .activate_release(&service, &first, Arc::new(|_| ()))
        .await
        .unwrap();
    assert_eq!(
        world.directory.tenants().services()[0].current,
        Some(first),
        "going back is the same call"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_bundle_twice_is_one_release_and_comes_back_as_it_was() {
    let world = World::new().await;
    let mut bundle = release("notes", NOTES_2);
    bundle.migrations.reverse();
    let one = world.directory.put_release(bundle.clone()).await.unwrap();
    let two = world.directory.put_release(bundle).await.unwrap();
    assert_eq!(one.id, two.id);
    assert_eq!(world.directory.component(&one.id).await.unwrap(), &b"\0asm"[..]);
    let facts = world.directory.release(&one.id).await.unwrap();
    assert_eq!(
        facts
            .migrations
            .iter()
            .map(|file| file.name.as_str())
            .collect::<Vec<_>>(),
        ["0001_notes.sql", "0002_unique.sql"]
    );
    assert!(world.directory.put_release(release("owner", &[])).await.is_err());
}
