//! A node with a hundred more services on disk: from the start of its process to its first answer.

use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use data_encoding::BASE64;
use http::Method;
use serde_json::{Value, json};
use terrace_tests_harness::{Options, Terrace, bundles, program};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
};

use crate::{Figure, tenants::quantiles};

/// Services beside those of the product, each with a component of its own.
const SERVICES: usize = 100;
/// Starts that are measured.
const STARTS: usize = 20;
/// How long one start may take.
const START_MAX: Duration = Duration::from_secs(30);

pub(crate) async fn measure() -> Result<Vec<Figure>> {
    let terrace = Terrace::start(Options::default()).await?;
    let client = terrace.client();
    for number in 0..SERVICES {
        let (path, body) = service(number)?;
        client
            .control(Method::POST, &path, Some(body))
            .await?
            .success()
            .with_context(|| path.clone())?;
        if number % 25 == 24 {
            eprintln!("{} of {SERVICES} services are deployed", number + 1);
        }
    }
    let cookies = client.sign_in("acme", "ada@acme.example").await?.cookies;
    let mut took = Vec::new();
    for _ in 0..=STARTS {
        let port = free_port()?;
        let start = Instant::now();
        let mut node = node(&terrace, port)?;
        let answered = tokio::time::timeout(START_MAX, first_answer(port, &cookies)).await;
        took.push(start.elapsed());
        node.kill().await?;
        answered.context("the node does not start")??;
    }
    // The first one reads the programs and the compiled code from the disk.
    let cold = took.remove(0);
    let (p50, p99) = quantiles(&mut took);
    let ms = |time: Duration| format!("{:.0} ms", time.as_secs_f64() * 1e3);
    Ok(vec![Figure {
        what: "process start to first answer, 100 services beside the product's three".to_owned(),
        ours: format!("p50 {}, p99 {}; the first {}", ms(p50), ms(p99), ms(cold)),
        peer: "none in this run".to_owned(),
        ratio: "-".to_owned(),
    }])
}

/// `hello`, and others that differ by a section at their component's end: other bytes, the same code.
fn service(number: usize) -> Result<(String, Value)> {
    let name = if number == 0 {
        "hello".to_owned()
    } else {
        format!("hello-{number}")
    };
    let mut component = fs::read(bundles("figures").join("hello/service.wasm")).context("read the component")?;
    component.extend([0, 6, 4, b'm', b'a', b'r', b'k', u8::try_from(number).unwrap_or(u8::MAX)]);
    let operation = json!({
        "operationId": format!("{}_ping", name.replace('-', "_")),
        "responses": { "200": { "content": { "*/*": {} } } },
    });
    let body = json!({
        "manifest": format!("name = \"{name}\"\n"),
        "contract": {
            "openapi": "3.1.0",
            "info": { "title": name, "version": "0" },
            "paths": { format!("/api/{name}/ping"): { "get": operation } },
        },
        "migrations": [],
        "component": BASE64.encode(&component),
    });
    Ok((format!("/api/control/services/{name}/releases"), body))
}

/// Another node of the same installation.
fn node(terrace: &Terrace, port: u16) -> Result<Child> {
    let database = fs::read_to_string(terrace.path("run/database")).context("find the database")?;
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(terrace.path("log/second.log"))?;
    Command::new(program("terrace-node"))
        .arg("--listen")
        .arg(format!("127.0.0.1:{port}"))
        .arg("--data-dir")
        .arg(terrace.path(""))
        .args(["--database", database.trim()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .context("start a node")
}

/// Knocks once a millisecond; the node listens when it can answer.
async fn first_answer(port: u16, cookies: &str) -> Result<()> {
    loop {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await {
            let request = format!(
                "GET /api/hello/ping HTTP/1.1\r\nhost: acme.localhost\r\ncookie: {cookies}\r\nconnection: close\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            if !answer.starts_with("HTTP/1.1 200") {
                bail!("the first answer is {answer}");
            }
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(listener.local_addr()?.port())
}
