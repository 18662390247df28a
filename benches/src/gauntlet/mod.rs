//! `cargo gauntlet`: each attack runs at twice the cores while a victim of another tenant asks on; then the
//! same under each peer. It prints a line for each as it ends, and at last one line for each attack.
//!
//! A peer's victim is a neighbour where the peer has such a thing, or else the quiet operation of the same
//! component.

mod assault;
mod table;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use terrace_tests_harness::{Client, Options, Part, Session, Terrace, bundles};

use self::{
    assault::{ATTACK, Ask, INTERVAL, attacked},
    table::Table,
};
use crate::{
    peers::{self, Peer},
    rest::proportional_kib,
};

/// The attacks of `tests/gauntlet`, and of `benches/peers/attacks.js`.
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

/// All attacks, or those that are named.
pub(crate) async fn run(only: &[String]) -> Result<()> {
    let at_once = 2 * std::thread::available_parallelism().map_or(2, usize::from);
    println!("{}\n", crate::machine::describe());
    println!(
        "Each attack: {at_once} at once for {} s. The victim asks every {} ms.\n",
        ATTACK.as_secs(),
        INTERVAL.as_millis()
    );
    let present = present();
    let wanted = |name: &str| name == "none" || only.is_empty() || only.iter().any(|only| only == name);
    let mut table = Table::begin();
    let memory = terrace(at_once, &wanted, &mut table).await?;
    let mut failures = Vec::new();
    for present in present {
        // What was measured before must not be lost by a peer that does not start.
        if let Err(error) = peer(present, at_once, &wanted, &mut table).await {
            failures.push(format!("{} was not attacked to the end: {error:#}", present.name));
        }
    }
    println!("\nMemory of the node after each, in MiB: {}", memory.join(", "));
    for failure in failures {
        println!("{failure}");
    }
    table.print_summary();
    Ok(())
}

/// The peers that are installed; says of each of them which version it is, and of the others that they are not.
fn present() -> Vec<&'static Peer> {
    let mut present = Vec::new();
    for peer in peers::ALL {
        match peer.version() {
            Some(version) => {
                println!("{}: {version}", peer.name);
                present.push(peer);
            }
            None => println!("{} is not installed", peer.name),
        }
    }
    println!();
    present
}

/// Returns the memory of the node after each attack.
async fn terrace(at_once: usize, wanted: &impl Fn(&str) -> bool, table: &mut Table) -> Result<Vec<String>> {
    let terrace = Terrace::start(Options {
        hostile: true,
        ..Options::default()
    })
    .await?;
    let client = terrace.client();
    deploy_table(&client).await?;
    let ada = client.sign_in("acme", "ada@acme.example").await?;
    let gus = client.sign_in("globex", "gus@globex.example").await?;
    let ask = |session: &Session, method: Method, path: &str, body: Value| {
        let headers = vec![
            ("host", format!("{}.localhost", session.slug)),
            ("cookie", session.cookies.clone()),
            ("content-type", "application/json".to_owned()),
        ];
        let body = if body.is_null() {
            Bytes::new()
        } else {
            body.to_string().into()
        };
        Ask::new(
            method,
            format!("http://127.0.0.1:{}{path}", terrace.port),
            headers,
            body,
        )
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
    let mut attacks: Vec<(&'static str, Option<Ask>)> = vec![("none", None)];
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
        // Another release each time: what the engine remembers of the attacks before must not count.
        deploy_again(&client, name).await?;
        let outcome = attacked(&victim, attack.as_ref(), at_once).await?;
        let node = terrace.pid(Part::Node)?;
        let fate = if node == before { "" } else { "restarted" };
        memory.push(format!("{name} {}", proportional_kib(node)? >> 10));
        table.add("Terrace", name, outcome, fate);
    }
    Ok(memory)
}

async fn peer(peer: &Peer, at_once: usize, wanted: &impl Fn(&str) -> bool, table: &mut Table) -> Result<()> {
    let component = bundles("hostile/gauntlet/service.wasm");
    for name in std::iter::once("none").chain(ATTACKS).filter(|name| wanted(name)) {
        // Each attack meets a fresh process: what the one before did to it must not count.
        let mut running = peer.start(&component)?;
        let get = |port: u16, name: &str| {
            let url = format!("http://127.0.0.1:{port}/api/gauntlet/{name}");
            Ask::new(Method::GET, url, Vec::new(), Bytes::new())
        };
        let attack = (name != "none").then(|| get(running.attacked, name));
        let outcome = attacked(&get(running.victim, "ping"), attack.as_ref(), at_once).await?;
        let fate = if running.is_alive()? { "" } else { "died" };
        table.add(peer.name, name, outcome, fate);
    }
    Ok(())
}

/// The attacks once more, under a title of their own: the same content would be the same release.
async fn deploy_again(client: &Client, title: &str) -> Result<()> {
    let folder = bundles("hostile/gauntlet");
    let read = |name: &str| std::fs::read(folder.join(name)).with_context(|| format!("read the gauntlet's {name}"));
    let manifest = String::from_utf8(read("service.toml")?)?;
    let body = json!({
        "manifest": manifest.replace("Attacks on the sandbox", &format!("Attacks on the sandbox: {title}")),
        "contract": serde_json::from_slice::<Value>(&read("openapi.json")?)?,
        "migrations": [],
        "component": data_encoding::BASE64.encode(&read("service.wasm")?),
    });
    client
        .control(Method::POST, "/api/control/services/gauntlet/releases", Some(body))
        .await?
        .success()?;
    Ok(())
}

/// The service that only a text can say.
async fn deploy_table(client: &Client) -> Result<()> {
    let text = include_str!("../../../tests/gauntlet/table.wat");
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
