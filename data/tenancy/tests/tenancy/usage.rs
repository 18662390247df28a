//! What tenants used: added up by hour, told once, and kept for a time.

use jiff::{SignedDuration, Timestamp};
use terrace_data_tenancy::{Amounts, Directory, Usage, UsageFilter, testing::World};
use terrace_ground_ids::TenantId;

fn usage(tenant: &TenantId, service: &str, requests: i64, memory_peak_bytes: i64) -> Usage {
    Usage {
        tenant: tenant.clone(),
        service: service.parse().unwrap(),
        amounts: Amounts {
            requests,
            cpu_us: requests * 100,
            memory_peak_bytes,
            ..Amounts::default()
        },
    }
}

fn lately() -> UsageFilter {
    let now = Timestamp::now();
    UsageFilter {
        from: now - SignedDuration::from_hours(24),
        until: now + SignedDuration::from_hours(24),
        ..UsageFilter::default()
    }
}

/// Tenant, service, requests and peak of every row.
async fn rows(directory: &Directory, filter: &UsageFilter) -> Vec<(TenantId, String, i64, i64)> {
    let rows = directory.usage(filter).await.unwrap();
    rows.into_iter()
        .map(|row| {
            let Usage {
                tenant,
                service,
                amounts,
            } = row.usage;
            (tenant, service.to_string(), amounts.requests, amounts.memory_peak_bytes)
        })
        .collect()
}

async fn events(world: &World, tenant: &TenantId) -> Vec<(i64, String, serde_json::Value)> {
    let rows = world
        .admin()
        .await
        .query(
            "SELECT seq, type, data::text FROM terrace_events.log WHERE tenant_id = $1 AND type LIKE 'terrace.%' ORDER BY seq",
            &[&tenant.as_str()],
        )
        .await
        .unwrap();
    rows.iter()
        .map(|row| (row.get(0), row.get(1), serde_json::from_str(row.get(2)).unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_add_to_the_same_hour_and_the_sum_is_the_sum() {
    let world = World::new().await;
    let (one, two) = (
        world.tenant("one").await.id.clone(),
        world.tenant("two").await.id.clone(),
    );
    let (first, second) = (&world.directory, world.another_node().await);
    first.add_usage(&[]).await.unwrap();
    for round in 0..10 {
        let nobody = usage(&TenantId::random(), "tasks", 9, 9);
        let mine = [usage(&one, "tasks", 3, 10 + round), usage(&two, "tasks", 1, 5), nobody];
        let theirs = [usage(&two, "tasks", 1, 7), usage(&one, "tasks", 2, 1)];
        let (a, b) = tokio::join!(first.add_usage(&mine), second.add_usage(&theirs));
        a.unwrap();
        b.unwrap();
    }
    assert_eq!(
        rows(first, &lately()).await,
        [
            (one.clone(), "tasks".to_owned(), 50, 19),
            (two.clone(), "tasks".to_owned(), 20, 7)
        ]
    );
    let of_two = UsageFilter {
        tenant: Some(two.clone()),
        ..lately()
    };
    assert_eq!(rows(first, &of_two).await.len(), 1);
    let of_billing = UsageFilter {
        service: Some("billing".parse().unwrap()),
        ..lately()
    };
    assert!(rows(first, &of_billing).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_that_is_over_is_told_once_to_its_own_tenant() {
    let world = World::new().await;
    world.three_services().await;
    let (one, two) = (
        world.tenant("one").await.id.clone(),
        world.tenant("two").await.id.clone(),
    );
    let directory = &world.directory;
    let gone = world.tenant("gone").await.id.clone();
    directory.delete_tenant(&gone, "Olga").await.unwrap();
    let all = [
        usage(&one, "tasks", 3, 10),
        usage(&one, "billing", 1, 10),
        usage(&two, "tasks", 5, 10),
        usage(&gone, "tasks", 7, 10),
    ];
    directory.add_usage(&all).await.unwrap();
    assert_eq!(directory.publish_usage().await.unwrap(), None, "the hour goes on");
    let admin = world.admin().await;
    admin
        .batch_execute("UPDATE terrace.usage SET hour = hour - interval '2 hours'")
        .await
        .unwrap();

    // Somebody holds the counter of the first tenant's stream. The other one is told all the same.
    let mut holder = world.admin().await;
    let held = holder.transaction().await.unwrap();
    held.execute(
        "SELECT 1 FROM terrace_events.stream WHERE tenant_id = $1 FOR UPDATE",
        &[&one.as_str()],
    )
    .await
    .unwrap();
    assert_eq!(
        directory.publish_usage().await.unwrap().map(|(tenant, _)| tenant),
        Some(two.clone())
    );
    assert_eq!(directory.publish_usage().await.unwrap(), None);
    held.rollback().await.unwrap();
    let (told, seq) = directory.publish_usage().await.unwrap().unwrap();
    assert_eq!(told, one);
    assert_eq!(directory.publish_usage().await.unwrap(), None, "once");

    let said = events(&world, &one).await;
    assert_eq!(said.len(), 2);
    assert_eq!(u64::try_from(said[1].0).unwrap(), seq);
    assert!(said.iter().all(|(_, kind, _)| kind == "terrace.usage.recorded"));
    let summary: Vec<_> = said
        .iter()
        .map(|(_, _, data)| (data["service"].as_str().unwrap(), data["requests"].as_i64().unwrap()))
        .collect();
    assert_eq!(summary, [("billing", 1), ("tasks", 3)]);
    assert_eq!(events(&world, &two).await[0].2["cpu_us"], 500);

    // Each hour by itself, and old ones go.
    let hourly = UsageFilter {
        is_hourly: true,
        ..lately()
    };
    directory.add_usage(&all[..1]).await.unwrap();
    assert_eq!(directory.usage(&hourly).await.unwrap().len(), 5);
    assert_eq!(directory.forget_usage(1).await.unwrap(), 0);
    admin
        .batch_execute("UPDATE terrace.usage SET hour = hour - interval '40 days' WHERE tenant = (SELECT id FROM terrace.tenant WHERE slug = 'two')")
        .await
        .unwrap();
    assert_eq!(directory.forget_usage(30).await.unwrap(), 1);
}
