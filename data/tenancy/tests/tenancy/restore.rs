//! Restoring a tenant: it changes places with what was made beside it, at once or not at all.

use std::sync::Arc;

use terrace_data_router::Value;
use terrace_data_tenancy::{
    Directory, Error, Kind, NewRestore, SettingKey, SettingKind, Standing, State, Step,
    testing::{TestHooks, World, deadline, principal},
};
use terrace_events_outbox::{NewEvent, epilogue};
use terrace_ground_ids::{ArchiveId, TenantId};

use crate::archive::{export, fill, upload};

fn restore(archive: &ArchiveId, tenant: &TenantId) -> NewRestore {
    NewRestore {
        archive: archive.clone(),
        tenant: tenant.clone(),
        force: false,
        actor: Some("Olga".to_owned()),
    }
}

async fn boards(world: &World, tenant: &TenantId) -> i64 {
    let tasks = principal(tenant, "tasks");
    let sql = "SELECT count(*) FROM board";
    let rows = world.router.query(&tasks, deadline(), sql, &[]).await.unwrap();
    match rows.rows[0][0] {
        Value::Integer(count) => count,
        ref other => panic!("{other:?}"),
    }
}

async fn add_board(world: &World, tenant: &TenantId) {
    let tasks = principal(tenant, "tasks");
    let sql = "INSERT INTO board (title, created_by) VALUES ('later', 'ada')";
    world.router.query(&tasks, deadline(), sql, &[]).await.unwrap();
}

async fn publish(world: &World, tenant: &TenantId) -> i64 {
    let transaction = world
        .router
        .begin(&principal(tenant, "tasks"), deadline())
        .await
        .unwrap();
    let event = NewEvent::new("board.created", "", "{}").unwrap();
    let results = transaction.commit(&epilogue(&[event], None)).await.unwrap();
    i64::try_from(terrace_events_outbox::last_seq(&results).unwrap()).unwrap()
}

