//! Moving a tenant between two real servers: a ledger that writers keep, crashes, aborts, and what is left.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use terrace_data_embedded::testing::Scratch;
use terrace_data_router::{Address, Config as RouterConfig, Principal, Router, Value};
use terrace_data_tenancy::{
    Destination, Directory, Error, Kind, LaneKind, NewCluster, NewTenant, Standing, Step,
    testing::{MOVABLE, TestHooks, World, deadline, new_tenant, principal, second},
};
use terrace_events_outbox::{Effect, NewEvent, NewJob, epilogue_of};
use terrace_ground_ids::{ClusterName, TenantId};

use crate::archive::{export, fill};

async fn two_clusters() -> (World, Scratch) {
    let world = World::on(Scratch::with_settings(&MOVABLE).await, |_| ()).await;
    let other = Scratch::with_settings(&MOVABLE).await;
    world.add_second(&other).await;
    world.three_services().await;
    world.service("odd", crate::archive::ODD).await;
    (world, other)
}

fn main_cluster() -> ClusterName {
    "main".parse().unwrap()
}

/// The boards that were made, by people who were told that they were.
#[derive(Default)]
struct Ledger {
    titles: Mutex<BTreeSet<String>>,
    failures: Mutex<Vec<String>>,
    is_over: AtomicBool,
    written: AtomicUsize,
}

