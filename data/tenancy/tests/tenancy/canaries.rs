//! Canaries: the chosen tenants are ready before they are given the release, nobody else is touched,
//! and all of them can go back.

use std::sync::{Arc, LazyLock};

use terrace_data_tenancy::{
    Cause, Error, Happened, ReleaseState, Split, Switch, position,
    testing::{World, deadline, principal, release},
};
use terrace_ground_ids::{ReleaseId, ServiceName};

const NOTES: &[(&str, &str)] = &[(
    "0001_notes.sql",
    "CREATE TABLE note (id bigint PRIMARY KEY, text text NOT NULL)",
)];
const ADDS: &[(&str, &str)] = &[
    NOTES[0],
    (
        "0002_colour.sql",
        "ALTER TABLE note ADD COLUMN colour text NOT NULL DEFAULT 'red'",
    ),
];
const TAKES: &[(&str, &str)] = &[NOTES[0], ("0002_less.sql", "ALTER TABLE note DROP COLUMN text")];

async fn upload(world: &World, migrations: &[(&str, &str)]) -> ReleaseId {
    world
        .directory
        .put_release(release("notes", migrations))
        .await
        .unwrap()
        .id
}

fn notes() -> &'static ServiceName {
    static NAME: LazyLock<ServiceName> = LazyLock::new(|| "notes".parse().unwrap());
    &NAME
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_chosen_tenants_are_migrated_and_they_can_go_back() {
    let world = World::new().await;
    let first = world.service("notes", NOTES).await;
    let (one, two) = (world.tenant("one").await, world.tenant("two").await);
    let next = upload(&world, ADDS).await;
    let split = Split::Tenants(vec![one.id.clone()]);
    let given = world
        .directory
        .start_canary(notes(), &next, split, "olga", Arc::new(|_| ()))
        .await
        .unwrap();
    assert_eq!(given, 1);
    let service = world.directory.tenants().services()[0].clone();
    let canary = service.canary.unwrap();
    assert_eq!((service.current.as_ref(), &canary.release), (Some(&first), &next));
    assert!(canary.tenants.contains(&one.id) && !canary.tenants.contains(&two.id));
    let colour = "SELECT colour FROM note";
    assert!(
        world
            .router
            .query(&principal(&one.id, "notes"), deadline(), colour, &[])
            .await
            .is_ok()
    );
    assert!(
        world
            .router
            .query(&principal(&two.id, "notes"), deadline(), colour, &[])
            .await
            .is_err()
    );

    // What the release before writes is taken by the schema as it is now.
    let cause = Cause::new(Happened::CanaryAborted, "olga");
    let aborted = world
        .directory
        .abort_canary(notes(), None, cause.clone())
        .await
        .unwrap();
    assert_eq!(aborted, Some(next.clone()));
    let insert = "INSERT INTO note (id, text) VALUES (1, 'a')";
    world
        .router
        .query(&principal(&one.id, "notes"), deadline(), insert, &[])
        .await
        .unwrap();
    assert_eq!(world.directory.abort_canary(notes(), None, cause).await.unwrap(), None);
    assert!(world.directory.tenants().services()[0].canary.is_none());

    let history = world.directory.release_history().await.unwrap();
    let told: Vec<_> = history[notes()]
        .iter()
        .map(|entry| (entry.happened, entry.release.clone()))
        .collect();
    let expected = [
        (Happened::CanaryAborted, next.clone()),
        (Happened::CanaryStarted, next),
        (Happened::Deployed, first),
    ];
    assert_eq!(told, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_canary_reaches_everybody_also_who_came_meanwhile() {
    let world = World::new().await;
    let first = world.service("notes", NOTES).await;
    let one = world.tenant("one").await;
    let next = upload(&world, ADDS).await;
    let split = Split::Tenants(vec![one.id.clone()]);
    let start = world
        .directory
        .start_canary(notes(), &next, split, "olga", Arc::new(|_| ()));
    start.await.unwrap();
    let two = world.tenant("two").await;
    let switch = Switch {
        cause: Cause::new(Happened::CanaryPromoted, "olga"),
        instead_of: None,
    };
    let promote = world.directory.switch_to(notes(), &next, switch, Arc::new(|_| ()));
    assert_eq!(promote.await.unwrap().migrated, 1, "the other one was ready");
    let colour = "SELECT colour FROM note";
    for tenant in [&one, &two] {
        world
            .router
            .query(&principal(&tenant.id, "notes"), deadline(), colour, &[])
            .await
            .unwrap();
    }
    let service = world.directory.tenants().services()[0].clone();
    assert_eq!((service.current, service.previous), (Some(next), Some(first)));
    assert!(service.canary.is_none() && service.trial_since.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_takes_something_away_or_has_nobody_is_refused() {
    let world = World::new().await;
    let first = world.service("notes", NOTES).await;
    let one = world.tenant("one").await;
    let start = async |release: &ReleaseId, split: Split| {
        let start = world
            .directory
            .start_canary(notes(), release, split, "olga", Arc::new(|_| ()));
        match start.await {
            Err(Error::Invalid(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    let (takes, adds) = (upload(&world, TAKES).await, upload(&world, ADDS).await);
    let chosen = || Split::Tenants(vec![one.id.clone()]);
    let why = start(&takes, chosen()).await;
    assert!(why.contains("0002_less drops the column `note.text`"), "{why}");
    // A share that ends where the tenant begins.
    let why = start(&adds, Split::Share(position(notes(), &one.id))).await;
    assert!(why.contains("no tenant"), "{why}");
    let why = start(&first, chosen()).await;
    assert!(why.contains("beside it"), "{why}");
    assert_eq!(
        world
            .count("SELECT count(*) FROM terrace.migration WHERE number = 2")
            .await,
        0,
        "nobody's schema was touched"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_about_one_release_never_hits_another() {
    let world = World::new().await;
    let first = world.service("notes", NOTES).await;
    world.tenant("one").await;
    let second = world.service("notes", ADDS).await;
    let blame = |release: &ReleaseId| Switch {
        cause: Cause::new(Happened::RolledBackByBudget, "terrace").detail("12 of 100 requests failed"),
        instead_of: Some(release.clone()),
    };
    let late = world
        .directory
        .switch_to(notes(), &first, blame(&first), Arc::new(|_| ()));
    assert!(matches!(late.await, Err(Error::Invalid(_))));
    assert_eq!(world.directory.tenants().services()[0].current, Some(second.clone()));
    let back = world
        .directory
        .switch_to(notes(), &first, blame(&second), Arc::new(|_| ()));
    back.await.unwrap();
    let service = world.directory.tenants().services()[0].clone();
    assert_eq!(service.current, Some(first));
    assert!(
        service.trial_since.is_none(),
        "what was served before need not prove itself again"
    );
    let (_, releases) = world.directory.services().await.unwrap().remove(0);
    let blamed = releases.iter().find(|release| release.id == second).unwrap();
    assert_eq!(blamed.state, ReleaseState::Failed);
    assert_eq!(blamed.error.as_deref(), Some("12 of 100 requests failed"));
}
