//! Suspending, resuming, renaming, changing plans: what each leaves, what stands in each other's way.

use std::{sync::Arc, time::Duration};

use terrace_data_router::Value;
use terrace_data_tenancy::{
    Directory, Error, Kind, Rename, Standing, State, Step,
    testing::{TestHooks, World, deadline, new_tenant, principal, was_stopped},
};
use terrace_ground_ids::{Slug, TenantId};

fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

fn to(slug: &str) -> Rename {
    Rename {
        slug: Some(self::slug(slug)),
        ..Rename::default()
    }
}

/// A node that dies after this step.
async fn dying(world: &World, step: Step) -> Arc<Directory> {
    let node = world.another_node().await;
    node.set_hooks(Arc::new(TestHooks {
        stop_after: Some(step).into(),
        ..TestHooks::default()
    }));
    node
}

async fn paused(world: &World, tenant: &TenantId) -> bool {
    world
        .count(&format!(
            "SELECT paused::integer::bigint FROM terrace_events.stream WHERE tenant_id = '{tenant}'"
        ))
        .await
        == 1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_pauses_the_stream_and_is_on_record_with_who_asked() {
    let world = World::new().await;
    world.three_services().await;
    let id = world.tenant("acme").await.id.clone();
    for _ in 0..2 {
        world.directory.suspend_tenant(&id, "Olga").await.unwrap();
    }
    assert_eq!(world.directory.tenants().by_id(&id).unwrap().state, State::Suspended);
    assert!(paused(&world, &id).await);
    let done = world.directory.operations(Some(&id), 10).await.unwrap();
    let kinds: Vec<_> = done.iter().map(|operation| (operation.kind, operation.state)).collect();
    assert_eq!(
        kinds,
        [(Kind::Suspend, Standing::Done), (Kind::Create, Standing::Done)],
        "the second suspension had nothing to do"
    );
    let steps: Vec<_> = done[0].steps.iter().map(|(step, _)| *step).collect();
    assert_eq!(
        (steps.as_slice(), done[0].actor.as_deref()),
        (Kind::Suspend.steps(), Some("Olga"))
    );
    world.directory.resume_tenant(&id, "Olga").await.unwrap();
    assert!(!paused(&world, &id).await);
    assert_eq!(world.directory.tenants().by_id(&id).unwrap().state, State::Active);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_waits_for_what_ran_when_it_began() {
    let world = World::new().await;
    world.three_services().await;
    let id = world.tenant("acme").await.id.clone();
    let mut transaction = world.router.begin(&principal(&id, "tasks"), deadline()).await.unwrap();
    let insert = "INSERT INTO board (title, created_by) VALUES ($1, 'ada')";
    transaction.query(insert, &[Value::Text("Plans".into())]).await.unwrap();
    let (directory, tenant) = (world.directory.clone(), id.clone());
    let suspension = tokio::spawn(async move { directory.suspend_tenant(&tenant, "Olga").await });
    let mut changes = world.directory.changes();
    while world.directory.tenants().by_id(&id).unwrap().state != State::Suspended {
        changes.changed().await.unwrap();
    }
    assert!(!suspension.is_finished(), "a transaction is open");
    // Another operation meets this one and is told what it is.
    let refused = world.directory.rename_tenant(&id, to("acme2"), "Olga").await;
    let Err(Error::Running(running)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!((running.kind, running.alive), (Kind::Suspend, true));
    transaction.commit(&[]).await.unwrap();
    suspension.await.unwrap().unwrap();
    let done = world.directory.operations(Some(&id), 1).await.unwrap();
    assert_eq!(done[0].evidence["still_running"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_waits_for_one_that_is_done_and_about_to_let_go() {
    let world = World::new().await;
    let id = world.tenant("acme").await.id.clone();
    let finisher = world.admin().await;
    let right = format!("hashtextextended('{id}', 1)");
    finisher
        .batch_execute(&format!("SELECT pg_advisory_lock({right})"))
        .await
        .unwrap();
    let (directory, tenant) = (world.directory.clone(), id.clone());
    let suspension = tokio::spawn(async move { directory.suspend_tenant(&tenant, "Olga").await });
    let has_tried = "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE 'SELECT pg_try_advisory_lock%'";
    while world.count(has_tried).await == 0 {
        assert!(!suspension.is_finished(), "it did not ask");
    }
    finisher
        .batch_execute(&format!("SELECT pg_advisory_unlock({right})"))
        .await
        .unwrap();
    suspension.await.unwrap().unwrap();
    // Who holds it for long and says nothing is not waited for.
    finisher
        .batch_execute(&format!("SELECT pg_advisory_lock({right})"))
        .await
        .unwrap();
    let refused = world.directory.resume_tenant(&id, "Olga").await;
    assert!(matches!(refused, Err(Error::Busy { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_tenant_answers_to_its_new_slug_alone_and_the_old_one_is_kept_for_it() {
    let world = World::new().await;
    let other = world.another_node().await;
    let id = world.tenant("acme").await.id.clone();
    let rename = Rename {
        slug: Some(slug("acme-works")),
        name: Some(" Acme Works ".to_owned()),
        release_old_slug: false,
    };
    world.directory.rename_tenant(&id, rename, "Olga").await.unwrap();
    for node in [&world.directory, &other] {
        node.refresh().await.unwrap();
        let view = node.tenants();
        let known = view.by_slug(&slug("acme-works")).unwrap();
        assert_eq!(
            (&known.id, known.name.as_str(), known.host.as_str()),
            (&id, "Acme Works", "acme-works.localhost")
        );
        assert!(view.by_slug(&slug("acme")).is_none(), "nobody answers to the old slug");
    }
    let refused = world.directory.create_tenant(new_tenant("acme")).await;
    assert!(matches!(refused, Err(Error::SlugTaken(_))), "{refused:?}");
    // Its own tenant may go back; and lets go of the other name at once.
    let back = Rename {
        release_old_slug: true,
        ..to("acme")
    };
    world.directory.rename_tenant(&id, back, "Olga").await.unwrap();
    world.tenant("acme-works").await;
    // After its time, anybody may have it.
    world.directory.rename_tenant(&id, to("third"), "Olga").await.unwrap();
    let client = world.admin().await;
    client
        .batch_execute("UPDATE terrace.slug SET held_until = now() - interval '1 second' WHERE held_until IS NOT NULL")
        .await
        .unwrap();
    assert_ne!(world.tenant("acme").await.id, id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slug_that_is_being_taken_is_taken() {
    let world = World::new().await;
    let id = world.tenant("acme").await.id.clone();
    let other = world.tenant("globex").await.id.clone();
    let node = dying(&world, Step::Reserved).await;
    assert!(was_stopped(&node.rename_tenant(&id, to("works"), "Olga").await));
    let refused = world.directory.create_tenant(new_tenant("works")).await;
    assert!(matches!(refused, Err(Error::SlugTaken(_))), "{refused:?}");
    let refused = world.directory.rename_tenant(&other, to("works"), "Olga").await;
    assert!(matches!(refused, Err(Error::SlugTaken(_))), "{refused:?}");
    let refused = world.directory.rename_tenant(&other, to("acme"), "Olga").await;
    assert!(
        matches!(refused, Err(Error::SlugTaken(_))),
        "the old one is not free yet"
    );
    // What was left stands in the way of the next one, by its name, until it is finished.
    let refused = world.directory.suspend_tenant(&id, "Olga").await;
    let Err(Error::Running(running)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(
        (running.kind, running.step, running.alive),
        (Kind::Rename, Step::Reserved, false)
    );
    assert!(world.directory.finish_operation(&id).await.unwrap());
    assert!(
        !world.directory.finish_operation(&id).await.unwrap(),
        "nothing is left to finish"
    );
    assert_eq!(world.directory.tenants().by_slug(&slug("works")).unwrap().id, id);
    // Both at once: one wins, and nobody has half a name.
    let (one, two) = (world.directory.clone(), world.another_node().await);
    let (a, b) = tokio::join!(
        one.rename_tenant(&id, to("prize"), "Olga"),
        two.rename_tenant(&other, to("prize"), "Olaf")
    );
    assert_eq!(
        [&a, &b].iter().filter(|outcome| outcome.is_ok()).count(),
        1,
        "{a:?} {b:?}"
    );
    assert_eq!(
        world
            .count("SELECT count(*) FROM terrace.slug WHERE slug = 'prize'")
            .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_never_walk_one_operation_together() {
    let world = World::new().await;
    world.three_services().await;
    let node = dying(&world, Step::Built).await;
    assert!(was_stopped(&node.create_tenant(new_tenant("acme")).await));
    let (one, two) = (world.another_node().await, world.another_node().await);
    let hooks = Arc::new(TestHooks::default());
    one.set_hooks(hooks.clone());
    two.set_hooks(hooks.clone());
    let (a, b) = tokio::join!(one.resume(), two.resume());
    let done = a.unwrap().len() + b.unwrap().len();
    assert!((1..=2).contains(&done));
    // Each service was greeted once: who came second found nothing left to do.
    assert_eq!(hooks.called.lock().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_told_of_a_new_plan_and_told_again_after_a_crash() {
    let world = World::new().await;
    world.three_services().await;
    let id = world.tenant("acme").await.id.clone();
    let hooks = Arc::new(TestHooks::default());
    hooks.refuse.lock().unwrap().insert("identity".parse().unwrap());
    world.directory.set_hooks(hooks.clone());
    let failed = world.directory.change_plan(&id, "team", "Olga").await;
    assert!(
        matches!(
            failed,
            Err(Error::Hook {
                hook: "plan-changed",
                ..
            })
        ),
        "{failed:?}"
    );
    let stuck = world.directory.running_operation(&id).await.unwrap().unwrap();
    assert_eq!(
        (stuck.kind, stuck.attempts, stuck.remaining()),
        (Kind::Plan, 1, &[Step::Told][..])
    );
    assert!(stuck.error.unwrap().contains("identity") && stuck.retry_at.is_some());
    assert!(
        world.directory.resume_due().await.unwrap().is_empty(),
        "it waits before it is tried again by itself"
    );
    hooks.refuse.lock().unwrap().clear();
    assert!(world.directory.finish_operation(&id).await.unwrap());
    assert_eq!(world.directory.tenants().by_id(&id).unwrap().plan, "team");
    let told = hooks.plans.lock().unwrap().clone();
    assert_eq!(
        told.iter()
            .filter(|(service, plan)| service.as_str() == "tasks" && plan == "team")
            .count(),
        1
    );
    world.directory.change_plan(&id, "team", "Olga").await.unwrap();
    assert_eq!(
        hooks.plans.lock().unwrap().len(),
        told.len(),
        "the same plan is no news"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_made_or_removed_cannot_be_changed() {
    let world = World::new().await;
    world.three_services().await;
    let node = dying(&world, Step::Marked).await;
    let id = world.tenant("acme").await.id.clone();
    assert!(was_stopped(&node.delete_tenant(&id, "Olga").await));
    world.directory.refresh().await.unwrap();
    for outcome in [
        world.directory.suspend_tenant(&id, "Olga").await,
        world.directory.rename_tenant(&id, to("other"), "Olga").await,
        world.directory.change_plan(&id, "team", "Olga").await,
        world.directory.export_tenant(&id, "Olga").await.map(|_| ()),
    ] {
        assert!(
            matches!(outcome, Err(Error::Running(ref running)) if running.kind == Kind::Delete),
            "{outcome:?}"
        );
    }
    world.directory.finish_operation(&id).await.unwrap();
    let gone = world.directory.suspend_tenant(&id, "Olga").await;
    assert!(matches!(gone, Err(Error::Unknown { .. })), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_of_a_deletion_counts_everything_and_names_nobody() {
    let world = World::new().await;
    world.three_services().await;
    let id = world.tenant("secretcustomer").await.id.clone();
    let rename = Rename {
        slug: Some(slug("othersecret")),
        name: Some("Secret Ltd".to_owned()),
        release_old_slug: false,
    };
    world.directory.rename_tenant(&id, rename, "Olga").await.unwrap();
    let tasks = principal(&id, "tasks");
    for _ in 0..5 {
        let insert = "INSERT INTO board (title, created_by) VALUES ('Plans', 'ada')";
        world.router.query(&tasks, deadline(), insert, &[]).await.unwrap();
    }
    let evidence = world.directory.delete_tenant(&id, "Olga").await.unwrap();
    // Five boards, and the row that a migration put into `counter`.
    assert_eq!(
        (evidence["rows"].as_i64(), evidence["tables"].as_i64()),
        (Some(6), Some(8)),
        "{evidence}"
    );
    assert_eq!(evidence["left"], 0);
    let kept = world.directory.operations(Some(&id), 10).await.unwrap();
    assert_eq!((kept[0].kind, kept[0].state), (Kind::Delete, Standing::Done));
    assert_eq!(kept[0].evidence["rows"], 6);
    let everything = world
        .admin()
        .await
        .query_one(
            "SELECT (SELECT string_agg(l::text, '') FROM terrace.lifecycle l) || (SELECT string_agg(t::text, '') FROM terrace.tombstone t)
                 || coalesce((SELECT string_agg(s::text, '') FROM terrace.slug s), '')",
            &[],
        )
        .await
        .unwrap()
        .get::<_, String>(0);
    assert!(!everything.to_lowercase().contains("secret"), "{everything}");
    // Both slugs are free again.
    world.tenant("secretcustomer").await;
    world.tenant("othersecret").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spare_is_claimed_with_its_schemas_and_brought_up_to_a_release_that_came_later() {
    let world = World::with(|config| config.spares = 2).await;
    world.three_services().await;
    assert_eq!(world.directory.fill_spares().await.unwrap(), 2);
    assert_eq!(world.directory.fill_spares().await.unwrap(), 0);
    assert!(world.directory.tenants().is_empty(), "a spare is no tenant");
    let hooks = Arc::new(TestHooks::default());
    world.directory.set_hooks(hooks.clone());
    let first = world.tenant("first").await.id.clone();
    let steps = &world.directory.operations(Some(&first), 1).await.unwrap()[0].steps;
    assert_eq!(
        steps.iter().map(|(step, _)| *step).collect::<Vec<_>>(),
        [Step::Claimed, Step::Hooked, Step::Active]
    );
    assert_eq!(hooks.called.lock().unwrap().len(), 3);
    // A release that the remaining spare has not got.
    let (name, migrations) = terrace_data_tenancy::testing::SERVICES[1];
    let mut newer = migrations.to_vec();
    newer.push(("0004_more.sql", "CREATE TABLE more (id bigint PRIMARY KEY)"));
    world.service(name, &newer).await;
    let second = world.tenant("second").await.id.clone();
    world
        .router
        .query(&principal(&second, "tasks"), deadline(), "SELECT id FROM more", &[])
        .await
        .unwrap();
    assert_eq!(world.count("SELECT count(*) FROM terrace.spare").await, 0);
    assert_eq!(world.directory.fill_spares().await.unwrap(), 2);
    let lanes = "SELECT (SELECT sum(tenants) FROM terrace.lane)::bigint - (SELECT count(*) FROM terrace.tenant) - (SELECT count(*) FROM terrace.spare)";
    assert_eq!(world.count(lanes).await, 0, "every seat belongs to somebody");
    // Eight at once, with two spares: everybody is served, and no spare twice.
    let creations = (0..8).map(|index| {
        let directory = world.directory.clone();
        tokio::spawn(async move { directory.create_tenant(new_tenant(&format!("rush-{index}"))).await })
    });
    for creation in creations.collect::<Vec<_>>() {
        tokio::time::timeout(Duration::from_secs(60), creation)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
    assert_eq!(
        world
            .count("SELECT count(*) FROM terrace.tenant WHERE state = 'active'")
            .await,
        10
    );
}
