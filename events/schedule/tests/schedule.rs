//! The laws of scheduled work, over a real PostgreSQL: with its data or not at all, not lost, not early,
//! not more than may wait, and no tenant before another.

#![expect(clippy::unwrap_used, reason = "a test fails where it is surprised")]

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use terrace_data_router::{Error, ErrorKind};
use terrace_data_tenancy::testing::{World, deadline, principal};
use terrace_events_dispatch::DeliverError;
use terrace_events_outbox::{Effect, NewJob, epilogue_of};
use terrace_events_schedule::{Config, Job, Recurring, Scheduler, Work};
use terrace_ground_ids::{ServiceName, TenantId};
use tokio::sync::Notify;

/// Remembers what it was asked to do, and fails as it is told.
#[derive(Default)]
struct Worker {
    asked: Mutex<Vec<(TenantId, Job)>>,
    /// Failures that are left, by the name of the job.
    failures: Mutex<HashMap<String, Vec<DeliverError>>>,
    /// A job of this name is never answered.
    stuck: Mutex<HashSet<String>>,
    changed: Notify,
}

#[async_trait]
impl Work for Worker {
    async fn work(&self, _: &ServiceName, tenant: &TenantId, job: &Job) -> Result<(), DeliverError> {
        self.asked.lock().unwrap().push((tenant.clone(), job.clone()));
        self.changed.notify_waiters();
        if self.stuck.lock().unwrap().contains(&job.name) {
            std::future::pending::<()>().await;
        }
        let failure = self.failures.lock().unwrap().get_mut(&job.name).and_then(Vec::pop);
        failure.map_or(Ok(()), Err)
    }
}

impl Worker {
    fn asked(&self) -> Vec<(TenantId, Job)> {
        self.asked.lock().unwrap().clone()
    }

    fn names(&self) -> Vec<String> {
        self.asked().into_iter().map(|(_, job)| job.name).collect()
    }

    /// Waits until so many were asked for.
    async fn until(&self, count: usize) {
        let patience = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            let changed = self.changed.notified();
            if self.asked.lock().unwrap().len() >= count {
                return;
            }
            let outcome = tokio::time::timeout_at(patience, changed).await;
            assert!(
                outcome.is_ok(),
                "waited 30 s for {count} jobs, and saw {:?}",
                self.names()
            );
        }
    }
}

struct Stage {
    world: World,
    worker: Arc<Worker>,
}

impl Stage {
    async fn new() -> Self {
        let world = World::new().await;
        world
            .service("tasks", &[("0001_a.sql", "CREATE TABLE note (text text)")])
            .await;
        Self {
            world,
            worker: Arc::default(),
        }
    }

    async fn tenant(&self, slug: &str) -> TenantId {
        self.world.tenant(slug).await.id.clone()
    }

    fn scheduler(&self) -> Arc<Scheduler> {
        let config = Config {
            backoff_ms: 1,
            backoff_max_ms: 5,
            scan_ms: 20,
            tries_max: 3,
            quantum: 3,
            ..Config::default()
        };
        let pool = self.world.directory.pool().clone();
        Arc::new(Scheduler::new(config, pool, self.worker.clone()))
    }

    /// Schedules in one transaction.
    async fn commit(&self, tenant: &TenantId, jobs: impl IntoIterator<Item = NewJob>) -> Result<(), Error> {
        let transaction = self
            .world
            .router
            .begin(&principal(tenant, "tasks"), deadline())
            .await
            .unwrap();
        let effects: Vec<Effect> = jobs.into_iter().map(Effect::Job).collect();
        transaction.commit(&epilogue_of(&effects, None)).await.map(drop)
    }

    async fn count(&self, sql: &str) -> i64 {
        self.world.admin().await.query_one(sql, &[]).await.unwrap().get(0)
    }

