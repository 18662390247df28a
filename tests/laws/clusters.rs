//! Law: a tenant moves to another PostgreSQL while its members work; they lose nothing and see no error.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http::Method;
use serde_json::{Value, json};
use terrace_data_embedded::testing::Scratch;
use terrace_tests_harness::{Client, Options, Part, Session, Terrace};

use crate::wait::until;

/// Makes boards until it is told to stop; how many were accepted, and the first answer that was no success.
async fn work(client: Client, ada: Session, is_over: Arc<AtomicBool>) -> (usize, Option<String>) {
    let mut made = 0;
    while !is_over.load(Ordering::Relaxed) {
        match client
            .post(&ada, "/api/tasks/boards", json!({ "title": made.to_string() }))
            .await
        {
            Ok(answer) if answer.status.is_success() => made += 1,
            other => return (made, Some(format!("{other:?}"))),
        }
    }
    (made, None)
}

/// Boards of acme, and its events about new ones. It lives where the directory is.
async fn counts(terrace: &Terrace) -> (i64, i64) {
    let database = terrace.database().await.unwrap();
    let acme = "SELECT id FROM terrace.tenant WHERE slug = 'acme'";
    let id: String = database.query_one(acme, &[]).await.unwrap().get(0);
    let boards = format!("SELECT count(*) FROM {id}_tasks.board");
    let events =
        format!("SELECT count(*) FROM terrace_events.log WHERE tenant_id = '{id}' AND type = 'tasks.board.created'");
    (
        database.query_one(&boards, &[]).await.unwrap().get(0),
        database.query_one(&events, &[]).await.unwrap().get(0),
    )
}

#[tokio::test]
async fn a_tenant_moves_to_another_postgresql_while_its_members_work_and_nobody_sees_it() {
    let terrace = &mut Terrace::start(Options::default()).await.unwrap();
    let other = Scratch::with_settings(&[("wal_level", "logical"), ("wal_retrieve_retry_interval", "100ms")]).await;
    let there = other.connection();
    // As the reference says: the password is in the node's secrets, which it reads when it starts.
    fs::write(terrace.path("secrets/cluster-second"), &there.password).unwrap();
    terrace.kill(Part::Node).await.unwrap();
    let client = terrace.client();
    let clusters = "/api/control/clusters";
    let new = json!({
        "name": "second", "host": there.socket_dir, "port": there.port, "database": there.database, "login": there.user,
    });
    until("the second cluster takes tenants", || async {
        let added = client.control(Method::POST, clusters, Some(new.clone())).await.ok()?;
        assert!(added.status.as_u16() != 422, "{}", added.body);
        added.status.is_success().then_some(())
    })
    .await;
    let ada = client.sign_in("acme", "ada@acme.example").await.unwrap();
    let gus = client.sign_in("globex", "gus@globex.example").await.unwrap();
    let before = counts(terrace).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let worker = tokio::spawn(work(client.clone(), ada.clone(), is_over.clone()));
    let newest = || async {
        let all = client
            .control(Method::GET, "/api/control/operations", None)
            .await
            .ok()?;
        let items = all.body["items"].as_array()?.clone();
        items.into_iter().find(|operation| operation["kind"] == "move")
    };
    for cluster in ["second", "main"] {
        let to = Some(json!({ "cluster": cluster }));
        let begun = client
            .control(Method::POST, "/api/control/tenants/acme/move", to)
            .await
            .unwrap();
        begun.success().unwrap();
        let done: Value = until("the tenant has moved", || async {
            let operation = newest().await?;
            (operation["state"] == "done" && operation["evidence"]["to"] == cluster).then_some(operation)
        })
        .await;
        assert!(done["evidence"]["pause_ms"].is_number(), "{done}");
        let shown = client
            .control(Method::GET, "/api/control/tenants/acme", None)
            .await
            .unwrap();
        assert_eq!(shown.body["placement"]["cluster"], cluster);
        assert!(client.get(&gus, "/api/tasks/boards").await.unwrap().status.is_success());
    }
    is_over.store(true, Ordering::Relaxed);
    let (made, failed) = worker.await.unwrap();
    assert_eq!(failed, None, "after {made} boards\n{}", terrace.logs());
    assert!(made > 0);
    // What was told is there, once, and each has one event.
    let after = counts(terrace).await;
    let made = i64::try_from(made).unwrap();
    assert_eq!(after, (before.0 + made, before.1 + made));
    let listed = client.control(Method::GET, clusters, None).await.unwrap();
    assert_eq!(listed.body["items"].as_array().unwrap().len(), 2, "{}", listed.body);
}
