//! Law: a node that is killed at any step of anything that is done to a tenant leaves it explained, and
//! what was begun is finished.
//!
//! A trigger of this test holds the node inside the transaction that would record the step. So it dies
//! with the step's work done and not recorded, which is the worst moment there is.

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use terrace_tests_harness::{Client, Options, Part, Terrace};
use tokio_postgres::Client as Database;

use crate::wait::until;

const OPERATIONS: [(&str, &[&str]); 8] = [
    ("create", &["claimed", "hooked", "active"]),
    ("plan", &["planned", "told"]),
    ("rename", &["reserved", "renamed"]),
    ("suspend", &["suspended", "quiet"]),
    (
        "import",
        &[
            "received", "built", "prepared", "loaded", "streamed", "verified", "migrated", "hooked", "active",
        ],
    ),
    (
        "restore",
        &[
            "received", "built", "prepared", "loaded", "streamed", "verified", "migrated", "hooked", "swapped",
        ],
    ),
    ("export", &["opened", "exported"]),
    ("delete", &["marked", "dropped", "forgotten", "deleted"]),
];

const TRAP: &str = "CREATE TABLE terrace.law (kind text, step text);
    CREATE FUNCTION terrace.law() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        IF EXISTS (SELECT FROM terrace.law l WHERE l.kind = NEW.kind AND l.step = NEW.step) THEN
            PERFORM pg_advisory_xact_lock_shared(4711);
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER law AFTER INSERT OR UPDATE OF step ON terrace.lifecycle FOR EACH ROW EXECUTE FUNCTION terrace.law()";

async fn number(database: &Database, sql: &str) -> i64 {
    database.query_one(sql, &[]).await.unwrap().get(0)
}

/// The id of a tenant by its slug.
async fn id_of(database: &Database, slug: &str) -> String {
    let sql = "SELECT id FROM terrace.tenant WHERE slug = $1";
    database.query_one(sql, &[&slug]).await.unwrap().get(0)
}

/// What an operator asks for. The answer does not come: the node dies.
async fn ask(client: Client, kind: &str, tenant: String, round: usize, archive: Bytes) -> Option<()> {
    let path = format!("/api/control/tenants/{tenant}");
    let post = |path: String, body: Option<Value>| {
        let client = client.clone();
        async move { client.control(Method::POST, &path, body).await.ok() }
    };
    match kind {
        "create" => {
            let owner = json!({ "email": "eve@new.example", "name": "Eve" });
            let body = json!({ "slug": format!("new-{round}"), "name": "New", "owner": owner });
            drop(post("/api/control/tenants".to_owned(), Some(body)).await?);
        }
        "plan" => drop(post(format!("{path}/plan"), Some(json!({ "plan": "team" }))).await?),
        "rename" => drop(
            post(
                format!("{path}/rename"),
                Some(json!({ "slug": format!("other-{round}"), "name": "Other" })),
            )
            .await?,
        ),
        "suspend" => drop(post(format!("{path}/suspend"), None).await?),
        "export" => drop(
            client
                .control(Method::GET, &format!("{path}/export"), None)
                .await
                .ok()?,
        ),
        "delete" => drop(client.control(Method::DELETE, &path, None).await.ok()?),
        _ => {
            let begun = post("/api/control/archives".to_owned(), None).await?;
            let id = begun.body["id"].as_str()?.to_owned();
            let part = format!("/api/control/archives/{id}/parts/0");
            client.control_bytes(Method::PUT, &part, archive).await.ok()?;
            let body = match kind {
                "import" => json!({ "slug": format!("copy-{round}") }),
                _ => json!({ "tenant": tenant }),
            };
            drop(post(format!("/api/control/archives/{id}/{kind}"), Some(body)).await?);
        }
    }
    Some(())
}

