//! Deleting tenants: nothing is left, whatever happened on the way.

use std::sync::Arc;

use terrace_data_router::Value;
use terrace_data_tenancy::{
    Error, Step,
    testing::{TestHooks, World, deadline, new_tenant, principal, was_stopped},
};
use terrace_events_outbox::{NewEvent, epilogue};
use terrace_ground_ids::TenantId;

/// Everything in the database that could name a tenant.
async fn traces(world: &World, tenant: &TenantId) -> i64 {
    let sql = format!(
        "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname LIKE '{tenant}%') + (SELECT count(*) FROM pg_roles WHERE rolname LIKE '{tenant}%')
              + (SELECT count(*) FROM terrace.tenant WHERE id = '{tenant}') + (SELECT count(*) FROM terrace.migration WHERE schema LIKE '{tenant}%')
              + (SELECT count(*) FROM terrace_events.principal WHERE tenant_id = '{tenant}') + (SELECT count(*) FROM terrace_events.stream WHERE tenant_id = '{tenant}')
              + (SELECT count(*) FROM terrace_events.log WHERE tenant_id = '{tenant}') + (SELECT count(*) FROM terrace_events.cursor WHERE tenant_id = '{tenant}')
              + (SELECT count(*) FROM terrace_events.dead_letter WHERE tenant_id = '{tenant}')
              + (SELECT count(*) FROM pg_default_acl d JOIN pg_roles r ON r.oid = d.defaclrole WHERE r.rolname LIKE '{tenant}%')"
    );
    world.count(&sql).await
}

async fn fill(world: &World, tenant: &TenantId) {
    let tasks = principal(tenant, "tasks");
    let mut transaction = world.router.begin(&tasks, deadline()).await.unwrap();
    transaction
        .query(
            "INSERT INTO board (title, created_by) VALUES ($1, 'ada')",
            &[Value::Text("Plans".into())],
        )
        .await
        .unwrap();
    transaction
        .commit(&epilogue(
            &[NewEvent::new("board.created", "boards", "{}").unwrap()],
            None,
        ))
        .await
        .unwrap();
    let sql = format!(
        "INSERT INTO terrace_events.cursor (service, tenant_id, seq) VALUES ('billing', '{tenant}', 1);
         INSERT INTO terrace_events.dead_letter (service, tenant_id, seq, type, topic, data, at, error, attempts) VALUES ('billing', '{tenant}', 1, 'a', '', '1', now(), '', 8)"
    );
    world.admin().await.batch_execute(&sql).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_leaves_no_schema_no_role_and_no_row_but_its_evidence() {
    let world = World::new().await;
    world.three_services().await;
    let (gone, stays) = (
        world.tenant("gone").await.id.clone(),
        world.tenant("stays").await.id.clone(),
    );
    fill(&world, &gone).await;
    fill(&world, &stays).await;
    let before = traces(&world, &stays).await;
    let evidence = world.directory.delete_tenant(&gone, "test").await.unwrap();
    assert_eq!(traces(&world, &gone).await, 0);
    assert_eq!(traces(&world, &stays).await, before, "nothing of another tenant goes");
    assert_eq!(evidence["schemas"].as_array().unwrap().len(), 3);
    assert_eq!(
        (evidence["events"].as_i64(), evidence["left"].as_i64()),
        (Some(1), Some(0)),
        "{evidence}"
    );
    assert!(world.directory.tenants().by_id(&gone).is_none());
    let refused = world
        .router
        .query(&principal(&gone, "tasks"), deadline(), "SELECT 1 AS one", &[])
        .await;
    assert!(refused.is_err());
    assert!(matches!(
        world.directory.delete_tenant(&gone, "test").await,
        Err(Error::Unknown { .. })
    ));
    world.tenant("gone").await; // The slug is free again.
    assert_eq!(world.count("SELECT sum(tenants)::bigint FROM terrace.lane").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_is_killed_after_any_step_is_finished_by_the_next_start() {
    let world = World::new().await;
    world.three_services().await;
    for step in [Step::Marked, Step::Dropped, Step::Forgotten] {
        let tenant = world.tenant("acme").await.id.clone();
        fill(&world, &tenant).await;
        let dying = world.another_node().await;
        dying.set_hooks(Arc::new(TestHooks {
            stop_after: Some(step).into(),
            ..TestHooks::default()
        }));
        assert!(was_stopped(&dying.delete_tenant(&tenant, "test").await), "{step:?}");
        let outcomes = world.directory.resume().await.unwrap();
        assert!(outcomes.len() == 1 && outcomes[0].1.is_ok(), "{step:?}: {outcomes:?}");
        assert_eq!(traces(&world, &tenant).await, 0, "{step:?}");
        assert_eq!(world.directory.evidence(&tenant).await.unwrap()["left"], 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_that_is_stuck_can_be_deleted() {
    let world = World::new().await;
    world.three_services().await;
    for step in [Step::Placed, Step::Built, Step::Migrated] {
        let dying = world.another_node().await;
        dying.set_hooks(Arc::new(TestHooks {
            stop_after: Some(step).into(),
            ..TestHooks::default()
        }));
        assert!(was_stopped(&dying.create_tenant(new_tenant("acme")).await));
        world.directory.refresh().await.unwrap();
        let tenant = world
            .directory
            .tenants()
            .by_slug(&"acme".parse().unwrap())
            .unwrap()
            .id
            .clone();
        world.directory.delete_tenant(&tenant, "test").await.unwrap();
        assert_eq!(traces(&world, &tenant).await, 0, "{step:?}");
        assert!(
            world.directory.resume().await.unwrap().is_empty(),
            "a cancelled creation is not taken up"
        );
    }
    assert_eq!(
        world
            .count("SELECT coalesce(sum(tenants), 0)::bigint FROM terrace.lane")
            .await,
        0
    );
}