    /// Waits until the database says so.
    async fn until(&self, sql: &str, expected: i64) {
        let patience = tokio::time::Instant::now() + Duration::from_secs(30);
        while self.count(sql).await != expected {
            assert!(
                tokio::time::Instant::now() < patience,
                "waited 30 s until {sql} is {expected}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

const WAITING: &str = "SELECT count(*) FROM terrace_events.job WHERE dead_at IS NULL AND cron IS NULL";
const COUNTED: &str = "SELECT coalesce(sum(jobs), 0)::bigint FROM terrace_events.pending";

fn job(name: &str, key: &str, delay_ms: u64) -> NewJob {
    NewJob::new(name, key, "{\"a\":1}", delay_ms).unwrap()
}

#[tokio::test]
async fn a_job_commits_with_its_data_and_comes_once_it_is_due() {
    let stage = Stage::new().await;
    let acme = stage.tenant("acme").await;
    // Rolled back: never.
    let mut transaction = stage
        .world
        .router
        .begin(&principal(&acme, "tasks"), deadline())
        .await
        .unwrap();
    transaction.query("INSERT INTO note VALUES ('x')", &[]).await.unwrap();
    drop(transaction);
    stage
        .commit(
            &acme,
            [
                job("soon", "7", 0),
                job("far", "", 3_600_000),
                job("gone", "1", 0),
                job("gone", "2", 3_600_000),
            ],
        )
        .await
        .unwrap();
    stage
        .commit(
            &acme,
            [
                NewJob::cancel("gone", "1").unwrap(),
                NewJob::cancel("gone", "2").unwrap(),
                NewJob::cancel("never", "3").unwrap(),
            ],
        )
        .await
        .unwrap();
    assert_eq!((stage.count(WAITING).await, stage.count(COUNTED).await), (2, 2));

    let running = tokio::spawn(stage.scheduler().run());
    stage.worker.until(1).await;
    stage.until(WAITING, 1).await;
    running.abort();
    let [(tenant, done)] = <[_; 1]>::try_from(stage.worker.asked()).unwrap();
    assert_eq!(
        (tenant, done.name.as_str(), done.key.as_str(), done.attempt),
        (acme, "soon", "7", 1)
    );
    assert_eq!(done.payload, "{\"a\": 1}");
    assert_eq!(stage.count(COUNTED).await, 1, "the far one");
}

#[tokio::test]
async fn a_job_that_fails_comes_again_under_the_same_id_and_is_given_up_in_the_end() {
    let stage = Stage::new().await;
    let acme = stage.tenant("acme").await;
    let failed = || DeliverError::Failed("trap".to_owned());
    let away = || DeliverError::Unavailable("away".to_owned());
    *stage.worker.failures.lock().unwrap() = HashMap::from([
        ("twice".to_owned(), vec![failed(), away(), away(), failed()]),
        ("always".to_owned(), vec![failed(), failed(), failed(), failed()]),
    ]);
    stage.commit(&acme, [job("twice", "", 0)]).await.unwrap();
    stage.commit(&acme, [job("always", "k", 0)]).await.unwrap();
    let running = tokio::spawn(stage.scheduler().run());
    stage.until(WAITING, 0).await;
    running.abort();
    let asked = stage.worker.asked();
    for (name, attempts) in [("twice", vec![1, 2, 2, 2, 3]), ("always", vec![1, 2, 3])] {
        let of: Vec<&Job> = asked
            .iter()
            .map(|(_, job)| job)
            .filter(|job| job.name == name)
            .collect();
        // What could not be called at all does not count as a try.
        assert_eq!(of.iter().map(|job| job.attempt).collect::<Vec<_>>(), attempts, "{name}");
        assert!(of.iter().all(|job| job.id == of[0].id), "{name}");
    }
    let dead = "SELECT count(*) FROM terrace_events.job WHERE dead_at IS NOT NULL AND name = 'always' AND error = 'trap' AND attempts = 3";
    assert_eq!((stage.count(dead).await, stage.count(COUNTED).await), (1, 0));
    // Its key is free again.
    stage.commit(&acme, [job("always", "k", 3_600_000)]).await.unwrap();
    assert_eq!(stage.count(COUNTED).await, 1);
}

#[tokio::test]
async fn a_job_under_way_when_its_node_dies_comes_again() {
    let stage = Stage::new().await;
    let acme = stage.tenant("acme").await;
    stage.commit(&acme, [job("work", "", 0)]).await.unwrap();
    stage.worker.stuck.lock().unwrap().insert("work".to_owned());
    let first = tokio::spawn(stage.scheduler().run());
    stage.worker.until(1).await;
    first.abort();
    drop(first.await);
    stage.worker.stuck.lock().unwrap().clear();
    let second = tokio::spawn(stage.scheduler().run());
    stage.until(WAITING, 0).await;
    second.abort();
    let asked = stage.worker.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].1.id, asked[1].1.id);
}

#[tokio::test]
async fn a_later_job_of_the_same_key_replaces_the_one_that_waits_even_while_that_is_done() {
    let stage = Stage::new().await;
    let acme = stage.tenant("acme").await;
    stage.commit(&acme, [job("remind", "7", 3_600_000)]).await.unwrap();
    stage
        .commit(
            &acme,
            [
                job("remind", "7", 0),
                job("remind", "8", 3_600_000),
                job("remind", "", 3_600_000),
            ],
        )
        .await
        .unwrap();
    assert_eq!((stage.count(WAITING).await, stage.count(COUNTED).await), (3, 3));
    stage.worker.stuck.lock().unwrap().insert("remind".to_owned());
    let first = tokio::spawn(stage.scheduler().run());
    stage.worker.until(1).await;
    // While it is being done, it is moved: the new one stays.
    stage.commit(&acme, [job("remind", "7", 0)]).await.unwrap();
    first.abort();
    drop(first.await);
    stage.worker.stuck.lock().unwrap().clear();
    let second = tokio::spawn(stage.scheduler().run());
    stage.until(WAITING, 2).await;
    second.abort();
    let ids: Vec<String> = stage.worker.asked().into_iter().map(|(_, job)| job.id).collect();
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0], ids[1], "a replaced job is another job");
    assert_eq!(stage.count(COUNTED).await, 2);
}

