//! `terrace tenant database`: how a tenant's data is doing, on one page.

use std::time::Duration;

use serde::Deserialize;

use super::{segment, tenant::PATH};
use crate::{
    api::Api,
    failure::Failure,
    figures,
    output::{Output, Style},
    progress,
    table::Table,
};

/// Statements that are shown unless all are asked for.
const FEW: usize = 10;
/// Characters of a statement in the table, unless all are asked for.
const TEXT_MAX: usize = 100;

#[derive(Deserialize)]
struct Shown {
    cluster: String,
    size_bytes: u64,
    index_bytes: u64,
    exact: bool,
    live_rows: u64,
    dead_rows: u64,
    cache_hit_ratio: Option<f64>,
    longest_transaction_ms: Option<u64>,
    lock_waits: Vec<LockWait>,
    schemas: Vec<Schema>,
    connections: Connections,
    counts: Counts,
    statements: Vec<Statement>,
    other_calls: u64,
    other_ms: f64,
}

#[derive(Deserialize)]
struct LockWait {
    schema: String,
    table: String,
    target: String,
    mode: String,
    waited_ms: u64,
    blockers: u32,
}

#[derive(Deserialize)]
struct Schema {
    service: String,
    size_bytes: u64,
    tables: u64,
    live_rows: u64,
    dead_rows: u64,
    state: String,
    version: u32,
    current: u32,
}

#[derive(Deserialize)]
struct Connections {
    in_flight: u64,
    waiting: u64,
    lane_in_use: u64,
    lane_limit: u64,
}

#[derive(Deserialize)]
struct Counts {
    statements: u64,
    failures: u64,
    refused: u64,
    lock_timeouts: u64,
    timeouts: u64,
    conflicts: u64,
}

#[derive(Deserialize)]
struct Statement {
    service: String,
    fingerprint: String,
    text: String,
    calls: u64,
    failures: u64,
    total_ms: f64,
    mean_ms: f64,
    max_ms: f64,
}

/// `full`: every statement, with its whole text.
pub(super) fn show(api: &Api, output: Output, tenant: &str, full: bool) -> Result<(), Failure> {
    let path = format!("{PATH}/{}/database", segment(tenant));
    let answer = progress::waiting("Asking the tenant's cluster", || api.get(&path))?;
    if output.json {
        return output.json(&answer);
    }
    output.text(&page(&Shown::deserialize(&answer)?, output.style, full))
}

fn page(shown: &Shown, style: Style, full: bool) -> String {
    let mut page: String = facts(shown)
        .into_iter()
        .map(|(name, value)| format!("{}{value}\n", style.dim(&format!("{name:<13}"))))
        .collect();
    let mut part = |title: &str, body: &str| page.push_str(&format!("\n{}\n{body}", style.bold(title)));

    let mut table = Table::new(&["service", "migration", ">tables", ">size", ">rows", ">dead"]);
    for schema in &shown.schemas {
        let migration = match schema.state.as_str() {
            "current" => schema.version.to_string(),
            state => format!("{} of {}: {state}", schema.version, schema.current),
        };
        table.row([
            schema.service.clone(),
            migration,
            schema.tables.to_string(),
            figures::size(schema.size_bytes),
            schema.live_rows.to_string(),
            schema.dead_rows.to_string(),
        ]);
    }
    part("Schemas", &table.render(style));

    if !shown.lock_waits.is_empty() {
        let mut table = Table::new(&["table", "lock", "on", ">waits", ">for"]);
        for wait in &shown.lock_waits {
            table.row([
                format!("{}.{}", wait.schema, wait.table),
                wait.mode.clone(),
                wait.target.clone(),
                seconds(wait.waited_ms as f64),
                match wait.blockers {
                    1 => "1 other".to_owned(),
                    blockers => format!("{blockers} others"),
                },
            ]);
        }
        part("Waiting for locks now", &table.render(style));
    }

    if shown.statements.is_empty() {
        part("Slowest statements", "None ran on this node in the last hour.\n");
        return page;
    }
    let mut table = Table::new(&[
        ">total",
        ">calls",
        ">mean",
        ">max",
        ">failed",
        "service",
        "fingerprint",
        "statement",
    ]);
    let many = if full { shown.statements.len() } else { FEW };
    for statement in shown.statements.iter().take(many) {
        table.row([
            seconds(statement.total_ms),
            statement.calls.to_string(),
            seconds(statement.mean_ms),
            seconds(statement.max_ms),
            statement.failures.to_string(),
            statement.service.clone(),
            statement.fingerprint.clone(),
            if full {
                statement.text.clone()
            } else {
                shorten(&statement.text)
            },
        ]);
    }
    let hidden = shown.statements.get(many..).unwrap_or_default();
    let calls = shown.other_calls + hidden.iter().map(|one| one.calls).sum::<u64>();
    let time = shown.other_ms + hidden.iter().map(|one| one.total_ms).sum::<f64>();
    let mut body = table.render(style);
    if calls > 0 {
        body.push_str(&style.dim(&format!("Others: {calls} calls, {}", seconds(time))));
        body.push('\n');
    }
    part("Slowest statements of the last hours", &body);
    page
}

