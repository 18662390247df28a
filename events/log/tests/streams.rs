//! The laws of a tenant's stream, over a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test fails where it is surprised")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use terrace_data_router::{Router, Trusted, Value};
use terrace_data_tenancy::testing::{World, deadline, principal};
use terrace_events_log::{Bell, Config, Event, Log, Postgres, Retention, Span, poll};
use terrace_events_outbox::{NewEvent, epilogue, last_seq};
use terrace_ground_ids::TenantId;

async fn world() -> (World, Arc<Postgres>) {
    let world = World::new().await;
    world.service("tasks", &[]).await;
    let log = Arc::new(Postgres::new(world.directory.pool().clone()));
    (world, log)
}

async fn publish(router: &Router, tenant: &TenantId, kinds: &[&str], data: &str) -> u64 {
    let events: Vec<_> = kinds
        .iter()
        .map(|kind| NewEvent::new(kind, "board/7", data).unwrap())
        .collect();
    let transaction = router.begin(&principal(tenant, "tasks"), deadline()).await.unwrap();
    last_seq(&transaction.commit(&epilogue(&events, None)).await.unwrap()).unwrap()
}

async fn fail(router: &Router, tenant: &TenantId) {
    let mut statements = epilogue(&[NewEvent::new("never", "", "{}").unwrap()], None);
    statements.push(Trusted {
        sql: "SELECT 1 / $1::bigint",
        params: vec![Value::Integer(0)],
    });
    let transaction = router.begin(&principal(tenant, "tasks"), deadline()).await.unwrap();
    assert!(transaction.commit(&statements).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_at_once_give_a_dense_sequence_of_which_a_reader_skips_nothing() {
    const PUBLISHERS: usize = 6;
    const COMMITS: usize = 40;
    let (world, log) = world().await;
    let tenant = world.tenant("acme").await.id.clone();
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let (router, tenant) = (world.router.clone(), tenant.clone());
            tokio::spawn(async move {
                for commit in 0..COMMITS {
                    publish(&router, &tenant, &["a", "b"], &format!("[{publisher},{commit}]")).await;
                    if commit % 5 == 0 {
                        fail(&router, &tenant).await;
                    }
                }
            })
        })
        .collect();
    // The reader runs while they write.
    let mut seen: Vec<Event> = Vec::new();
    let all = PUBLISHERS * COMMITS * 2;
    let deadline = Instant::now() + Duration::from_secs(60);
    while seen.len() < all {
        let after = seen.last().map_or(0, |event| event.seq);
        seen.extend(log.read(&tenant, after, 7).await.unwrap());
        assert!(Instant::now() < deadline, "the reader is stuck at {after}");
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
    assert!(
        seen.iter().zip(1..).all(|(event, seq)| event.seq == seq),
        "dense, in order"
    );
    assert_eq!(log.head(&tenant).await.unwrap(), all as u64);
    for publisher in 0..PUBLISHERS {
        let own: Vec<usize> = seen
            .iter()
            .filter(|event| event.data.starts_with(&format!("[{publisher},")) && event.kind == "tasks.a")
            .map(|event| {
                event.data[1..event.data.len() - 1]
                    .split(',')
                    .nth(1)
                    .unwrap()
                    .trim()
                    .parse()
                    .unwrap()
            })
            .collect();
        assert_eq!(
            own,
            (0..COMMITS).collect::<Vec<_>>(),
            "the order of commits is the order of numbers"
        );
    }
    assert!(
        seen.windows(2)
            .all(|pair| pair[0].seq % 2 == 0 || (pair[0].kind == "tasks.a" && pair[1].kind == "tasks.b")),
        "a batch stays together"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_transaction_of_one_tenant_does_not_hold_the_stream_of_another() {
    let (world, log) = world().await;
    let (slow, quick) = (
        world.tenant("slow").await.id.clone(),
        world.tenant("quick").await.id.clone(),
    );
    // It has taken its number, and does not commit.
    let mut admin = world.admin().await;
    let open = admin.transaction().await.unwrap();
    open.batch_execute(&format!(
        "SET LOCAL ROLE \"{slow}_tasks\"; SELECT terrace_events.publish('[{{\"type\":\"a\"}}]')"
    ))
    .await
    .unwrap();
    assert_eq!(publish(&world.router, &quick, &["a"], "{}").await, 1);
    assert_eq!(log.read(&quick, 0, 10).await.unwrap().len(), 1);
    assert!(log.read(&slow, 0, 10).await.unwrap().is_empty());
    open.commit().await.unwrap();
    assert_eq!(log.read(&slow, 0, 10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_removes_the_old_beginning_but_not_what_a_consumer_has_still_to_read() {
    let (world, log) = world().await;
    let tenant = world.tenant("acme").await.id.clone();
    for _ in 0..10 {
        publish(&world.router, &tenant, &["a"], "{}").await;
    }
    let admin = world.admin().await;
    let age = "UPDATE terrace_events.log SET at = now() - interval '2 days' WHERE seq <= 6;
               INSERT INTO terrace_events.cursor (service, tenant_id, seq) SELECT 'tasks', tenant_id, 4 FROM terrace_events.stream";
    admin.batch_execute(age).await.unwrap();
    let retention = Retention {
        keep_hours: 24,
        keep_unconsumed_hours: 72,
    };
    assert_eq!(log.retention(retention).await.unwrap(), 4);
    assert_eq!(log.span(&tenant).await.unwrap(), Span { first: 5, last: 10 });
    assert_eq!(log.retention(retention).await.unwrap(), 0);
    assert_eq!(
        log.retention(Retention {
            keep_hours: 24,
            keep_unconsumed_hours: 24
        })
        .await
        .unwrap(),
        2
    );
    assert_eq!(log.span(&tenant).await.unwrap(), Span { first: 7, last: 10 });
    assert_eq!(log.read(&tenant, 6, 10).await.unwrap().len(), 4);
    assert!(
        log.read(&tenant, 2, 10).await.unwrap().is_empty(),
        "no silent jump over what was deleted"
    );
    assert_eq!(publish(&world.router, &tenant, &["a"], "{}").await, 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selection_looks_past_what_nobody_asked_for() {
    let (world, log) = world().await;
    let tenant = world.tenant("acme").await.id.clone();
    publish(&world.router, &tenant, &["a", "b", "a", "b", "a"], r#"{"n":1.50}"#).await;
    let kinds = ["tasks.b".to_owned()];
    let one = log.select(&tenant, 0, &kinds, 1).await.unwrap();
    assert_eq!((one.events[0].seq, one.upto), (2, 2));
    let rest = log.select(&tenant, 2, &kinds, 10).await.unwrap();
    assert_eq!((rest.events.len(), rest.events[0].seq, rest.upto), (1, 4, 5));
    assert_eq!(log.select(&tenant, 5, &kinds, 10).await.unwrap().upto, 5);
    assert_eq!(rest.events[0].data, r#"{"n": 1.50}"#, "numbers are not rounded");
    assert!(rest.events[0].time.ends_with('Z'));
    assert_eq!(log.span(&TenantId::random()).await.unwrap(), Span { first: 1, last: 0 });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_poller_rings_for_what_another_node_committed() {
    let (world, log) = world().await;
    let tenant = world.tenant("acme").await.id.clone();
    let bell = Bell::new();
    let mut listener = bell.subscribe(&tenant);
    let poller = tokio::spawn(poll(log, bell.clone(), Config { poll_ms: 10 }));
    publish(&world.router, &tenant, &["a"], "{}").await;
    tokio::time::timeout(Duration::from_secs(5), listener.past(0))
        .await
        .unwrap();
    assert_eq!(listener.head(), 1);
    poller.abort();
}