#[tokio::test]
async fn so_many_jobs_of_a_tenant_may_wait_and_a_commit_over_that_says_so() {
    let stage = Stage::new().await;
    let (acme, globex) = (stage.tenant("acme").await, stage.tenant("globex").await);
    for _ in 0..10 {
        stage
            .commit(&acme, (0..1_000).map(|_| job("work", "", 3_600_000)))
            .await
            .unwrap();
    }
    let mut transaction = stage
        .world
        .router
        .begin(&principal(&acme, "tasks"), deadline())
        .await
        .unwrap();
    transaction.query("INSERT INTO note VALUES ('x')", &[]).await.unwrap();
    let refused = transaction
        .commit(&epilogue_of(&[Effect::Job(job("work", "", 0))], None))
        .await
        .unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Limit);
    assert!(
        refused
            .message
            .starts_with("at most 10000 jobs of one tenant may wait, and 10000 do"),
        "{}",
        refused.message
    );
    let note = format!("SELECT count(*) FROM \"{}\".note", principal(&acme, "tasks").schema());
    assert_eq!(stage.count(&note).await, 0, "the data is rolled back with it");
    stage.commit(&globex, [job("work", "", 3_600_000)]).await.unwrap();
    assert_eq!(
        (stage.count(WAITING).await, stage.count(COUNTED).await),
        (10_001, 10_001)
    );
}

#[tokio::test]
async fn a_tenant_with_thousands_of_jobs_keeps_nobody_waiting() {
    let stage = Stage::new().await;
    let (acme, globex) = (stage.tenant("acme").await, stage.tenant("globex").await);
    stage
        .commit(&acme, (0..1_000).map(|_| job("much", "", 0)))
        .await
        .unwrap();
    let running = tokio::spawn(stage.scheduler().run());
    stage.worker.until(1).await;
    stage.commit(&globex, [job("one", "", 0)]).await.unwrap();
    let one = "SELECT count(*) FROM terrace_events.job WHERE name = 'one'";
    stage.until(one, 0).await;
    assert!(stage.count(WAITING).await > 0, "the thousand were done before the one");
    running.abort();
}