fn facts(shown: &Shown) -> Vec<(&'static str, String)> {
    let Shown {
        connections, counts, ..
    } = shown;
    let size = |bytes| figures::size(bytes);
    let estimated = if shown.exact {
        ""
    } else {
        "; estimated, for a table is locked"
    };
    let longest = shown
        .longest_transaction_ms
        .map_or_else(|| "none".to_owned(), |ms| seconds(ms as f64));
    vec![
        ("Cluster", shown.cluster.clone()),
        (
            "Size",
            format!(
                "{} ({} of it indexes{estimated})",
                size(shown.size_bytes),
                size(shown.index_bytes)
            ),
        ),
        ("Rows", format!("{} ({} dead)", shown.live_rows, shown.dead_rows)),
        (
            "In memory",
            shown
                .cache_hit_ratio
                .map_or_else(|| "-".to_owned(), |ratio| format!("{:.2} %", ratio * 100.0)),
        ),
        (
            "Connections",
            format!(
                "{} in flight, {} waiting; its lane uses {} of {}",
                connections.in_flight, connections.waiting, connections.lane_in_use, connections.lane_limit
            ),
        ),
        (
            "Statements",
            format!(
                "{}; {} failed, {} refused, {} lock timeouts, {} timeouts, {} conflicts",
                counts.statements,
                counts.failures,
                counts.refused,
                counts.lock_timeouts,
                counts.timeouts,
                counts.conflicts
            ),
        ),
        ("Longest open", longest),
    ]
}

/// `0.3 ms`, `1.234 s`.
fn seconds(ms: f64) -> String {
    if ms < 1_000.0 {
        format!("{ms:.1} ms")
    } else {
        format!("{:.3} s", Duration::from_secs_f64(ms / 1_000.0).as_secs_f64())
    }
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= TEXT_MAX {
        return text.to_owned();
    }
    let beginning: String = text.chars().take(TEXT_MAX - 1).collect();
    format!("{beginning}\u{2026}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_has_aligned_columns_and_says_what_it_leaves_out() {
        let statement = |text: &str, total_ms: f64| {
            json!({ "service": "tasks", "fingerprint": "50fde20626009aba", "text": text, "calls": 2, "failures": 0,
                "total_ms": total_ms, "mean_ms": total_ms / 2.0, "max_ms": total_ms })
        };
        let mut statements = vec![statement(&"x".repeat(300), 1_500.0)];
        statements.extend((0..12).map(|_| statement("SELECT $1", 0.5)));
        let answer = json!({
            "cluster": "main", "size_bytes": 1_258_291, "index_bytes": 1024, "exact": false, "live_rows": 7,
            "dead_rows": 1, "cache_hit_ratio": 0.995, "longest_transaction_ms": null,
            "lock_waits": [{ "schema": "t_a_tasks", "table": "task", "target": "relation", "mode": "AccessShareLock",
                "waited_ms": 1_200, "blockers": 1 }],
            "schemas": [
                { "service": "identity", "size_bytes": 1024, "tables": 2, "live_rows": 3, "dead_rows": 0,
                    "state": "current", "version": 2, "current": 2 },
                { "service": "tasks", "size_bytes": 2048, "tables": 4, "live_rows": 4, "dead_rows": 1,
                    "state": "behind", "version": 2, "current": 3 },
            ],
            "connections": { "in_flight": 1, "waiting": 0, "lane_in_use": 2, "lane_limit": 16 },
            "counts": { "statements": 26, "failures": 0, "refused": 0, "lock_timeouts": 0, "timeouts": 0, "conflicts": 0 },
            "statements": statements, "other_calls": 5, "other_ms": 1.0,
        });
        let shown = Shown::deserialize(&answer).unwrap();
        let page = page(&shown, Style::plain(), false);
        for line in [
            "Size         1.2 MiB (1.0 KiB of it indexes; estimated, for a table is locked)",
            "In memory    99.50 %",
            "tasks     2 of 3: behind       4  2.0 KiB     4     1",
            "t_a_tasks.task  AccessShareLock  relation  1.200 s  1 other",
            "Others: 11 calls, 2.5 ms",
        ] {
            assert!(page.lines().any(|each| each == line), "{line} is not in\n{page}");
        }
        assert!(page.lines().all(|line| line.chars().count() < 180), "{page}");
        assert!(super::page(&shown, Style::plain(), true).contains(&"x".repeat(300)));
    }
}
