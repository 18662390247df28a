//! Publishing and consuming inside a tenant's transaction: who may, and what a rollback leaves.

use terrace_data_router::{Trusted, Value};
use terrace_data_tenancy::testing::{World, deadline, principal};
use terrace_events_outbox::{ALREADY_CONSUMED, NewEvent, epilogue, last_seq};
use terrace_ground_ids::TenantId;

async fn publish(world: &World, tenant: &TenantId, service: &str, kind: &str) -> u64 {
    let transaction = world
        .router
        .begin(&principal(tenant, service), deadline())
        .await
        .unwrap();
    let results = transaction
        .commit(&epilogue(&[NewEvent::new(kind, "", "{}").unwrap()], None))
        .await
        .unwrap();
    last_seq(&results).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_bears_the_tenant_and_service_of_its_transaction_whatever_its_words() {
    let world = World::new().await;
    world.three_services().await;
    let (one, two) = (
        world.tenant("one").await.id.clone(),
        world.tenant("two").await.id.clone(),
    );
    assert_eq!(publish(&world, &one, "tasks", "billing.entitlement-changed").await, 1);
    assert_eq!(publish(&world, &two, "billing", "entitlement-changed").await, 1);
    assert_eq!(publish(&world, &one, "identity", "member.created").await, 2);
    let rows = world
        .admin()
        .await
        .query(
            "SELECT tenant_id, type FROM terrace_events.log ORDER BY tenant_id = $1 DESC, seq",
            &[&one.as_str()],
        )
        .await
        .unwrap();
    let found: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let expected = [
        (&one, "tasks.billing.entitlement-changed"),
        (&one, "identity.member.created"),
        (&two, "billing.entitlement-changed"),
    ];
    assert_eq!(
        found,
        expected.map(|(tenant, kind)| (tenant.to_string(), kind.to_owned()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_no_tenants_service_cannot_publish() {
    let world = World::new().await;
    world.three_services().await;
    let tenant = world.tenant("acme").await;
    for role in [
        tenant.id.owner_role(),
        tenant.placement.as_ref().unwrap().lane.login.clone(),
    ] {
        let client = world.admin().await;
        client
            .batch_execute(&format!("SET SESSION AUTHORIZATION \"{role}\""))
            .await
            .unwrap();
        for sql in [
            "SELECT terrace_events.publish('[{\"type\":\"a.b\"}]')",
            "SELECT terrace_events.consume(1)",
        ] {
            assert!(client.batch_execute(sql).await.is_err(), "{role}: {sql}");
        }
    }
    assert_eq!(world.count("SELECT count(*) FROM terrace_events.log").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_that_is_rolled_back_leaves_no_hole() {
    let world = World::new().await;
    world.three_services().await;
    let tenant = world.tenant("acme").await.id.clone();
    assert_eq!(publish(&world, &tenant, "tasks", "a.b").await, 1);
    let event = NewEvent::new("a.b", "", "{}").unwrap();
    let mut statements = epilogue(&[event.clone(), event], None);
    // Fails after the numbers were taken, in the flight of the commit.
    statements.push(Trusted {
        sql: "SELECT 1 / $1::bigint",
        params: vec![Value::Integer(0)],
    });
    let transaction = world
        .router
        .begin(&principal(&tenant, "tasks"), deadline())
        .await
        .unwrap();
    assert!(transaction.commit(&statements).await.is_err());
    assert_eq!(publish(&world, &tenant, "tasks", "a.b").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_consumed_once_and_a_second_effect_is_undone() {
    let world = World::new().await;
    world.three_services().await;
    let tenant = world.tenant("acme").await.id.clone();
    world
        .admin()
        .await
        .execute(
            "INSERT INTO terrace_events.cursor (service, tenant_id, seq) VALUES ('billing', $1, 0)",
            &[&tenant.as_str()],
        )
        .await
        .unwrap();
    let billing = principal(&tenant, "billing");
    for (seq, consumed) in [(3, true), (3, false), (2, false), (4, true)] {
        let mut transaction = world.router.begin(&billing, deadline()).await.unwrap();
        let count = "INSERT INTO meter (name, value) VALUES ('tasks', 1) ON CONFLICT (name) DO UPDATE SET value = meter.value + 1";
        transaction.query(count, &[]).await.unwrap();
        let outcome = transaction.commit(&epilogue(&[], Some(seq))).await;
        assert_eq!(outcome.is_ok(), consumed, "{seq}: {outcome:?}");
        if let Err(refused) = outcome {
            assert_eq!(refused.sqlstate.as_deref(), Some(ALREADY_CONSUMED));
        }
    }
    let rows = world
        .router
        .query(&billing, deadline(), "SELECT value FROM meter", &[])
        .await
        .unwrap();
    assert_eq!(rows.rows, [[Value::Integer(2)]]);
}
