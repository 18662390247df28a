//! `terrace usage`: what tenants used of services, as a table.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use serde::Deserialize;

use super::segment;
use crate::{api::Api, arguments::Usage, failure::Failure, figures, output::Output, table::Table};

#[derive(Deserialize)]
struct Shown {
    from: String,
    until: String,
    items: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    tenant: String,
    slug: Option<String>,
    service: String,
    hour: Option<String>,
    requests: u64,
    failures: u64,
    cpu_us: u64,
    wall_us: u64,
    memory_peak_bytes: u64,
    sql_us: u64,
    sent_bytes: u64,
    received_bytes: u64,
}

pub(crate) fn run(api: &Api, output: Output, options: &Usage) -> Result<(), Failure> {
    let now = Timestamp::now();
    let from = now.checked_sub(options.since).unwrap_or(Timestamp::UNIX_EPOCH);
    let mut query = format!("from={}&hourly={}", segment(&from.to_string()), options.hourly);
    for (name, value) in [("tenant", &options.tenant), ("service", &options.service)] {
        if let Some(value) = value {
            query.push_str(&format!("&{name}={}", segment(value)));
        }
    }
    let answer = api.get(&format!("/api/control/usage?{query}"))?;
    if output.json {
        return output.json(&answer);
    }
    let shown = Shown::deserialize(&answer)?;
    output.line(&format!("{} to {}", local(&shown.from), local(&shown.until)))?;
    let figures = [
        ">requests",
        ">failures",
        ">cpu",
        ">wall",
        ">database",
        ">memory",
        ">sent",
        ">received",
    ];
    if options.hourly {
        let mut table = Table::new(&[&["hour", "tenant", "service"][..], &figures].concat());
        for row in &shown.items {
            let [a, b, c, d, e, f, g, h] = row.cells();
            let hour = row.hour.as_deref().map_or_else(String::new, local);
            table.row([hour, row.who(), row.service.clone(), a, b, c, d, e, f, g, h]);
        }
        return output.table(&table, EMPTY);
    }
    let mut table = Table::new(&[&["tenant", "service"][..], &figures].concat());
    for row in &shown.items {
        let [a, b, c, d, e, f, g, h] = row.cells();
        table.row([row.who(), row.service.clone(), a, b, c, d, e, f, g, h]);
    }
    output.table(&table, EMPTY)
}

const EMPTY: &str = "Nothing was used in this time. `--since 30d` looks further back.";

impl Row {
    fn who(&self) -> String {
        self.slug
            .clone()
            .unwrap_or_else(|| format!("{} (deleted)", self.tenant))
    }

    fn cells(&self) -> [String; 8] {
        [
            self.requests.to_string(),
            self.failures.to_string(),
            seconds(self.cpu_us),
            seconds(self.wall_us),
            seconds(self.sql_us),
            figures::size(self.memory_peak_bytes),
            figures::size(self.sent_bytes),
            figures::size(self.received_bytes),
        ]
    }
}

/// `1.234 s`, `12.3 ms`.
fn seconds(micros: u64) -> String {
    let millis = Duration::from_micros(micros).as_secs_f64() * 1_000.0;
    if millis < 1_000.0 {
        format!("{millis:.1} ms")
    } else {
        format!("{:.3} s", millis / 1_000.0)
    }
}

fn local(text: &str) -> String {
    text.parse::<Timestamp>().map_or_else(
        |_| text.to_owned(),
        |at| at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_units() {
        assert_eq!(seconds(0), "0.0 ms");
        assert_eq!(seconds(12_340), "12.3 ms");
        assert_eq!(seconds(1_234_567), "1.235 s");
    }
}
