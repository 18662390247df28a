//! Law: what is begun on a tenant is finished, whatever node dies in it, and `show` can always explain.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use terrace_tests_harness::{Client, Options, Part, Terrace};

use crate::wait::until;

async fn act(client: &Client, path: &str, body: Option<Value>) -> Option<terrace_tests_harness::Answer> {
    let path = format!("/api/control/tenants/{path}");
    client.control(Method::POST, &path, body).await.ok()
}

async fn tenants(client: &Client) -> Option<Vec<Value>> {
    let answer = client.control(Method::GET, "/api/control/tenants", None).await.ok()?;
    answer
        .status
        .is_success()
        .then(|| answer.body["items"].as_array().cloned())?
}

#[tokio::test]
async fn a_suspended_tenant_is_refused_its_streams_end_and_its_events_catch_up_after_it_resumes() {
    let terrace = Terrace::start(Options::default()).await.unwrap();
    let client = terrace.client();
    let ada = client.sign_in("acme", "ada@acme.example").await.unwrap();
    let gus = client.sign_in("globex", "gus@globex.example").await.unwrap();
    let usage = |client: Client, session: terrace_tests_harness::Session| async move {
        let plan = client.get(&session, "/api/billing/plan").await.ok()?;
        plan.body["usage"]["tasks"].as_u64()
    };
    let before = usage(client.clone(), ada.clone()).await.unwrap();
    let board = client
        .post(&ada, "/api/tasks/boards", json!({ "title": "Plans" }))
        .await
        .unwrap()
        .success()
        .unwrap();
    let board = board.body["id"]
        .as_str()
        .map_or_else(|| board.body["id"].to_string(), str::to_owned);
    let mut stream = client.events(&ada, None).await.unwrap();
    for number in 0..5 {
        let path = format!("/api/tasks/boards/{board}/tasks");
        client
            .post(&ada, &path, json!({ "title": number.to_string() }))
            .await
            .unwrap()
            .success()
            .unwrap();
    }
    let suspended = act(&client, "acme/suspend", None).await.unwrap().success().unwrap();
    assert_eq!(suspended.body["state"], "suspended");
    // The stream ends; until it does, it may show what happened before.
    while stream.next().await.is_ok_and(|(event, _, _)| event != "bye") {}
    let refused = client.get(&ada, "/api/tasks/boards").await.unwrap();
    assert_eq!(
        (refused.status, refused.code()),
        (StatusCode::FORBIDDEN, "tenant-suspended")
    );
    let refused = client
        .send(
            "acme",
            Method::GET,
            "/api/events",
            &[("cookie", &ada.cookies)],
            Bytes::new(),
        )
        .await
        .unwrap();
    assert_eq!(refused.code(), "tenant-suspended");
    assert!(client.get(&gus, "/api/tasks/boards").await.unwrap().status.is_success());
    let paused =
        "SELECT paused FROM terrace_events.stream s JOIN terrace.tenant t ON t.id = s.tenant_id WHERE t.slug = 'acme'";
    assert!(
        terrace
            .database()
            .await
            .unwrap()
            .query_one(paused, &[])
            .await
            .unwrap()
            .get::<_, bool>(0)
    );
    act(&client, "acme/resume", None).await.unwrap().success().unwrap();
    until("every task is counted, once", || async {
        (usage(client.clone(), ada.clone()).await? == before + 5).then_some(())
    })
    .await;
}