/// Acme with three boards and an archive of that moment; then a fourth board.
async fn acme() -> (World, TenantId, Vec<u8>) {
    // A lane for each tenant, so that the two that change places are in different ones.
    let world = World::with(|config| config.lane_tenants_max = 1).await;
    world.three_services().await;
    world.service("odd", crate::archive::ODD).await;
    let id = world.tenant("acme").await.id.clone();
    fill(&world, &id, 3).await;
    let archive = export(&world.directory, &id).await;
    add_board(&world, &id).await;
    (world, id, archive)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_tenant_keeps_its_id_and_place_and_what_it_was_before_is_kept() {
    let (world, id, archive) = acme().await;
    let key = SettingKey {
        kind: SettingKind::Secret,
        service: "tasks".parse().unwrap(),
        name: "greeting".parse().unwrap(),
        tenant: Some(id.clone()),
    };
    world.directory.put_setting(&key, b"sealed").await.unwrap();
    world.directory.change_plan(&id, "team", "Olga").await.unwrap();
    let before = world.directory.tenants().by_id(&id).unwrap().clone();
    let last_seen = publish(&world, &id).await;
    assert_eq!(boards(&world, &id).await, 4);
    let hooks = Arc::new(TestHooks::default());
    world.directory.set_hooks(hooks.clone());
    let uploaded = upload(&world.directory, &archive).await;
    let run = world.directory.restore_tenant(restore(&uploaded, &id)).await.unwrap();
    run.end.await.unwrap().unwrap();
    let view = world.directory.tenants();
    let (now, kept) = (view.by_id(&id).unwrap(), view.by_id(&run.tenant).unwrap());
    let place = |tenant: &terrace_data_tenancy::Tenant| tenant.placement.as_ref().map(|at| at.lane.id.clone());
    assert_eq!(
        (&now.slug, &now.name, &now.plan, now.state, place(now)),
        (&before.slug, &before.name, &before.plan, before.state, place(&before))
    );
    assert_eq!((now.epoch, kept.state), (before.epoch + 1, State::Suspended));
    assert!(kept.slug.as_str().starts_with("acme-"), "{}", kept.slug);
    let told = hooks.plans.lock().unwrap().clone();
    assert!(
        told.iter().all(|(_, plan)| plan == "team") && !told.is_empty(),
        "{told:?}"
    );
    assert_eq!(
        (boards(&world, &id).await, boards(&world, &run.tenant).await),
        (3, 4),
        "the tenant is as it was, and what came since is kept"
    );
    let kept_setting = world.directory.setting(key.kind, &key.service, &key.name, &id).await;
    assert_eq!(kept_setting.unwrap().unwrap().value, b"sealed");
    // Nobody who was at the end of the stream can take what is there now for what follows.
    let first = "SELECT first_seq FROM terrace_events.stream WHERE tenant_id = $1";
    let row = world.admin().await.query_one(first, &[&id.as_str()]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), last_seen + 2);
    assert_eq!(publish(&world, &id).await, last_seen + 2 + 3);
    add_board(&world, &id).await;
    for (tenant, evidence) in [(&id, "kept_as"), (&run.tenant, "restored")] {
        let operations = world.directory.operations(Some(tenant), 10).await.unwrap();
        assert_eq!(
            (operations[0].kind, operations[0].state),
            (Kind::Restore, Standing::Done)
        );
        assert!(operations[0].evidence[evidence].is_string(), "{:?}", operations[0]);
    }
    // It can be deleted, and goes with everything of it; the tenant stays.
    world.directory.delete_tenant(&run.tenant, "Olga").await.unwrap();
    assert_eq!(boards(&world, &id).await, 4);
    let left = format!(
        "SELECT count(*) FROM pg_roles WHERE starts_with(rolname, '{}_')",
        run.tenant
    );
    assert_eq!(world.count(&left).await, 0);
    // A release that comes later reaches it: the ledger went along with the schemas.
    let more = [
        terrace_data_tenancy::testing::SERVICES[1].1,
        &[("0004_more.sql", "CREATE TABLE more (id bigint PRIMARY KEY)")],
    ]
    .concat();
    world.service("tasks", &more).await;
    let sql = "SELECT count(*) FROM more";
    let tasks = principal(&id, "tasks");
    world.router.query(&tasks, deadline(), sql, &[]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_of_the_wrong_tenant_or_of_one_that_was_deleted_is_refused() {
    let (world, id, archive) = acme().await;
    let other = world.tenant("globex").await.id.clone();
    let uploaded = upload(&world.directory, &archive).await;
    let wrong = world.directory.restore_tenant(restore(&uploaded, &other)).await;
    assert!(
        matches!(wrong, Err(Error::Archive(ref why)) if why.contains("force")),
        "{:?}",
        wrong.err()
    );
    // One at a time: the second is told of the first.
    let node = world.another_node().await;
    node.set_hooks(Arc::new(TestHooks {
        stop_after: Some(Step::Loaded).into(),
        ..TestHooks::default()
    }));
    let first = node.restore_tenant(restore(&uploaded, &id)).await.unwrap();
    assert!(first.end.await.unwrap().is_err());
    let again = upload(&world.directory, &archive).await;
    let second = world.directory.restore_tenant(restore(&again, &id)).await;
    assert!(
        matches!(second, Err(Error::Running(ref running)) if running.tenant == first.tenant),
        "{:?}",
        second.err()
    );
    let shown = world.directory.running_operation(&id).await.unwrap().unwrap();
    assert_eq!((shown.kind, shown.tenant), (Kind::Restore, first.tenant.clone()));
    // Deleted while it is being restored: it stays deleted, and what was made for it goes, too.
    world.directory.delete_tenant(&id, "Olga").await.unwrap();
    let finished = world.directory.finish_operation(&first.tenant).await;
    assert!(finished.unwrap());
    world.directory.refresh().await.unwrap();
    assert!(world.directory.tenants().by_id(&first.tenant).is_none());
    let buried = NewRestore {
        force: true,
        ..restore(&again, &id)
    };
    let refused = world.directory.restore_tenant(buried).await;
    assert!(
        matches!(refused, Err(Error::Buried(ref gone)) if *gone == id),
        "{:?}",
        refused.err()
    );
    let proof = world.directory.tombstone(&id).await.unwrap();
    assert_eq!(proof.deleted_by.as_deref(), Some("Olga"));
    assert_eq!(
        (&proof.evidence["left"], proof.evidence["settings"].is_number()),
        (&0.into(), true)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_killed_after_any_step_leaves_the_tenant_as_it_was_and_is_finished_later() {
    let (world, id, archive) = acme().await;
    for step in Kind::Restore.steps() {
        add_board(&world, &id).await;
        let before = boards(&world, &id).await;
        let node: Arc<Directory> = world.another_node().await;
        node.set_hooks(Arc::new(TestHooks {
            stop_after: Some(*step).into(),
            ..TestHooks::default()
        }));
        let uploaded = upload(&node, &archive).await;
        let run = node.restore_tenant(restore(&uploaded, &id)).await.unwrap();
        let stopped = run.end.await.unwrap();
        assert!(matches!(stopped, Err(Error::Stopped { .. })), "{step:?}: {stopped:?}");
        world.directory.refresh().await.unwrap();
        if *step != Step::Swapped {
            assert_eq!(boards(&world, &id).await, before, "after {step:?}");
            let shown = world.directory.running_operation(&id).await.unwrap().unwrap();
            assert!(!shown.remaining().is_empty(), "{shown:?}");
        }
        world.directory.finish_operation(&run.tenant).await.unwrap();
        assert_eq!(
            (boards(&world, &id).await, boards(&world, &run.tenant).await),
            (3, before),
            "{step:?}"
        );
        world.directory.delete_tenant(&run.tenant, "Olga").await.unwrap();
    }
}
