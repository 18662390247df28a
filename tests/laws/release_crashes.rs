//! kill -9 at each step of a deploy and of a rollback: the service answers afterwards, by the old
//! release or the new one as the directory says, and the same command again finishes.
//!
//! A step is held open by a lock in the database, on what that step writes next. Nothing in the node
//! knows of it.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use terrace_tests_harness::{Client, Part, Session, Terrace};
use tokio::task::JoinHandle;
use tokio_postgres::Client as Database;

use crate::{
    releases::{Bundle, HOSTILE, service, status},
    stage::hostile,
    wait::until,
};

/// Where the node is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The component is in the object store, its row is not.
    Storing,
    /// One tenant has the migration, the other has not.
    Migrating,
    /// The release is ready, and the pointer is not switched.
    Locking,
    /// In the transaction that switches the pointer.
    Switching,
    /// The pointer is switched, and the node does not know it yet.
    Switched,
}

/// Holds a step open while it lives: dropping it ends its transactions.
struct Held {
    holders: Vec<Database>,
}

impl Held {
    async fn lock(&mut self, terrace: &Terrace, sql: &str) {
        let holder = terrace.database().await.unwrap();
        holder.batch_execute(&format!("BEGIN; {sql}")).await.unwrap();
        self.holders.push(holder);
    }
}

/// Until a statement like this waits for a lock of ours.
async fn waits(watcher: &Database, statement: &str) {
    let sql = "SELECT count(*) FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND query ILIKE $1 AND pid <> pg_backend_pid()";
    until(&format!("`{statement}` waits"), || async {
        let row = watcher.query_one(sql, &[&statement]).await.unwrap();
        (row.get::<_, i64>(0) > 0).then_some(())
    })
    .await;
}

async fn current(watcher: &Database) -> String {
    let sql = "SELECT current FROM terrace.service WHERE name = 'hostile'";
    watcher.query_one(sql, &[]).await.unwrap().get(0)
}

/// Sends `request` and kills the node when it has come as far as `step`. The answer is whatever the edge
/// makes of it.
async fn killed_at(step: Step, terrace: &mut Terrace, watcher: &Database, client: &Client, path: &str, body: Value) {
    const HISTORY: &str = "LOCK TABLE terrace.release_history IN EXCLUSIVE MODE";
    let mut held = Held { holders: Vec::new() };
    let before = current(watcher).await;
    match step {
        Step::Storing | Step::Locking => {
            let row = "SELECT FROM terrace.service WHERE name = 'hostile' FOR UPDATE";
            held.lock(terrace, row).await;
        }
        Step::Migrating => {
            // The tenant that is migrated last.
            let last = "SELECT p.role FROM terrace_events.principal p JOIN terrace.tenant t ON t.id = p.tenant_id
                WHERE p.service = 'hostile' ORDER BY t.created_at DESC, t.id DESC LIMIT 1";
            let schema: String = watcher.query_one(last, &[]).await.unwrap().get(0);
            let table = format!("LOCK TABLE {schema}.counter IN ACCESS EXCLUSIVE MODE");
            held.lock(terrace, &table).await;
        }
        Step::Switching | Step::Switched => held.lock(terrace, HISTORY).await,
    }
    let sent: JoinHandle<_> = tokio::spawn({
        let (client, path) = (client.clone(), path.to_owned());
        async move { client.control(Method::POST, &path, Some(body)).await }
    });
    match step {
        Step::Storing => waits(watcher, "INSERT INTO terrace.service%").await,
        Step::Migrating => {
            waits(watcher, "%ALTER TABLE%").await;
            let migrated = "SELECT count(*) FROM terrace.migration m WHERE number = 3 AND schema LIKE '%hostile'
                AND EXISTS (SELECT FROM terrace.tenant t WHERE starts_with(m.schema, t.id || '_'))";
            until("one tenant of two is migrated", || async {
                let done: i64 = watcher.query_one(migrated, &[]).await.unwrap().get(0);
                (done == 1).then_some(())
            })
            .await;
        }
        Step::Locking => waits(watcher, "SELECT current FROM terrace.service%FOR UPDATE").await,
        Step::Switching => waits(watcher, "INSERT INTO terrace.release_history%").await,
        Step::Switched => {
            waits(watcher, "INSERT INTO terrace.release_history%").await;
            // What the node reads to learn of the switch, and the switch itself does not.
            held.lock(terrace, "LOCK TABLE terrace.cluster IN ACCESS EXCLUSIVE MODE")
                .await;
            drop(held.holders.remove(0));
            until("the pointer is switched", || async {
                (current(watcher).await != before).then_some(())
            })
            .await;
        }
    }
    assert!(!sent.is_finished(), "{step:?}: it was not held: {:?}", sent.await);
    terrace.kill(Part::Node).await.unwrap();
    drop(held);
    let _unknown_outcome = sent.await;
}

