//! The laws of delivery, over a real PostgreSQL: in order, exactly once in effect, and never stuck.

#![expect(clippy::unwrap_used, reason = "a test fails where it is surprised")]

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    panic::{AssertUnwindSafe, resume_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::FutureExt;
use terrace_data_router::{Router, Value};
use terrace_data_tenancy::{
    Directory,
    testing::{World, deadline, principal},
};
use terrace_events_dispatch::{Config, Deliver, DeliverError, Dispatcher, Subscriptions};
use terrace_events_log::{Bell, Event, Postgres};
use terrace_events_outbox::{NewEvent, epilogue, last_seq};
use terrace_ground_ids::{ServiceName, TenantId};

const METER: &[(&str, &str)] = &[(
    "0001_meter.sql",
    "CREATE TABLE meter (name text PRIMARY KEY, value bigint NOT NULL); INSERT INTO meter VALUES ('tasks', 0)",
)];

/// What a consumer does with an event, and where it dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Answers 2xx.
    Consumes,
    /// Dies before it commits.
    DiesBefore,
    /// Commits, and then dies before it answers.
    DiesAfter,
    /// Cannot be reached.
    Away,
    /// Its caller panics.
    Panics,
}

/// A service that counts events in its own table, as billing does.
struct Counter {
    router: Router,
    /// The fates of the next tries of each event; then it consumes.
    fates: Mutex<HashMap<u64, Vec<Fate>>>,
    tries: Mutex<Vec<(TenantId, u64)>>,
    at_once: Mutex<BTreeSet<TenantId>>,
    overlaps: AtomicUsize,
}

