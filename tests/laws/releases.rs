//! Releases: a deploy and a rollback lose no request, a canary reaches its tenants alone, a release
//! that fails is taken away, and one that cannot answer never gets a request.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use data_encoding::BASE64;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use terrace_tests_harness::{Answer, Client, Session, bundles};

use crate::{stage::hostile, wait::until};

/// Deploys and rollbacks of the law; `cargo figures` does a thousand.
const SWITCHES: usize = 50;

pub(crate) const HOSTILE: &str = "/api/control/services/hostile";

/// The hostile service's bundle, to be changed a little and deployed again.
pub(crate) struct Bundle {
    manifest: String,
    contract: Value,
    pub(crate) migrations: Vec<Value>,
    component: Vec<u8>,
}

impl Bundle {
    pub(crate) fn read() -> Self {
        let folder: PathBuf = bundles("hostile").join("hostile");
        let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        Self {
            manifest: text("service.toml"),
            contract: serde_json::from_str(&text("openapi.json")).unwrap(),
            migrations: ["0001_counter.sql", "0002_everything.sql"]
                .map(|name| json!({ "name": name, "sql": text(&format!("migrations/{name}")) }))
                .to_vec(),
            component: fs::read(folder.join("service.wasm")).unwrap(),
        }
    }

    /// With another title: another release of the same component.
    pub(crate) fn titled(mut self, title: &str) -> Self {
        self.manifest = self.manifest.replace("A service that misbehaves on request", title);
        self
    }

    /// With a custom section at its end: another component that does the same.
    pub(crate) fn marked(mut self, mark: u8) -> Self {
        self.component.extend([0, 6, 4, b'm', b'a', b'r', b'k', mark]);
        self
    }

    /// With another line in `[limits]`, which is the last section.
    fn limited(mut self, line: &str) -> Self {
        let key = line.split(' ').next().unwrap();
        self.manifest = self
            .manifest
            .lines()
            .filter(|line| !line.starts_with(key))
            .collect::<Vec<_>>()
            .join("\n");
        self.manifest.push_str(&format!("\n{line}\n"));
        self
    }

    pub(crate) fn component(&self) -> &[u8] {
        &self.component
    }

    /// What is sent to deploy it.
    pub(crate) fn body(&self, more: &[(&str, Value)]) -> Value {
        let mut body = json!({
            "manifest": self.manifest, "contract": self.contract, "migrations": self.migrations,
            "component": BASE64.encode(&self.component),
        });
        for (key, value) in more {
            body[*key] = value.clone();
        }
        body
    }

    pub(crate) async fn upload(&self, client: &Client, more: &[(&str, Value)]) -> Answer {
        client
            .control(Method::POST, &format!("{HOSTILE}/releases"), Some(self.body(more)))
            .await
            .unwrap()
    }

    pub(crate) async fn deploy(&self, client: &Client, more: &[(&str, Value)]) -> String {
        let answer = self.upload(client, more).await.success().unwrap();
        answer.body["id"].as_str().unwrap().to_owned()
    }
}

pub(crate) async fn control(client: &Client, verb: &str) -> Value {
    let path = format!("{HOSTILE}/{verb}");
    client
        .control(Method::POST, &path, Some(json!({})))
        .await
        .unwrap()
        .success()
        .unwrap()
        .body
}

pub(crate) async fn service(client: &Client) -> Value {
    let list = client
        .control(Method::GET, "/api/control/services", None)
        .await
        .unwrap()
        .success()
        .unwrap();
    let items = list.body["items"].as_array().unwrap();
    items.iter().find(|item| item["name"] == "hostile").unwrap().clone()
}

fn happened(service: &Value) -> Vec<&str> {
    let history = service["history"].as_array().unwrap();
    history
        .iter()
        .map(|event| event["happened"].as_str().unwrap())
        .collect()
}

pub(crate) async fn status(client: &Client, session: &Session, path: &str) -> StatusCode {
    client.get(session, path).await.unwrap().status
}

/// Sends requests until it is told to stop; what failed is told by its answer.
async fn load(client: Client, session: Session, stop: Arc<AtomicBool>, sent: Arc<AtomicU64>) -> Vec<String> {
    let mut failed = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        for (method, path) in [
            (Method::GET, "/api/hostile/ok"),
            (Method::POST, "/api/hostile/hold?amount=5"),
            (Method::GET, "/api/hostile/body?amount=256"),
            (Method::POST, "/api/hostile/sleep?amount=20"),
        ] {
            match client.call(&session, method, path, None).await {
                Ok(answer) if answer.status.is_success() => {}
                Ok(answer) => failed.push(format!("{path}: {} {}", answer.status, answer.body)),
                Err(error) => failed.push(format!("{path}: {error:#}")),
            }
            sent.fetch_add(1, Ordering::SeqCst);
        }
    }
    failed
}

