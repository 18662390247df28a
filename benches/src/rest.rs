//! Memory at rest: what nobody's request costs.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Method, StatusCode};
use terrace_tests_harness::{Options, Part, Terrace};

use crate::Figure;

pub(crate) async fn measure() -> Result<Vec<Figure>> {
    let terrace = Terrace::start(Options::default()).await?;
    let memory = |part| proportional_kib(terrace.pid(part)?);
    let (edge, node, database) = (
        memory(Part::Edge)?,
        memory(Part::Node)?,
        tree_kib(terrace.pid(Part::Database)?)?,
    );
    let mib = |kib: u64| format!("{:.0} MiB", kib as f64 / 1024.0);
    Ok(vec![Figure {
        what: "memory at rest, two tenants, three services, two sites".to_owned(),
        ours: format!("edge {}, node {}, PostgreSQL {}", mib(edge), mib(node), mib(database)),
        peer: "none in this run".to_owned(),
        ratio: "-".to_owned(),
    }])
}

/// The proportional set size: shared pages count once over all processes that share them.
pub(crate) fn proportional_kib(pid: i32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).context("read a process's memory")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .context("find Pss")?;
    line.trim().trim_end_matches("kB").trim().parse().context("read Pss")
}

/// A process and all below it.
fn tree_kib(pid: i32) -> Result<u64> {
    let mut sum = proportional_kib(pid)?;
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    for child in children.split_whitespace() {
        sum += tree_kib(child.parse()?)?;
    }
    Ok(sum)
}

/// Tenants that exist and do nothing.
const TENANTS: usize = 10_000;
/// Instances that wait for a request.
const LIVE: usize = 1_000;

/// What many tenants cost a node: those that only exist, and those that it keeps an instance for.
///
/// The tenants are written into the directory, without schemas: what is asked is the node's memory, and
/// a node has none of a tenant's schemas.
pub(crate) async fn measure_many() -> Result<Vec<Figure>> {
    let terrace = Terrace::start(Options {
        hostile: true,
        config: format!("[engine]\nidle_max = {LIVE}\nidle_seconds = 3600\n"),
        ..Options::default()
    })
    .await?;
    let client = terrace.client();
    let services = client
        .control(Method::GET, "/api/control/services", None)
        .await?
        .success()?
        .body["items"]
        .as_array()
        .map_or(0, Vec::len);
    let node = terrace.pid(Part::Node)?;
    let before = proportional_kib(node)?;

    let database = terrace.database().await?;
    database
        .batch_execute(&format!(
            "INSERT INTO terrace.lane (id, cluster, login, capacity, tenants, connection_limit)
             SELECT 'l_' || translate(to_hex(lane + 1048576), '01', 'xy'), (SELECT name FROM terrace.cluster LIMIT 1), 'lane_many' || lane, 64, 64, 8
             FROM generate_series(0, {TENANTS} / 64) lane;
             INSERT INTO terrace.tenant (id, slug, name, plan, state, lane, version)
             SELECT 't_' || translate(lpad(to_hex(number + 4096 * 4096), 8, '2'), '01', 'xy'), 'many-' || number, 'One of many', 'free', 'active',
                    'l_' || translate(to_hex(number / 64 + 1048576), '01', 'xy'), terrace.bump()
             FROM generate_series(1, {TENANTS}) number"
        ))
        .await?;
    let last = format!("many-{TENANTS}");
    let ask = async |slug: &str| {
        client
            .send(slug, Method::GET, "/api/hostile/ok", &[], Bytes::new())
            .await
    };
    while ask(&last).await?.status != StatusCode::OK {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let at_rest = proportional_kib(node)?;
    for number in 1..LIVE {
        ask(&format!("many-{number}")).await?.success()?;
    }
    let live = proportional_kib(node)?;
    let mib = |kib: u64| kib as f64 / 1024.0;
    Ok(vec![
        Figure {
            what: "memory of a node at rest: 10,000 tenants".to_owned(),
            ours: format!(
                "{:.0} MiB with {services} services, {:.0} MiB with two tenants",
                mib(at_rest),
                mib(before)
            ),
            peer: "none in this run".to_owned(),
            ratio: "-".to_owned(),
        },
        Figure {
            what: "memory of a node with 1,000 idle instances of 1,000 tenants".to_owned(),
            ours: format!(
                "{:.0} MiB, {:.0} KiB an instance",
                mib(live),
                (live - at_rest) as f64 / LIVE as f64
            ),
            peer: "none in this run".to_owned(),
            ratio: "-".to_owned(),
        },
    ])
}