#[async_trait]
impl Deliver for Counter {
    async fn deliver(&self, service: &ServiceName, tenant: &TenantId, event: &Event) -> Result<(), DeliverError> {
        if !self.at_once.lock().unwrap().insert(tenant.clone()) {
            self.overlaps.fetch_add(1, Ordering::SeqCst);
        }
        self.tries.lock().unwrap().push((tenant.clone(), event.seq));
        let fate = self
            .fates
            .lock()
            .unwrap()
            .get_mut(&event.seq)
            .and_then(Vec::pop)
            .unwrap_or(Fate::Consumes);
        let work = AssertUnwindSafe(self.work(service, tenant, event, fate));
        let outcome = work.catch_unwind().await;
        self.at_once.lock().unwrap().remove(tenant);
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

impl Counter {
    async fn work(
        &self,
        service: &ServiceName,
        tenant: &TenantId,
        event: &Event,
        fate: Fate,
    ) -> Result<(), DeliverError> {
        let failed = |error: terrace_data_router::Error| DeliverError::Failed(error.to_string());
        assert!(fate != Fate::Panics, "a bug of the platform");
        if fate == Fate::Away {
            return Err(DeliverError::Unavailable("away".into()));
        }
        let mut transaction = self
            .router
            .begin(&principal(tenant, service.as_str()), deadline())
            .await
            .map_err(failed)?;
        transaction
            .query("UPDATE meter SET value = value + 1 WHERE name = 'tasks'", &[])
            .await
            .map_err(failed)?;
        if fate == Fate::DiesBefore {
            return Err(DeliverError::Failed("trap".into()));
        }
        transaction
            .commit(&epilogue(&[], Some(event.seq)))
            .await
            .map_err(failed)?;
        match fate {
            Fate::DiesAfter => Err(DeliverError::Failed("trap after the commit".into())),
            _ => Ok(()),
        }
    }
}

struct Stage {
    world: World,
    bell: Bell,
    counter: Arc<Counter>,
}

impl Stage {
    async fn new() -> Self {
        let world = World::new().await;
        world.service("tasks", &[]).await;
        world.service("billing", METER).await;
        let counter = Counter {
            router: world.router.clone(),
            fates: Mutex::default(),
            tries: Mutex::default(),
            at_once: Mutex::default(),
            overlaps: AtomicUsize::default(),
        };
        Self {
            world,
            bell: Bell::new(),
            counter: Arc::new(counter),
        }
    }

    fn dispatcher(&self) -> Arc<Dispatcher> {
        self.dispatcher_with(self.counter.clone(), 4)
    }

    fn dispatcher_with(&self, deliver: Arc<dyn Deliver>, concurrency: usize) -> Arc<Dispatcher> {
        let config = Config {
            backoff_ms: 1,
            backoff_max_ms: 5,
            scan_ms: 20,
            tries_max: 4,
            quantum: 3,
            concurrency,
        };
        let pool = self.world.directory.pool().clone();
        let log = Arc::new(Postgres::new(pool.clone()));
        let subscriptions: Subscriptions = BTreeMap::from([(
            "billing".parse().unwrap(),
            BTreeSet::from(["tasks.task.created".to_owned()]),
        )]);
        Arc::new(
            Dispatcher::new(config, log, self.bell.clone(), pool, deliver, subscriptions).jitter(Arc::new(|wait| wait)),
        )
    }

    async fn publish(&self, tenant: &TenantId, kind: &str, amount: usize) {
        let events = vec![NewEvent::new(kind, "", "{}").unwrap(); amount];
        let transaction = self
            .world
            .router
            .begin(&principal(tenant, "tasks"), deadline())
            .await
            .unwrap();
        let seq = last_seq(&transaction.commit(&epilogue(&events, None)).await.unwrap()).unwrap();
        self.bell.ring(tenant, seq);
    }

    fn fate(&self, seq: u64, mut fates: Vec<Fate>) {
        fates.reverse();
        self.counter.fates.lock().unwrap().insert(seq, fates);
    }

    async fn metered(&self, tenant: &TenantId) -> i64 {
        let rows = self
            .world
            .router
            .query(
                &principal(tenant, "billing"),
                deadline(),
                "SELECT value FROM meter",
                &[],
            )
            .await
            .unwrap();
        match rows.rows[0][0] {
            Value::Integer(value) => value,
            ref other => panic!("{other:?}"),
        }
    }

    /// Waits until billing's cursor is at the end of the tenant's stream.
    async fn drained(&self, tenant: &TenantId) {
        let behind = format!(
            "SELECT last_seq - coalesce((SELECT seq FROM terrace_events.cursor WHERE service = 'billing' AND tenant_id = '{tenant}'), 0)
             FROM terrace_events.stream WHERE tenant_id = '{tenant}'"
        );
        let drained = async {
            while self.world.count(&behind).await > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), drained)
            .await
            .expect("the consumer gets to the end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_happens_once_wherever_the_service_dies() {
    let stage = Stage::new().await;
    let tenant = stage.world.tenant("acme").await.id.clone();
    stage.fate(2, vec![Fate::DiesBefore, Fate::DiesBefore]);
    stage.fate(3, vec![Fate::DiesAfter]);
    stage.fate(4, vec![Fate::Panics]);
    stage.fate(5, vec![Fate::DiesBefore, Fate::DiesAfter]);
    stage.fate(6, vec![Fate::Away; 9]);
    stage.publish(&tenant, "task.created", 8).await;
    let run = tokio::spawn(stage.dispatcher().run());
    stage.drained(&tenant).await;
    run.abort();
    assert_eq!(stage.metered(&tenant).await, 8);
    let tries: Vec<u64> = stage
        .counter
        .tries
        .lock()
        .unwrap()
        .iter()
        .map(|(_, seq)| *seq)
        .collect();
    assert!(tries.is_sorted(), "in order: {tries:?}");
    assert_eq!(
        tries.iter().filter(|seq| **seq == 3).count(),
        1,
        "what had committed is not tried again"
    );
    assert_eq!(
        stage.dispatcher().dead_letters(None, 10).await.unwrap(),
        [],
        "an outage makes no dead letters"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_happens_once_however_often_the_dispatcher_is_killed() {
    let stage = Stage::new().await;
    let tenants = [
        stage.world.tenant("one").await.id.clone(),
        stage.world.tenant("two").await.id.clone(),
    ];
    for tenant in &tenants {
        stage.publish(tenant, "task.created", 60).await;
    }
    for life in 1..12_u64 {
        let run = tokio::spawn(stage.dispatcher().run());
        tokio::time::sleep(Duration::from_millis(life * 7)).await;
        run.abort();
        assert!(run.await.unwrap_err().is_cancelled());
    }
    // A killed delivery leaves its own mark on the test's bookkeeping, and nothing in the database.
    stage.counter.at_once.lock().unwrap().clear();
    let run = tokio::spawn(stage.dispatcher().run());
    for tenant in &tenants {
        stage.drained(tenant).await;
        assert_eq!(stage.metered(tenant).await, 60);
    }
    run.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_always_fails_becomes_a_dead_letter_and_the_stream_goes_on() {
    let stage = Stage::new().await;
    let tenant = stage.world.tenant("acme").await.id.clone();
    stage.fate(2, vec![Fate::DiesBefore; 100]);
    stage.publish(&tenant, "task.created", 3).await;
    let dispatcher = stage.dispatcher();
    let run = tokio::spawn(dispatcher.clone().run());
    stage.drained(&tenant).await;
    run.abort();
    assert_eq!(stage.metered(&tenant).await, 2);
    let letters = dispatcher.dead_letters(Some(&tenant), 10).await.unwrap();
    assert_eq!(
        letters
            .iter()
            .map(|letter| (letter.seq, letter.attempts, letter.error.as_str()))
            .collect::<Vec<_>>(),
        [(2, 4, "trap")]
    );
    assert_eq!(
        stage
            .counter
            .tries
            .lock()
            .unwrap()
            .iter()
            .filter(|(_, seq)| *seq == 2)
            .count(),
        4
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_nobody_consumes_cost_no_delivery_and_do_not_hold_the_cursor() {
    let stage = Stage::new().await;
    let tenant = stage.world.tenant("acme").await.id.clone();
    let run = tokio::spawn(stage.dispatcher().run());
    stage.publish(&tenant, "task.moved", 500).await;
    stage.publish(&tenant, "task.created", 1).await;
    stage.publish(&tenant, "task.moved", 3).await;
    stage.drained(&tenant).await;
    run.abort();
    assert_eq!(*stage.counter.tries.lock().unwrap(), [(tenant.clone(), 501)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_share_the_work_and_never_work_on_one_tenant_at_once() {
    let stage = Stage::new().await;
    let mut tenants = Vec::new();
    for index in 0..4 {
        tenants.push(stage.world.tenant(&format!("tenant-{index}")).await.id.clone());
    }
    let runs = [
        tokio::spawn(stage.dispatcher().run()),
        tokio::spawn(stage.dispatcher().run()),
    ];
    for _ in 0..10 {
        for tenant in &tenants {
            stage.publish(tenant, "task.created", 2).await;
        }
    }
    for tenant in &tenants {
        stage.drained(tenant).await;
        assert_eq!(stage.metered(tenant).await, 20);
    }
    runs.iter().for_each(tokio::task::JoinHandle::abort);
    assert_eq!(stage.counter.overlaps.load(Ordering::SeqCst), 0);
    assert_eq!(stage.counter.tries.lock().unwrap().len(), 80);
}

/// Deletes a tenant while its event is being delivered, and says that all is well.
struct Deleter {
    directory: Arc<Directory>,
    doomed: TenantId,
}

#[async_trait]
impl Deliver for Deleter {
    async fn deliver(&self, _: &ServiceName, tenant: &TenantId, _: &Event) -> Result<(), DeliverError> {
        if *tenant == self.doomed {
            self.directory.delete_tenant(tenant, "test").await.unwrap();
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_is_deleted_during_a_delivery_gets_no_cursor() {
    let stage = Stage::new().await;
    let (doomed, other) = (
        stage.world.tenant("doomed").await.id.clone(),
        stage.world.tenant("other").await.id.clone(),
    );
    stage.publish(&doomed, "task.created", 1).await;
    let directory = stage.world.directory.clone();
    let deleter = Arc::new(Deleter {
        directory,
        doomed: doomed.clone(),
    });
    // With one worker, the other tenant's turn comes when the first one's is over.
    let run = tokio::spawn(stage.dispatcher_with(deleter, 1).run());
    let gone = async {
        while stage.world.directory.tenants().by_id(&doomed).is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
    stage.publish(&other, "task.created", 1).await;
    stage.drained(&other).await;
    run.abort();
    let left = format!("SELECT count(*) FROM terrace_events.cursor WHERE tenant_id = '{doomed}'");
    assert_eq!(stage.world.count(&left).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_tenants_events_wait_are_not_too_old_and_are_delivered_once_after_it_resumes() {
    use terrace_events_log::{Log, Retention};

    let stage = Stage::new().await;
    let (held, other) = (
        stage.world.tenant("held").await.id.clone(),
        stage.world.tenant("other").await.id.clone(),
    );
    stage.publish(&held, "task.created", 3).await;
    stage.world.directory.suspend_tenant(&held, "Olga").await.unwrap();
    // With one worker, the other tenant's events come when the held one had its turn.
    let run = tokio::spawn(stage.dispatcher_with(stage.counter.clone(), 1).run());
    for _ in 0..3 {
        stage.bell.ring(&held, 3);
        stage.publish(&other, "task.created", 5).await;
        stage.drained(&other).await;
    }
    assert_eq!(stage.metered(&held).await, 0);
    assert!(
        stage
            .counter
            .tries
            .lock()
            .unwrap()
            .iter()
            .all(|(tenant, _)| *tenant == other)
    );
    let old = "UPDATE terrace_events.log SET at = now() - interval '400 days'";
    stage.world.admin().await.batch_execute(old).await.unwrap();
    Postgres::new(stage.world.directory.pool().clone())
        .retention(Retention::default())
        .await
        .unwrap();
    stage.world.directory.resume_tenant(&held, "Olga").await.unwrap();
    stage.drained(&held).await;
    assert_eq!(stage.metered(&held).await, 3);
    run.abort();
}