#[tokio::test]
async fn what_a_manifest_asks_for_is_done_for_each_tenant_at_each_moment() {
    let stage = Stage::new().await;
    let (acme, globex) = (stage.tenant("acme").await, stage.tenant("globex").await);
    let line = |name: &str, cron: &str| Recurring {
        service: "tasks".parse().unwrap(),
        name: name.to_owned(),
        cron: cron.parse().unwrap(),
    };
    let scheduler = stage.scheduler();
    let running = tokio::spawn(scheduler.clone().run());
    scheduler.recur(vec![line("report", "0 3 1 1 *"), line("old", "0 3 1 1 *")]);
    let jobs = "SELECT count(*) FROM terrace_events.job WHERE cron IS NOT NULL";
    stage.until(jobs, 4).await;
    assert_eq!(stage.worker.names(), Vec::<String>::new(), "not before its moment");
    // Its moment came while nobody looked, several times: it is done once, and the next one is ahead.
    let late = "UPDATE terrace_events.job SET due_at = now() - interval '3 years', next_at = now() - interval '3 years' WHERE name = 'report'";
    stage.world.admin().await.execute(late, &[]).await.unwrap();
    stage.worker.until(2).await;
    let ahead = "SELECT count(*) FROM terrace_events.job WHERE name = 'report' AND next_at > now() AND attempts = 0";
    stage.until(ahead, 2).await;
    let tenants: HashSet<TenantId> = stage.worker.asked().into_iter().map(|(tenant, _)| tenant).collect();
    assert_eq!(tenants, HashSet::from([acme, globex]));
    assert_eq!(stage.worker.asked().len(), 2);
    // Another release: one line is gone, one is new. A tenant that comes later gets it too.
    scheduler.recur(vec![line("report", "0 4 1 1 *"), line("new", "0 3 1 1 *")]);
    stage
        .until("SELECT count(*) FROM terrace_events.job WHERE name = 'old'", 0)
        .await;
    stage
        .until(
            "SELECT count(*) FROM terrace_events.job WHERE cron = '0 4 1 1 *' AND next_at > now()",
            2,
        )
        .await;
    stage.tenant("initech").await;
    scheduler.recur(vec![line("report", "0 4 1 1 *"), line("new", "0 3 1 1 *")]);
    stage.until(jobs, 6).await;
    // One that is being moved here gets them by the replication, and from nobody else.
    let moved = stage.tenant("umbrella").await;
    let follow = format!(
        "CREATE SUBSCRIPTION \"move_{moved}\" CONNECTION 'dbname=none' PUBLICATION none WITH (connect = false, slot_name = NONE)"
    );
    stage.world.admin().await.batch_execute(&follow).await.unwrap();
    scheduler.recur(vec![
        line("report", "0 4 1 1 *"),
        line("new", "0 3 1 1 *"),
        line("newer", "0 3 1 1 *"),
    ]);
    stage.until(jobs, 9).await;
    assert_eq!(stage.count(&format!("{jobs} AND tenant_id = '{moved}'")).await, 0);
    running.abort();
    assert_eq!(
        stage.count(COUNTED).await,
        0,
        "what a manifest asks for takes no tenant's room"
    );
}

#[tokio::test]
async fn a_tenant_that_is_deleted_takes_its_jobs_along_and_a_role_of_nobody_schedules_nothing() {
    let stage = Stage::new().await;
    let acme = stage.tenant("acme").await;
    stage.commit(&acme, [job("work", "", 0)]).await.unwrap();
    let refused = stage
        .world
        .admin()
        .await
        .execute("SELECT terrace_events.schedule('[]')", &[])
        .await
        .unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "42501");
    stage.world.directory.delete_tenant(&acme, "test").await.unwrap();
    assert_eq!((stage.count(WAITING).await, stage.count(COUNTED).await), (0, 0));
}
