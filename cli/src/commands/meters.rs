//! `terrace meters`: the last minute, as tables.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _},
    thread,
    time::Duration,
};

use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    api::Api,
    failure::Failure,
    figures,
    output::{Output, Style},
    table::Table,
};

/// How many errors are shown; `--json` has them all.
const ERRORS_SHOWN: usize = 10;

#[derive(Deserialize)]
struct Shown {
    at: String,
    window_seconds: u64,
    totals: Figures,
    tenants: Vec<TenantFigures>,
    services: Vec<ServiceFigures>,
    errors: Vec<ErrorLine>,
}

#[derive(Deserialize)]
struct Figures {
    requests: u64,
    errors: u64,
    rate_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

#[derive(Deserialize)]
struct TenantFigures {
    tenant: String,
    slug: Option<String>,
    #[serde(flatten)]
    figures: Figures,
}

#[derive(Deserialize)]
struct ServiceFigures {
    service: String,
    #[serde(flatten)]
    figures: Figures,
}

#[derive(Deserialize)]
struct ErrorLine {
    at: String,
    request_id: String,
    tenant: String,
    service: String,
    method: String,
    path: String,
    status: u16,
    code: Option<String>,
}

pub(crate) fn run(api: &Api, output: Output, watch: bool) -> Result<(), Failure> {
    let is_terminal = io::stdout().is_terminal();
    loop {
        let answer = api.get("/api/control/meters")?;
        if output.json && watch {
            output.line(&answer.to_string())?;
        } else if output.json {
            output.json(&answer)?;
        } else {
            let text = page(&Shown::deserialize(&answer)?, output.style);
            // Home, the page, and nothing of the longer page before it: no flicker.
            let text = if watch && is_terminal {
                format!("\u{1b}[H\u{1b}[2J{text}")
            } else {
                text
            };
            output.text(&text)?;
        }
        if !watch {
            return Ok(());
        }
        thread::sleep(Duration::from_secs(1));
    }
}

fn page(meters: &Shown, style: Style) -> String {
    let Figures {
        requests,
        errors,
        rate_per_second,
        p50_ms,
        p99_ms,
    } = meters.totals;
    let (p50, p99) = (
        figures::milliseconds(p50_ms, requests),
        figures::milliseconds(p99_ms, requests),
    );
    let mut text = format!(
        "Last {} s: {requests} requests, {rate_per_second:.1} a second, {errors} errors, p50 {p50} ms, p99 {p99} ms\n",
        meters.window_seconds
    );
    let columns = [">requests", ">errors", ">per second", ">p50 ms", ">p99 ms"];
    let head = |name| [&[name][..], &columns].concat();

    let mut tenants = Table::new(&head("tenant"));
    for row in &meters.tenants {
        tenants.row(cells(row.slug.as_ref().unwrap_or(&row.tenant), &row.figures));
    }
    let mut services = Table::new(&head("service"));
    for row in &meters.services {
        services.row(cells(&row.service, &row.figures));
    }
    let now = meters.at.parse().unwrap_or_else(|_| Timestamp::now());
    let mut lines = Table::new(&["when", ">status", "code", "tenant", "service", "request", "id"]);
    for line in meters.errors.iter().take(ERRORS_SHOWN) {
        let slug = meters
            .tenants
            .iter()
            .find(|row| row.tenant == line.tenant)
            .and_then(|row| row.slug.clone());
        lines.row([
            figures::ago(&line.at, now),
            line.status.to_string(),
            line.code.clone().unwrap_or_else(|| "-".to_owned()),
            slug.unwrap_or_else(|| line.tenant.clone()),
            line.service.clone(),
            format!("{} {}", line.method, line.path),
            line.request_id.clone(),
        ]);
    }
    for table in [tenants, services, lines].iter().filter(|table| !table.is_empty()) {
        let _ = write!(text, "\n{}", table.render(style));
    }
    text
}

fn cells(name: &str, figures: &Figures) -> [String; 6] {
    let Figures {
        requests,
        errors,
        rate_per_second,
        p50_ms,
        p99_ms,
    } = *figures;
    [
        name.to_owned(),
        requests.to_string(),
        errors.to_string(),
        format!("{rate_per_second:.1}"),
        figures::milliseconds(p50_ms, requests),
        figures::milliseconds(p99_ms, requests),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_stand_below_each_other() {
        let text = r#"{"at":"2026-01-02T00:00:00Z","window_seconds":60,
            "totals":{"requests":610,"errors":1,"rate_per_second":10.2,"p50_ms":1.5,"p99_ms":12.25},
            "tenants":[{"tenant":"t_7f3k9q2m","slug":"acme","requests":600,"errors":1,"rate_per_second":10,"p50_ms":1.5,"p99_ms":12.25},
                       {"tenant":"t_aaaaaaaa","slug":null,"requests":10,"errors":0,"rate_per_second":0.2,"p50_ms":0.8,"p99_ms":2}],
            "services":[],"series":[],
            "errors":[{"at":"2026-01-01T23:59:00Z","request_id":"req_a","tenant":"t_7f3k9q2m","service":"tasks","method":"GET","path":"/api/tasks/boards","status":502,"code":"service-failed"}]}"#;
        let expected = "\
Last 60 s: 610 requests, 10.2 a second, 1 errors, p50 1.50 ms, p99 12.25 ms

TENANT      REQUESTS  ERRORS  PER SECOND  P50 MS  P99 MS
acme             600       1        10.0    1.50   12.25
t_aaaaaaaa        10       0         0.2    0.80    2.00

WHEN       STATUS  CODE            TENANT  SERVICE  REQUEST                ID
1 min ago     502  service-failed  acme    tasks    GET /api/tasks/boards  req_a
";
        assert_eq!(page(&serde_json::from_str(text).unwrap(), Style::plain()), expected);
    }
}
