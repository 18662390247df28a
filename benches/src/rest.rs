//! Memory at rest: what nobody's request costs.

use anyhow::{Context, Result};
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
        what: "memory at rest, two tenants, three services, two sites",
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