/// Writes boards with an event each until it is told to stop; most of them in a transaction of several
/// statements.
async fn write(router: Router, tasks: Principal, ledger: Arc<Ledger>, writer: usize) {
    let sql = "INSERT INTO board (title, created_by) VALUES ($1, 'ada')";
    for number in 0_usize.. {
        if ledger.is_over.load(Ordering::Relaxed) {
            return;
        }
        let title = format!("{writer} {number}");
        let written = async {
            let mut transaction = router.begin(&tasks, deadline()).await?;
            // Whatever a transaction begins with, it waits for the tenant.
            match number % 4 {
                0 => drop(
                    transaction
                        .query("SELECT count(*) FROM board WHERE id < 3", &[])
                        .await?,
                ),
                1 => drop(transaction.savepoint().await?),
                2 => drop(transaction.scan("SELECT title FROM board ORDER BY id", &[]).await?),
                _ => {}
            }
            transaction.query(sql, &[Value::Text(title.clone())]).await?;
            let mut effects = vec![Effect::Event(NewEvent::new("board.created", "", "{}").unwrap())];
            if number % 8 == 0 {
                effects.push(Effect::Job(NewJob::new("board.tidy", &title, "{}", 3_600_000).unwrap()));
            }
            transaction.commit(&epilogue_of(&effects, None)).await
        };
        match written.await {
            Ok(_) => {
                ledger.titles.lock().unwrap().insert(title);
                ledger.written.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => ledger.failures.lock().unwrap().push(format!("{title}: {error:?}")),
        }
    }
}

/// Whether the board came with a job.
fn is_scheduled(title: &str) -> bool {
    let number: Option<usize> = title.split_once(' ').and_then(|(_, number)| number.parse().ok());
    number.is_some_and(|number| number % 8 == 0)
}

async fn titles(world: &World, tasks: &Principal) -> Vec<String> {
    let sql = "SELECT title FROM board WHERE created_by = 'ada' AND title ~ '^[0-9]+ [0-9]+$' ORDER BY title";
    let rows = world.router.query(tasks, deadline(), sql, &[]).await.unwrap();
    rows.rows
        .into_iter()
        .map(|row| match &row[0] {
            Value::Text(title) => title.clone(),
            other => panic!("{other:?}"),
        })
        .collect()
}

async fn written(ledger: &Ledger, more: usize) {
    let goal = ledger.written.load(Ordering::Relaxed) + more;
    let wait = async {
        while ledger.written.load(Ordering::Relaxed) < goal {
            assert!(
                ledger.failures.lock().unwrap().is_empty(),
                "{:?}",
                ledger.failures.lock().unwrap()
            );
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap();
}

/// Nothing of a tenant is on a server, and nothing of a move.
async fn is_clean(scratch: &Scratch, tenant: &TenantId) {
    let client = scratch.admin().await;
    for sql in [
        format!("SELECT count(*) FROM pg_namespace WHERE starts_with(nspname, '{tenant}_')"),
        format!("SELECT count(*) FROM pg_roles WHERE starts_with(rolname, '{tenant}_')"),
        format!("SELECT count(*) FROM terrace.migration WHERE starts_with(schema, '{tenant}_')"),
        format!("SELECT count(*) FROM terrace_events.stream WHERE tenant_id = '{tenant}'"),
        format!("SELECT count(*) FROM terrace_events.log WHERE tenant_id = '{tenant}'"),
        format!("SELECT count(*) FROM terrace_events.job WHERE tenant_id = '{tenant}'"),
        format!("SELECT count(*) FROM terrace_events.pending WHERE tenant_id = '{tenant}'"),
        format!("SELECT count(*) FROM terrace_events.principal WHERE tenant_id = '{tenant}'"),
        "SELECT count(*) FROM terrace_events.mark".to_owned(),
        "SELECT count(*) FROM pg_replication_slots".to_owned(),
        "SELECT count(*) FROM pg_publication".to_owned(),
        "SELECT count(*) FROM pg_subscription".to_owned(),
    ] {
        let count: i64 = client.query_one(&sql, &[]).await.unwrap().get(0);
        assert_eq!(count, 0, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_is_moved_while_it_writes_loses_nothing_and_doubles_nothing() {
    let (world, other) = two_clusters().await;
    let id = world.tenant("acme").await.id.clone();
    assert_eq!(world.directory.home_cluster(&id), main_cluster());
    fill(&world, &id, 20).await;
    let tasks = principal(&id, "tasks");
    let ledger = Arc::new(Ledger::default());
    // Another node, which learns of the switch only by being refused.
    let elsewhere = World::config(&world.scratch);
    let elsewhere = Directory::connect(terrace_data_tenancy::Config {
        poll_ms: 3_600_000,
        ..elsewhere
    })
    .unwrap();
    elsewhere.refresh().await.unwrap();
    let routers = [
        world.router.clone(),
        Router::new(RouterConfig::default(), elsewhere.clone()),
    ];
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let router = routers[writer % 2].clone();
            tokio::spawn(write(router, tasks.clone(), ledger.clone(), writer))
        })
        .collect();
    for (to, left) in [(second(), &world.scratch), (main_cluster(), &other)] {
        written(&ledger, 50).await;
        world.directory.move_tenant(&id, &to, "Olga").await.unwrap();
        assert_eq!(world.directory.home_cluster(&id), to);
        written(&ledger, 50).await;
        is_clean(left, &id).await;
        let done = world.directory.operations(Some(&id), 1).await.unwrap();
        assert_eq!((done[0].kind, done[0].state), (Kind::Move, Standing::Done));
        assert!(done[0].evidence["pause_ms"].is_number(), "{}", done[0].evidence);
    }
    ledger.is_over.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(*ledger.failures.lock().unwrap(), Vec::<String>::new());
    let there = titles(&world, &tasks).await;
    let told = ledger.titles.lock().unwrap().clone();
    assert!(
        there.iter().eq(told.iter()),
        "{} there, {} told",
        there.len(),
        told.len()
    );
    // So are the jobs, and the count of them; and one more does not meet the number of another.
    let jobs = "SELECT array_agg(j.key ORDER BY j.key), max(p.jobs) FROM terrace_events.job j JOIN terrace_events.pending p ON p.tenant_id = j.tenant_id WHERE j.tenant_id = $1";
    let row = world.admin().await.query_one(jobs, &[&id.as_str()]).await.unwrap();
    let scheduled: Vec<String> = told.iter().filter(|title| is_scheduled(title)).cloned().collect();
    assert_eq!(row.get::<_, Vec<String>>(0), scheduled);
    assert_eq!(usize::try_from(row.get::<_, i64>(1)).unwrap(), scheduled.len());
    // The stream is dense, and each board has one event.
    let sql = "SELECT (SELECT count(*) FROM terrace_events.log WHERE tenant_id = s.tenant_id), last_seq - first_seq + 1, last_seq FROM terrace_events.stream s WHERE tenant_id = $1";
    let row = world.admin().await.query_one(sql, &[&id.as_str()]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), row.get::<_, i64>(1));
    assert_eq!(row.get::<_, i64>(2), 3 + i64::try_from(told.len()).unwrap());
    let seats = "SELECT abs(sum(tenants) - (SELECT count(*) FROM terrace.tenant) - (SELECT count(*) FROM terrace.spare))::bigint FROM terrace.lane";
    assert_eq!(world.count(seats).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_killed_after_any_step_is_finished_later_and_the_tenant_is_served_meanwhile() {
    let (world, other) = two_clusters().await;
    let id = world.tenant("acme").await.id.clone();
    fill(&world, &id, 5).await;
    let tasks = principal(&id, "tasks");
    let digest = |world: &World| {
        let (directory, id) = (world.directory.clone(), id.clone());
        async move {
            export(&directory, &id).await;
            let done = directory.operations(Some(&id), 1).await.unwrap();
            done[0].evidence["digest"].as_str().unwrap().to_owned()
        }
    };
    let before = digest(&world).await;
    let (mut here, mut there) = ((main_cluster(), &world.scratch), (second(), &other));
    for step in Kind::Move.steps() {
        let node = world.another_node().await;
        node.set_hooks(Arc::new(TestHooks {
            stop_after: Some(*step).into(),
            ..TestHooks::default()
        }));
        let stopped = node.move_tenant(&id, &there.0, "Olga").await;
        assert!(matches!(stopped, Err(Error::Stopped { .. })), "{step:?}: {stopped:?}");
        let count = "SELECT count(*) FROM board";
        let served = world.router.query(&tasks, deadline(), count, &[]).await.unwrap();
        assert_eq!(served.rows, [[Value::Integer(5)]], "after {step:?}");
        world.directory.refresh().await.unwrap();
        world.directory.finish_operation(&id).await.unwrap();
        assert_eq!(world.directory.home_cluster(&id), there.0, "{step:?}");
        is_clean(here.1, &id).await;
        assert_eq!(digest(&world).await, before, "{step:?}");
        std::mem::swap(&mut here, &mut there);
    }
    // Everything else that is done to a tenant works where it lives now.
    assert_eq!(here.0, second());
    world.directory.suspend_tenant(&id, "Olga").await.unwrap();
    world.directory.resume_tenant(&id, "Olga").await.unwrap();
    world.directory.change_plan(&id, "team", "Olga").await.unwrap();
    world
        .service(
            "tasks",
            &[
                terrace_data_tenancy::testing::SERVICES[1].1,
                &[("0004_more.sql", "CREATE TABLE more (id bigint PRIMARY KEY)")],
            ]
            .concat(),
        )
        .await;
    let more = "SELECT count(*) FROM more";
    world.router.query(&tasks, deadline(), more, &[]).await.unwrap();
    let evidence = world.directory.delete_tenant(&id, "Olga").await.unwrap();
    assert_eq!(
        (&evidence["left"], evidence["rows"].as_i64() > Some(5)),
        (&0.into(), true)
    );
    is_clean(&other, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_changes_the_schemas_during_a_move_is_there_afterwards_and_so_is_every_row() {
    let (world, other) = two_clusters().await;
    let id = world.tenant("acme").await.id.clone();
    let tasks = principal(&id, "tasks");
    let more = [
        (
            "0004_more.sql",
            "CREATE TABLE more (id bigint PRIMARY KEY); ALTER TABLE board ADD COLUMN more text",
        ),
        (
            "0005_even_more.sql",
            "CREATE TABLE even_more (id bigint PRIMARY KEY); ALTER TABLE board ADD COLUMN even_more text",
        ),
    ];
    let columns = ["more", "even_more"];
    let mut migrations = terrace_data_tenancy::testing::SERVICES[1].1.to_vec();
    let steps = [
        (Step::Followed, second(), &world.scratch),
        (Step::Copied, main_cluster(), &other),
    ];
    for ((step, to, left), (file, column)) in steps.into_iter().zip(more.into_iter().zip(columns)) {
        let node = world.another_node().await;
        node.set_hooks(Arc::new(TestHooks {
            stop_after: Some(step).into(),
            ..TestHooks::default()
        }));
        let stopped = node.move_tenant(&id, &to, "Olga").await;
        assert!(matches!(stopped, Err(Error::Stopped { .. })), "{stopped:?}");
        migrations.push(file);
        world.service("tasks", &migrations).await;
        world
            .service(
                &column.replace('_', "-"),
                &[("0001_a.sql", "CREATE TABLE a (id bigint)")],
            )
            .await;
        let insert = format!("INSERT INTO board (title, created_by, {column}) VALUES ('{column}', 'ada', '{column}')");
        world.router.query(&tasks, deadline(), &insert, &[]).await.unwrap();
        world.directory.finish_operation(&id).await.unwrap();
        assert_eq!(world.directory.home_cluster(&id), to);
        is_clean(left, &id).await;
        let select = format!("SELECT count(*) FROM board WHERE {column} = '{column}'");
        let there = world.router.query(&tasks, deadline(), &select, &[]).await.unwrap();
        assert_eq!(there.rows, [[Value::Integer(1)]], "{step:?}");
        let late = principal(&id, &column.replace('_', "-"));
        world
            .router
            .query(&late, deadline(), "INSERT INTO a VALUES (1)", &[])
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_would_make_the_tenant_wait_too_long_is_given_up_and_leaves_nothing() {
    let (world, other) = two_clusters().await;
    let id = world.tenant("acme").await.id.clone();
    fill(&world, &id, 5).await;
    let tasks = principal(&id, "tasks");
    let impatient = Directory::connect(terrace_data_tenancy::Config {
        move_pause_max_ms: 0,
        ..World::config(&world.scratch)
    })
    .unwrap();
    impatient.refresh().await.unwrap();
    let late = impatient.move_tenant(&id, &second(), "Olga").await;
    assert!(matches!(late, Err(Error::Lag(_))), "{late:?}");
    let insert = "INSERT INTO board (title, created_by) VALUES ('on', 'ada')";
    world.router.query(&tasks, deadline(), insert, &[]).await.unwrap();
    world.directory.refresh().await.unwrap();
    assert_eq!(world.directory.home_cluster(&id), main_cluster());
    world.directory.cancel_move(&id).await.unwrap();
    is_clean(&other, &id).await;
    world.router.query(&tasks, deadline(), insert, &[]).await.unwrap();
    // Half done, and then deleted: nothing is left at either end.
    let node = world.another_node().await;
    node.set_hooks(Arc::new(TestHooks {
        stop_after: Some(Step::Copied).into(),
        ..TestHooks::default()
    }));
    assert!(node.move_tenant(&id, &second(), "Olga").await.is_err());
    world.directory.delete_tenant(&id, "Olga").await.unwrap();
    is_clean(&other, &id).await;
    is_clean(&world.scratch, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_tenants_go_where_their_plan_and_region_say_and_then_where_there_are_fewest() {
    let (world, _other) = two_clusters().await;
    let tenant = |slug: &str, region: Option<&str>| NewTenant {
        region: region.map(str::to_owned),
        ..new_tenant(slug)
    };
    let create = |new: NewTenant| {
        let directory = world.directory.clone();
        async move {
            let id = directory.create_tenant(new).await?.id.clone();
            Ok::<_, Error>((id.clone(), directory.home_cluster(&id)))
        }
    };
    let (first, home) = create(tenant("one", None)).await.unwrap();
    assert_eq!(home, main_cluster());
    assert_eq!(create(tenant("two", None)).await.unwrap().1, second());
    assert_eq!(create(tenant("three", Some("north"))).await.unwrap().1, second());
    let nowhere = create(tenant("four", Some("south"))).await;
    assert!(
        matches!(nowhere, Err(Error::Invalid(ref why)) if why.contains("south")),
        "{nowhere:?}"
    );
    world.directory.drain_cluster(&second(), true).await.unwrap();
    assert_eq!(create(tenant("five", None)).await.unwrap().1, main_cluster());
    let refused = world.directory.move_tenant(&first, &second(), "Olga").await;
    assert!(
        matches!(refused, Err(Error::Invalid(ref why)) if why.contains("drained")),
        "{refused:?}"
    );
    let unknown = world
        .directory
        .move_tenant(&first, &"third".parse().unwrap(), "Olga")
        .await;
    assert!(matches!(unknown, Err(Error::Unknown { .. })), "{unknown:?}");
    // Roles belong to a server: another database of one that is known is no other cluster.
    let again = world.scratch.connection();
    let again = NewCluster {
        name: "third".parse().unwrap(),
        address: Address::Unix {
            dir: again.socket_dir,
            port: again.port,
        },
        database: again.database,
        login: Some(again.user),
        region: String::new(),
        plans: None,
    };
    let same = world.directory.add_cluster(again).await;
    assert!(
        matches!(same, Err(Error::Invalid(ref why)) if why.contains("`main`")),
        "{same:?}"
    );
    // What drains gives all that it has.
    let moves = world.directory.suggest_moves(10);
    assert_eq!(moves.len(), 2, "{moves:?}");
    assert!(
        moves
            .iter()
            .all(|(_, from, to)| *from == second() && *to == main_cluster())
    );
    // Otherwise nobody leaves a region, or goes where the plan is not taken.
    world.directory.drain_cluster(&second(), false).await.unwrap();
    for index in 0..4 {
        create(tenant(&format!("north-{index}"), Some("north"))).await.unwrap();
    }
    assert_eq!(world.directory.suggest_moves(10), []);
    let plans = "UPDATE terrace.cluster SET plans = '{team}' WHERE name = 'second'";
    world.admin().await.execute(plans, &[]).await.unwrap();
    for index in 0..9 {
        create(tenant(&format!("main-{index}"), None)).await.unwrap();
    }
    world.directory.refresh().await.unwrap();
    assert_eq!(world.directory.suggest_moves(10), []);
    let all = "UPDATE terrace.cluster SET plans = NULL WHERE name = 'second'";
    world.admin().await.execute(all, &[]).await.unwrap();
    world.admin().await.execute("SELECT terrace.bump()", &[]).await.unwrap();
    world.directory.refresh().await.unwrap();
    let moves = world.directory.suggest_moves(10);
    assert_eq!(moves.len(), 2, "{moves:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_of_its_own_comes_with_the_plan_or_by_hand_while_the_tenant_writes_and_after_any_crash() {
    let world = World::with(|config| {
        config.lane_tenants = [("team".to_owned(), 1)].into();
    })
    .await;
    world.three_services().await;
    let id = world.tenant("acme").await.id.clone();
    let neighbour = world.tenant("globex").await.id.clone();
    let tasks = principal(&id, "tasks");
    let lanes = || async { (world.lane_login(&id).await.0, world.lane_login(&neighbour).await.0) };
    let (before, shared) = lanes().await;
    assert_eq!(before, shared);
    let ledger = Arc::new(Ledger::default());
    let writer = tokio::spawn(write(world.router.clone(), tasks.clone(), ledger.clone(), 0));
    written(&ledger, 20).await;
    // By the plan, there and back; the neighbour stays.
    world.directory.change_plan(&id, "team", "Olga").await.unwrap();
    let (own, neighbours) = lanes().await;
    assert!(own != shared && neighbours == shared, "{own} {neighbours} {shared}");
    let capacity = format!("SELECT capacity::bigint FROM terrace.lane WHERE login = '{own}'");
    assert_eq!(world.count(&capacity).await, 1);
    written(&ledger, 20).await;
    world.directory.change_plan(&id, "free", "Olga").await.unwrap();
    assert_eq!(lanes().await.0, shared);
    // Born with it, although spares are there.
    world.directory.fill_spares().await.unwrap();
    let team = NewTenant {
        plan: "team".to_owned(),
        ..new_tenant("initech")
    };
    let born = world.directory.create_tenant(team).await.unwrap().id.clone();
    let born = world.lane_login(&born).await.0;
    assert!(born != shared);
    // By hand, with a crash after each step.
    for (step, lane) in [
        (Step::Chosen, LaneKind::Own),
        (Step::Prepared, LaneKind::Shared),
        (Step::Switched, LaneKind::Own),
        (Step::Parted, LaneKind::Shared),
    ] {
        let node = world.another_node().await;
        node.set_hooks(Arc::new(TestHooks {
            stop_after: Some(step).into(),
            ..TestHooks::default()
        }));
        let to = || Destination {
            cluster: None,
            lane: Some(lane),
        };
        let stopped = node.relocate_tenant(&id, to(), "Olga").await;
        assert!(matches!(stopped, Err(Error::Stopped { .. })), "{step:?}: {stopped:?}");
        world.directory.refresh().await.unwrap();
        world.directory.finish_operation(&id).await.unwrap();
        written(&ledger, 20).await;
        assert_eq!(lanes().await.0 == shared, lane == LaneKind::Shared, "{step:?}");
        assert!(
            world.directory.relocate_tenant(&id, to(), "Olga").await.is_ok(),
            "again is nothing"
        );
    }
    // Given up in the middle: as it was.
    let node = world.another_node().await;
    node.set_hooks(Arc::new(TestHooks {
        stop_after: Some(Step::Prepared).into(),
        ..TestHooks::default()
    }));
    let own = Destination {
        cluster: None,
        lane: Some(LaneKind::Own),
    };
    assert!(node.relocate_tenant(&id, own, "Olga").await.is_err());
    world.directory.cancel_move(&id).await.unwrap();
    assert_eq!(lanes().await.0, shared);
    ledger.is_over.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    assert_eq!(*ledger.failures.lock().unwrap(), Vec::<String>::new());
    assert!(
        titles(&world, &tasks)
            .await
            .iter()
            .eq(ledger.titles.lock().unwrap().iter())
    );
    // One lane for each, and a seat for each.
    let several = "SELECT count(*) FROM (SELECT m.roleid FROM pg_auth_members m JOIN pg_roles l ON l.oid = m.member JOIN pg_roles r ON r.oid = m.roleid
        WHERE l.rolname LIKE 'lane\\_%' AND r.rolname LIKE 't\\_%' GROUP BY m.roleid HAVING count(*) > 1) several";
    assert_eq!(world.count(several).await, 0);
    let seats = "SELECT abs(sum(tenants) - (SELECT count(*) FROM terrace.tenant) - (SELECT count(*) FROM terrace.spare))::bigint FROM terrace.lane";
    assert_eq!(world.count(seats).await, 0);
}