/// The platform answers again, and by what the directory says.
async fn answers(terrace: &Terrace, watcher: &Database, client: &Client, members: [&Session; 2], step: Step) {
    for member in members {
        until(&format!("{step:?}: the service answers {}", member.slug), || async {
            (status(client, member, "/api/hostile/ok").await == StatusCode::OK).then_some(())
        })
        .await;
    }
    let shown = service(client).await;
    assert_eq!(
        shown["current"]["id"],
        current(watcher).await.as_str(),
        "{step:?}\n{}",
        terrace.logs()
    );
}

/// Again until it succeeds: the backend of the killed node may hold its lock for a moment.
async fn again(client: &Client, path: &str, body: &Value) -> Value {
    until("the same command succeeds", || async {
        let answer = client.control(Method::POST, path, Some(body.clone())).await.unwrap();
        answer.success().ok().map(|answer| answer.body)
    })
    .await
}

#[tokio::test]
async fn a_deploy_or_a_rollback_that_was_killed_at_any_step_is_finished_by_asking_again() {
    let (mut terrace, client, ada, gus) = hostile().await;
    let watcher = terrace.database().await.unwrap();
    let first = current(&watcher).await;
    let (releases, rollback) = (format!("{HOSTILE}/releases"), format!("{HOSTILE}/rollback"));
    let objects = || std::fs::read_dir(terrace.path("objects/components")).unwrap().count();
    let kept = objects();
    let mut newest = first.clone();
    for (number, step) in [Step::Storing, Step::Migrating, Step::Switching, Step::Switched]
        .into_iter()
        .enumerate()
    {
        // Each with a component of its own, so that the object store has to do, too.
        let number = u8::try_from(number).unwrap();
        let mut bundle = Bundle::read().titled(&format!("Killed {number}")).marked(number);
        // The second one has the only migration.
        if number > 0 {
            bundle
                .migrations
                .push(json!({ "name": "0003_note.sql", "sql": "ALTER TABLE counter ADD note text" }));
        }
        let body = bundle.body(&[]);
        killed_at(step, &mut terrace, &watcher, &client, &releases, body.clone()).await;
        answers(&terrace, &watcher, &client, [&ada, &gus], step).await;
        let is_switched = current(&watcher).await != newest;
        assert_eq!(is_switched, step == Step::Switched, "{step:?}");
        newest = again(&client, &releases, &body).await["id"]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(current(&watcher).await, newest, "{step:?}");
        answers(&terrace, &watcher, &client, [&ada, &gus], step).await;
    }
    // Four components more, and nothing that was stored twice or forgotten.
    until("what belongs to no release is swept", || async {
        (std::fs::read_dir(terrace.path("objects/components")).unwrap().count() == kept + 4).then_some(())
    })
    .await;

    for step in [Step::Locking, Step::Switching, Step::Switched] {
        let (from, to) = (current(&watcher).await, json!({ "release": first }));
        killed_at(step, &mut terrace, &watcher, &client, &rollback, to.clone()).await;
        answers(&terrace, &watcher, &client, [&ada, &gus], step).await;
        let is_back = current(&watcher).await != from;
        assert_eq!(is_back, step == Step::Switched, "{step:?}");
        again(&client, &rollback, &to).await;
        assert_eq!(current(&watcher).await, first, "{step:?}");
        answers(&terrace, &watcher, &client, [&ada, &gus], step).await;
        again(&client, &rollback, &json!({ "release": newest })).await;
    }
}
