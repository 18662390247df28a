//! The gauntlet: each attack runs at twice the cores while a victim of another tenant asks on; then
//! the same component under `wasmtime serve`, whose victim is the same component's quiet operation.
//!
//! The victim asks every 10 ms, whether or not the last answer has come, and is timed from when it
//! should have asked: a server that stands still does not hide it by slowing the victim down. The attackers
//! run on a thread of their own: what they read must not delay the victim's clock, which in life would be on
//! another machine.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use terrace_tests_harness::{Client, Options, Part, Session, Terrace, bundles};

use crate::{peers::Wasmtime, rest::proportional_kib, tenants::quantiles};

/// How long an attack lasts.
const ATTACK: Duration = Duration::from_secs(5);
/// How often the victim asks.
const INTERVAL: Duration = Duration::from_millis(10);
/// How long a victim waits for an answer, and an attacker for its end.
const PATIENCE: Duration = Duration::from_secs(5);
/// The attacks of `tests/gauntlet`.
const ATTACKS: [&str; 16] = [
    "loop",
    "reused-loop",
    "memory",
    "list-bomb",
    "random-bomb",
    "header-bomb",
    "fields",
    "handles",
    "stream-bomb",
    "bulk-copy",
    "stack",
    "trap",
    "sleep",
    "slow-body",
    "outgoing",
    "log-flood",
];

/// A request that can be made again and again.
#[derive(Clone)]
struct Ask {
    http: HttpClient<HttpConnector, Full<Bytes>>,
    method: Method,
    url: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

/// How an attack went.
struct Outcome {
    asked: usize,
    answered: usize,
    p50: Duration,
    p99: Duration,
    /// How the attackers' requests ended, and how often.
    ends: BTreeMap<String, usize>,
    longest: Duration,
}

/// All attacks, or those that are named.
pub(crate) async fn run(only: &[String]) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    println!("{}\n", crate::machine::describe());
    println!(
        "Each attack: {} at once for {} s. The victim asks every {} ms.\n",
        cores * 2,
        ATTACK.as_secs(),
        INTERVAL.as_millis()
    );
    println!(
        "| who | attack | victim answered | victim p50 | victim p99 | attackers' requests ended | longest | restarts |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let wanted = |name: &str| name == "none" || only.is_empty() || only.iter().any(|only| only == name);
    terrace(cores * 2, &wanted).await?;
    peer(cores * 2, &wanted).await
}

async fn terrace(at_once: usize, wanted: &impl Fn(&str) -> bool) -> Result<()> {
    let terrace = Terrace::start(Options {
        hostile: true,
        ..Options::default()
    })
    .await?;
    let client = terrace.client();
    deploy_table(&client).await?;
    let ada = client.sign_in("acme", "ada@acme.example").await?;
    let gus = client.sign_in("globex", "gus@globex.example").await?;
    let ask = |session: &Session, method: Method, path: &str, body: Value| Ask {
        http: http(),
        method,
        url: format!("http://127.0.0.1:{}{path}", terrace.port),
        headers: vec![
            ("host", format!("{}.localhost", session.slug)),
            ("cookie", session.cookies.clone()),
            ("content-type", "application/json".to_owned()),
        ],
        body: if body.is_null() {
            Bytes::new()
        } else {
            body.to_string().into()
        },
    };
    let sql = |statement: &str| {
        ask(
            &ada,
            Method::POST,
            "/api/hostile/sql",
            json!({ "statements": [statement] }),
        )
    };
    let get = |path: String| ask(&ada, Method::GET, &path, Value::Null);
    let mut attacks: Vec<(&str, Option<Ask>)> = vec![("none", None)];
    attacks.extend(
        ATTACKS
            .iter()
            .map(|name| (*name, Some(get(format!("/api/gauntlet/{name}"))))),
    );
    attacks.push((
        "table",
        Some(ask(&ada, Method::POST, "/api/growtable/grow", Value::Null)),
    ));
    attacks.push((
        "recursive-calls",
        Some(ask(&ada, Method::POST, "/api/hostile/recurse", Value::Null)),
    ));
    attacks.push(("pg-sleep", Some(sql("SELECT pg_sleep(60)"))));
    attacks.push((
        "endless-sql",
        Some(sql(
            "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b",
        )),
    ));
    let victim = ask(&gus, Method::GET, "/api/tasks/boards", Value::Null);
    let before = terrace.pid(Part::Node)?;
    let mut memory = Vec::new();
    for (name, attack) in attacks.into_iter().filter(|(name, _)| wanted(name)) {
        let outcome = attacked(&victim, attack.as_ref(), at_once).await?;
        let node = terrace.pid(Part::Node)?;
        let restarts = usize::from(node != before);
        memory.push((name, proportional_kib(node)? >> 10));
        outcome.print("Terrace", name, &restarts.to_string());
    }
    let memory: Vec<String> = memory.iter().map(|(name, mib)| format!("{name} {mib}")).collect();
    println!("\nMemory of the node after each, in MiB: {}\n", memory.join(", "));
    Ok(())
}

async fn peer(at_once: usize, wanted: &impl Fn(&str) -> bool) -> Result<()> {
    let component = bundles("hostile/gauntlet/service.wasm");
    for name in std::iter::once("none").chain(ATTACKS).filter(|name| wanted(name)) {
        // Each attack meets a fresh process: what the one before did to it must not count.
        let Some(mut wasmtime) = Wasmtime::start(&component)? else {
            bail!("there is no wasmtime to compare with: run `cargo gauntlet`, which builds it");
        };
        let get = |name: &str| Ask {
            http: http(),
            method: Method::GET,
            url: format!("http://127.0.0.1:{}/api/gauntlet/{name}", wasmtime.port),
            headers: Vec::new(),
            body: Bytes::new(),
        };
        let attack = (name != "none").then(|| get(name));
        let outcome = attacked(&get("ping"), attack.as_ref(), at_once).await?;
        let fate = if wasmtime.is_alive()? { "0" } else { "the process died" };
        outcome.print("wasmtime serve 48", name, fate);
    }
    Ok(())
}

fn http() -> HttpClient<HttpConnector, Full<Bytes>> {
    HttpClient::builder(TokioExecutor::new()).build_http()
}

/// The service that only a text can say.
async fn deploy_table(client: &Client) -> Result<()> {
    let text = include_str!("../../tests/gauntlet/table.wat");
    let component = wat::parse_str(text).context("assemble the table attack")?;
    let operation = json!({ "operationId": "growtable_grow", "security": [{}], "responses": { "200": { "description": "Never" } } });
    let body = json!({
        "manifest": "name = \"growtable\"\n[limits]\ncpu_ms = 100\nwall_ms = 2000\nmemory_mib = 32\nconcurrency = 8\n",
        "contract": {
            "openapi": "3.1.0",
            "info": { "title": "Table", "version": "1" },
            "paths": { "/api/growtable/grow": { "post": operation } },
        },
        "migrations": [],
        "component": data_encoding::BASE64.encode(&component),
    });
    client
        .control(Method::POST, "/api/control/services/growtable/releases", Some(body))
        .await?
        .success()?;
    Ok(())
}

impl Ask {
    /// The same by connections of its own: those of another runtime would end with it.
    fn again(&self) -> Self {
        Self {
            http: http(),
            ..self.clone()
        }
    }

