//! Creating a task: through edge, gateway, sandbox and database, beside the same handler as a native program.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};
use http::Method;
use serde_json::{Value, json};
use terrace_tests_harness::{Options, Terrace, program};

use crate::{
    Figure,
    load::{self, Target},
};

pub(crate) async fn measure() -> Result<Vec<Figure>> {
    let terrace = Terrace::start(Options::default()).await?;
    let client = terrace.client();
    let ada = client.sign_in("acme", "ada@acme.example").await?;
    // The free plan ends after 100 tasks.
    client
        .call(&ada, Method::PUT, "/api/billing/plan", Some(json!({ "plan": "team" })))
        .await?
        .success()?;
    let board = id(&client
        .post(&ada, "/api/tasks/boards", json!({ "title": "Figures" }))
        .await?
        .success()?
        .body);
    let path = format!("/api/tasks/boards/{board}/tasks");
    let body = json!({ "title": "A task like any other" });
    while !client.post(&ada, &path, body.clone()).await?.status.is_success() {}

    let address = database(&terrace).await?;
    let peer = Native::start(&["native-task", "{address}", &address])?;
    lift_limit(&address).await?;
    let peer_board = {
        let response = peer.post("/api/tasks/boards", &json!({ "title": "Figures" })).await?;
        id(&response)
    };
    let target = |port: u16, path: String, host: &str, cookies: &str| Target {
        url: format!("http://127.0.0.1:{port}{path}"),
        host: host.to_owned(),
        cookies: cookies.to_owned(),
        body: Some(body.to_string()),
    };
    let seen = load::compare(&[
        target(terrace.port, path.clone(), "acme.localhost", &ada.cookies),
        target(terrace.node_port, path, "acme.localhost", &ada.cookies),
        target(
            peer.port,
            format!("/api/tasks/boards/{peer_board}/tasks"),
            "acme.localhost",
            "",
        ),
    ])?;
    let [edge, node, native] = seen[..] else {
        anyhow::bail!("three targets have three results")
    };
    Ok(vec![
        Figure {
            what: "create a task: edge, gateway, sandbox, database, event".to_owned(),
            ours: edge.describe(),
            peer: format!("native axum + deadpool, no event: {}", native.describe()),
            ratio: edge.ratio(&native),
        },
        Figure {
            what: "the same without the edge".to_owned(),
            ours: node.describe(),
            peer: format!("the same: {}", native.describe()),
            ratio: node.ratio(&native),
        },
    ])
}

fn id(body: &Value) -> String {
    body["id"]
        .as_str()
        .map_or_else(|| body["id"].to_string(), str::to_owned)
}

/// The peer's own database in the same server, so that both write to the same disk.
async fn database(terrace: &Terrace) -> Result<String> {
    terrace
        .database()
        .await?
        .batch_execute("CREATE DATABASE native_peer")
        .await
        .context("make the peer's database")?;
    let address =
        std::fs::read_to_string(terrace.path("run/database"))?.replace("dbname=terrace", "dbname=native_peer");
    let password = std::fs::read_to_string(terrace.path("secrets/postgres"))?;
    Ok(format!("{} password={}", address.trim(), password.trim()))
}

/// The peer has no billing service that would say that the plan was changed.
async fn lift_limit(address: &str) -> Result<()> {
    let (client, connection) = tokio_postgres::connect(address, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    let lift = "UPDATE native_peer.entitlement SET allowed = NULL";
    client.batch_execute(lift).await.context("lift the peer's limit")
}

/// A native peer's process. Dropping it ends it.
pub(crate) struct Native {
    child: Child,
    pub(crate) port: u16,
}

impl Native {
    pub(crate) fn start(arguments: &[&str]) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let arguments = arguments
            .iter()
            .map(|argument| argument.replace("{address}", &format!("127.0.0.1:{port}")));
        let mut child = Command::new(program("terrace-benches"))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .context("start a peer")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("read a peer")?).read_line(&mut line)?;
        anyhow::ensure!(line.trim() == "ready", "the peer did not start");
        Ok(Self { child, port })
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let output = tokio::process::Command::new("curl")
            .args([
                "-s",
                "-X",
                "POST",
                "-H",
                "content-type: application/json",
                "-d",
                &body.to_string(),
                &format!("http://127.0.0.1:{}{path}", self.port),
            ])
            .output()
            .await
            .context("start curl")?;
        serde_json::from_slice(&output.stdout).context("read the peer's answer")
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
