//! What an operator sees of tenants' data: each tenant's own, with locks while they are held.

use std::time::{Duration, Instant};

use terrace_data_router::Value;
use terrace_data_tenancy::{
    Figures, NewTenant,
    testing::{World, deadline, new_tenant, principal},
};
use terrace_ground_ids::TenantId;
use tokio_postgres::Client;

async fn two() -> (World, TenantId, TenantId) {
    let world = World::new().await;
    world.three_services().await;
    let (acme, globex) = (
        world.tenant("acme").await.id.clone(),
        world.tenant("globex").await.id.clone(),
    );
    (world, acme, globex)
}

/// Writes boards as the tenant's table, on a connection whose statistics are told at once.
async fn write(admin: &Client, tenant: &TenantId, boards: u32) {
    admin
        .batch_execute(&format!(
            "INSERT INTO {tenant}_tasks.board (title, created_by) SELECT repeat('secret ', 100), 'ada' FROM generate_series(1, {boards});
             SELECT pg_stat_force_next_flush()"
        ))
        .await
        .unwrap();
}

fn tasks(figures: &Figures) -> &terrace_data_tenancy::SchemaFigures {
    figures
        .schemas
        .iter()
        .find(|schema| schema.service.as_str() == "tasks")
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_of_one_tenant_do_not_change_when_another_writes() {
    let (world, acme, globex) = two().await;
    let admin = world.admin().await;
    let before = world.directory.figures(&acme).await.unwrap();
    assert!(before.is_exact);
    assert_eq!(before.schemas.len(), 3);
    assert_eq!(tasks(&before).tables, 4);
    write(&admin, &globex, 2_000).await;
    let (acmes, theirs) = (
        world.directory.figures(&acme).await.unwrap(),
        world.directory.figures(&globex).await.unwrap(),
    );
    let sizes = |figures: &Figures| {
        let schemas = figures.schemas.iter();
        schemas.map(|one| (one.size_bytes, one.index_bytes)).collect::<Vec<_>>()
    };
    assert_eq!(sizes(&before), sizes(&acmes));
    assert!(
        tasks(&theirs).size_bytes > tasks(&acmes).size_bytes + 1_000_000,
        "{theirs:?}"
    );
    // What the migrations wrote is told by their connection within seconds.
    assert!(
        tasks(&acmes).live_rows < 10 && tasks(&theirs).live_rows >= 2_000,
        "{acmes:?} {theirs:?}"
    );
    // The same size as PostgreSQL's own sum.
    let own = world
        .count(&format!(
            "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relnamespace = '{globex}_tasks'::regnamespace AND relkind IN ('r', 'S')"
        ))
        .await;
    assert_eq!(tasks(&theirs).size_bytes, u64::try_from(own).unwrap());

    // All tenants at once, from what the last ANALYZE has left.
    admin
        .batch_execute(&format!("ANALYZE {globex}_tasks.board"))
        .await
        .unwrap();
    let all = world.directory.footprints().await;
    assert_eq!(all.len(), 2, "spares are nobody's");
    assert!(all[&globex].size_bytes > all[&acme].size_bytes + 1_000_000, "{all:?}");
    assert!(all[&globex].rows >= 2_000 && all[&acme].rows < 100, "{all:?}");
    let some = world
        .directory
        .estimates(&[acme.clone(), globex.clone()])
        .await
        .unwrap();
    assert!(!some[&acme].is_exact && some[&globex].schemas.iter().all(|one| one.version == one.head));
    assert!(tasks(&some[&globex]).size_bytes > 1_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_a_lock_is_seen_while_the_lock_is_held_and_by_its_tenant_alone() {
    let (world, acme, globex) = two().await;
    let (admin, looker) = (world.admin().await, world.directory.clone());
    assert_eq!(looker.figures(&acme).await.unwrap().lock_waits, []);
    // A whole table, and a row of another.
    for (hold, table, target, is_exact) in [
        ("LOCK TABLE {}.board", "board", "relation", false),
        ("UPDATE {}.counter SET value = 1", "counter", "transactionid", true),
    ] {
        let hold = hold.replace("{}", &format!("{acme}_tasks"));
        admin.batch_execute(&format!("BEGIN; {hold}")).await.unwrap();
        let (router, mine) = (world.router.clone(), principal(&acme, "tasks"));
        let waiter = tokio::spawn(async move {
            let sql = if table == "board" {
                "SELECT count(*) FROM board WHERE title = 'hunter2'"
            } else {
                "UPDATE counter SET value = 2 WHERE name = 'tasks'"
            };
            router.query(&mine, deadline(), sql, &[]).await
        });
        let began = Instant::now();
        let figures = loop {
            let figures = looker.figures(&acme).await.unwrap();
            if !figures.lock_waits.is_empty() {
                break figures;
            }
            assert!(began.elapsed() < Duration::from_secs(5), "no wait is seen");
        };
        let wait = &figures.lock_waits[0];
        assert_eq!(figures.lock_waits.len(), 1, "{figures:?}");
        assert_eq!(
            (wait.table.as_str(), wait.target.as_str(), wait.blockers),
            (table, target, 1)
        );
        assert_eq!(wait.schema, format!("{acme}_tasks"));
        assert_eq!(figures.is_exact, is_exact, "a locked table is not opened");
        assert!(figures.longest_transaction.is_some());
        assert!(!format!("{figures:?}").contains("hunter2"));
        let theirs = looker.figures(&globex).await.unwrap();
        assert_eq!((theirs.lock_waits, theirs.longest_transaction), (Vec::new(), None));
        admin.batch_execute("ROLLBACK").await.unwrap();
        assert!(!waiter.await.unwrap().unwrap().rows.is_empty() || table == "counter");
        assert_eq!(looker.figures(&acme).await.unwrap().lock_waits, []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_behind_is_told_from_one_that_is_current() {
    let (world, acme, _) = two().await;
    let current = world.directory.figures(&acme).await.unwrap();
    assert_eq!((tasks(&current).version, tasks(&current).head), (3, 3));
    assert!(tasks(&current).migrated_at.is_some());
    let admin = world.admin().await;
    let gone = format!("DELETE FROM terrace.migration WHERE schema = '{acme}_tasks' AND number = 3");
    admin.batch_execute(&gone).await.unwrap();
    let behind = world.directory.figures(&acme).await.unwrap();
    assert_eq!((tasks(&behind).version, tasks(&behind).head), (2, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_come_from_the_cluster_where_the_tenant_lives_and_cost_a_managed_server_nothing_more() {
    let world = World::new().await;
    let other = terrace_data_embedded::testing::Scratch::alone().await;
    world.add_second(&other).await;
    world.three_services().await;
    let north = NewTenant {
        region: Some("north".to_owned()),
        ..new_tenant("north")
    };
    let tenant = world.directory.create_tenant(north).await.unwrap();
    let write = "INSERT INTO board (title, created_by) VALUES ($1, 'ada')";
    let title = Value::Text("a".repeat(1_000));
    world
        .router
        .query(&principal(&tenant.id, "tasks"), deadline(), write, &[title])
        .await
        .unwrap();
    let figures = world.directory.figures(&tenant.id).await.unwrap();
    assert_eq!(figures.cluster.as_str(), "second");
    assert!(
        figures
            .schemas
            .iter()
            .all(|one| one.version == one.head && one.size_bytes > 0)
    );

    let managed = World::managed().await;
    managed.three_services().await;
    let tenant = managed.tenant("acme").await;
    let figures = managed.directory.figures(&tenant.id).await.unwrap();
    assert!(figures.is_exact && figures.schemas.iter().all(|one| one.size_bytes > 0));
}
