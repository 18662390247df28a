//! What a node runs is what was deployed: a component that was changed in the object store, or compiled
//! code that this node did not write, is refused, and a node that starts needs neither the object
//! store nor a compiler.

use std::{fs, path::PathBuf};

use http::StatusCode;
use terrace_tests_harness::{Part, Terrace};

use crate::{
    releases::{Bundle, status},
    stage::hostile,
    wait::until,
};

const OK: &str = "/api/hostile/ok";
const BOARDS: &str = "/api/tasks/boards";

/// The hash of the component that a service runs now.
async fn component(terrace: &Terrace, service: &str) -> String {
    let sql =
        "SELECT r.component_sha256 FROM terrace.service s JOIN terrace.release r ON r.id = s.current WHERE s.name = $1";
    let database = terrace.database().await.unwrap();
    database.query_one(sql, &[&service]).await.unwrap().get(0)
}

/// The file of its compiled code.
fn compiled(terrace: &Terrace, component: &str) -> PathBuf {
    let files = fs::read_dir(terrace.path("artefacts")).unwrap();
    let mut files = files.map(|entry| entry.unwrap().path());
    files
        .find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(component))
        .unwrap()
}

fn said(terrace: &Terrace, sentence: &str) -> usize {
    let log = fs::read_to_string(terrace.path("log/node.log")).unwrap();
    log.matches(sentence).count()
}

/// Kills the node and waits until its successor is ready.
async fn restart_node(terrace: &mut Terrace) {
    let ready = said(terrace, "Ready on");
    terrace.kill(Part::Node).await.unwrap();
    until("the node is up again", || async {
        (said(terrace, "Ready on") > ready).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_component_that_was_changed_in_the_object_store_never_runs_and_hurts_no_other_service() {
    let (mut terrace, client, ada, _) = hostile().await;
    let hash = component(&terrace, "hostile").await;
    let object = terrace.path("objects/components").join(&hash);
    let right = fs::read(&object).unwrap();
    assert_eq!(right, Bundle::read().component());
    // It would run very well: it is the same service with another section at its end.
    fs::write(&object, Bundle::read().marked(9).component()).unwrap();
    fs::remove_file(compiled(&terrace, &hash)).unwrap();
    restart_node(&mut terrace).await;
    let refused = client.get(&ada, OK).await.unwrap();
    assert_eq!(
        (refused.status, refused.code()),
        (StatusCode::SERVICE_UNAVAILABLE, "service-unavailable"),
        "{}",
        terrace.logs()
    );
    assert!(said(&terrace, "was changed after it was stored") > 0);
    assert_eq!(status(&client, &ada, BOARDS).await, StatusCode::OK, "the others run");

    fs::write(&object, right).unwrap();
    until("the service is there again by itself", || async {
        (status(&client, &ada, OK).await == StatusCode::OK).then_some(())
    })
    .await;
}

#[tokio::test]
async fn compiled_code_that_this_node_did_not_write_under_that_name_is_compiled_again() {
    let (mut terrace, client, ada, _) = hostile().await;
    let (hostile, tasks, billing) = (
        component(&terrace, "hostile").await,
        component(&terrace, "tasks").await,
        component(&terrace, "billing").await,
    );
    // One byte of machine code, and a file of this very node under another component's name.
    let changed = compiled(&terrace, &hostile);
    let mut code = fs::read(&changed).unwrap();
    let middle = code.len() / 2;
    code[middle] ^= 1;
    fs::write(&changed, code).unwrap();
    fs::copy(compiled(&terrace, &billing), compiled(&terrace, &tasks)).unwrap();
    let before = (
        said(&terrace, "is compiled again"),
        said(&terrace, "Compiled a component"),
    );
    restart_node(&mut terrace).await;
    // Nobody asked before the node listened; whoever asks first may find out.
    for path in [OK, BOARDS] {
        until("it is compiled again", || async {
            (status(&client, &ada, path).await == StatusCode::OK).then_some(())
        })
        .await;
    }
    let refused = said(&terrace, "is compiled again") - before.0;
    assert!(refused >= 2, "both were refused: {refused}");
    assert_eq!(said(&terrace, "Compiled a component") - before.1, 2);
}

#[tokio::test]
async fn a_node_that_starts_needs_neither_the_object_store_nor_a_compiler() {
    let (mut terrace, client, ada, _) = hostile().await;
    let compiled = said(&terrace, "Compiled a component");
    fs::rename(terrace.path("objects/components"), terrace.path("objects/away")).unwrap();
    restart_node(&mut terrace).await;
    for path in [OK, BOARDS] {
        assert_eq!(status(&client, &ada, path).await, StatusCode::OK, "{}", terrace.logs());
    }
    assert_eq!(said(&terrace, "Compiled a component"), compiled);
}