#[tokio::test]
async fn deploys_and_rollbacks_under_load_lose_no_request() {
    let (terrace, client, ada, gus) = hostile().await;
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let loads: Vec<_> = [&ada, &gus, &ada, &gus]
        .into_iter()
        .map(|session| tokio::spawn(load(client.clone(), session.clone(), stop.clone(), sent.clone())))
        .collect();
    let first = service(&client).await["current"]["id"].as_str().unwrap().to_owned();
    for number in 0..SWITCHES / 2 {
        let before = sent.load(Ordering::SeqCst);
        let bundle = Bundle::read().titled(&format!("Number {number}"));
        // Now and then a component that has to be compiled.
        let bundle = if number % 10 == 0 {
            bundle.marked(u8::try_from(number).unwrap())
        } else {
            bundle
        };
        let next = bundle.deploy(&client, &[]).await;
        assert_eq!(service(&client).await["current"]["id"], next.as_str());
        assert_eq!(control(&client, "rollback").await["current"]["id"], first.as_str());
        until("requests went over the switch", || {
            let more = sent.load(Ordering::SeqCst) > before + 4;
            async move { more.then_some(()) }
        })
        .await;
    }
    stop.store(true, Ordering::SeqCst);
    let mut failed = Vec::new();
    for load in loads {
        failed.extend(load.await.unwrap());
    }
    let total = sent.load(Ordering::SeqCst);
    assert!(
        failed.is_empty(),
        "{} of {total} failed: {failed:#?}\n{}",
        failed.len(),
        terrace.logs()
    );
    // What was rolled back from does not pile up: ten stay, and what is in use beyond them.
    until("old releases are swept", || async {
        let kept = service(&client).await["releases"].as_array().unwrap().len();
        (kept <= 12).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_canary_reaches_its_tenants_alone_and_all_of_it_can_be_taken_back() {
    let (_terrace, client, ada, gus) = hostile().await;
    // A release without one of its operations: who has it is seen from outside.
    let mut bundle = Bundle::read();
    bundle.contract["paths"]
        .as_object_mut()
        .unwrap()
        .remove("/api/hostile/tenant");
    bundle
        .migrations
        .push(json!({ "name": "0003_note.sql", "sql": "CREATE TABLE note (id bigint PRIMARY KEY)" }));
    let refused = bundle.upload(&client, &[]).await;
    assert_eq!(
        (refused.status, refused.code()),
        (StatusCode::CONFLICT, "conflict"),
        "{}",
        refused.body
    );
    assert!(
        refused.body["detail"]
            .as_str()
            .unwrap()
            .contains("GET /api/hostile/tenant: the operation is gone")
    );

    let to = json!({ "tenants": ["acme"] });
    let id = bundle
        .deploy(&client, &[("allow_breaking", json!(true)), ("canary", to)])
        .await;
    let path = "/api/hostile/tenant";
    let both = async || (status(&client, &ada, path).await, status(&client, &gus, path).await);
    assert_eq!(both().await, (StatusCode::NOT_FOUND, StatusCode::OK));
    assert_eq!(status(&client, &ada, "/api/hostile/ok").await, StatusCode::OK);
    let shown = service(&client).await;
    assert_eq!(
        (&shown["canary"]["release"], &shown["canary"]["tenants"]),
        (&json!(id), &json!(1))
    );
    // Its migration is the canary's alone.
    let sql = json!({ "statements": ["SELECT count(*) FROM note"] });
    let rows = |answer: Answer| answer.body["did"].as_str().unwrap().starts_with("1 ");
    assert!(rows(client.post(&ada, "/api/hostile/sql", sql.clone()).await.unwrap()));
    assert!(!rows(client.post(&gus, "/api/hostile/sql", sql.clone()).await.unwrap()));

    assert_eq!(control(&client, "canary/abort").await["canary"], Value::Null);
    assert_eq!(both().await, (StatusCode::OK, StatusCode::OK));
    let start = json!({ "release": id, "to": { "share_percent": 100 } });
    let started = client
        .control(Method::POST, &format!("{HOSTILE}/canary"), Some(start))
        .await
        .unwrap();
    assert_eq!(started.success().unwrap().body["canary"]["tenants"], 2);
    assert_eq!(both().await, (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
    assert_eq!(control(&client, "canary/promote").await["current"]["id"], id.as_str());
    assert_eq!(both().await, (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
    control(&client, "rollback").await;
    assert_eq!(both().await, (StatusCode::OK, StatusCode::OK));
    let shown = service(&client).await;
    let expected = [
        "rolled-back",
        "canary-promoted",
        "canary-started",
        "canary-aborted",
        "canary-started",
        "deployed",
    ];
    assert_eq!(happened(&shown), expected);

    // The same bundle again is a deploy like the first one: there is a way back from it.
    let again = bundle.deploy(&client, &[("allow_breaking", json!(true))]).await;
    assert_eq!(
        (again, both().await),
        (id, (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND))
    );
    control(&client, "rollback").await;
    assert_eq!(both().await, (StatusCode::OK, StatusCode::OK));
    assert_eq!(happened(&service(&client).await)[..2], ["rolled-back", "deployed"]);

    let unknown = Some(json!({ "release": "r_7f3k9q2m4x" }));
    let answer = client
        .control(Method::POST, &format!("{HOSTILE}/activate"), unknown)
        .await;
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, "not-found"));
}

#[tokio::test]
async fn a_release_that_uses_up_its_error_budget_is_taken_away_by_itself() {
    let (terrace, client, ada, gus) = hostile().await;
    let first = service(&client).await["current"]["id"].clone();
    let path = "/api/hostile/body?amount=64";
    // What was answered before is refused for its size now.
    let failing = |kib: u32| Bundle::read().limited(&format!("response_body_kib = {kib}"));
    for (canary, ends) in [(false, "rolled-back-by-budget"), (true, "canary-aborted-by-budget")] {
        let id = match canary {
            false => failing(16).deploy(&client, &[]).await,
            true => {
                failing(17)
                    .deploy(&client, &[("canary", json!({ "tenants": ["acme"] }))])
                    .await
            }
        };
        let failed = AtomicU64::new(0);
        until("the release before answers again", || async {
            for _ in 0..20 {
                match status(&client, &ada, path).await {
                    StatusCode::OK if failed.load(Ordering::SeqCst) > 0 => return Some(()),
                    StatusCode::BAD_GATEWAY => failed.fetch_add(1, Ordering::SeqCst),
                    other => panic!("{other}"),
                };
                if canary {
                    assert_eq!(
                        status(&client, &gus, path).await,
                        StatusCode::OK,
                        "not one of the canary's"
                    );
                }
            }
            None
        })
        .await;
        let failed = failed.load(Ordering::SeqCst);
        assert!(failed >= 100, "judged after {failed} requests");
        let shown = service(&client).await;
        assert_eq!(shown["current"]["id"], first, "{}", terrace.logs());
        assert_eq!((happened(&shown)[0], &shown["canary"]), (ends, &Value::Null));
        let detail = shown["history"][0]["detail"].as_str().unwrap();
        assert!(detail.contains("requests failed"), "{detail}");
        let blamed = shown["releases"]
            .as_array()
            .unwrap()
            .iter()
            .find(|release| release["id"] == id.as_str());
        assert_eq!(
            (&blamed.unwrap()["state"], &blamed.unwrap()["error"]),
            (&json!("failed"), &json!(detail))
        );
    }
    let nowhere = client
        .control(Method::POST, &format!("{HOSTILE}/rollback"), Some(json!({})))
        .await
        .unwrap();
    assert_eq!(
        nowhere.status,
        StatusCode::CONFLICT,
        "a release that failed is nothing to go back to"
    );
}

#[tokio::test]
async fn a_release_that_cannot_answer_never_gets_a_request_and_a_restart_compiles_nothing() {
    let (mut terrace, client, ada, _) = hostile().await;
    // Too small a table for its own functions: it compiles and links, and cannot be instantiated.
    let refused = Bundle::read().limited("table_elements = 1").upload(&client, &[]).await;
    assert_eq!(
        (refused.status, refused.code()),
        (StatusCode::UNPROCESSABLE_ENTITY, "validation-failed")
    );
    assert!(
        refused.body["errors"][0]["detail"]
            .as_str()
            .unwrap()
            .contains("does not answer its first request")
    );
    assert_eq!(status(&client, &ada, "/api/hostile/ok").await, StatusCode::OK);
    assert_eq!(
        service(&client).await["releases"].as_array().unwrap().len(),
        1,
        "nothing was stored"
    );

    let log = terrace.path("log/node.log");
    let compiled = || {
        fs::read_to_string(&log)
            .unwrap()
            .matches("Compiled a component")
            .count()
    };
    let before = compiled();
    assert!(before >= 4, "each service was compiled once: {before}");
    terrace.stop().await.unwrap();
    terrace.start_again().await.unwrap();
    let client = terrace.client();
    let ada = client.sign_in("acme", "ada@acme.example").await.unwrap();
    assert_eq!(status(&client, &ada, "/api/hostile/ok").await, StatusCode::OK);
    assert_eq!(compiled(), before, "a component was compiled again");
}
