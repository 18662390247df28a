//! Law: work for later commits with its data, survives kill -9, and is its tenant's.

use serde_json::{Value, json};
use terrace_tests_harness::{Client, Options, Part, Session, Terrace};

use crate::wait::until;

async fn schedule(client: &Client, session: &Session, body: Value) -> String {
    let answer = client
        .post(session, "/api/hostile/schedule", body)
        .await
        .unwrap()
        .success()
        .unwrap();
    answer.body["did"].as_str().unwrap().to_owned()
}

/// Names of jobs that were done, as the service wrote them down.
async fn done(client: &Client, session: &Session) -> Option<Vec<String>> {
    let body = json!({ "address": "tenant", "statement": "SELECT name, value FROM counter WHERE name LIKE 'job %' ORDER BY name" });
    let answer = client
        .post(session, "/api/hostile/postgres", body)
        .await
        .ok()?
        .success()
        .ok()?;
    let said = answer.body["did"].as_str()?.to_owned();
    let rows = said.split(" | ").skip(1).filter(|row| !row.is_empty());
    Some(rows.map(str::to_owned).collect())
}

#[tokio::test]
async fn work_for_later_survives_a_killed_node_and_is_done_once_in_effect() {
    let mut terrace = Terrace::start(Options {
        hostile: true,
        ..Options::default()
    })
    .await
    .unwrap();
    let client = terrace.client();
    let ada = client.sign_in("acme", "ada@acme.example").await.unwrap();
    let gus = client.sign_in("globex", "gus@globex.example").await.unwrap();

    let wrong = [
        (json!({ "jobs": [{ "name": "Not a name" }] }), "is not a job's name"),
        (
            json!({ "jobs": [{ "name": "a", "delay_ms": 31_622_400_001_u64 }] }),
            "at most 366 days ahead",
        ),
        (
            json!({ "jobs": [{ "name": "a", "key": "k".repeat(129) }] }),
            "a job's key is at most",
        ),
        (
            json!({ "jobs": [{ "name": "a", "size": 65_537 }] }),
            "at most 65536 bytes",
        ),
        (
            json!({ "jobs": [{ "name": "a", "copies": 1_001, "delay_ms": 3_600_000 }] }),
            "too many events and jobs",
        ),
    ];
    for (body, says) in wrong {
        let said = schedule(&client, &ada, body).await;
        assert!(said.contains(says), "{says}: {said}");
    }
    assert_eq!(
        schedule(
            &client,
            &ada,
            json!({ "jobs": [{ "name": "never" }], "rollback": true })
        )
        .await,
        "rolled back"
    );
    let jobs =
        json!({ "jobs": [{ "name": "early" }, { "name": "late", "delay_ms": 2_000 }, { "name": "fails.once" }] });
    assert_eq!(schedule(&client, &ada, jobs).await, "committed");
    until("the early one is done", || async {
        done(&client, &ada)
            .await
            .filter(|names| names.iter().any(|name| name.contains("early")))
    })
    .await;
    terrace.kill(Part::Node).await.unwrap();
    let all = until("the late one is done", || async {
        done(&client, &ada).await.filter(|names| names.len() >= 3)
    })
    .await;
    // Each under an id of its own, written by a primary key: a second bringing would have been seen in
    // the value and not in another row.
    let names: Vec<&str> = all.iter().filter_map(|row| row.split(' ').nth(1)).collect();
    assert_eq!(names, ["early", "fails.once", "late"], "{all:?}");
    assert_eq!(done(&client, &gus).await, Some(Vec::new()), "another tenant's");

    // What the manifest asks for is there for each tenant, and is done at its moment.
    let database = terrace.database().await.unwrap();
    let waiting = "SELECT count(*) FROM terrace_events.job WHERE cron IS NOT NULL AND service = 'hostile'";
    until("every tenant has it", || async {
        (database.query_one(waiting, &[]).await.ok()?.get::<_, i64>(0) == 2).then_some(())
    })
    .await;
    let now = "UPDATE terrace_events.job SET next_at = now() WHERE cron IS NOT NULL
               AND tenant_id = (SELECT id FROM terrace.tenant WHERE slug = 'globex')";
    assert_eq!(database.execute(now, &[]).await.unwrap(), 1);
    let theirs = until("it is done", || async {
        done(&client, &gus).await.filter(|names| !names.is_empty())
    })
    .await;
    assert!(theirs.len() == 1 && theirs[0].contains("job yearly"), "{theirs:?}");
}