#[expect(clippy::too_many_lines, reason = "one story, told from its beginning to its end")]
#[tokio::test]
async fn a_node_that_is_killed_in_an_operation_leaves_nothing_that_cannot_be_explained_and_finished() {
    let mut terrace = Terrace::start(Options::default()).await.unwrap();
    let client = terrace.client();
    let export = client
        .control(Method::GET, "/api/control/tenants/acme/export", None)
        .await
        .unwrap()
        .success()
        .unwrap();
    let upload = |client: Client, archive: Bytes| async move {
        let begun = client.control(Method::POST, "/api/control/archives", None).await.ok()?;
        let id = begun.body["id"].as_str()?.to_owned();
        let path = format!("/api/control/archives/{id}/parts/0");
        let sent = client.control_bytes(Method::PUT, &path, archive).await.ok()?;
        sent.status.is_success().then_some(id)
    };
    for round in 0..6 {
        until("the node answers", || async { tenants(&terrace.client()).await }).await;
        // Several operations under way at once, and the node dies among them.
        let work: Vec<_> = [
            ("globex/suspend", None),
            (
                "acme/rename",
                Some(json!({ "slug": format!("acme-{round}"), "name": format!("Acme {round}") })),
            ),
            (
                "globex/plan",
                Some(json!({ "plan": if round % 2 == 0 { "team" } else { "free" } })),
            ),
        ]
        .into_iter()
        .map(|(path, body)| {
            let (client, path) = (
                client.clone(),
                path.replace("acme/", &format!("{}/", slug_of_acme(round))),
            );
            tokio::spawn(async move { act(&client, &path, body).await.map(|answer| answer.status) })
        })
        .collect();
        let create = {
            let client = client.clone();
            let body = json!({ "slug": format!("new-{round}"), "name": "New", "owner": { "email": "eve@new.example", "name": "Eve" } });
            tokio::spawn(async move {
                client
                    .control(Method::POST, "/api/control/tenants", Some(body))
                    .await
                    .ok()
            })
        };
        let import = {
            let (client, bytes) = (client.clone(), export.bytes.clone());
            tokio::spawn(async move {
                let id = upload(client.clone(), bytes).await?;
                let path = format!("/api/control/archives/{id}/import");
                client
                    .control(Method::POST, &path, Some(json!({ "slug": format!("copy-{round}") })))
                    .await
                    .ok()
            })
        };
        // Each round a little later: what has been recorded by then decides where it dies.
        let database = terrace.database().await.unwrap();
        until("some steps are done", || async {
            let steps = "SELECT coalesce(sum(jsonb_array_length(steps)), 0)::bigint FROM terrace.lifecycle WHERE started_at > now() - interval '3 seconds'";
            let done: i64 = database.query_one(steps, &[]).await.ok()?.get(0);
            (done > round * 3 || create.is_finished() && import.is_finished()).then_some(())
        })
        .await;
        terrace.kill(Part::Node).await.unwrap();
        for work in work {
            drop(work.await);
        }
        drop((create.await, import.await));
        until("everything that was begun is finished", || async {
            let client = terrace.client();
            let mut open = BTreeSet::new();
            for tenant in tenants(&client).await? {
                let path = format!("/api/control/tenants/{}", tenant["id"].as_str()?);
                let shown = client.control(Method::GET, &path, None).await.ok()?;
                let state = shown.body["state"].as_str()?.to_owned();
                let explained =
                    matches!(state.as_str(), "active" | "suspended") || shown.body["operation"]["kind"].is_string();
                // It may have been finished between the look at the state and the look at the operation.
                if !explained || !shown.body["operation"].is_null() {
                    open.insert(state);
                }
            }
            open.is_empty().then_some(())
        })
        .await;
        act(&client, "globex/resume", None).await;
        // Whichever of the two it is called now: from here on it has the name of this round.
        for slug in [slug_of_acme(round), format!("acme-{round}")] {
            let body = json!({ "slug": format!("acme-{round}"), "name": format!("Acme {round}") });
            drop(act(&client, &format!("{slug}/rename"), Some(body)).await);
        }
    }
    // Members of a renamed tenant and of an imported one sign in, and see the same.
    let ada = until("signing in works", || async {
        client.sign_in("acme-5", "ada@acme.example").await.ok()
    })
    .await;
    let mine = client.get(&ada, "/api/tasks/boards").await.unwrap().success().unwrap();
    let copies: Vec<Value> = tenants(&client).await.unwrap();
    let copy = copies
        .iter()
        .find_map(|tenant| tenant["slug"].as_str().filter(|slug| slug.starts_with("copy-")));
    if let Some(copy) = copy {
        let twin = until("signing in to the copy works", || async {
            client.sign_in(copy, "ada@acme.example").await.ok()
        })
        .await;
        let theirs = client.get(&twin, "/api/tasks/boards").await.unwrap().success().unwrap();
        assert_eq!(mine.body["items"], theirs.body["items"]);
    }
    let old = client
        .send("acme", Method::GET, "/api/tasks/boards", &[], Bytes::new())
        .await
        .unwrap();
    assert_eq!(old.code(), "unknown-host", "nobody answers to a slug that was given up");
}

/// What Acme is called before a round.
fn slug_of_acme(round: i64) -> String {
    match round {
        0 => "acme".to_owned(),
        _ => format!("acme-{}", round - 1),
    }
}
