//! Creating tenants: crashes, races, lanes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use terrace_data_router::Value;
use terrace_data_tenancy::{
    Directory, Error, State, Step,
    testing::{TestHooks, World, deadline, new_tenant, principal, was_stopped},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_that_is_killed_after_any_step_is_finished_by_the_next_start() {
    let world = World::new().await;
    world.three_services().await;
    for (index, step) in [Step::Placed, Step::Built, Step::Migrated, Step::Hooked]
        .into_iter()
        .enumerate()
    {
        let slug = format!("tenant-{index}");
        let dying = world.another_node().await;
        dying.set_hooks(Arc::new(TestHooks {
            stop_after: Some(step).into(),
            ..TestHooks::default()
        }));
        let outcome = dying.create_tenant(new_tenant(&slug)).await;
        assert!(was_stopped(&outcome), "{step:?}: {outcome:?}");
        assert_eq!(state(&dying, &slug).await, Some(State::Creating), "{step:?}");

        let outcomes = world.directory.resume().await.unwrap();
        assert!(outcomes.len() == 1 && outcomes[0].1.is_ok(), "{step:?}: {outcomes:?}");
        assert_eq!(state(&world.directory, &slug).await, Some(State::Active), "{step:?}");
        works(&world, &slug).await;
    }
    assert!(world.directory.resume().await.unwrap().is_empty());
    assert_eq!(
        world
            .count("SELECT count(*) FROM terrace.lifecycle WHERE state <> 'done'")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_whose_record_was_lost_is_done_again_without_harm() {
    let world = World::new().await;
    world.three_services().await;
    let tenant = world.tenant("acme").await;
    for step in ["placed", "built", "migrated", "hooked"] {
        // As if the process had died after the work and before the record: twice the work.
        let sql = format!(
            "UPDATE terrace.lifecycle SET state = 'running', step = '{step}'; UPDATE terrace.tenant SET state = 'creating', version = terrace.bump()"
        );
        world.admin().await.batch_execute(&sql).await.unwrap();
        let outcomes = world.directory.resume().await.unwrap();
        assert!(outcomes.len() == 1 && outcomes[0].1.is_ok(), "{step}: {outcomes:?}");
        works(&world, "acme").await;
    }
    assert_eq!(world.directory.schemas(&tenant.id).await.unwrap().len(), 3);
    assert_eq!(world.count("SELECT sum(tenants)::bigint FROM terrace.lane").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_runs_with_its_context_and_the_context_is_forgotten() {
    let world = World::new().await;
    world.three_services().await;
    let hooks = Arc::new(TestHooks::default());
    world.directory.set_hooks(hooks.clone());
    hooks.refuse.lock().unwrap().insert("identity".parse().unwrap());
    let mut new = new_tenant("acme");
    new.context = Some(serde_json::json!({"owner": {"password": "terrace"}}));
    assert!(matches!(
        world.directory.create_tenant(new).await,
        Err(Error::Hook { .. })
    ));
    hooks.refuse.lock().unwrap().clear();
    assert!(world.directory.resume().await.unwrap()[0].1.is_ok());

    let called = hooks.called.lock().unwrap().clone();
    let identity: Vec<_> = called
        .iter()
        .filter(|(_, service, _)| service.as_str() == "identity")
        .collect();
    assert!(
        identity.len() == 2
            && identity
                .iter()
                .all(|(_, _, context)| context.as_ref().unwrap()["owner"]["password"] == "terrace")
    );
    assert_eq!(
        called
            .iter()
            .filter(|(_, service, _)| service.as_str() == "billing")
            .count(),
        1,
        "a hook that succeeded is not called again"
    );
    assert_eq!(
        world
            .count("SELECT count(*) FROM terrace.lifecycle WHERE context IS NOT NULL")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_lane_holds_more_tenants_than_it_may_however_many_are_created_at_once() {
    let world = World::with(|config| config.lane_tenants_max = 3).await;
    world.service("tasks", &[]).await;
    let creations = (0..10).map(|index| {
        let directory = world.directory.clone();
        tokio::spawn(async move { directory.create_tenant(new_tenant(&format!("tenant-{index}"))).await })
    });
    for creation in creations.collect::<Vec<_>>() {
        creation.await.unwrap().unwrap();
    }
    assert_eq!(world.count("SELECT count(*) FROM terrace.lane").await, 4);
    assert_eq!(world.count("SELECT count(*) FROM terrace.lane l WHERE tenants <> (SELECT count(*) FROM terrace.tenant t WHERE t.lane = l.id) OR tenants > 3").await, 0);
    // What PostgreSQL would let a lane do is what the directory says.
    let most = "SELECT max(n) FROM (SELECT count(*) AS n FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member WHERE r.rolname LIKE 'lane%' GROUP BY m.member) x";
    assert_eq!(world.count(most).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_creations_with_one_slug_make_one_tenant() {
    let world = World::new().await;
    let (one, two) = tokio::join!(
        world.directory.create_tenant(new_tenant("acme")),
        world.directory.create_tenant(new_tenant("acme"))
    );
    assert_eq!([&one, &two].iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(
        [one, two]
            .iter()
            .any(|outcome| matches!(outcome, Err(Error::SlugTaken(_))))
    );
    assert_eq!(world.count("SELECT count(*) FROM terrace.tenant").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_sees_a_new_tenant_and_a_suspension_within_its_poll() {
    let world = World::new().await;
    let other = world.another_node().await;
    let mut changes = other.changes();
    let tenant = world.tenant("acme").await;
    let seen = async {
        while other
            .tenants()
            .by_id(&tenant.id)
            .is_none_or(|known| known.state != State::Active)
        {
            changes.changed().await.unwrap();
        }
        world.directory.suspend_tenant(&tenant.id, "test").await.unwrap();
        while other.tenants().by_slug(&tenant.slug).unwrap().state != State::Suspended {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(5), seen).await.unwrap();
    world.directory.resume_tenant(&tenant.id, "test").await.unwrap();
    assert_eq!(
        world.directory.tenants().by_id(&tenant.id).unwrap().state,
        State::Active
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_tenants_is_complete_over_its_pages() {
    let world = World::new().await;
    for index in 0..5 {
        world.tenant(&format!("tenant-{index}")).await;
    }
    let (mut slugs, mut token) = (Vec::new(), None);
    loop {
        let page = world.directory.list_tenants(token.as_deref(), 2);
        slugs.extend(page.items.iter().map(|tenant| tenant.slug.to_string()));
        token = page.next;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(slugs, (0..5).map(|index| format!("tenant-{index}")).collect::<Vec<_>>());
}

/// Not a law but a figure: it prints how long creations take (the scratch server does not sync).
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_with_three_services_is_created_in_a_moment() {
    let world = World::new().await;
    world.three_services().await;
    let mut took = Vec::new();
    for index in 0..20 {
        let start = Instant::now();
        world.tenant(&format!("tenant-{index}")).await;
        took.push(start.elapsed());
    }
    took.sort_unstable();
    println!("tenant creation, 3 services: p50 {:?}, p95 {:?}", took[10], took[18]);
    let steps = "SELECT step, round(avg(ms))::bigint FROM (
            SELECT s ->> 'step' AS step, n, extract(epoch FROM (s ->> 'at')::timestamptz - lag((s ->> 'at')::timestamptz) OVER (PARTITION BY id ORDER BY n)) * 1000 AS ms
            FROM terrace.lifecycle, jsonb_array_elements(steps) WITH ORDINALITY AS e (s, n)) x GROUP BY step ORDER BY min(n)";
    for row in world.admin().await.query(steps, &[]).await.unwrap() {
        println!("  {}: {:?} ms", row.get::<_, String>(0), row.get::<_, Option<i64>>(1));
    }
    assert!(took[10] < Duration::from_secs(2));
}

async fn state(directory: &Directory, slug: &str) -> Option<State> {
    directory.refresh().await.unwrap();
    directory
        .tenants()
        .by_slug(&slug.parse().unwrap())
        .map(|tenant| tenant.state)
}

/// A member's work: a row of the tenant, through the router.
async fn works(world: &World, slug: &str) {
    let tenant = world
        .directory
        .tenants()
        .by_slug(&slug.parse().unwrap())
        .unwrap()
        .clone();
    let tasks = principal(&tenant.id, "tasks");
    world
        .router
        .query(
            &tasks,
            deadline(),
            "INSERT INTO board (title, created_by) VALUES ($1, 'ada')",
            &[Value::Text("Plans".into())],
        )
        .await
        .unwrap();
    let rows = world
        .router
        .query(&tasks, deadline(), "SELECT count(*) FROM board", &[])
        .await
        .unwrap();
    assert!(matches!(rows.rows[0][0], Value::Integer(n) if n >= 1));
}