/// Waits until nothing is under way. Until then, every tenant that is not settled must say why.
async fn settled(terrace: &Terrace, database: &Database) {
    until("everything that was begun is finished", || async {
        let client = terrace.client();
        let list = client.control(Method::GET, "/api/control/tenants", None).await.ok()?;
        if !list.status.is_success() {
            return None;
        }
        for tenant in list.body["items"].as_array()? {
            let path = format!("/api/control/tenants/{}", tenant["id"].as_str()?);
            let shown = client.control(Method::GET, &path, None).await.ok()?;
            if shown.status == StatusCode::NOT_FOUND {
                continue;
            }
            let state = shown.body["state"].as_str()?;
            let is_settled = matches!(state, "active" | "suspended");
            // It may have been finished between the look at the state and the look at the operation.
            if !is_settled && shown.body["operation"].is_null() {
                return None;
            }
        }
        let open = number(
            database,
            "SELECT count(*) FROM terrace.lifecycle WHERE state = 'running'",
        )
        .await;
        (open == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_node_that_is_killed_at_any_step_of_any_operation_finishes_it_afterwards() {
    let mut terrace = Terrace::start(Options::default()).await.unwrap();
    let client = terrace.client();
    let database = terrace.database().await.unwrap();
    database.batch_execute(TRAP).await.unwrap();
    let export = client
        .control(Method::GET, "/api/control/tenants/acme/export", None)
        .await
        .unwrap()
        .success()
        .unwrap();
    let (acme, globex) = (id_of(&database, "acme").await, id_of(&database, "globex").await);
    let mut round = 0;
    for (kind, steps) in OPERATIONS {
        for (place, step) in steps.iter().enumerate() {
            round += 1;
            until("there are spares", || async {
                let ready = "SELECT count(*) FROM terrace.spare WHERE state = 'ready'";
                (number(&database, ready).await > 0).then_some(())
            })
            .await;
            let tenant = match kind {
                "restore" => acme.clone(),
                "delete" => {
                    let sql = "SELECT min(id) FROM terrace.tenant WHERE slug LIKE 'copy-%'";
                    database.query_one(sql, &[]).await.unwrap().get(0)
                }
                _ => globex.clone(),
            };
            let before = number(&database, "SELECT coalesce(max(id), 0) FROM terrace.lifecycle").await;
            let free =
                "UPDATE terrace.tenant SET plan = 'free', version = terrace.bump() WHERE id = $1 AND plan <> 'free'";
            database.execute(free, &[&globex]).await.unwrap();
            let arm = "WITH held AS MATERIALIZED (SELECT pg_advisory_lock(4711)) INSERT INTO terrace.law SELECT $1, $2 FROM held";
            database.execute(arm, &[&kind, step]).await.unwrap();
            let work = tokio::spawn(ask(client.clone(), kind, tenant.clone(), round, export.bytes.clone()));
            let waiting = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted";
            let pid: i32 = until(&format!("{kind} comes to {step}"), || async {
                Some(database.query_opt(waiting, &[]).await.ok()??.get(0))
            })
            .await;
            terrace.kill(Part::Node).await.unwrap();
            // Its supervisor would wait longer each time before it starts the next one.
            terrace.kill(Part::Supervisor).await.unwrap();
            database.execute("DELETE FROM terrace.law", &[]).await.unwrap();
            database
                .execute("SELECT pg_terminate_backend($1)", &[&pid])
                .await
                .unwrap();
            database.execute("SELECT pg_advisory_unlock_all()", &[]).await.unwrap();
            drop(work.await);
            terrace.start_again().await.unwrap();
            settled(&terrace, &database).await;
            let ended = "SELECT coalesce(string_agg(state, ' '), '') FROM terrace.lifecycle WHERE id > $1 AND kind = $2 AND (kind <> 'restore' OR tenant <> $3)";
            let ended: String = database
                .query_one(ended, &[&before, &kind, &acme])
                .await
                .unwrap()
                .get(0);
            let expected = match (place, kind) {
                // Its first step is what begins it.
                (0, _) => "",
                // Its reader is gone with the node.
                (_, "export") => "cancelled",
                _ => "done",
            };
            assert_eq!(ended, expected, "{kind}, killed before {step} was recorded");
            let resume = format!("/api/control/tenants/{globex}/resume");
            until("the tenant is in use again", || async {
                let answer = terrace.client().control(Method::POST, &resume, None).await.ok()?;
                answer.status.is_success().then_some(())
            })
            .await;
        }
    }
    // Nobody lost anything: the original after nine restores, and every copy, are what was exported.
    let ada = until("signing in works", || async {
        client.sign_in("acme", "ada@acme.example").await.ok()
    })
    .await;
    let mine = client.get(&ada, "/api/tasks/boards").await.unwrap().success().unwrap();
    let copies = database
        .query(
            "SELECT slug FROM terrace.tenant WHERE slug LIKE 'copy-%' AND state = 'active'",
            &[],
        )
        .await
        .unwrap();
    assert!(copies.len() >= 3, "{}", copies.len());
    for copy in &copies {
        let twin = client.sign_in(copy.get(0), "ada@acme.example").await.unwrap();
        let theirs = client.get(&twin, "/api/tasks/boards").await.unwrap().success().unwrap();
        assert_eq!(mine.body["items"], theirs.body["items"]);
    }
}