    async fn send(&self) -> Result<(StatusCode, Bytes)> {
        let mut request = Request::builder().method(self.method.clone()).uri(&self.url);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let response = self.http.request(request.body(Full::new(self.body.clone()))?).await?;
        let (head, body) = response.into_parts();
        Ok((head.status, body.collect().await?.to_bytes()))
    }
}

/// Asks as the victim while `at_once` attackers attack, one request after the other each.
async fn attacked(victim: &Ask, attack: Option<&Ask>, at_once: usize) -> Result<Outcome> {
    let over = Arc::new(AtomicBool::new(false));
    let crowd = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("start the attackers' thread")?;
    let attackers: Vec<_> = attack
        .into_iter()
        .flat_map(|attack| std::iter::repeat_n(attack.again(), at_once))
        .map(|attack| crowd.spawn(attacker(attack, over.clone())))
        .collect();

    let mut asked = Vec::new();
    let start = tokio::time::Instant::now();
    let mut ticks = tokio::time::interval_at(start + INTERVAL, INTERVAL);
    while start.elapsed() < ATTACK {
        let due = ticks.tick().await;
        let victim = victim.clone();
        asked.push(tokio::spawn(async move {
            let answer = tokio::time::timeout_at(due + PATIENCE, victim.send()).await;
            let is_good = matches!(answer, Ok(Ok((status, _))) if status.is_success());
            is_good.then(|| due.elapsed())
        }));
    }
    over.store(true, Relaxed);
    let mut took = Vec::new();
    let count = asked.len();
    for task in asked {
        took.extend(task.await?);
    }
    let mut ends = BTreeMap::new();
    let mut longest = Duration::ZERO;
    for attacker in attackers {
        for (end, lasted) in attacker.await? {
            *ends.entry(end).or_default() += 1;
            longest = longest.max(lasted);
        }
    }
    crowd.shutdown_background();
    let answered = took.len();
    let (p50, p99) = if took.is_empty() {
        (PATIENCE, PATIENCE)
    } else {
        quantiles(&mut took)
    };
    Ok(Outcome {
        asked: count,
        answered,
        p50,
        p99,
        ends,
        longest,
    })
}

/// How each request of one attacker ended, and how long it took.
async fn attacker(attack: Ask, over: Arc<AtomicBool>) -> Vec<(String, Duration)> {
    let mut ends = Vec::new();
    while !over.load(Relaxed) {
        let start = Instant::now();
        let end = match tokio::time::timeout(PATIENCE, attack.send()).await {
            Ok(Ok((status, body))) => {
                let problem: Option<Value> = serde_json::from_slice(&body).ok();
                problem
                    .as_ref()
                    .and_then(|problem| problem["code"].as_str())
                    .map_or_else(|| status.as_u16().to_string(), str::to_owned)
            }
            Ok(Err(_)) => "broken off".to_owned(),
            Err(_) => "did not end".to_owned(),
        };
        ends.push((end, start.elapsed()));
    }
    ends
}

impl Outcome {
    fn print(&self, who: &str, attack: &str, restarts: &str) {
        #[expect(clippy::cast_precision_loss, reason = "a percentage")]
        let share = 100.0 * self.answered as f64 / self.asked.max(1) as f64;
        let ends: Vec<String> = self.ends.iter().map(|(end, count)| format!("{end} {count}")).collect();
        let ms = |duration: Duration| format!("{:.1} ms", duration.as_secs_f64() * 1e3);
        println!(
            "| {who} | {attack} | {share:.1} % | {} | {} | {} | {} | {restarts} |",
            ms(self.p50),
            ms(self.p99),
            ends.join(", "),
            ms(self.longest),
        );
    }
}
